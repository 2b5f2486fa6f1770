"""Outlines of rows while they are finished: holes filled, giants cut, all of it written as WKB."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from terradrift.errors import InputError
from terradrift.grid import Window
from terradrift.kernels.cut import cut_rings, join_rings
from terradrift.kernels.part_statistics import hole_sums, parts_inside, ring_pixels
from terradrift.kernels.ragged import Int64, offsets_of
from terradrift.kernels.trace import Rings, rings_to_wkb

PixelArea = Callable[[Window], Int64]
"""Whole square millimetres of every pixel of a window, (y, x) or (y, 1): `Grid.pixel_area`."""

DrawPieces = Callable[[Rings, Rings], Rings]
"""A giant and its pieces to the outlines that are published of these: `Drawing.pieces`."""

AREA_BLOCK = 1024
"""Areas inside rings are summed by blocks of this many rows and columns: what a `PixelArea` is asked for at a time."""

MAX_BATCH_BYTES = 2**31 - 1  # offsets of an Arrow binary column are int32


class Shapes(NamedTuple):
    """Polygons of rows, and what is in them."""

    rings: Rings
    row_offsets: Int64
    """(row + 1): where each row begins among the polygons, which are ordered row-major by their first pixel."""
    n_pixels: Int64
    """(polygon)"""
    area_mm2: Int64
    """(polygon)"""

    @property
    def corners(self) -> Int64:
        """(row): corners of its outlines."""
        return np.diff(self.rings.ring_offsets[self.rings.polygon_offsets[self.row_offsets]])

    @property
    def first_pixel(self) -> tuple[Int64, Int64]:
        """(row) each: row and column of its first pixel in the mosaic."""
        x, y = self.rings.xy[self.rings.ring_offsets[self.rings.polygon_offsets[self.row_offsets[:-1]]]].T
        return y, x

    def columns(self) -> dict[str, npt.NDArray[np.int64] | pa.Array]:
        """Geometry of every row, and the pixels and the area in it."""
        return {
            "n_pixels": np.add.reduceat(self.n_pixels, self.row_offsets[:-1]),
            "area_mm2": np.add.reduceat(self.area_mm2, self.row_offsets[:-1]),
            "geometry": wkb_array(self.rings, self.row_offsets),
        }

    def first_rows(self, n: int) -> Shapes:
        """Only the first n rows."""
        polygons = int(self.row_offsets[n])
        rings = int(self.rings.polygon_offsets[polygons])
        first = Rings(
            self.rings.xy[: self.rings.ring_offsets[rings]],
            self.rings.ring_offsets[: rings + 1],
            self.rings.polygon_offsets[: polygons + 1],
        )
        return Shapes(first, self.row_offsets[: n + 1], self.n_pixels[:polygons], self.area_mm2[:polygons])


def wkb_array(rings: Rings, row_offsets: Int64) -> pa.Array:
    """WKB of every row (row_offsets as in `Shapes`) as an Arrow column."""
    data, offsets = rings_to_wkb(rings, row_offsets)
    if offsets[-1] > MAX_BATCH_BYTES:
        raise InputError(f"classes: found outlines of {offsets[-1]} bytes; expected at most {MAX_BATCH_BYTES}; use smaller tiles")
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def fill_holes(shapes: Shapes, limit: Int64, pixel_area: PixelArea) -> Shapes:
    """Holes of at most `limit` (row) pixels filled, their pixels and area counted in the polygon around them."""
    rings, row_offsets, n_pixels, area_mm2 = shapes
    pixels = ring_pixels(rings)
    part = np.repeat(np.arange(len(n_pixels)), np.diff(rings.polygon_offsets))
    small = (pixels < 0) & (-pixels <= np.repeat(limit, np.diff(row_offsets))[part])
    if not small.any():
        return shapes
    inside = parts_inside(rings, row_offsets, small)  # what fills the hole draws them already
    holes = np.flatnonzero(small)
    n_pixels, area_mm2 = n_pixels.copy(), area_mm2.copy()
    np.subtract.at(n_pixels, part[holes], pixels[holes])
    np.add.at(area_mm2, part[holes], _ring_areas(rings, holes, pixel_area))
    row_offsets = offsets_of(np.add.reduceat(~inside, row_offsets[:-1], dtype=np.int64))
    return Shapes(rings.select(~small & ~inside[part]), row_offsets, n_pixels[~inside], area_mm2[~inside])


def cut_giants(
    shapes: Shapes, giant: npt.NDArray[np.bool_], pixel_area: PixelArea, cell_pixels: int, draw: DrawPieces
) -> tuple[Shapes, Int64, Rings]:
    """Every row of `giant` (row) in pieces of cells of so many pixels, a row each, behind the other rows.

    Gives also the row that each row comes from, and what `draw` makes of the pieces.
    """
    n_polygons = np.diff(shapes.row_offsets)
    of_giant = np.repeat(giant, n_polygons)
    row = np.repeat(np.repeat(np.arange(len(giant)), n_polygons), np.diff(shapes.rings.polygon_offsets))
    whole = [shapes.rings.select(row == i) for i in np.flatnonzero(giant)]
    cut = [cut_rings(rings, cell_pixels) for rings in whole]
    drawn = [draw(rings, pieces) for rings, pieces in zip(whole, cut, strict=True)]
    came_from = np.repeat(np.flatnonzero(giant), [len(rings.polygon_offsets) - 1 for rings in cut])
    pieces = join_rings(cut)
    starts = pieces.polygon_offsets[:-1]
    area_mm2 = -_ring_areas(pieces, np.arange(len(pieces.ring_offsets) - 1), pixel_area)
    joined = Shapes(
        join_rings([shapes.rings.select(~giant[row]), pieces]),
        offsets_of(np.append(n_polygons[~giant], np.ones(len(came_from), np.int64))),
        np.append(shapes.n_pixels[~of_giant], np.add.reduceat(ring_pixels(pieces), starts)),
        np.append(shapes.area_mm2[~of_giant], np.add.reduceat(area_mm2, starts)),
    )
    return joined, np.append(np.flatnonzero(~giant), came_from), join_rings(drawn)


def _ring_areas(rings: Rings, which: Int64, pixel_area: PixelArea) -> Int64:
    """Square millimetres inside each of `which` (ring indexes), below 0 for an exterior."""
    low = np.minimum.reduceat(rings.xy, rings.ring_offsets[:-1])[which]
    high = np.maximum.reduceat(rings.xy, rings.ring_offsets[:-1])[which]
    block = np.unique(low // AREA_BLOCK, axis=0, return_inverse=True)[1]
    order = np.argsort(block, kind="stable")
    area = np.zeros(len(which), np.int64)
    for members in np.split(order, np.flatnonzero(np.diff(block[order])) + 1):
        (x0, y0), (x1, y1) = low[members].min(axis=0).tolist(), high[members].max(axis=0).tolist()
        window = Window(y0, x0, y1 - y0, x1 - x0)
        area[members] = hole_sums(rings, which[members], pixel_area(window), (y0, x0, *window.shape))
    return area
