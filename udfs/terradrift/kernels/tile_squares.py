"""Squares that stand for the polygons of a tile which are too small to be drawn: sized so that the tile's covered area is right.

The tile is a grid of cells, one a square unit, a bit each. What the drawn polygons cover is marked; each square then grows over
what is free until it has covered its share.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from terradrift.kernels.rings import Array, Rings

WORD = 64  # cells of a row in one number
ROUNDING = 1e-7  # of places along an edge, which are fractions of its height: a centre on an edge is of what lies right of it
TALLEST = 3
"""Most rows of a square, in its widths: where all about is covered its share goes to the next."""


def covering_squares(polygons: Rings, x: Array, y: Array, area: int, extent: int) -> Rings:
    """One rectangle about each of the places `x`, `y` (units of the tile): they cover `area` units that nothing else does.

    `polygons`: what is drawn in the tile besides; what lies outside 0 .. `extent` counts for nothing. Rectangles are of whole
    units and lie within the tile, near squares of equal share; the last one may have a step, so that the sum is exact. Each
    covers one unit at least.
    """
    cells = np.zeros((extent, -(-extent // WORD)), np.uint64)
    _cover(*polygons, cells, np.zeros_like(cells), extent)
    return Rings(*_squares(x, y, area, cells, extent))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _cover(x: Any, y: Any, ring_start: Any, feature_start: Any, cells: Any, flips: Any, extent: int) -> Any:
    """Mark the cells whose centre lies in a polygon: edges flip their first cell to the right, and flips add up along the row."""
    for feature in range(feature_start.size - 1):
        a, b = ring_start[feature_start[feature]], ring_start[feature_start[feature + 1]]
        if a == b:
            continue
        first, last = max(x[a:b].min(), 0) // WORD, min(x[a:b].max(), extent - 1) // WORD
        for ring in range(feature_start[feature], feature_start[feature + 1]):
            j = ring_start[ring + 1] - 1
            for i in range(ring_start[ring], ring_start[ring + 1]):
                if y[i] != y[j]:
                    low, high = (i, j) if y[i] < y[j] else (j, i)
                    slope = (x[high] - x[low]) / (y[high] - y[low])
                    for row in range(max(y[low], 0), min(y[high], extent)):
                        col: Any = max(np.int64(np.ceil(x[low] + (row + 0.5 - y[low]) * slope - 0.5 - ROUNDING)), 0)
                        if col < extent:
                            flips[row, col // WORD] ^= np.uint64(1) << np.uint64(col % WORD)
                j = i
        for row in range(max(y[a:b].min(), 0), min(y[a:b].max(), extent)):
            inside = np.uint64(0)
            for k in range(first, last + 1):
                word = flips[row, k]
                flips[row, k] = 0
                for shift in (1, 2, 4, 8, 16, 32):
                    word ^= word << np.uint64(shift)
                word ^= inside
                cells[row, k] |= word
                inside = ~np.uint64(0) if word >> np.uint64(WORD - 1) else np.uint64(0)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _is_free(cells: Any, row: Any, col: Any) -> Any:
    return not (cells[row, col // WORD] >> np.uint64(col % WORD)) & np.uint64(1)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _count_free(cells: Any, row: Any, left: Any, right: Any) -> Any:
    free = 0
    for col in range(left, right):
        free += _is_free(cells, row, col)
    return free


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _rectangle(x: Any, y: Any, end: Any, left: Any, top: Any, right: Any, bottom: Any, step: Any, low: Any) -> Any:
    """Write a rectangle whose lowest row, or else its highest, lacks `step` cells at the right; the new end."""
    x[end], y[end] = left, top
    x[end + 1], y[end + 1] = right, top
    x[end + 2], y[end + 2] = right, bottom
    x[end + 3], y[end + 3] = left, bottom
    if step == 0:
        return end + 4
    inner = right - step
    if low:
        y[end + 2] = bottom - 1
        x[end + 3], y[end + 3], x[end + 4], y[end + 4], x[end + 5], y[end + 5] = inner, bottom - 1, inner, bottom, left, bottom
    else:
        x[end + 1] = inner
        x[end + 2], y[end + 2], x[end + 3], y[end + 3] = inner, top + 1, right, top + 1
        x[end + 4], y[end + 4], x[end + 5], y[end + 5] = right, bottom, left, bottom
    return end + 6


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _squares(px: Any, py: Any, area: Any, cells: Any, extent: int) -> Any:
    out_x, out_y = np.empty(4 * px.size + 2, np.int64), np.empty(4 * px.size + 2, np.int64)
    starts = np.zeros(px.size + 1, np.int64)
    end, covered = 0, 0
    for k in range(px.size):
        want = max(area * (k + 1) // px.size - covered, 1)
        width: Any = min(max(np.int64(np.rint(np.sqrt(want))), 1), extent)
        left = min(max(px[k] - width // 2, 0), extent - width)
        top: Any = max(py[k] - want // width // 2, 0)
        bottom, got, free, down = top, 0, 0, True
        while got < want and bottom - top < min(TALLEST * width, extent):
            down = bottom < extent
            bottom, top = (bottom + 1, top) if down else (bottom, top - 1)
            free = _count_free(cells, bottom - 1 if down else top, left, left + width)
            got += free
        step = 0  # cells of the last row that are left out, at its right
        if k == px.size - 1:
            row, over = bottom - 1 if down else top, got - want
            while over > 0:
                step += 1
                if _is_free(cells, row, left + width - step):
                    got, over = got - 1, over - 1
        elif 2 * (got - want) > free and bottom - top > 1:
            bottom, top, got = (bottom - 1, top, got - free) if down else (bottom, top + 1, got - free)
        covered += got
        for row in range(top, bottom):
            for col in range(left, left + width):
                cells[row, col // WORD] |= np.uint64(1) << np.uint64(col % WORD)
        right = left + width
        if bottom - top == 1:
            right, step = right - step, 0
        end = _rectangle(out_x, out_y, end, left, top, right, bottom, step, down)
        starts[k + 1] = end
    return out_x[:end], out_y[:end], starts, np.arange(px.size + 1)
