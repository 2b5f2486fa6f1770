"""The plan: what a run will score, from metadata alone; a value that can refuse before anything runs."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from terradrift.aoi import Zones, read_aoi, usable_width
from terradrift.errors import InputError
from terradrift.grid import Grid, Window
from terradrift.kernels.detectors import CALIBRATED
from terradrift.kernels.score_block import Recipe, impossible, lattice_step, possible_annual
from terradrift.memory import MIB, TASK_MEMORY_VARIABLE, TaskMemory, allowed_task_memory, task_memory
from terradrift.mosaic import Mosaic, open_mosaic
from terradrift.params import Change, Params, load_params
from terradrift.refine import RefineSettings
from terradrift.store import open_store
from terradrift.strata_map import StrataMap, read_strata_map

NO_OBJECT = "no-such-object"
"""Key of what is in no array: what a store answers when it is asked for it, it answers of absent chunks."""

MAX_SQUARES = 1 << 18
"""Squares that tiles are weighed by: a few MB of them."""


@dataclass(frozen=True)
class Plan:
    """All that is known before Spark starts."""

    params: Params
    mosaic: Mosaic
    zones: Zones
    window: Window
    """The raster: the area of interest snapped outward to the tile grid, clipped to the array."""
    years: tuple[int, ...]
    recipe: Recipe
    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    """Tiles to score, in the mosaic's tile grid, row by row."""
    warnings: tuple[str, ...]
    strata_map: StrataMap | None = None
    """Strata that the user brings along."""

    @property
    def grid(self) -> Grid:
        return self.mosaic.grid

    @property
    def tile_size(self) -> int:
        return self.params.tile_size

    @property
    def n_tiles(self) -> int:
        return len(self.rows)

    @cached_property
    def tile_shapes(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Heights and widths of the tiles in pixels."""
        size = self.tile_size
        height = np.minimum((self.rows + 1) * size, self.window.y1) - self.rows * size
        width = np.minimum((self.cols + 1) * size, self.window.x1) - self.cols * size
        return height, width

    @property
    def tile_pixels(self) -> npt.NDArray[np.int64]:
        """Pixels of every tile."""
        height, width = self.tile_shapes
        return height * width

    @cached_property
    def read_pixels(self) -> npt.NDArray[np.int64]:
        """Pixels of every tile that are read: of chunks that hold a pixel of the area of interest (of squares of several chunks
        where the area is so large that its chunks would be a burden)."""
        side = math.lcm(*self.mosaic.chunk_shape)
        while side < self.tile_size and self.window.height * self.window.width > MAX_SQUARES * side**2:
            side *= 2
        (row0, col0), touched = self.zones.touched(self.grid, side)
        rows, cols = (np.arange(n) + first for n, first in zip(touched.shape, (row0, col0), strict=True))
        height = np.minimum((rows + 1) * side, self.window.y1) - rows * side
        width = np.minimum((cols + 1) * side, self.window.x1) - cols * side
        tile_rows, tile_cols = rows * side // self.tile_size, cols * side // self.tile_size
        down, across = (np.flatnonzero(np.diff(tile, prepend=-1)) for tile in (tile_rows, tile_cols))
        pixels = np.add.reduceat(touched * height.astype(np.int32)[:, None], down, axis=0)
        pixels = np.add.reduceat(pixels * width, across, axis=1)
        return np.asarray(pixels[self.rows - tile_rows[0], self.cols - tile_cols[0]])

    def tile_window(self, k: int) -> Window:
        """Pixels of the k-th tile."""
        height, width = self.tile_shapes
        y0, x0 = int(self.rows[k]) * self.tile_size, int(self.cols[k]) * self.tile_size
        return Window(y0, x0, int(height[k]), int(width[k]))

    def tile_ids(self) -> Iterator[str]:
        """Names of all tiles."""
        return (f"r{row:06d}_c{col:06d}" for row, col in zip(self.rows.tolist(), self.cols.tolist(), strict=True))

    @property
    def pixel_m(self) -> float:
        """Height of a pixel on the ground in metres."""
        crs = self.grid.pyproj_crs
        radius = crs.ellipsoid.semi_major_metre if crs.is_geographic and crs.ellipsoid is not None else 1.0
        return float(abs(self.grid.transform[4]) * crs.axis_info[0].unit_conversion_factor * radius)

    def refine_settings(self) -> RefineSettings:
        """What the SQL stage needs to know."""
        refine = self.params.refine
        return RefineSettings(
            transform=self.grid.transform,
            source_crs=self.grid.crs,
            target_crs=refine.crs,
            simplify_m=refine.simplify_m,
            precision_m=refine.precision_m,
            max_vertices=refine.max_vertices,
            pixel_m=self.pixel_m,
            years=self.years,
            zones=len(self.zones.geometries),
        )


def plan_run(params: Params | str) -> Plan:
    """The plan of a run (parameters, or the path of a run file): opens the mosaic's metadata and the AOI, reads no pixel.

    Raises InputError in one line for everything that can be refused before a pixel is read.
    """
    params = params if isinstance(params, Params) else load_params(params)
    mosaic = open_mosaic(params.mosaic, params.variable, params.quantization, params.forbidden_means_missing)
    _check_absence(mosaic)
    if (folder := open_store(params.output).local_path) is not None:
        _check_output(folder, mosaic)
    mosaic.check_tile_size(params.tile_size)
    years = mosaic.select_years(params.years)
    zones = read_aoi(params.aoi, mosaic.grid)
    params, given_way = _feasible_detector(params, years)
    lattice = _lattice(mosaic, zones) if params.change.detector in CALIBRATED else 0
    recipe, notes = _recipe(params, years, lattice)
    window = zones.window(mosaic.grid, params.tile_size)
    rows, cols = zones.tiles(mosaic.grid, params.tile_size)
    warnings = (*zones.warnings, *given_way, *notes)
    if (beyond := mosaic.grid.width - usable_width(mosaic.grid)) > 0:
        warnings = (*warnings, f"{beyond} columns beyond +180 degrees are padding and never read")
    own = read_strata_map(params.change.strata, mosaic.grid) if isinstance(params.change.strata, str) else None
    plan = Plan(params, mosaic, zones, window, years, recipe, rows, cols, warnings, own)
    plan.refine_settings()
    _check_memory(plan)
    return plan


def _check_output(output: Path, mosaic: Mosaic) -> None:
    """Refuse a folder that cannot be made or written, or that lies in the mosaic by way of a link; nothing is written."""
    there = next(path for path in (output, *output.parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"output: found {output}, where {there} is a file; expected a folder; give another name")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"output: found {output}, where {there} cannot be written; expected a folder of yours; give another")
    inside = mosaic.store.local_path
    if inside is not None and output.resolve().is_relative_to(inside.resolve()):
        raise InputError(f"output: found {output}, which lies in the mosaic; expected a folder outside it")


def _check_absence(mosaic: Mosaic) -> None:
    """Refuse a mosaic of which nobody can tell whether an object is absent or forbidden, unless the run file says what it is."""
    if mosaic.forbidden_means_missing or not mosaic.store.hides_what_is_absent(f"{mosaic.layout.path}/{NO_OBJECT}"):
        return
    raise InputError(
        f"mosaic: {mosaic.url.split('?')[0]}: found 403 for an object that is not there, so that absent and forbidden ones look "
        "alike; expected 404; allow s3:ListBucket, or set forbidden_means_missing: true in the run file: 403 is no data then"
    )


def _lattice(mosaic: Mosaic, zones: Zones) -> int:
    """Step of the lattice of decoys: from the chunks that hold the area of interest, whatever the tile size."""
    side = math.lcm(*mosaic.chunk_shape)
    rows, _ = zones.tiles(mosaic.grid, side)
    return lattice_step(mosaic.chunk_shape, len(rows) * side**2)


def _feasible_detector(params: Params, years: tuple[int, ...]) -> tuple[Params, list[str]]:
    """The parameters, with bitemporal where nothing is said of change and the default needs more years than there are."""
    default = params.change.detector
    if params.change.model_fields_set or not impossible(Recipe(params.scores.distance, (), False, default, years)):
        return params, []
    change = Change(detector="bitemporal")
    note = (
        f"change.detector: {default} needs more than {len(years)} years; "
        f"{change.detector} with threshold {change.rule.name} {getattr(change.rule, change.rule.name)} is used"
    )
    return params.model_copy(update={"change": change}), [note]


def _recipe(params: Params, years: tuple[int, ...], lattice: int) -> tuple[Recipe, list[str]]:
    """What to compute; a default that this many years cannot give is left out, a wish is refused."""
    scores, n = params.scores, len(years)
    asked = scores.model_fields_set if "scores" in params.model_fields_set else set()
    annual, use_z = tuple(scores.annual), scores.robust_z
    notes = []
    if use_z and "robust_z" not in asked:
        wished = annual if "annual" in asked else possible_annual(annual, n, True)
        scaled = Recipe(scores.distance, wished, True, params.change.detector, years)
        if impossible(scaled) or not (wished or "annual" in asked):
            use_z = False
            notes.append(f"robust_z: {n} years give too few annual scores for a scale; raw scores are written")
    if "annual" not in asked:
        kept = possible_annual(annual, n, use_z)
        notes += [f"scores.annual: {name} needs more than {n} years and is left out" for name in annual if name not in kept]
        annual = kept
    recipe = Recipe(scores.distance, annual, use_z, params.change.detector, years, lattice)
    for name in impossible(recipe):
        field = "change.detector" if name == params.change.detector else "scores.annual"
        what = f"{name} with robust_z" if use_z else name
        raise InputError(
            f"{field}: {what}: found {n} years ({years[0]} to {years[-1]}); expected more: no pixel could have a value; "
            f"choose more years or another score{', or set scores.robust_z: false' if use_z else ''}"
        )
    return recipe, notes


def _check_memory(plan: Plan) -> None:
    def needed(tile_size: int) -> TaskMemory:
        return task_memory(plan.mosaic, plan.recipe, tile_size, plan.window, plan.params.polygons.min_pixels)

    most, allowed = needed(plan.tile_size), allowed_task_memory()
    if most.bytes <= allowed:
        return
    sizes = [plan.tile_size >> k for k in range(1, 20) if plan.tile_size >> k >= max(plan.mosaic.chunk_shape)]
    fitting = next((size for size in sizes if needed(size).bytes <= allowed), None)
    advice = f"use tile_size: {fitting}" if fitting else "no smaller tile of this mosaic fits"
    need = -(-most.bytes // MIB)
    raise InputError(
        f"tile_size: {plan.tile_size} needs {need} MiB a task of {most.stage}; expected at most {allowed // MIB} MiB; "
        f"{advice}, or set {TASK_MEMORY_VARIABLE}={need}"
    )
