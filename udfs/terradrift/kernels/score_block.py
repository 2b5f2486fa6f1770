"""All scores of one block of pixels in one pass: codes in, rasters out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.kernels.annual import ANNUAL, robust_z
from terradrift.kernels.detectors import DETECTORS, KIND_NODATA, YEAR_NODATA, Series
from terradrift.kernels.distances import DISTANCES
from terradrift.kernels.gram import gram, guard_norm
from terradrift.kernels.quantize import UNIT_PRODUCT

PIXELS = 2048
"""Pixels of a pass: their distances (9 x 9 float64) stay in the cache between the steps."""


@dataclass(frozen=True)
class Recipe:
    """What is computed from the Gram; every name is a key of its dict."""

    distance: str
    annual: tuple[str, ...]
    use_robust_z: bool
    detector: str
    years: tuple[int, ...]
    """Calendar years of the time axis."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the annual bands, `<score>_<distance>[_robust_z]`."""
        suffix = "_robust_z" if self.use_robust_z else ""
        return tuple(f"{name}_{self.distance}{suffix}" for name in self.annual)


@dataclass(frozen=True)
class ScoreBlock:
    """Rasters of a block; the arrays of a tile are filled block by block."""

    scores: npt.NDArray[np.float32]
    """(time, band, y, x), NaN = no value."""
    change_score: npt.NDArray[np.float32]
    change_effect: npt.NDArray[np.float32]
    change_year: npt.NDArray[np.int16]
    change_kind: npt.NDArray[np.uint8]

    @classmethod
    def empty(cls, time: int, band: int, height: int, width: int) -> ScoreBlock:
        """A block without data."""
        return cls(
            np.full((time, band, height, width), np.nan, np.float32),
            np.full((height, width), np.nan, np.float32),
            np.full((height, width), np.nan, np.float32),
            np.full((height, width), YEAR_NODATA, np.int16),
            np.full((height, width), KIND_NODATA, np.uint8),
        )

    def rasters(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by the names they have in the store."""
        return {
            "scores": self.scores,
            "change_score": self.change_score,
            "change_effect": self.change_effect,
            "change_year": self.change_year,
            "change_kind": self.change_kind,
        }


def score_pixels(
    codes: npt.NDArray[Any], recipe: Recipe, inside: npt.NDArray[np.bool_] | None = None
) -> tuple[ScoreBlock, int, int]:
    """Scores of a block: codes (time, band, y, x) -> rasters, number of valid pixels, number of pixel-years of a bad norm.

    int8 codes are guarded by their norm; float vectors are not. `inside` (y, x) masks pixels out of the area of interest.
    """
    time, band, height, width = codes.shape
    flat = codes.reshape(time, band, -1)
    mask = None if inside is None else inside.reshape(-1)
    block = ScoreBlock.empty(time, len(recipe.annual), height, width)
    rasters = {name: raster.reshape(*raster.shape[:-2], height * width) for name, raster in block.rasters().items()}
    n_valid = n_bad = 0
    for first in range(0, height * width, PIXELS):
        part = slice(first, min(first + PIXELS, height * width))
        series, bad = _series(flat[:, :, part], recipe, None if mask is None else mask[part])
        n_bad += bad
        if not series.valid.any():
            continue
        for k, name in enumerate(recipe.annual):
            rasters["scores"][:, k, part] = series.score(name)
        change = DETECTORS[recipe.detector](series)
        known = np.isfinite(change.score)
        n_valid += int(np.count_nonzero(known))
        rasters["change_score"][part] = change.score
        rasters["change_effect"][part] = change.effect
        rasters["change_year"][part] = np.where(known, np.asarray(recipe.years, np.int16)[change.year], YEAR_NODATA)
        rasters["change_kind"][part] = change.kind
    return block, n_valid, n_bad


def _series(codes: npt.NDArray[Any], recipe: Recipe, inside: npt.NDArray[np.bool_] | None) -> tuple[Series, int]:
    products, valid = gram(codes)
    unit, bad = 1.0, 0
    if inside is not None:
        valid &= inside
    if codes.dtype == np.int8:
        unit = UNIT_PRODUCT
        valid, bad = guard_norm(products, valid)
    distance = DISTANCES[recipe.distance](products, valid, unit)
    cosine = distance if recipe.distance == "cosine" else DISTANCES["cosine"](products, valid, unit)
    return Series(distance, cosine, valid, recipe.use_robust_z), bad


def impossible(recipe: Recipe) -> list[str]:
    """Annual scores and detector of a recipe that no pixel with all its years can have, by trying one such pixel."""
    time = len(recipe.years)
    nothing = np.zeros((time, time, 1))
    series = Series(nothing, nothing, np.ones((time, 1), bool), recipe.use_robust_z)
    missing = [name for name in recipe.annual if not np.isfinite(series.score(name)).any()]
    if not np.isfinite(DETECTORS[recipe.detector](series).score).any():
        missing.append(recipe.detector)
    return missing


def possible_annual(names: Sequence[str], n_years: int, use_robust_z: bool) -> tuple[str, ...]:
    """The annual scores among `names` that a pixel of `n_years` valid years can have."""
    nothing, valid = np.zeros((n_years, n_years, 1)), np.ones((n_years, 1), bool)
    raw = {name: ANNUAL[name](nothing, valid) for name in names}
    scores = {name: robust_z(value) if use_robust_z else value for name, value in raw.items()}
    return tuple(name for name in names if np.isfinite(scores[name]).any())
