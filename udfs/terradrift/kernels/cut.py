"""Giant outlines cut along fixed lines of pixels, so that whatever reads them later works on pieces of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np

from terradrift.kernels.label import label
from terradrift.kernels.ragged import Int32, Int64, offsets_of
from terradrift.kernels.segments import Segments
from terradrift.kernels.trace import Rings, trace


def cut_rings(rings: Rings, size: int) -> Rings:
    """The region inside `rings`, polygons that share no edge, as its 4-connected pieces in cells of size x size pixels.

    Cells begin at multiples of `size`, so the pieces depend on the region alone; they come cell by cell in row-major order.
    """
    return join_rings([trace(label(mask), y0, x0) for y0, x0, mask in cell_masks(rings, size)])


def cell_masks(rings: Rings, size: int) -> Iterator[tuple[int, int, Int32]]:
    """Cells of size x size pixels that the region inside `rings` reaches into: first row and column, mask (y, x)."""
    y, start, end = _runs(rings)
    n_cells = (end - 1) // size - start // size + 1  # cells that a run reaches into
    y, first = np.repeat(y, n_cells), np.repeat(start // size, n_cells)
    col = first + np.arange(len(y)) - np.repeat(offsets_of(n_cells)[:-1], n_cells)
    start, end = np.maximum(np.repeat(start, n_cells), col * size), np.minimum(np.repeat(end, n_cells), (col + 1) * size)
    order = np.lexsort((start, y, col, y // size))
    y, col, start, end = y[order], col[order], start[order], end[order]
    row = y // size
    begins = np.flatnonzero(np.diff(row, prepend=-1) | np.diff(col, prepend=-1))
    for begin, stop in zip(begins.tolist(), [*begins[1:].tolist(), len(y)], strict=True):
        y0, x0 = int(row[begin]) * size, int(col[begin]) * size
        row_offsets = np.searchsorted(y[begin:stop], np.arange(y0, y0 + size + 1))
        left, right = ((column[begin:stop] - x0).astype(np.int32) for column in (start, end))
        yield y0, x0, Segments(row_offsets, left, right, np.ones(stop - begin, np.int32), 1, size).paint()


def join_rings(several: list[Rings]) -> Rings:
    """The polygons of all, one after another."""
    lengths = [np.concatenate([np.diff(rings[i]) for rings in several]) for i in (1, 2)]
    return Rings(np.concatenate([rings.xy for rings in several]), offsets_of(lengths[0]), offsets_of(lengths[1]))


def _runs(rings: Rings) -> tuple[Int64, Int64, Int64]:
    """Horizontal runs of pixels inside rings: row, first column, column after the last; in row-major order.

    Between an odd and an even crossing of vertical edges lies the inside.
    """
    height = np.abs(np.diff(rings.xy[:, 1], append=0))
    last = rings.ring_offsets[1:] - 1
    height[last] = np.abs(rings.xy[rings.ring_offsets[:-1], 1] - rings.xy[last, 1])
    crossings = np.empty((int(height.sum()), 2), np.int64)
    _cross(rings.xy, rings.ring_offsets, crossings)
    crossings = crossings[np.lexsort((crossings[:, 1], crossings[:, 0]))]
    return crossings[0::2, 0], crossings[0::2, 1], crossings[1::2, 1]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _cross(xy: Any, ring_offsets: Any, crossings: Any) -> None:
    """Row and column of every vertical edge of one pixel."""
    at = 0
    for ring in range(len(ring_offsets) - 1):
        before = ring_offsets[ring + 1] - 1
        for corner in range(ring_offsets[ring], ring_offsets[ring + 1]):
            for y in range(min(xy[before, 1], xy[corner, 1]), max(xy[before, 1], xy[corner, 1])):
                crossings[at, 0], crossings[at, 1] = y, xy[corner, 0]
                at += 1
            before = corner
