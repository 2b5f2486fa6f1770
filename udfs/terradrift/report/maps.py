"""The pictures of the whole area: change score, year of change, each year by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyproj
import shapely

from terradrift.grid import Grid, Window
from terradrift.report.reduced import Canvas, canvas_of, draw_polygons, read_reduced
from terradrift.report.tables import batches, kinds_of
from terradrift.results import RunResult

MAX_OUTLINES = 1500
"""Outlines on the score map, the largest: more would cover it, and every one is text in the page."""

NO_DATA, STABLE, FIRST_YEAR = 0, 1, 2
"""Codes of the map of years: a mapped polygon has FIRST_YEAR + the position of its year."""

YEAR_RAMP = np.array(
    [(72, 20, 110), (62, 74, 158), (38, 130, 160), (56, 172, 122), (190, 190, 50), (240, 140, 40), (205, 40, 50)]
)
"""Early to late; told apart in print and by most eyes, on light ground."""


@dataclass(frozen=True)
class Outlined:
    """A mapped polygon."""

    change_id: int
    whole_id: int
    kind: str
    year: int
    hectares: float
    effect: float
    geometry: Any
    """In (column, row) of the mosaic."""


@dataclass(frozen=True)
class Maps:
    """What the maps are made of."""

    canvas: Canvas
    score: npt.NDArray[np.float32]
    """Change score (y, x), NaN = no data."""
    years: npt.NDArray[np.uint8]
    """Codes of the map of years (y, x)."""
    outlines: Sequence[Outlined]
    """The largest."""
    stretch: float
    """Width over height of a pixel on the ground."""
    metres: float
    """Height of a pixel of the mosaic on the ground, in metres."""


def draw_maps(run: RunResult) -> Maps:
    """Read the rasters reduced, draw every polygon on them; memory is that of the pictures and of a part of the polygons."""
    raster = run.window
    canvas = canvas_of(_crop(run), raster)
    score = read_reduced(f"{run.folder.scores_url}/scores.zarr", "change_score", raster, canvas)
    years = np.where(np.isfinite(score), np.uint8(STABLE), np.uint8(NO_DATA))
    known = np.asarray(run.manifest["years"], np.int64)
    columns = ("change_id", "whole_id", "kind", "year_mode", "area_m2", "effect_mean", "geometry")
    kept = pa.schema([]).empty_table()
    for batch in batches(run.folder.records, "tables/raw_polygons", columns):
        geometry = shapely.from_wkb(batch["geometry"].to_numpy(zero_copy_only=False))
        code = FIRST_YEAR + np.searchsorted(known, batch["year_mode"].to_numpy(zero_copy_only=False))
        draw_polygons(years, canvas.to_canvas(geometry), code.astype(np.uint8))
        rows = pa.Table.from_batches([batch])
        rows = pa.concat_tables([kept, rows]) if len(kept) else rows
        kept = rows.sort_by([("area_m2", "descending"), ("change_id", "ascending")])[:MAX_OUTLINES]
    called = kinds_of(run)
    outlines = [_outlined(row, called(row["kind"])) for row in kept.to_pylist()]
    return Maps(canvas, score, years, outlines, *_pixel_on_ground(run.grid, canvas.window))


def _outlined(row: dict[str, Any], kind: str) -> Outlined:
    return Outlined(
        row["change_id"], row["whole_id"], kind, row["year_mode"], row["area_m2"] / 1e4, row["effect_mean"],
        shapely.from_wkb(row["geometry"]),
    )  # fmt: skip


def _crop(run: RunResult) -> Window:
    """Whole pixels round the zones, within the raster."""
    grid, raster = run.grid, run.window
    xmin, ymin, xmax, ymax = run.zones.to_crs(grid.pyproj_crs).total_bounds
    x0, x1 = math.floor(grid.col(xmin)), math.ceil(grid.col(xmax))
    y0, y1 = math.floor(grid.row(ymax)), math.ceil(grid.row(ymin))
    return Window(y0, x0, max(1, y1 - y0), max(1, x1 - x0)).intersection(raster) or raster


def _pixel_on_ground(grid: Grid, window: Window) -> tuple[float, float]:
    """Width over height, and height in metres, of the pixel in the middle of a window."""
    crs = grid.pyproj_crs
    col, row = window.x0 + window.width / 2, window.y0 + window.height / 2
    corners = np.array([(grid.x(col + dx), grid.y(row + dy)) for dx, dy in ((0, 0), (1, 0), (0, 1))])
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs or "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*corners.T)
    geod = crs.get_geod() or pyproj.Geod(ellps="WGS84")
    _, _, lengths = geod.inv([lon[0], lon[0]], [lat[0], lat[0]], lon[1:], lat[1:])
    return float(lengths[0] / lengths[1]), float(lengths[1])


def year_colours(count: int) -> list[tuple[int, int, int]]:
    """RGB of `count` years, early to late."""
    stops, at = np.linspace(0, 1, len(YEAR_RAMP)), np.linspace(0, 1, max(count, 2))[:count]
    found = np.stack([np.interp(at, stops, YEAR_RAMP[:, k]) for k in range(3)], axis=1)
    return [(round(r), round(g), round(b)) for r, g, b in found]
