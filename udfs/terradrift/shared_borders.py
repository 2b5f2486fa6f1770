"""Borders that polygons share, simplified once for all of them: which lattice vertices stay on every outline that has them.

A vertex stays where three or more regions or borders meet, and where a border reaches one of the lines that part the mosaic
into square cells. Between such fixed vertices a border lies in one cell, and a cell is simplified as a whole, by GEOS
(Visvalingam and Whyatt's removal of small triangles, never across another border). So what stays depends on the class raster
alone, not on tiles, and both sides of a border keep the same vertices; simplified borders neither cross nor leave their cell.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.grid import Window
from terradrift.kernels.label import label
from terradrift.kernels.marks import vertex_marks, vertices_along
from terradrift.kernels.ragged import Int64
from terradrift.kernels.trace import Rings, trace

Array = npt.NDArray[Any]
Bool = npt.NDArray[np.bool_]


def cells_of(window: Window, size: int) -> Window:
    """The whole cells of size x size pixels that a window reaches into."""
    y0, x0 = (at // size * size for at in (window.y0, window.x0))
    y1, x1 = (-(-at // size) * size for at in (window.y1, window.x1))
    return Window(y0, x0, y1 - y0, x1 - x0)


def border_marks(classes: Array, cells: Window, size: int, mosaic_width: int, simplify_pixels: float) -> Int64:
    """Marks of the vertices that stay in the window `cells`, of whole cells of size x size pixels; ascending.

    classes: (y, x) integers of that window and of a pixel more on every side, 0 is background.
    """
    stays = _fixed(classes, cells.y0, cells.x0, size)
    for y in range(0, cells.height, size):
        for x in range(0, cells.width, size):
            inner = np.s_[y + 1 : y + size, x + 1 : x + size]
            cell = classes[y + 1 : y + size + 1, x + 1 : x + size + 1]
            fixed = stays[y : y + size + 1, x : x + size + 1]
            stays[inner] |= kept_vertices(cell, simplify_pixels, fixed)[1:-1, 1:-1]
    row, col = np.nonzero(stays)
    return vertex_marks(cells.y0 + row, cells.x0 + col, mosaic_width)


def kept_vertices(classes: Array, simplify_pixels: float, fixed: Bool | None = None) -> Bool:
    """Corners of the regions of a cell that stay when their borders are simplified and those of the cell are not.

    classes: (y, x); `fixed` and the result: (y + 1, x + 1) vertices. Borders meet in fixed ones only.
    """
    height, width = classes.shape
    stays = np.zeros((height + 1, width + 1), np.bool_)
    if (classes == classes[0, 0]).all():
        return stays
    rings = trace(label(classes + (1 - classes.min())))
    corners = vertex_marks(rings.xy[:, 1], rings.xy[:, 0], width)
    if simplify_pixels == 0:
        stays.ravel()[corners] = True
        return stays
    meeting = np.flatnonzero(fixed) if fixed is not None else corners[:0]
    whole, _ = vertices_along(rings, np.union1d(corners, meeting), width)
    x, y = _simplified(whole, simplify_pixels).T
    stays[y, x] = True
    return stays


def _simplified(rings: Rings, tolerance: float) -> Int64:
    """Vertices left of polygons that cover a cell together: (vertex, 2)."""
    import shapely

    closed = np.insert(np.arange(len(rings.xy)), rings.ring_offsets[1:], rings.ring_offsets[:-1])
    offsets = rings.ring_offsets + np.arange(len(rings.ring_offsets))
    polygons = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, rings.xy[closed].astype(np.float64), (offsets, rings.polygon_offsets)
    )
    left = shapely.coverage_simplify(polygons, tolerance, simplify_boundary=False)
    return np.rint(shapely.get_coordinates(left)).astype(np.int64)


def _fixed(classes: Array, y0: int, x0: int, size: int) -> Bool:
    """Vertices inside a raster (y, x) that stay whatever the tolerance: (y - 1, x - 1), the first one at (y0, x0)."""
    across = classes[:, 1:] != classes[:, :-1]
    down = classes[1:] != classes[:-1]
    north, south, west, east = across[:-1], across[1:], down[:, :-1], down[:, 1:]
    degree = sum(edge.astype(np.int8) for edge in (north, south, west, east))
    fixed = degree > 2
    rows, cols = slice(-y0 % size, None, size), slice(-x0 % size, None, size)
    fixed[rows] |= (north | south)[rows]  # all but the straight run along the line
    fixed[:, cols] |= (west | east)[:, cols]
    return fixed
