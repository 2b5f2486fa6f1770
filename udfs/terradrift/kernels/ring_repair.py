"""Any rings on whole coordinates to valid polygons that cover the same ground by the even-odd rule.

All edges are cut where they meet, crossings rounded to the grid, until none meet but at vertices; edges that lie on each other
cancel in pairs. Of what is left every vertex has an even number of edges and the wedges between them are inside and outside in
turn. Rings that turn into the next edge of the same inside wedge go round connected ground; where such a ring passes a
vertex twice it is two rings that touch.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from terradrift.kernels.edges import around_points, cut_edges, meetings, numbered, odd_edges
from terradrift.kernels.rings import Rings, clean, cross, double_areas, owners

MOST_ROUNDS = 64
"""Rounding a crossing bends its edges, which may cross others: two or three rounds do, in practice."""
EDGES_A_BAND = 8
"""About as many edges does a ray look at."""


def rebuild(rings: Rings) -> Rings:
    """The features as valid polygons on the same grid; those without area are left empty.

    A feature of one piece may become several. Raises ArithmeticError should crossings not come to an end.
    """
    return Rings(*_rebuild(*rings))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _bands(y: Any, ends: Any) -> Any:
    """(top, height, start, edge): the edges that each of many bands of y has a part in, so that a ray looks at few."""
    top = y.min()
    height = (y.max() - top) * EDGES_A_BAND // len(ends) + 1
    start = np.zeros((y.max() - top) // height + 2, np.int64)
    for count in (True, False):
        if not count:
            edges = np.empty(start[-1], np.int64)
            fill = start.copy()
        for i in range(len(ends)):
            low, high = min(y[ends[i, 0]], y[ends[i, 1]]), max(y[ends[i, 0]], y[ends[i, 1]])
            for band in range((low - top) // height, (high - top) // height + 1):
                if count:
                    start[band + 1] += 1
                else:
                    edges[fill[band]] = i
                    fill[band] += 1
        if count:
            start = np.cumsum(start)
    return top, height, start, edges


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _direct(x: Any, y: Any, ends: Any, start: Any, around: Any) -> Any:
    """(edge) whether it runs from its lower to its higher point when the inside is on its right (y south).

    From the westernmost point of all that hangs together: due west of it lies what a ray to the west says.
    """
    top, height, bands, in_band = _bands(y, ends)
    forward, known = np.zeros(len(ends), np.bool_), np.zeros(len(ends), np.bool_)
    stack, seen = np.empty(x.size, np.int64), np.zeros(x.size, np.bool_)
    for first in range(x.size):  # points are in order of x
        if seen[first] or start[first] == start[first + 1]:
            continue
        inside = False
        band = (y[first] - top) // height
        for k in range(bands[band], bands[band + 1]):
            a, b = ends[in_band[k]]
            if (y[a] > y[first]) != (y[b] > y[first]):
                turn = cross(x[a], y[a], x[b], y[b], x[first], y[first])
                inside = inside != (turn != 0 and (turn < 0) == (y[b] > y[a]))
        edge = around[start[first]]
        forward[edge], known[edge] = (ends[edge, 0] == first) != inside, True
        seen[first], stack[0], depth = True, first, 1
        while depth:
            depth -= 1
            point = stack[depth]
            a, b = start[point], start[point + 1]
            settled = a
            while not known[around[settled]]:
                settled += 1
            leaves = forward[around[settled]] == (ends[around[settled], 0] == point)
            for k in range(a, b):  # edges leave and come in turn
                edge = around[k]
                forward[edge], known[edge] = (leaves == ((k - settled) % 2 == 0)) == (ends[edge, 0] == point), True
                other = ends[edge, 0] + ends[edge, 1] - point
                if not seen[other]:
                    seen[other], stack[depth] = True, other
                    depth += 1
    return forward


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _loops(x: Any, y: Any, ends: Any, start: Any, around: Any, forward: Any) -> Any:
    """(x, y, ring_start) of simple rings round the ground, tidy."""
    after = np.empty(len(ends), np.int64)
    for point in range(x.size):
        a, b = start[point], start[point + 1]
        for k in range(a, b):
            edge = around[k]
            if forward[edge] != (ends[edge, 0] == point):  # comes here: goes on along the edge before, across inside ground
                after[edge] = around[k - 1 if k > a else b - 1]
    out_x, out_y = np.empty(len(ends), np.int64), np.empty(len(ends), np.int64)
    rings = np.zeros(len(ends) + 1, np.int64)
    used, place, path = np.zeros(len(ends), np.bool_), np.full(x.size, -1), np.empty(len(ends) + 1, np.int64)
    end, count = 0, 0
    for begin in range(len(ends)):
        edge, length = begin, 0
        while not used[edge]:
            used[edge] = True
            point = ends[edge, 0] if forward[edge] else ends[edge, 1]
            place[point] = length
            path[length] = point
            length += 1
            to = ends[edge, 0] + ends[edge, 1] - point
            if place[to] >= 0:
                loop = path[place[to] : length]
                for k in range(loop.size):
                    out_x[end + k], out_y[end + k] = x[loop[k]], y[loop[k]]
                    place[loop[k]] = -1
                length -= loop.size
                n = clean(out_x[end : end + loop.size], out_y[end : end + loop.size])
                if n:
                    end += n
                    count += 1
                    rings[count] = end
            edge = after[edge]
    return out_x[:end], out_y[:end], rings[: count + 1]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _rebuild_one(x: Any, y: Any, rings: Any) -> Any:
    """(x, y, ring_start) of simple rings in no order, of rings that may meet in any way."""
    edges, end = np.empty((x.size, 4), np.int64), 0
    for ring in range(rings.size - 1):
        a, b = rings[ring], rings[ring + 1]
        for i in range(a, b):
            j = i + 1 if i + 1 < b else a
            edges[end, 0], edges[end, 1], edges[end, 2], edges[end, 3] = x[i], y[i], x[j], y[j]
            end += x[i] != x[j] or y[i] != y[j]
    edges = edges[:end]
    if end == 0:
        return x[:0], y[:0], np.zeros(1, np.int64)
    fresh = np.ones(end, np.bool_)
    for _ in range(MOST_ROUNDS):
        cuts = meetings(edges, fresh)
        if len(cuts) == 0:
            break
        edges, fresh = cut_edges(edges, fresh, cuts)
    else:
        raise ArithmeticError("edges still cross")
    px, py, ends = numbered(edges)
    ends = odd_edges(ends, px.size)
    if len(ends) == 0:
        return px[:0], py[:0], np.zeros(1, np.int64)
    start, around = around_points(px, py, ends)
    return _loops(px, py, ends, start, around, _direct(px, py, ends, start, around))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _rebuild(x: Any, y: Any, ring_start: Any, feature_start: Any) -> Any:
    out_x, out_y = np.empty(2 * x.size + 64, np.int64), np.empty(2 * x.size + 64, np.int64)
    out_rings, out_features = np.zeros(x.size + 2, np.int64), np.zeros(feature_start.size, np.int64)
    end, count = 0, 0
    for feature in range(feature_start.size - 1):
        rings = ring_start[feature_start[feature] : feature_start[feature + 1] + 1]
        a, b = rings[0], rings[-1]
        if b > a:
            px, py, pr = _rebuild_one(x[a:b], y[a:b], rings - a)
            if end + px.size > out_x.size:
                more_x, more_y = np.empty(2 * (end + px.size), np.int64), np.empty(2 * (end + px.size), np.int64)
                more_x[:end], more_y[:end] = out_x[:end], out_y[:end]
                out_x, out_y = more_x, more_y
            if count + pr.size > out_rings.size:
                more = np.empty(2 * (count + pr.size), np.int64)
                more[: count + 1] = out_rings[: count + 1]
                out_rings = more
            owner = owners(px, py, pr, double_areas(px, py, pr))
            for ring in np.argsort(2 * owner + (owner != np.arange(owner.size)), kind="mergesort"):
                for i in range(pr[ring], pr[ring + 1]):
                    out_x[end], out_y[end] = px[i], py[i]
                    end += 1
                count += 1
                out_rings[count] = end
        out_features[feature + 1] = count
    return out_x[:end], out_y[:end], out_rings[: count + 1], out_features
