"""Parts of polygons across tile borders: which belong together, and their outline. Integers only, so the result is exact."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from terradrift.kernels.ragged import Int32, Int64, offsets_of
from terradrift.kernels.segments import Segments
from terradrift.kernels.trace import Rings

DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""(row, col) from the earlier to the later pixel of a neighbouring pair: E, S, SE, SW; the code in a link's key."""

STRAIGHT = 2
"""Directions below it join along an edge, those from it on only at a corner."""


def border_links(
    segments: Segments, y0: int, x0: int, bounds: tuple[int, int, int, int], mosaic_width: int, connectivity: int
) -> tuple[Int32, Int64]:
    """Every neighbouring pair of pixels across the border of a tile: (part, key), one entry a pair.

    segments of the tile at row y0, column x0; bounds (y0, x0, y1, x1) of the whole raster: beyond it nothing links.
    key = 4 * row-major mosaic index of the pair's earlier pixel + direction, the same from both sides. Two parts of equal class
    touch where they hold the same key.
    """
    y, x, here = segments.outermost()
    y, x = y + y0, x + x0
    height, width = segments.shape
    found, keys = [here[:0]], [np.zeros(0, np.int64)]
    for code, (dy, dx) in enumerate(DIRECTIONS[: STRAIGHT if connectivity == 4 else None]):
        for sign in (1, -1):
            v, u = y + sign * dy, x + sign * dx
            outside = (v < y0) | (v >= y0 + height) | (u < x0) | (u >= x0 + width)
            across = outside & (v >= bounds[0]) & (u >= bounds[1]) & (v < bounds[2]) & (u < bounds[3])
            first_y, first_x = (y, x) if sign == 1 else (v, u)
            found.append(here[across])
            keys.append((first_y[across] * mosaic_width + first_x[across]) * 4 + code)
    return np.concatenate(found), np.concatenate(keys)


def components(a: Int64, b: Int64) -> tuple[Int64, Int64]:
    """Connected components of the edges a[i] - b[i]: (every node once, ascending; the smallest node of its component)."""
    nodes, index = np.unique(np.concatenate([a, b]), return_inverse=True)
    edge = index.reshape(2, -1)
    graph = coo_array((np.ones(len(a), np.bool_), (edge[0], edge[1])), shape=(len(nodes), len(nodes)))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    return nodes, nodes[first][component]


def merge_parts(rings: Rings, component: Int64) -> Rings:
    """Outlines of the unions of parts: one polygon a component, equal to `trace` of the whole in every ring and corner.

    rings: polygons that share no pixel; component (polygon): 0..n-1, and the parts of each form one 4-connected region.
    At every corner of the union an odd number of parts' corners meet, or two that face each other diagonally (a pinch); all
    other corners vanish. Between the corners that stay, edges alternate in sorted order along rows and along columns.
    """
    owner = np.repeat(np.repeat(component, np.diff(rings.polygon_offsets)), np.diff(rings.ring_offsets))
    quadrant, convex = _quadrants(rings.xy, rings.ring_offsets)
    x, y = rings.xy[:, 0], rings.xy[:, 1]
    order = np.lexsort((x, y, owner))
    keep, swap = _surviving(owner[order], y[order], x[order], quadrant[order], convex[order])
    order, swap = order[keep], swap[keep]
    owner, y, x = owner[order], y[order], x[order]
    by_column = np.lexsort((swap, y, x, owner))
    partner = np.empty(len(order), np.int64)  # the other end of a corner's vertical edge
    partner[by_column[0::2]] = by_column[1::2]
    partner[by_column[1::2]] = by_column[0::2]
    corner, ring_offsets = _walk(owner, x, y, partner)
    return _sorted_rings(owner, x, y, corner, ring_offsets)


