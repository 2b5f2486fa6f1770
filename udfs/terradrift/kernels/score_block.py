"""All scores of one block of pixels in one pass: codes in, rasters out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.kernels.annual import ANNUAL, robust_z
from terradrift.kernels.code_cosines import code_cosines
from terradrift.kernels.detectors import DETECTORS
from terradrift.kernels.distances import DISTANCES
from terradrift.kernels.gram import gram_of, guard_norm, sums_for
from terradrift.kernels.quantize import UNIT_PRODUCT
from terradrift.kernels.series import KIND_NODATA, YEAR_NODATA, Series
from terradrift.kernels.strata import STRATUM_NODATA, Strata, assign_strata, year_sums
from terradrift.kernels.templates import DECOYS
from terradrift.kernels.trajectory import draw_decoys

PIXELS = 2048
"""Pixels of a pass: their distances (9 x 9 float64) stay in the cache between the steps."""

LATTICE = 8
"""Pixels between the points that decoys are drawn on: one pixel in 64 with eight decoys tells as much as one in 16."""

ENOUGH_POINTS = 8192
"""Points of the lattice that are enough; with fewer, on small areas, it is closer."""

NewArray = Callable[[tuple[int, ...], Any], npt.NDArray[Any]]

NO_NOISE = np.zeros(0, np.float32)


@dataclass(frozen=True)
class Recipe:
    """What is computed from the Gram; every name is a key of its dict."""

    distance: str
    annual: tuple[str, ...]
    use_robust_z: bool
    detector: str
    years: tuple[int, ...]
    """Calendar years of the time axis."""
    lattice: int = 0
    """Pixels between the points where decoys are drawn; 0 without calibration."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the annual bands, `<score>_<distance>[_robust_z]`."""
        suffix = "_robust_z" if self.use_robust_z else ""
        return tuple(f"{name}_{self.distance}{suffix}" for name in self.annual)


