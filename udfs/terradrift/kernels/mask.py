"""Which zone a pixel lies in: even-odd scanline fill in pixel coordinates of the whole mosaic.

An edge is (x0, y0, x1, y1) in columns and rows of the mosaic with (y0, x0) <= (y1, x1): both polygons of a shared edge then
compute its crossings from the same numbers. Nothing depends on the window, so no verdict does either.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Edges = npt.NDArray[np.float64]

SLACK = 1e-6  # of a pixel: how much further than its numbers an edge reaches when tiles are looked for


def polygon_edges(points: npt.NDArray[np.float64], ring: npt.NDArray[np.int64]) -> tuple[Edges, npt.NDArray[np.int64]]:
    """Edges of closed rings: points (vertex, 2) as (col, row) and the ring of each, ascending -> edges (edge, 4), ring (edge)."""
    same = ring[1:] == ring[:-1]
    start, end = points[:-1][same], points[1:][same]
    swap = (start[:, 1] > end[:, 1]) | ((start[:, 1] == end[:, 1]) & (start[:, 0] > end[:, 0]))
    low, high = np.where(swap[:, None], end, start), np.where(swap[:, None], start, end)
    return np.hstack([low, high]), ring[1:][same]


def fill_zones(edges: Edges, starts: npt.NDArray[np.int64], window: tuple[int, int, int, int]) -> npt.NDArray[np.int32]:
    """Lowest zone that contains each pixel's centre, -1 outside all: (y, x) int32.

    edges: float64 (edge, 4), those of zone z at starts[z]:starts[z + 1]; starts: (zone + 1); window: y0, x0, height, width.
    A centre (x, y) is inside where an odd number of the zone's edges with y0 <= y < y1 cross its row at or left of x.
    """
    zones: npt.NDArray[np.int32] = _fill_zones(edges, starts, *window)
    return zones


def touched_tiles(
    edges: Edges, starts: npt.NDArray[np.int64], size: int, window: tuple[int, int, int, int]
) -> npt.NDArray[np.bool_]:
    """Tiles in which a zone meets the rectangle that spans the tile's pixel centres: (row, col) bool.

    No tile with a centre inside a zone is left out. size: pixels of a tile; window: first tile row and column, rows, columns.
    """
    # a tile that no edge meets is inside or outside as a whole: ask the centre of its first pixel
    corners = (edges - 0.5) / size + 0.5
    touched: npt.NDArray[np.bool_] = _fill_zones(corners, starts, *window) >= 0
    _mark_edges(edges, size, window[0], window[1], touched)
    return touched


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _clip(value: Any, low: Any, high: Any) -> Any:
    """A float as an integer in low..high, also where it would overflow one; NaN as low."""
    if not value > low:
        return low
    return high if value > high else int(value)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _fill_zones(edges: Any, starts: Any, y0: Any, x0: Any, height: Any, width: Any) -> Any:
    zones = np.full((height, width), -1, np.int32)
    odd = np.zeros((height, width), np.bool_)
    for zone in range(starts.size - 1):
        top, bottom, left, right = height, 0, width, 0
        for e in range(starts[zone], starts[zone + 1]):
            ex, ey, fx, fy = edges[e, 0], edges[e, 1], edges[e, 2], edges[e, 3]
            first = _clip(np.ceil(ey - 0.5) - y0, 0, height)
            end = _clip(np.ceil(fy - 0.5) - y0, 0, height)
            for row in range(first, end):
                y = (row + y0) + 0.5
                col = _clip(np.ceil(ex + (y - ey) * (fx - ex) / (fy - ey) - 0.5) - x0, 0, width)
                if col < width:
                    odd[row, col] = not odd[row, col]
                    top, bottom = min(top, row), max(bottom, row + 1)
                    left, right = min(left, col), max(right, col + 1)
        for row in range(top, bottom):
            inside = False
            for col in range(left, width):
                if odd[row, col]:
                    inside = not inside
                    odd[row, col] = False
                if inside and zones[row, col] < 0:
                    zones[row, col] = zone
                if not inside and col >= right:
                    break
    return zones


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _mark_edges(edges: Any, size: Any, row0: Any, col0: Any, touched: Any) -> None:
    rows, cols = touched.shape
    for e in range(edges.shape[0]):
        ex, ey, fx, fy = edges[e, 0], edges[e, 1], edges[e, 2], edges[e, 3]
        low, high = min(ex, fx), max(ex, fx)
        first = _clip(np.ceil((ey - SLACK + 0.5) / size - 1) - row0, 0, rows)
        last = _clip(np.floor((fy + SLACK - 0.5) / size) - row0, -1, rows - 1)
        for row in range(first, last + 1):
            x_enter, x_leave = ex, fx
            if fy > ey:
                y_enter = max(ey, (row + row0) * size + 0.5 - SLACK)
                y_leave = min(fy, (row + row0 + 1) * size - 0.5 + SLACK)
                x_enter = ex + (y_enter - ey) * (fx - ex) / (fy - ey)
                x_leave = ex + (y_leave - ey) * (fx - ex) / (fy - ey)
            x_low = max(low, min(x_enter, x_leave)) - SLACK
            x_high = min(high, max(x_enter, x_leave)) + SLACK
            left = _clip(np.ceil((x_low + 0.5) / size - 1) - col0, 0, cols)
            right = _clip(np.floor((x_high - 0.5) / size) - col0, -1, cols - 1)
            for col in range(left, right + 1):
                touched[row, col] = True
