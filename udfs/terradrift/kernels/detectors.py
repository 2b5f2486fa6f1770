"""Change detectors: from the years of a pixel to one statistic, a size, a year and a kind. One line in DETECTORS each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from terradrift.kernels.annual import ANNUAL, robust_z

KINDS = ("none", "step", "ramp", "blip", "unconfirmed")
"""Names of the codes in `change_kind`; code 255 is no data."""

KIND_NODATA, YEAR_NODATA = 255, -1
UNCONFIRMED = 4


@dataclass(frozen=True)
class Series:
    """The years of a row of pixels: everything an annual score or a detector may look at."""

    distance: npt.NDArray[np.float64]
    """(time, time, pixel) in the metric of the run."""
    cosine: npt.NDArray[np.float64]
    """(time, time, pixel) cosine distance, the unit of every effect."""
    valid: npt.NDArray[np.bool_]
    """(time, pixel)"""
    use_robust_z: bool

    @cached_property
    def annual(self) -> dict[str, npt.NDArray[np.float64]]:
        """Annual scores computed so far, by name; filled by `score`."""
        return {}

    def score(self, name: str) -> npt.NDArray[np.float64]:
        """The annual score `name`, as robust z through time where the run asks for it: (time, pixel)."""
        if name not in self.annual:
            raw = ANNUAL[name](self.distance, self.valid)
            self.annual[name] = robust_z(raw) if self.use_robust_z else raw
        return self.annual[name]


@dataclass(frozen=True)
class Change:
    """A detector's answer, (pixel) each."""

    score: npt.NDArray[np.float64]
    """The detector's statistic, larger = more change; NaN = no data."""
    effect: npt.NDArray[np.float64]
    """Size of the change in cosine distance; NaN = no data."""
    year: npt.NDArray[np.int64]
    """Position in time of the first year of the new state; -1 = no data."""
    kind: npt.NDArray[np.uint8]
    """Code of KINDS; 255 = no data."""


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
    "bitemporal": bitemporal,
    "max_difference": max_difference,
    "max_loo_medoid": max_loo_medoid,
}
