"""Annual scores: for every year how unusual it is. One function of the distances a score, one line in ANNUAL.

All take distances (time, time, pixel) float64 and valid (time, pixel) and give float64 (time, pixel), NaN = no value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

AnnualScore = Callable[[npt.NDArray[np.float64], npt.NDArray[np.bool_]], npt.NDArray[np.float64]]

MIN_YEARS_LOO = 4
"""With three years the two candidates left for a medoid always tie."""

MIN_SCORES_Z = 5
"""Fewer scores do not give a scale."""

MAD_TO_SIGMA = 1.4826  # makes the median absolute deviation of a normal series equal its standard deviation

SIGMA_FLOOR = 0.004
"""Smallest scale of a robust z, ten times the quantisation noise of a cosine distance: no score is ever infinite."""

TIE = 1e-12
"""Medoid costs closer than this are equal: the earliest year wins, whatever the rounding."""


def difference(distance: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Distance of each year to the year before: (time, time, pixel) -> (time, pixel); the first year has none (NaN)."""
    score = np.full(valid.shape, np.nan)
    years = np.arange(1, len(valid))
    score[1:] = distance[years - 1, years]
    return score


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _loo_medoid(distance: Any, valid: Any) -> Any:
    time, pixels = valid.shape
    score = np.full((time, pixels), np.nan)
    known = np.empty((time, time, pixels), np.float64)
    count = np.zeros(pixels, np.int64)
    for t in range(time):
        for p in range(pixels):
            count[p] += valid[t, p]
        for u in range(time):
            source, target = distance[t, u], known[t, u]
            for p in range(pixels):
                target[p] = source[p] if valid[t, p] and valid[u, p] else 0.0
    cost, best, value = np.empty(pixels), np.empty(pixels), np.empty(pixels)
    for k in range(time):
        best[:] = np.inf
        for i in range(time):
            if i == k:
                continue
            cost[:] = 0.0
            for j in range(time):
                if j != k:
                    row = known[i, j]
                    for p in range(pixels):
                        cost[p] += row[p]
            candidate, to_k = valid[i], distance[i, k]
            for p in range(pixels):
                if candidate[p] and cost[p] < best[p] - TIE:
                    best[p] = cost[p]
                    value[p] = to_k[p]
        target, ok = score[k], valid[k]
        for p in range(pixels):
            if ok[p] and count[p] >= MIN_YEARS_LOO:
                target[p] = value[p]
    return score


def loo_medoid(distance: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Distance of each year to the medoid of the other years: (time, time, pixel) -> (time, pixel).

    The medoid of the others has the smallest sum of distances to them; ties go to the earliest year. NaN with fewer than
    four valid years.
    """
    return np.asarray(_loo_medoid(distance, valid))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _median_of_sorted(values: Any, n: int) -> float:
    return 0.5 * (values[(n - 1) // 2] + values[n // 2])


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _insertion_sort(values: Any, n: int) -> None:
    for k in range(1, n):
        value = values[k]
        slot = k
        while slot > 0 and values[slot - 1] > value:
            values[slot] = values[slot - 1]
            slot -= 1
        values[slot] = value


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _robust_z(score: Any) -> Any:
    time, pixels = score.shape
    z = np.full((time, pixels), np.nan)
    values = np.empty(time)
    for p in range(pixels):
        n = 0
        for t in range(time):
            if np.isfinite(score[t, p]):
                values[n] = score[t, p]
                n += 1
        if n < MIN_SCORES_Z:
            continue
        _insertion_sort(values, n)
        median = _median_of_sorted(values, n)
        for k in range(n):
            values[k] = abs(values[k] - median)
        _insertion_sort(values, n)
        sigma = max(MAD_TO_SIGMA * _median_of_sorted(values, n), SIGMA_FLOOR)
        for t in range(time):
            z[t, p] = (score[t, p] - median) / sigma
    return z


def robust_z(score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Robust z through time: (time, pixel) -> (time, pixel); (score - median) / max(1.4826 MAD, 0.004).

    Median and MAD are over all finite scores of the pixel, the year itself among them; NaN with fewer than five. A z of
    mean and standard deviation could not pass (T - 1) / sqrt(T), 2.67 for nine years; this one has no such bound.
    """
    return np.asarray(_robust_z(score))


ANNUAL: dict[str, AnnualScore] = {"difference": difference, "loo_medoid": loo_medoid}