@dataclass(frozen=True)
class ScoreBlock:
    """Rasters of a block by the names they have in the store; the arrays of a tile are filled block by block."""

    rasters: dict[str, npt.NDArray[Any]]
    """`scores` (time, band, y, x), NaN = no value, where annual bands are asked for; the others (y, x)."""
    decoys: dict[str, npt.NDArray[Any]]
    """(decoy, y, x) on the lattice; none without calibration."""

    @classmethod
    def empty(cls, recipe: Recipe, height: int, width: int, array: NewArray = np.empty) -> ScoreBlock:
        """A block without data, in memory that `array(shape, dtype)` gives."""

        def full(shape: tuple[int, ...], fill: float, dtype: Any) -> npt.NDArray[Any]:
            values = array(shape, dtype)
            values.fill(fill)
            return values

        rasters: dict[str, npt.NDArray[Any]] = {
            "change_score": full((height, width), np.nan, np.float32),
            "change_effect": full((height, width), np.nan, np.float32),
            "change_year": full((height, width), YEAR_NODATA, np.int16),
            "change_kind": full((height, width), KIND_NODATA, np.uint8),
        }
        if recipe.annual:
            rasters["scores"] = full((len(recipe.years), len(recipe.annual), height, width), np.nan, np.float32)
        if not recipe.lattice:
            return cls(rasters, {})
        rasters["stratum"] = full((height, width), STRATUM_NODATA, np.uint8)
        points = (DECOYS, -(-height // recipe.lattice), -(-width // recipe.lattice))
        decoys = {name: full(points, np.nan, np.float32) for name in ("decoy_score", "decoy_effect")}
        return cls(rasters, {**decoys, "decoy_kind": full(points, KIND_NODATA, np.uint8)})

    def part(self, y: slice, x: slice, step: int) -> ScoreBlock:
        """Views of some rows and columns that start on the lattice."""
        rasters = {name: raster[..., y, x] for name, raster in self.rasters.items()}
        if not step:
            return ScoreBlock(rasters, {})
        rows, cols = (slice(axis.start // step, -(-axis.stop // step)) for axis in (y, x))
        return ScoreBlock(rasters, {name: raster[:, rows, cols] for name, raster in self.decoys.items()})


def lattice_step(chunk_shape: tuple[int, int], pixels: int) -> int:
    """Pixels between the points of the lattice that decoys are drawn on, for an area of so many pixels: 8, 4, 2 or 1.

    It divides the mosaic's chunks, so that the lattice is the mosaic's own.
    """
    step = math.gcd(LATTICE, *chunk_shape)
    while step > 1 and pixels < ENOUGH_POINTS * step**2:
        step //= 2
    return step


def lattice_points(shape: tuple[int, ...], step: int) -> tuple[slice, slice]:
    """Rows and columns of the lattice in a block that starts on a multiple of its step: one pixel of every step x step."""
    return slice(step // 3, shape[0], step), slice(step // 2, shape[1], step)


def score_pixels(
    codes: npt.NDArray[Any],
    recipe: Recipe,
    inside: npt.NDArray[np.bool_] | None = None,
    strata: Strata | None = None,
    classes: npt.NDArray[np.uint8] | None = None,
    out: ScoreBlock | None = None,
) -> tuple[ScoreBlock, int, int]:
    """Scores of a block: codes (time, band, y, x) -> rasters, number of valid pixels, number of pixel-years of a bad norm.

    int8 codes are guarded by their norm; float vectors are not. `inside` (y, x) masks pixels out of the area of interest. A
    recipe with a lattice needs `strata`; `classes` (y, x) names the stratum of every pixel in place of its embedding. `out`:
    rasters without data to fill and to give back, those of the block's place in its tile.
    """
    time, band, height, width = codes.shape
    flat = np.ascontiguousarray(codes).reshape(time, band, -1)
    block = ScoreBlock.empty(recipe, height, width) if out is None else out
    decoys = Decoys(recipe.lattice, height, width)
    n_valid = n_bad = 0
    rows_at_once = max(1, PIXELS // width)
    for y in range(0, height, rows_at_once):
        rows = slice(y, min(y + rows_at_once, height))
        mask = None if inside is None else inside[rows].reshape(-1)
        own = None if classes is None else classes[rows].reshape(-1)
        series, stratum, bad = _series(flat, rows.start * width, rows.stop * width, recipe, mask, strata, own)
        n_bad += bad
        if not series.valid.any():
            continue
        change = DETECTORS[recipe.detector](series)
        known = np.isfinite(change.score)
        n_valid += int(np.count_nonzero(known))
        part = {name: raster[..., rows, :] for name, raster in block.rasters.items()}
        shape = part["change_score"].shape
        for k, name in enumerate(recipe.annual):
            part["scores"][:, k] = series.score(name).reshape(-1, *shape)
        part["change_score"][:] = change.score.reshape(shape)
        part["change_effect"][:] = change.effect.reshape(shape)
        part["change_year"][:] = np.where(known, np.asarray(recipe.years, np.int16)[change.year], YEAR_NODATA).reshape(shape)
        part["change_kind"][:] = change.kind.reshape(shape)
        if stratum is not None:
            part["stratum"][:] = np.where(known, stratum, np.uint8(STRATUM_NODATA)).reshape(shape)
            decoys.sample(series, known, rows.start * width)
    decoys.draw(block.decoys)
    return block, n_valid, n_bad


class Decoys:
    """Series of the points of a block's lattice, gathered pass by pass and drawn together."""

    def __init__(self, step: int, height: int, width: int) -> None:
        self._point = _points(height, width, step)
        self._series: list[Series] = []
        self._places: list[npt.NDArray[np.int64]] = []

    def sample(self, series: Series, known: npt.NDArray[np.bool_], first: int) -> None:
        """Keep the points among the pixels of a pass that starts at pixel `first`."""
        point = self._point[first : first + known.size]
        at = np.flatnonzero((point >= 0) & known)
        self._series.append(series.take(at))
        self._places.append(point[at])

    def draw(self, rasters: dict[str, npt.NDArray[Any]]) -> None:
        """Fill the decoy rasters (decoy, y, x) of the lattice."""
        if not self._series:
            return
        places = np.concatenate(self._places)
        for name, values in draw_decoys(Series.joined(self._series)).items():
            y, x = np.divmod(places, rasters[name].shape[2])
            rasters[name][:, y, x] = values


def _points(height: int, width: int, step: int) -> npt.NDArray[np.int64]:
    """(pixel): the number of the lattice point a pixel is, or -1."""
    point = np.full((height, width), -1, np.int64)
    if step:
        rows, cols = lattice_points((height, width), step)
        across = -(-width // step)
        down = len(range(height)[rows])
        point[rows, cols] = np.arange(down)[:, None] * across + np.arange(len(range(width)[cols]))
    return point.reshape(-1)


def _series(
    codes: npt.NDArray[Any],
    first: int,
    stop: int,
    recipe: Recipe,
    inside: npt.NDArray[np.bool_] | None,
    strata: Strata | None,
    classes: npt.NDArray[np.uint8] | None,
) -> tuple[Series, npt.NDArray[np.uint8] | None, int]:
    sums = sums_for(codes, stop - first) if recipe.lattice and classes is None else None
    if codes.dtype == np.int8 and recipe.distance == "cosine":
        distance, valid, bad = code_cosines(codes, first, stop, inside, sums)
        cosine = distance
    else:
        products, valid = gram_of(codes, first, stop, sums)
        unit, bad = 1.0, 0
        if inside is not None:
            valid &= inside
        if codes.dtype == np.int8:
            unit = UNIT_PRODUCT
            valid, bad = guard_norm(products, valid)
        distance = DISTANCES[recipe.distance](products, valid, unit)
        cosine = distance if recipe.distance == "cosine" else DISTANCES["cosine"](products, valid, unit)
    stratum, noise = None, NO_NOISE
    if recipe.lattice:
        if strata is None:
            raise ValueError(f"detector {recipe.detector} needs strata")
        stratum = classes
        if stratum is None:
            stratum = assign_strata(year_sums(codes, first, valid, sums), valid, strata.centroids)
        noise = strata.noise[np.minimum(stratum, len(strata) - 1)]
    return Series(distance, cosine, valid, recipe.use_robust_z, noise), stratum, bad


def impossible(recipe: Recipe) -> list[str]:
    """Annual scores and detector of a recipe that no pixel with all its years can have, by trying one such pixel."""
    time = len(recipe.years)
    nothing = np.zeros((time, time, 1))
    series = Series(nothing, nothing, np.ones((time, 1), bool), recipe.use_robust_z, np.zeros(1, np.float32))
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
