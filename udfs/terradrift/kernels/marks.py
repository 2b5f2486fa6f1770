"""Marks on pixel outlines: what a drawn outline runs through, found again on whatever ring runs over it.

A mark is one whole number, the same for every polygon that it lies on, so that marks of tiles add up to those of the whole.
Vertex (x, y), the upper left corner of pixel (x, y), has the number v = y * (width + 1) + x; `width` is the mosaic's. Vertex
marks are these numbers. A crossing mark is (2 v + d) * STEPS + s: on the edge of one pixel that leads from the vertex eastwards
(d = 0) or southwards (d = 1), it lies s / STEPS of the way from the centre of the pixel north or west of it to that of the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.kernels.ragged import Int64, offsets_of
from terradrift.kernels.trace import Rings

STEPS = 1 << 16
"""Places between the centres of two pixels; their coordinates are exact, so a crossing is the same to the last bit everywhere."""

NEAREST = STEPS // 64
"""A crossing stays this far from both centres: where a score equals the threshold, outlines would touch in the centre."""

Bool = npt.NDArray[np.bool_]

ROWS = 1 << 31  # more than a mosaic has


def vertex_marks(y: Int64, x: Int64, width: int) -> Int64:
    """The marks of lattice vertices."""
    return y * (width + 1) + x


def crossing_marks(inside: Bool, score: npt.NDArray[Any], threshold: float, y0: int, x0: int, width: int) -> Int64:
    """A mark on every edge between a pixel inside and one outside, ascending; (y, x) both, beginning at row y0, column x0.

    It lies where the score, linear between the two centres, is the threshold; half way where the score of one is NaN, and all
    is NaN beyond the raster. Scores inside are at least the threshold, those outside below it or NaN.
    """
    inside = np.pad(inside, 1)
    values = np.pad(score.astype(np.float64), 1, constant_values=np.nan)
    found = []
    rest = np.s_[1:, 1:]
    for down, before in enumerate((np.s_[:-1, 1:], np.s_[1:, :-1])):
        y, x = np.nonzero(inside[before] != inside[rest])
        a, b = values[before][y, x], values[rest][y, x]
        share = (threshold - a) / (b - a)
        step = np.rint(np.where(np.isnan(share), 0.5, share) * STEPS).astype(np.int64)
        vertex = vertex_marks(y0 + y, x0 + x, width)
        found.append((2 * vertex + down) * STEPS + np.clip(step, NEAREST, STEPS - NEAREST))
    return np.sort(np.concatenate(found))


def vertices_along(rings: Rings, marks: Int64, width: int) -> tuple[Rings, Int64]:
    """The vertex marks on each ring in the order it runs: (their vertices as rings, their marks).

    marks: ascending, each once. A ring begins with the first of its marks from its own first corner on.
    """
    y, x = np.divmod(marks, width + 1)
    # the vertex that an edge starts at belongs to it, the one that it ends at to the next
    found, offsets = _along(rings, y, x, y, x, closed=True)
    return Rings(np.stack([x[found], y[found]], axis=1), offsets, rings.polygon_offsets), marks[found]


def crossings_along(rings: Rings, marks: Int64, width: int) -> tuple[Rings, Int64]:
    """The crossing marks on each ring in the order it runs: (their places as rings, float64; their marks).

    marks: ascending, each once, one on every edge of a pixel that lies on a ring.
    """
    unit, step = np.divmod(marks, STEPS)
    down = unit % 2 == 1
    y, x = np.divmod(unit // 2, width + 1)
    level, upright = np.flatnonzero(~down), np.flatnonzero(down)
    found, offsets = _along(rings, y[level], x[level], y[upright], x[upright], closed=False)
    found = np.append(level, upright)[found]
    across = step[found] / STEPS - 0.5
    place = np.where(
        down[found],
        np.stack([x[found] + across, y[found] + 0.5]),
        np.stack([x[found] + 0.5, y[found] + across]),
    )
    return Rings(place.T.copy(), offsets, rings.polygon_offsets), marks[found]


def _along(
    rings: Rings, level_y: Int64, level_x: Int64, upright_y: Int64, upright_x: Int64, *, closed: bool
) -> tuple[Int64, Int64]:
    """Marks on each ring in the order it runs: (mark, ring offsets).

    A mark counts the ones found on level edges first, then those on upright ones; where both are the same marks, it is its number
    there. closed: marks are points, of which an edge has the one it starts at but not the one it ends at; else they are edges of
    a pixel, named by their north or west end.
    """
    start = rings.xy
    end = np.roll(start, -1, axis=0)
    end[rings.ring_offsets[1:] - 1] = start[rings.ring_offsets[:-1]]
    level: Bool = np.equal(start[:, 1], end[:, 1])
    ahead: Bool = np.any(end > start, axis=1)
    low, high = np.minimum(start, end), np.maximum(start, end)
    by_column = np.lexsort((upright_y, upright_x))
    first, last = np.empty(len(start), np.int64), np.empty(len(start), np.int64)
    keys = (level_y * ROWS + level_x, (upright_x * ROWS + upright_y)[by_column])
    for here, key, along in ((level, keys[0], 0), (~level, keys[1], 1)):
        line = low[here, 1 - along] * ROWS
        beyond = ~ahead[here] if closed else 0
        first[here] = np.searchsorted(key, line + low[here, along] + beyond)
        last[here] = np.searchsorted(key, line + high[here, along] + beyond)
    count = last - first
    edge = np.repeat(np.arange(len(start)), count)
    step = np.arange(len(edge)) - offsets_of(count)[edge]
    at = np.where(ahead[edge], first[edge] + step, last[edge] - 1 - step)
    on_level = level[edge]
    mark = at.copy()
    mark[~on_level] = by_column[at[~on_level]] + (0 if closed else len(level_y))
    return mark, offsets_of(count)[rings.ring_offsets]
