"""Rasters to Web Mercator picture tiles: nearest pixels of the level that is as fine as the zoom, a few classes, palette PNG.

From longitude and latitude the warp is one row index for each row of a tile and one column index for each column; from any
other CRS it is an index for each pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj

from terradrift.grid import Grid, Window
from terradrift.kernels.rings import Array
from terradrift.kernels.tile_geometry import MAX_LATITUDE, lon_lat, mercator
from terradrift.maps.colors import SCORE, hex_color, ramp, year_colors
from terradrift.maps.pmtiles import tile_ids
from terradrift.maps.png import Colour, palette_png
from terradrift.maps.tile_parts import EncodedTile, digest_of
from terradrift.pyramid import Level
from terradrift.score_store import RasterStore
from terradrift.zarr_planes import PlaneReader

TILE = 512
"""Pixels a side of a tile."""
BLOCK = 4
"""Tiles a side of what is read at a time."""
STEPS = 32
"""Classes of a score."""
LEGEND_PIXELS = 1 << 20
"""Most pixels that the range of a score is taken from: of the finest level that has no more, or of the last."""
EDGE_POINTS = 65
"""Along each side of a raster in another CRS, to find its bounds."""
WEB_MERCATOR = "EPSG:3857"
HALF_WORLD_M = math.pi * 6378137.0  # of Web Mercator's sphere
CLEAR: Colour = (0, 0, 0, 0)
"""Class 0: no data, and no change."""


@dataclass(frozen=True)
class Legend:
    """Which class a value falls in: class k + 1 from edges[k] on, class 0 below the first and without data."""

    array: str
    edges: tuple[float, ...]
    colours: tuple[Colour, ...]
    open_ended: bool
    """Values below the first edge fall in class 1, not 0."""

    def classes(self, values: Array) -> Array:
        """Class (uint8) of each value; NaN is no data."""
        found = np.searchsorted(np.array(self.edges, np.float32), values, side="right")
        if self.open_ended:
            found = np.maximum(found, 1)
        return np.where(np.isnan(values), 0, found).astype(np.uint8)

    def metadata(self) -> dict[str, Any]:
        """For the archive: the lower edge and the colour of every class but 0."""
        shown = zip(self.edges, self.colours[1:], strict=True)
        return {"classes": [{"from": edge, "color": hex_color(rgb[:3])} for edge, rgb in shown]}


def score_legend(raster: RasterStore, array: str = "change_score") -> Legend:
    """STEPS classes of equal width from the 2nd to the 99.5th percentile of a score."""
    level = next((level for level in raster.levels if level.grid.height * level.grid.width <= LEGEND_PIXELS), raster.levels[-1])
    values = PlaneReader(raster.store, raster.layout(array, level.number)).read((), level.window)
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, (2, 99.5)) if known.size else (0.0, 1.0)
    edges = np.linspace(low, max(high, low + 1e-6), STEPS + 1)[:-1]
    return Legend(array, tuple(edges.tolist()), (CLEAR, *((*rgb, 255) for rgb in ramp(SCORE, STEPS))), True)


def year_legend(years: tuple[int, ...]) -> Legend:
    """A class for each year; 0 (no change) and no data are clear."""
    return Legend("change_year", tuple(map(float, years)), (CLEAR, *((*rgb, 255) for rgb in year_colors(years).values())), False)


def largest_zoom(grid: Grid) -> int:
    """The first zoom whose pixels are no larger than the grid's at the equator."""
    step = grid.transform[0] / 360 if grid.is_geographic else grid.transform[0] / (2 * HALF_WORLD_M)
    return max(0, math.ceil(-math.log2(step * TILE) - 1e-9))


def level_of(raster: RasterStore, zoom: int) -> Level:
    """The level as fine as a zoom; the last where none is as coarse."""
    return raster.levels[min(max(0, largest_zoom(raster.grid) - zoom), len(raster.levels) - 1)]


