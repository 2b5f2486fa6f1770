"""Change detectors: from the years of a pixel to one statistic, a size, a year and a kind. One line in DETECTORS each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from terradrift.kernels.annual import ANNUAL
from terradrift.kernels.series import KIND_NODATA, UNCONFIRMED, Change, Series
from terradrift.kernels.trajectory import trajectory

Detector = Callable[[Series], Change]


def _without_kinds(score: npt.NDArray[np.float64], effect: npt.NDArray[np.float64], year: npt.NDArray[np.int64]) -> Change:
    known = np.isfinite(score)
    return Change(
        score,
        np.where(known, effect, np.nan),
        np.where(known, year, -1),
        np.where(known, np.uint8(UNCONFIRMED), np.uint8(KIND_NODATA)),
    )


def bitemporal(series: Series) -> Change:
    """Distance between the first and the last year; the change is dated to the last."""
    last = len(series.valid) - 1
    return _without_kinds(series.distance[0, last], series.cosine[0, last], np.full(series.valid.shape[1], last))


def _largest(name: str, series: Series) -> Change:
    score = series.score(name)
    known = np.isfinite(score)
    ranked = np.where(known, score, -np.inf)
    year = ranked.argmax(axis=0)  # the first of equals: the earliest year
    pick = (year, np.arange(score.shape[1]))
    effect = ANNUAL[name](series.cosine, series.valid)[pick]
    return _without_kinds(np.where(known.any(axis=0), ranked[pick], np.nan), effect, year)


def max_difference(series: Series) -> Change:
    """Largest annual difference (as robust z where the run asks for it); effect: that step's cosine distance."""
    return _largest("difference", series)


def max_loo_medoid(series: Series) -> Change:
    """Largest leave-one-out medoid score (as robust z where the run asks for it); effect: that year's cosine distance."""
    return _largest("loo_medoid", series)


DETECTORS: dict[str, Detector] = {
    "trajectory": trajectory,
    "bitemporal": bitemporal,
    "max_difference": max_difference,
    "max_loo_medoid": max_loo_medoid,
}

CALIBRATED = ("trajectory",)
"""Detectors that tell kinds of change apart and draw decoys: fdr, min_effect and kinds belong to them alone."""
