"""Annual scores: for every year how unusual it is. One function of the distances a score, one line in ANNUAL.

All take distances (time, time, pixel) float64 and valid (time, pixel) and give float64 (time, pixel), NaN = no value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
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

STRIP = 256
"""Pixels worked on at a time: the rows of their years stay in the first-level cache."""

TIE = 1e-12
"""Medoid costs closer than this are equal: the earliest year wins, whatever the rounding."""


def difference(distance: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Distance of each year to the year before: (time, time, pixel) -> (time, pixel); the first year has none (NaN)."""
    return np.asarray(_difference(distance))


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _difference(distance: Any) -> Any:
    score = np.empty(distance.shape[1:])
    score[0] = np.nan
    for t in range(1, len(score)):
        score[t] = distance[t - 1, t]
    return score


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _nearest(costs: Any, to_a: Any, to_b: Any, to_c: Any, best: Any, value: Any, n: int) -> None:
    """Of three candidates one after the other take the distance to the year left out, where its sum to the others is smaller.

    Everything is loaded before it is compared, so the compiler sees that nothing needs a branch; three at a time, so that the
    best so far stays in registers.
    """
    cost_a, cost_b, cost_c = costs[0], costs[1], costs[2]
    for p in range(n):
        a, b, c, least, chosen = to_a[p], to_b[p], to_c[p], best[p], value[p]
        others_a, others_b, others_c = cost_a[p] - a, cost_b[p] - b, cost_c[p] - c
        nearer = others_a < least - TIE
        least, chosen = others_a if nearer else least, a if nearer else chosen
        nearer = others_b < least - TIE
        least, chosen = others_b if nearer else least, b if nearer else chosen
        nearer = others_c < least - TIE
        best[p] = others_c if nearer else least
        value[p] = c if nearer else chosen


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _sums_of_distances(distance: Any, valid: Any, first: int, n: int, total: Any, count: Any) -> None:
    """Sums of each year's distances to the valid years, inf where it is not valid itself, and how many are valid."""
    time = len(valid)
    total[:time, :n] = 0.0
    count[:n] = 0
    for i in range(time):
        cost, ok = total[i], valid[i, first : first + n]
        own = distance[i, i, first : first + n]
        for p in range(n):
            cost[p] += own[p] if ok[p] else 0.0
            count[p] += ok[p]
        for j in range(i + 1, time):  # every sum is still taken in the order of years
            row, other, also = distance[i, j, first : first + n], total[j], valid[j, first : first + n]
            for p in range(n):
                known = row[p] if ok[p] & also[p] else 0.0
                mine, its = cost[p] + known, other[p] + known
                cost[p], other[p] = mine, its
        for p in range(n):
            cost[p] = cost[p] if ok[p] else np.inf


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _loo_medoid(distance: Any, valid: Any) -> Any:
    time, pixels = valid.shape
    score = np.empty((time, pixels))
    total = np.full((-(-time // 3) * 3, STRIP), np.inf)
    kept, nobody = np.empty(STRIP), np.full(STRIP, np.inf)
    count, best, value = np.empty(STRIP, np.int64), np.empty(STRIP), np.empty(STRIP)
    for first in range(0, pixels, STRIP):
        n = min(STRIP, pixels - first)
        _sums_of_distances(distance, valid, first, n, total, count)
        for k in range(time):
            best[:n], value[:n] = np.inf, np.nan
            kept[:], total[k] = total[k], nobody  # a year is not its own medoid
            for i in range(0, time, 3):
                a, b, c = i, min(i + 1, time - 1), min(i + 2, time - 1)
                to_a = distance[min(a, k), max(a, k), first : first + n]
                to_b = distance[min(b, k), max(b, k), first : first + n]
                to_c = distance[min(c, k), max(c, k), first : first + n]
                _nearest(total[i : i + 3], to_a, to_b, to_c, best, value, n)
            total[k] = kept
            target, ok = score[k, first : first + n], valid[k, first : first + n]
            for p in range(n):
                target[p] = value[p] if ok[p] & (count[p] >= MIN_YEARS_LOO) else np.nan
    return score


def loo_medoid(distance: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Distance of each year to the medoid of the other years: (time, time, pixel) -> (time, pixel).

    The medoid of the others has the smallest sum of distances to them; ties go to the earliest year. NaN with fewer than
    four valid years.
    """
    return np.asarray(_loo_medoid(distance, valid))


@lru_cache(maxsize=64)
def _sorting_network(n: int) -> npt.NDArray[np.int64]:
    """(comparator, 2): Batcher's odd-even merge sort of n rows; each comparator puts the smaller of two rows first."""
    comparators = []
    p = 1
    while p < n:
        k = p
        while k:
            for j in range(k % p, n - k, 2 * k):
                comparators += [(i, i + k) for i in range(j, min(j + k, n - k)) if i // (2 * p) == (i + k) // (2 * p)]
            k //= 2
        p *= 2
    return np.array(comparators, np.int64).reshape(-1, 2)


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _sort_rows(rows: Any, network: Any, n: int) -> None:
    """Sort the first n columns of rows (row, STRIP): whole rows are compared at a time, without a branch."""
    for c in range(network.shape[0]):
        low, high = rows[network[c, 0]], rows[network[c, 1]]
        for p in range(n):
            a, b = low[p], high[p]
            low[p] = a if a < b else b
            high[p] = b if a < b else a


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _median_of_sorted(rows: Any, count: Any, n: int, out: Any) -> None:
    """Median of the first `count` rows of each column; 0 where there is none."""
    for p in range(n):
        k = count[p]
        out[p] = 0.5 * (rows[(k - 1) // 2, p] + rows[k // 2, p]) if k else 0.0


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _robust_z(score: Any, network: Any) -> Any:
    time, pixels = score.shape
    z = np.empty((time, pixels))
    rows = np.empty((time, STRIP))
    count, median, mad = np.empty(STRIP, np.int64), np.empty(STRIP), np.empty(STRIP)
    for first in range(0, pixels, STRIP):
        n = min(STRIP, pixels - first)
        count[:n] = 0
        for t in range(time):
            source, row = score[t, first : first + n], rows[t]
            for p in range(n):
                known = np.isfinite(source[p])
                count[p] += known
                row[p] = source[p] if known else np.inf  # sorts to the end
        _sort_rows(rows, network, n)
        _median_of_sorted(rows, count, n, median)
        for t in range(time):
            row = rows[t]
            for p in range(n):
                row[p] = abs(row[p] - median[p])
        _sort_rows(rows, network, n)
        _median_of_sorted(rows, count, n, mad)
        for p in range(n):
            mad[p] = max(MAD_TO_SIGMA * mad[p], SIGMA_FLOOR) if count[p] >= MIN_SCORES_Z else np.nan
        for t in range(time):
            source, target = score[t, first : first + n], z[t, first : first + n]
            for p in range(n):
                target[p] = (source[p] - median[p]) / mad[p]
    return z


def robust_z(score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Robust z through time: (time, pixel) -> (time, pixel); (score - median) / max(1.4826 MAD, 0.004).

    Median and MAD are over all finite scores of the pixel, the year itself among them; NaN with fewer than five. A z of
    mean and standard deviation could not pass (T - 1) / sqrt(T), 2.67 for nine years; this one has no such bound.
    """
    return np.asarray(_robust_z(score, _sorting_network(len(score))))


ANNUAL: dict[str, AnnualScore] = {"difference": difference, "loo_medoid": loo_medoid}