def mercator_bounds(grid: Grid, window: Window) -> tuple[float, float, float, float]:
    """West, north, east, south of a window, as fractions of the Web Mercator square, within it."""
    xmin, ymin, xmax, ymax = grid.window_bounds(window)
    if grid.is_geographic:
        lon, lat = np.array([xmin, xmax]), np.array([ymax, ymin])
        x, y = mercator(lon, np.clip(lat, -MAX_LATITUDE, MAX_LATITUDE))
    else:
        along = np.linspace(0, 1, EDGE_POINTS)
        edge_x, edge_y = xmin + (xmax - xmin) * along, ymin + (ymax - ymin) * along
        side_x = np.concatenate([edge_x, edge_x, np.full(EDGE_POINTS, xmin), np.full(EDGE_POINTS, xmax)])
        side_y = np.concatenate([np.full(EDGE_POINTS, ymin), np.full(EDGE_POINTS, ymax), edge_y, edge_y])
        to_web = pyproj.Transformer.from_crs(grid.pyproj_crs, WEB_MERCATOR, always_xy=True)
        east, north = to_web.transform(side_x, side_y)
        x, y = east / (2 * HALF_WORLD_M) + 0.5, 0.5 - north / (2 * HALF_WORLD_M)
    x, y = np.clip(x, 0, 1), np.clip(y, 0, 1)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def blocks(bounds: tuple[float, float, float, float], zoom: int) -> Iterator[tuple[int, int]]:
    """Upper left tiles (x, y) of the blocks of BLOCK x BLOCK tiles that bounds touch at a zoom."""
    tiles = 1 << zoom
    west, north, east, south = (edge * tiles for edge in bounds)
    for y in range(math.floor(north) // BLOCK * BLOCK, min(tiles, math.ceil(south)), BLOCK):
        for x in range(math.floor(west) // BLOCK * BLOCK, min(tiles, math.ceil(east)), BLOCK):
            yield x, y


def block_tiles(raster: RasterStore, legend: Legend, zoom: int, x: int, y: int) -> Iterator[EncodedTile]:
    """The tiles of a block that show anything; its upper left tile is (x, y)."""
    level = level_of(raster, zoom)
    side = min(BLOCK, 1 << zoom)
    rows, cols = source_pixels(level.grid, zoom, x, y, side)
    window = _around(rows, cols, level.grid)
    if window is None:
        return
    values = PlaneReader(raster.store, raster.layout(legend.array, level.number)).read((), window)
    known = legend.classes(values.astype(np.float32))
    inside = (rows >= 0) & (rows < level.grid.height) & (cols >= 0) & (cols < level.grid.width)
    picked = known[np.clip(rows - window.y0, 0, window.height - 1), np.clip(cols - window.x0, 0, window.width - 1)]
    picture = np.where(inside, picked, 0).astype(np.uint8)
    for row in range(side):
        for col in range(side):
            tile = picture[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
            if tile.any():
                data = palette_png(tile, legend.colours)
                (tile_id,) = tile_ids(zoom, np.array([x + col]), np.array([y + row])).tolist()
                yield EncodedTile(tile_id, data, digest_of(data))


def source_pixels(grid: Grid, zoom: int, x: int, y: int, side: int) -> tuple[Array, Array]:
    """Row and column of the grid below the middle of each pixel of `side` x `side` tiles; they broadcast to (y, x)."""
    pixels = (np.arange(side * TILE) + 0.5) / TILE
    world_x, world_y = (x + pixels) / (1 << zoom), (y + pixels) / (1 << zoom)
    if grid.is_geographic:
        lon, lat = lon_lat(world_x, world_y)
        across, down = lon[None, :], lat[:, None]
    else:
        to_grid = pyproj.Transformer.from_crs(WEB_MERCATOR, grid.pyproj_crs, always_xy=True)
        east, north = np.meshgrid((world_x - 0.5) * 2 * HALF_WORLD_M, (0.5 - world_y) * 2 * HALF_WORLD_M)
        across, down = to_grid.transform(east, north)
    a, _, c, _, e, f = grid.transform
    with np.errstate(invalid="ignore"):
        row, col = np.floor((down - f) / e), np.floor((across - c) / a)
    row, col = (np.where(np.isfinite(index), np.clip(index, -1, 2**40), -1).astype(np.int64) for index in (row, col))
    return row, col


def _around(rows: Array, cols: Array, grid: Grid) -> Window | None:
    """The pixels that rows and columns lie in, of the grid."""
    inside_rows, inside_cols = rows[(rows >= 0) & (rows < grid.height)], cols[(cols >= 0) & (cols < grid.width)]
    if not inside_rows.size or not inside_cols.size:
        return None
    y0, x0 = int(inside_rows.min()), int(inside_cols.min())
    return Window(y0, x0, int(inside_rows.max()) - y0 + 1, int(inside_cols.max()) - x0 + 1)
