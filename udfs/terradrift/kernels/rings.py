"""Polygons of many features as flat arrays of whole tile units: areas, tidy rings, and whether they are surely valid."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MAX_WORLD = 2**30
"""Widest grid, in units: cross products of its coordinates fit int64."""


class Rings(NamedTuple):
    """Polygons of many features. Rings are open; outer rings have positive area (y south); holes, negative, come after theirs."""

    x: Array
    """(vertex) int64."""
    y: Array
    """(vertex) int64, southwards."""
    ring_start: Array
    """(ring + 1) int64: first vertex of each ring."""
    feature_start: Array
    """(feature + 1) int64: first ring of each feature."""


def surely_valid(rings: Rings) -> Array:
    """(feature) bool: no edge meets another, no ring lies where it must not.

    False is no verdict: the rings of a valid polygon may touch at points.
    """
    valid: Array = _surely_valid(*rings)
    return valid


def take_features(rings: Rings, features: Array) -> Rings:
    """The features at positions `features`, in that order."""
    return Rings(*_take_features(*rings, features.astype(np.int64)))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def double_area(x: Any, y: Any) -> Any:
    """Twice the signed area of one ring; positive where the inside is on the right of the way, y south."""
    area = x[0] - x[0]  # of the coordinates' type
    for i in range(1, x.size - 1):
        area += cross(x[0], y[0], x[i], y[i], x[i + 1], y[i + 1])
    return area


@numba.njit(cache=True, error_model="numpy", nogil=True)
def double_areas(x: Any, y: Any, ring_start: Any) -> Any:
    """(ring) `double_area` of every ring, in the type of the coordinates."""
    areas = np.zeros(ring_start.size - 1, x.dtype)
    for ring in range(areas.size):
        a, b = ring_start[ring], ring_start[ring + 1]
        areas[ring] = double_area(x[a:b], y[a:b])
    return areas


@numba.njit(cache=True, error_model="numpy", nogil=True)
def cross(ax: Any, ay: Any, bx: Any, by: Any, cx: Any, cy: Any) -> Any:
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def clean(x: Any, y: Any) -> Any:
    """Remove repeats, points in line and spikes from an open ring, in place; how many vertices are left, 0 or at least 3."""
    end = 0
    for i in range(x.size):
        px, py = x[i], y[i]
        while end and (
            (x[end - 1] == px and y[end - 1] == py)
            or (end > 1 and cross(x[end - 2], y[end - 2], x[end - 1], y[end - 1], px, py) == 0)
        ):
            end -= 1
        x[end], y[end] = px, py
        end += 1
    first = 0
    while end - first > 2:  # where the ring closes
        if cross(x[end - 2], y[end - 2], x[end - 1], y[end - 1], x[first], y[first]) == 0:
            end -= 1
        elif cross(x[end - 1], y[end - 1], x[first], y[first], x[first + 1], y[first + 1]) == 0:
            first += 1
        else:
            break
    if end - first < 3:
        return 0
    for i in range(end - first):
        x[i], y[i] = x[first + i], y[first + i]
    return end - first


@numba.njit(cache=True, error_model="numpy", nogil=True)
def side(px: int, py: int, x: Any, y: Any) -> Any:
    """1 where the point lies inside the ring, -1 outside, 0 on it."""
    inside = False
    j = x.size - 1
    for i in range(x.size):
        turn = cross(x[j], y[j], x[i], y[i], px, py)
        if turn == 0 and min(x[i], x[j]) <= px <= max(x[i], x[j]) and min(y[i], y[j]) <= py <= max(y[i], y[j]):
            return 0
        if (y[i] > py) != (y[j] > py) and (turn > 0) == (y[i] > y[j]):
            inside = not inside
        j = i
    return 1 if inside else -1


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _encloses(x: Any, y: Any, ring_start: Any, outer: Any, hole: Any) -> Any:
    """Whether the hole lies in the outer ring, by its first vertex that is not on it."""
    a, b = ring_start[outer], ring_start[outer + 1]
    for i in range(ring_start[hole], ring_start[hole + 1]):
        where = side(x[i], y[i], x[a:b], y[a:b])
        if where:
            return where > 0
    return True


@numba.njit(cache=True, error_model="numpy", nogil=True)
def owners(x: Any, y: Any, ring_start: Any, areas: Any) -> Any:
    """Of every hole the smallest outer ring around it, or -1; of an outer ring itself."""
    owner = np.full(areas.size, -1)
    outers = 0
    for ring in range(areas.size):
        if areas[ring] > 0:
            owner[ring] = ring
            outers += 1
    for hole in range(areas.size):
        if areas[hole] > 0:
            continue
        for outer in range(areas.size):
            better = areas[outer] > 0 and (owner[hole] < 0 or areas[outer] < areas[owner[hole]])
            if better and (outers == 1 or _encloses(x, y, ring_start, outer, hole)):
                owner[hole] = outer
    return owner


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _edges_meet(x: Any, y: Any, follow: Any) -> Any:
    """Whether two edges i -> follow[i] that are not neighbours in a ring have a point in common (swept by x)."""
    left = np.empty(x.size, x.dtype)
    for i in range(x.size):
        left[i] = min(x[i], x[follow[i]])
    order = np.argsort(left)
    for k in range(order.size):
        i = order[k]
        ni = follow[i]
        right, top, bottom = max(x[i], x[ni]), min(y[i], y[ni]), max(y[i], y[ni])
        for m in range(k + 1, order.size):
            j = order[m]
            if left[j] > right:
                break
            nj = follow[j]
            if ni == j or nj == i or max(y[j], y[nj]) < top or min(y[j], y[nj]) > bottom:
                continue
            a = cross(x[i], y[i], x[ni], y[ni], x[j], y[j])
            b = cross(x[i], y[i], x[ni], y[ni], x[nj], y[nj])
            c = cross(x[j], y[j], x[nj], y[nj], x[i], y[i])
            d = cross(x[j], y[j], x[nj], y[nj], x[ni], y[ni])
            apart = (a > 0 and b > 0) or (a < 0 and b < 0) or (c > 0 and d > 0) or (c < 0 and d < 0)
            if not apart:
                return True
    return False


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _well_nested(x: Any, y: Any, ring_start: Any) -> Any:
    """Of rings that do not meet: whether outer rings lie in no polygon and each hole in one."""
    areas = double_areas(x, y, ring_start)
    for ring in range(areas.size):
        px, py = x[ring_start[ring]], y[ring_start[ring]]
        depth = 0
        for other in range(areas.size):
            a, b = ring_start[other], ring_start[other + 1]
            if other != ring and side(px, py, x[a:b], y[a:b]) > 0:
                depth += 1 if areas[other] > 0 else -1
        if depth != (areas[ring] < 0):
            return False
    return True


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _surely_valid(x: Any, y: Any, ring_start: Any, feature_start: Any) -> Any:
    valid = np.ones(feature_start.size - 1, np.bool_)
    for feature in range(valid.size):
        rings = ring_start[feature_start[feature] : feature_start[feature + 1] + 1]
        a, b = rings[0], rings[-1]
        if b == a:
            continue
        follow = np.empty(b - a, np.int64)
        for ring in range(rings.size - 1):
            for i in range(rings[ring], rings[ring + 1]):
                follow[i - a] = i + 1 - a
            follow[rings[ring + 1] - 1 - a] = rings[ring] - a
        alone = rings.size == 2
        if alone and double_area(x[a:b], y[a:b]) <= 0:  # cutting a ring that crosses itself leaves such
            valid[feature] = False
            continue
        valid[feature] = not _edges_meet(x[a:b], y[a:b], follow) and (alone or _well_nested(x, y, rings))
    return valid


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _take_features(x: Any, y: Any, ring_start: Any, feature_start: Any, features: Any) -> Any:
    vertices, rings = 0, 0
    for feature in features:
        vertices += ring_start[feature_start[feature + 1]] - ring_start[feature_start[feature]]
        rings += feature_start[feature + 1] - feature_start[feature]
    out_x, out_y = np.empty(vertices, x.dtype), np.empty(vertices, y.dtype)
    out_rings, out_features = np.zeros(rings + 1, np.int64), np.zeros(features.size + 1, np.int64)
    end, rings = 0, 0
    for k in range(features.size):
        for ring in range(feature_start[features[k]], feature_start[features[k] + 1]):
            a, b = ring_start[ring], ring_start[ring + 1]
            out_x[end : end + b - a], out_y[end : end + b - a] = x[a:b], y[a:b]
            end += b - a
            rings += 1
            out_rings[rings] = end
        out_features[k + 1] = rings
    return out_x, out_y, out_rings, out_features