def _sorted_rings(owner: Int64, x: Int64, y: Int64, corner: Int64, ring_offsets: Int64) -> Rings:
    """Rings by component, then row-major by their start: the exterior has the first."""
    start = corner[ring_offsets[:-1]]
    order = np.lexsort((x[start], y[start], owner[start]))
    length = np.diff(ring_offsets)[order]
    offsets = offsets_of(length)
    corner = corner[np.repeat(ring_offsets[:-1][order] - offsets[:-1], length) + np.arange(len(corner))]
    polygons = np.bincount(owner[start]) if len(start) else np.zeros(0, np.int64)
    return Rings(np.stack([x[corner], y[corner]], axis=1), offsets, offsets_of(polygons))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _quadrants(xy: Any, ring_offsets: Any) -> Any:
    """Of every corner the quadrant between its two edges (0 NW, 1 NE, 2 SW, 3 SE), and whether the ring turns right there."""
    quadrant = np.empty(len(xy), np.int8)
    convex = np.empty(len(xy), np.bool_)
    for ring in range(len(ring_offsets) - 1):
        begin, end = ring_offsets[ring], ring_offsets[ring + 1]
        for i in range(begin, end):
            before = i - 1 if i > begin else end - 1
            after = i + 1 if i + 1 < end else begin
            from_x, from_y = xy[before, 0] - xy[i, 0], xy[before, 1] - xy[i, 1]
            to_x, to_y = xy[after, 0] - xy[i, 0], xy[after, 1] - xy[i, 1]
            quadrant[i] = (from_x + to_x > 0) + 2 * (from_y + to_y > 0)
            convex[i] = from_x * to_y - from_y * to_x < 0
    return quadrant, convex


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _surviving(owner: Any, y: Any, x: Any, quadrant: Any, convex: Any) -> Any:
    """Which of the sorted corners stay, and their order along the column where two stay at one vertex."""
    n = len(x)
    keep = np.zeros(n, np.bool_)
    swap = np.zeros(n, np.int8)
    begin = 0
    while begin < n:
        end = begin + 1
        while end < n and owner[end] == owner[begin] and y[end] == y[begin] and x[end] == x[begin]:
            end += 1
        if (end - begin) % 2:
            keep[begin] = True
        elif end - begin == 2 and quadrant[begin] + quadrant[begin + 1] == 3:  # diagonal: NW with SE, or NE with SW
            keep[begin] = keep[begin + 1] = True
            # The ring turns around the pixels that are not in the union: the west edge goes with the south edge if those
            # are NE and SW, with the north edge if they are NW and SE.
            union_is_nw_se = (quadrant[begin] % 3 == 0) == convex[begin]
            swap[begin] = union_is_nw_se
            swap[begin + 1] = not union_is_nw_se
        begin = end
    return keep, swap


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _walk(owner: Any, x: Any, y: Any, partner: Any) -> Any:
    """Rings through corners sorted by (component, row, column): (index of every ring's corners, offsets).

    Corners 2k and 2k + 1 are the ends of a horizontal edge. A component's first ring is its exterior and starts eastwards from
    its first corner; a hole runs against it, so its first corner is left southwards.
    """
    n = len(x)
    used = np.zeros(n, np.bool_)
    corner = np.empty(n, np.int64)
    ring_offsets = np.zeros(n // 4 + 1, np.int64)
    n_rings, at = 0, 0
    for first in range(n):
        if used[first]:
            continue
        begin, here = at, first
        horizontal = first == 0 or owner[first] != owner[first - 1]
        start = first if horizontal else -1
        while not used[here]:
            used[here] = True
            corner[at] = here
            at += 1
            ahead = here ^ 1 if horizontal else partner[here]
            if horizontal and x[ahead] > x[here] and (start < 0 or here < start):
                start = here
            here, horizontal = ahead, not horizontal
        shift = 0
        while corner[begin + shift] != start:
            shift += 1
        corner[begin:at] = np.roll(corner[begin:at], -shift)
        n_rings += 1
        ring_offsets[n_rings] = at
    return corner, ring_offsets[: n_rings + 1]
