"""Which pixels are mapped as change, and which of them belong together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.calibration import Calibration, Candidates
from terradrift.grid import Window
from terradrift.params import Polygons
from terradrift.score_store import CHANGED, RasterStore


@dataclass(frozen=True)
class Decision:
    """Rasters of a window, (y, x) each."""

    changed: npt.NDArray[np.uint8]
    """1 mapped as change, 0 not, 255 no data."""
    classes: npt.NDArray[np.int32]
    """0 not mapped; equal positive numbers may share a polygon."""
    score: npt.NDArray[np.float32]
    effect: npt.NDArray[np.float32]
    year: npt.NDArray[np.int16]
    kind: npt.NDArray[np.uint8]
    q: npt.NDArray[np.float32] | None
    """Smallest false discovery rate at which the pixel is mapped; None without calibration."""
    candidate: npt.NDArray[np.bool_]
    """May be mapped, whatever its score."""

    @property
    def surface(self) -> npt.NDArray[np.float32]:
        """The score of candidates, NaN elsewhere: float32 (y, x)."""
        return np.where(self.candidate, self.score, np.float32(np.nan))

    def cut(self, part: tuple[slice, slice]) -> Decision:
        """Rows and columns of all rasters."""
        rasters: dict[str, Any] = {name: None if raster is None else raster[part] for name, raster in vars(self).items()}
        return Decision(**rasters)

    def rasters(self) -> dict[str, npt.NDArray[Any]]:
        """What the decision's store holds."""
        return {"changed": self.changed} | ({} if self.q is None else {"q": self.q})


@dataclass(frozen=True)
class DecisionRule:
    """From scores to mapped pixels: a value that is shipped to the tasks."""

    scores: RasterStore
    decision: RasterStore
    years: tuple[int, ...]
    candidates: Candidates
    """A pixel that is none is not mapped, whatever its score."""
    threshold: float | None
    """A candidate is mapped when its score is at least this; None where the false discovery rate decides."""
    high: float | None
    """A polygon is kept when one of its pixels has at least this score; None keeps all."""
    calibration: Calibration | None
    fdr: float | None
    """A candidate is mapped when its q is at most this."""
    polygons: Polygons

    @property
    def identity(self) -> str:
        """16 hex digits that change with whatever the decision on a pixel or polygon depends on, besides the scores."""
        calibration = self.calibration
        curves = "" if calibration is None else hashlib.sha256(calibration.q.tobytes()).hexdigest()
        rule = (self.years, self.candidates, self.threshold, self.high, curves, self.fdr, self.polygons)
        return hashlib.sha256(repr(rule).encode()).hexdigest()[:16]

    def decide(self, window: Window) -> Decision:
        """Read the window's scores and apply the rule, pixel by pixel."""
        rasters: dict[str, npt.NDArray[Any]] = {
            name: self.scores.read_window(window, f"change_{name}") for name in ("score", "effect", "year", "kind")
        }
        score = rasters["score"]
        known = np.isfinite(score)
        candidate = known & self.candidates.among(rasters["effect"], rasters["kind"])
        q = None
        if self.calibration is not None and self.fdr is not None:
            q = self.calibration.of(score, self.scores.read_window(window, "stratum"), candidate)
            mapped = candidate & (q <= np.float32(self.fdr))
        else:
            mapped = candidate & (score >= np.float32(np.nan if self.threshold is None else self.threshold))
        changed = np.where(known, mapped.astype(np.uint8), np.uint8(CHANGED.fill_value))
        group = np.ones_like(score, np.int32) if self.polygons.group_by == "none" else rasters[self.polygons.group_by]
        return Decision(changed, np.where(mapped, group, 0).astype(np.int32), q=q, candidate=candidate, **rasters)
