"""The years of a row of pixels, as every score and detector sees them, and what a detector answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.kernels.annual import ANNUAL, robust_z

KINDS = ("none", "step", "ramp", "blip", "unconfirmed")
"""Names of the codes in `change_kind`; code 255 is no data."""

NONE, STEP, RAMP, BLIP, UNCONFIRMED = range(len(KINDS))
KIND_NODATA, YEAR_NODATA = 255, -1


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
    noise: npt.NDArray[np.float32]
    """(pixel) residual variance that is usual for the pixel's stratum, in squared length of unit vectors a year."""

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

    @classmethod
    def joined(cls, parts: Sequence[Series]) -> Series:
        """Several rows of pixels as one."""
        first = parts[0]
        cosine = np.concatenate([part.cosine for part in parts], axis=2)
        distance = cosine if first.distance is first.cosine else np.concatenate([part.distance for part in parts], axis=2)
        valid, noise = np.concatenate([part.valid for part in parts], axis=1), np.concatenate([part.noise for part in parts])
        return cls(distance, cosine, valid, first.use_robust_z, noise)

    def take(self, at: npt.NDArray[np.int64]) -> Series:
        """Some of the pixels."""
        cosine = self.cosine[:, :, at]
        distance = cosine if self.distance is self.cosine else self.distance[:, :, at]
        return Series(distance, cosine, self.valid[:, at], self.use_robust_z, self.noise[at])


@dataclass(frozen=True)
class Change:
    """A detector's answer, (pixel) each."""

    score: npt.NDArray[np.floating[Any]]
    """The detector's statistic, larger = more change; NaN = no data."""
    effect: npt.NDArray[np.floating[Any]]
    """Size of the change in cosine distance; NaN = no data."""
    year: npt.NDArray[np.int64]
    """Position in time of the first year of the new state; -1 = no data."""
    kind: npt.NDArray[np.uint8]
    """Code of KINDS; 255 = no data."""
