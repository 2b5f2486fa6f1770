"""Edges on whole coordinates: where they meet, cut there, and the points that they lead to."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from terradrift.kernels.rings import cross


@numba.njit(cache=True, error_model="numpy", nogil=True)
def meetings(edges: Any, fresh: Any) -> Any:
    """(edge, x, y): where other edges meet an edge between its ends; edges (edge, 4) are x, y, x, y.

    Pairs of edges that are not fresh are known to meet nowhere. Crossings are rounded to the grid.
    """
    count = 0
    cuts = np.empty((64, 3), np.int64)
    left = np.minimum(edges[:, 0], edges[:, 2])
    order = np.argsort(left)
    found = np.empty((4, 2), np.int64)
    for k in range(order.size):
        i = order[k]
        ax, ay, bx, by = edges[i]
        right, top, bottom = max(ax, bx), min(ay, by), max(ay, by)
        for m in range(k + 1, order.size):
            j = order[m]
            if left[j] > right:
                break
            px, py, qx, qy = edges[j]
            if max(py, qy) < top or min(py, qy) > bottom or not (fresh[i] or fresh[j]):
                continue
            p, q = cross(ax, ay, bx, by, px, py), cross(ax, ay, bx, by, qx, qy)
            if (p > 0 and q > 0) or (p < 0 and q < 0):
                continue
            a, b = cross(px, py, qx, qy, ax, ay), cross(px, py, qx, qy, bx, by)
            if (a > 0 and b > 0) or (a < 0 and b < 0):
                continue
            points = 0
            if p and q and a and b:
                share = a / (a - b)
                found[0, 0], found[0, 1] = ax + np.int64(np.rint(share * (bx - ax))), ay + np.int64(np.rint(share * (by - ay)))
                points = 1
            else:
                if p == 0:
                    found[points, 0], found[points, 1] = px, py
                    points += 1
                if q == 0:
                    found[points, 0], found[points, 1] = qx, qy
                    points += 1
                if a == 0:
                    found[points, 0], found[points, 1] = ax, ay
                    points += 1
                if b == 0:
                    found[points, 0], found[points, 1] = bx, by
                    points += 1
            for n in range(points):
                x, y = found[n]
                for edge in (i, j):
                    ex, ey, fx, fy = edges[edge]
                    inner = min(ex, fx) <= x <= max(ex, fx) and min(ey, fy) <= y <= max(ey, fy)
                    if inner and (x != ex or y != ey) and (x != fx or y != fy):
                        if count == len(cuts):
                            longer = np.empty((2 * count, 3), np.int64)
                            longer[:count] = cuts
                            cuts = longer
                        cuts[count, 0], cuts[count, 1], cuts[count, 2] = edge, x, y
                        count += 1
    return cuts[:count]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def cut_edges(edges: Any, fresh: Any, cuts: Any) -> Any:
    """(edges, fresh) with edges cut at their points, in the points' order along the edge."""
    touched = np.zeros(len(edges), np.int64)
    for k in range(len(cuts)):
        touched[cuts[k, 0]] += 1
    begin = np.zeros(len(edges) + 1, np.int64)
    for i in range(len(edges)):
        begin[i + 1] = begin[i] + touched[i]
    place, along = begin.copy(), np.empty(len(cuts), np.float64)
    by_edge = np.empty(len(cuts), np.int64)
    for k in range(len(cuts)):
        by_edge[place[cuts[k, 0]]] = k
        place[cuts[k, 0]] += 1
    out, out_fresh = np.empty((len(edges) + len(cuts), 4), np.int64), np.zeros(len(edges) + len(cuts), np.bool_)
    end = 0
    for i in range(len(edges)):
        ax, ay, bx, by = edges[i]
        mine = by_edge[begin[i] : begin[i + 1]]
        for n in range(mine.size):
            along[n] = float(cuts[mine[n], 1] - ax) * (bx - ax) + float(cuts[mine[n], 2] - ay) * (by - ay)
        px, py = ax, ay
        for n in np.argsort(along[: mine.size]):
            x, y = cuts[mine[n], 1], cuts[mine[n], 2]
            if x != px or y != py:
                out[end, 0], out[end, 1], out[end, 2], out[end, 3] = px, py, x, y
                out_fresh[end] = True
                end += 1
                px, py = x, y
        if px != bx or py != by:
            out[end, 0], out[end, 1], out[end, 2], out[end, 3] = px, py, bx, by
            out_fresh[end] = mine.size > 0
            end += 1
    return out[:end], out_fresh[:end]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def numbered(edges: Any) -> Any:
    """(x, y of the different points, in order of x, then y; (edge, 2) their numbers)."""
    count = 2 * len(edges)
    xmin, ymin = min(edges[:, 0].min(), edges[:, 2].min()), min(edges[:, 1].min(), edges[:, 3].min())
    key = np.empty(count, np.int64)
    for i in range(len(edges)):
        key[2 * i] = (edges[i, 0] - xmin) << 32 | (edges[i, 1] - ymin)
        key[2 * i + 1] = (edges[i, 2] - xmin) << 32 | (edges[i, 3] - ymin)
    order = np.argsort(key)
    ends = np.empty((len(edges), 2), np.int64)
    x, y = np.empty(count, np.int64), np.empty(count, np.int64)
    points = 0
    for k in range(count):
        at = order[k]
        if k == 0 or key[at] != key[order[k - 1]]:
            x[points], y[points] = (key[at] >> 32) + xmin, (key[at] & 0xFFFFFFFF) + ymin
            points += 1
        ends[at // 2, at % 2] = points - 1
    return x[:points], y[:points], ends


@numba.njit(cache=True, error_model="numpy", nogil=True)
def odd_edges(ends: Any, points: int) -> Any:
    """The edges that are there an odd number of times, once each, from the lower to the higher number."""
    key = np.empty(len(ends), np.int64)
    for i in range(len(ends)):
        key[i] = min(ends[i, 0], ends[i, 1]) * points + max(ends[i, 0], ends[i, 1])
    key.sort()
    out = np.empty((len(ends), 2), np.int64)
    end, k = 0, 0
    while k < key.size:
        last = k
        while last < key.size and key[last] == key[k]:
            last += 1
        if (last - k) % 2:
            out[end, 0], out[end, 1] = key[k] // points, key[k] % points
            end += 1
        k = last
    return out[:end]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _before(ax: int, ay: int, bx: int, by: int) -> Any:
    """Whether direction a comes before b, clockwise on the screen (y south) from due west, west itself last."""
    a_low, b_low = ay > 0 or (ay == 0 and ax < 0), by > 0 or (by == 0 and bx < 0)
    if a_low != b_low:
        return b_low
    return ax * by - ay * bx > 0


@numba.njit(cache=True, error_model="numpy", nogil=True)
def around_points(x: Any, y: Any, ends: Any) -> Any:
    """(start, edge): the edges of each point, clockwise on the screen from due west."""
    start = np.zeros(x.size + 1, np.int64)
    for i in range(len(ends)):
        start[ends[i, 0] + 1] += 1
        start[ends[i, 1] + 1] += 1
    for i in range(x.size):
        start[i + 1] += start[i]
    fill, around = start.copy(), np.empty(2 * len(ends), np.int64)
    for i in range(len(ends)):
        for side in range(2):
            point, other = ends[i, side], ends[i, 1 - side]
            at = fill[point]
            while at > start[point]:
                before = ends[around[at - 1], 0] + ends[around[at - 1], 1] - point
                if not _before(x[other] - x[point], y[other] - y[point], x[before] - x[point], y[before] - y[point]):
                    break
                around[at] = around[at - 1]
                at -= 1
            around[at] = i
            fill[point] += 1
    return start, around
