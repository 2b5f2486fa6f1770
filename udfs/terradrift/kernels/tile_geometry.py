"""Polygons on the pixel grid of a zoom: projected, snapped and simplified, in whole tile units.

The grid of zoom z is `world = resolution * 2**z` units wide, x eastwards and y southwards from 180 W, 85.05 N. All of this
happens on that one grid before anything is cut, so neighbouring tiles hold the same lines.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from terradrift.kernels.rings import Array, Rings, clean, double_area, double_areas

MAX_LATITUDE = float(np.degrees(np.arctan(np.sinh(np.pi))))
"""Northern and southern edge of the square Web Mercator world, in degrees."""


def mercator(lon: Array, lat: Array) -> tuple[Array, Array]:
    """Web Mercator (EPSG:3857) of degrees, as fractions of the world square, y southwards."""
    return lon / 360 + 0.5, 0.5 - np.arctanh(np.sin(np.radians(lat))) / (2 * np.pi)


def lon_lat(x: Array, y: Array) -> tuple[Array, Array]:
    """Degrees of fractions of the Web Mercator square: the inverse of `mercator`."""
    return (x - 0.5) * 360, np.degrees(np.arctan(np.sinh((1 - 2 * y) * np.pi)))


def hash_fraction(ids: Array) -> Array:
    """A fixed number in [0, 1) for every integer, equally spread: the finalizer of SplitMix64 (Steele et al. 2014)."""
    z = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


class Spots(NamedTuple):
    """Area that the rings of a grid lack, and where."""

    part: Array
    """(spot) int64: the part it belongs to."""
    small: Array
    """(spot) bool: whether the part is too small to be drawn; else one of its rings is drawn larger or smaller than it is."""
    x: Array
    """(spot) int64, units."""
    y: Array
    """(spot) int64, units, southwards."""
    area: Array
    """(spot) float64, square units; negative where too much is drawn."""


def snap(
    x: Array,
    y: Array,
    ring_start: Array,
    part_start: Array,
    feature_start: Array,
    world: int,
    tolerance: float,
    floor: float,
    keep_all: bool,
) -> tuple[Rings, Spots]:
    """Features on the grid `world` units wide, simplified, and what of their area is missing from them.

    `x`, `y` (vertex) are fractions of the world; `ring_start` (ring + 1), `part_start` (part + 1, counts rings, outer ring
    first) and `feature_start` (feature + 1, counts parts) nest. Douglas-Peucker keeps every point farther than `tolerance`
    units. A part below `floor` square units is a spot alone, holes below a quarter of it are filled; with `keep_all` every part
    is drawn as it is, and there are no spots. A ring that the grid flattens is drawn unsimplified, and a part that it flattens
    altogether as a square of its area, one unit at least.
    """
    *rings, part, small, spot_x, spot_y, area = _snap(
        x, y, ring_start, part_start, feature_start, float(world), float(tolerance), float(floor), keep_all
    )
    return Rings(*rings), Spots(part, small, spot_x, spot_y, area)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _farthest(x: Any, y: Any, first: int, last: int, limit2: float) -> Any:
    """The point between `first` and `last` farthest from their segment, or -1 where none is farther than the limit."""
    ax, ay = float(x[first]), float(y[first])
    dx, dy = float(x[last % x.size]) - ax, float(y[last % x.size]) - ay
    length2 = dx * dx + dy * dy
    best, farthest = limit2, -1
    for i in range(first + 1, last):
        px, py = float(x[i]) - ax, float(y[i]) - ay
        t = min(max((px * dx + py * dy) / length2, 0.0), 1.0) if length2 > 0 else 0.0
        distance2 = (px - t * dx) ** 2 + (py - t * dy) ** 2
        if distance2 > best:
            best, farthest = distance2, i
    return farthest


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _douglas_peucker(x: Any, y: Any, tolerance: float) -> Any:
    """The ring's points that Douglas-Peucker keeps, from its westernmost, then northernmost point and the one farthest from it.

    Starting there makes the answer independent of where the ring starts.
    """
    n = x.size
    start = 0
    for i in range(1, n):
        if x[i] < x[start] or (x[i] == x[start] and y[i] < y[start]):
            start = i
    rx, ry = np.empty_like(x), np.empty_like(y)
    for i in range(n):
        rx[i], ry[i] = x[(i + start) % n], y[(i + start) % n]
    keep = np.zeros(n, np.bool_)
    firsts, lasts = np.empty(n + 1, np.int64), np.empty(n + 1, np.int64)  # stretches still to look at
    keep[0] = True
    anchor = _farthest(rx, ry, 0, n, 0.0)
    keep[anchor] = True
    firsts[0], lasts[0], firsts[1], lasts[1] = 0, anchor, anchor, n
    depth = 2
    while depth:
        depth -= 1
        first, last = firsts[depth], lasts[depth]
        split = _farthest(rx, ry, first, last, tolerance * tolerance)
        if split >= 0:
            keep[split] = True
            firsts[depth], lasts[depth], firsts[depth + 1], lasts[depth + 1] = first, split, split, last
            depth += 2
    end = 0
    for i in range(n):
        if keep[i]:
            rx[end], ry[end] = rx[i], ry[i]
            end += 1
    return rx[:end], ry[:end]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _tidy(x: Any, y: Any, positive: bool) -> Any:
    """Clean a ring and give its area the sign asked for, in place; how many vertices are left, 0 without area."""
    n = clean(x, y)
    area = double_area(x[:n], y[:n]) if n else 0
    if area and (area > 0) != positive:
        for i in range(n // 2):
            x[i], x[n - 1 - i] = x[n - 1 - i], x[i]
            y[i], y[n - 1 - i] = y[n - 1 - i], y[i]
    return n if area else 0


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _snap_ring(x: Any, y: Any, world: float, tolerance: float, positive: bool, out_x: Any, out_y: Any) -> Any:
    """Write a ring on the grid into the beginning of the outputs; how many vertices, 0 where the grid flattens it."""
    for i in range(x.size):
        out_x[i], out_y[i] = np.int64(np.rint(x[i] * world)), np.int64(np.rint(y[i] * world))
    n = _tidy(out_x[: x.size], out_y[: x.size], positive)
    if n == 0 or tolerance == 0:
        return n
    thin_x, thin_y = _douglas_peucker(out_x[:n], out_y[:n], tolerance)
    m = _tidy(thin_x, thin_y, positive)
    for i in range(m):
        out_x[i], out_y[i] = thin_x[i], thin_y[i]
    return m or n


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _square(x: Any, y: Any, world: float, side: int, out_x: Any, out_y: Any) -> Any:
    """Write a square of `side` units about the middle of a ring's bounds; its number of vertices, 4."""
    left = np.int64(np.rint((x.min() + x.max()) / 2 * world - side / 2))
    top = np.int64(np.rint((y.min() + y.max()) / 2 * world - side / 2))
    out_x[0], out_x[1], out_x[2], out_x[3] = left, left + side, left + side, left
    out_y[0], out_y[1], out_y[2], out_y[3] = top, top, top + side, top + side
    return 4


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _unit(a: Any, world: float) -> Any:
    """The unit in the middle of a ring's bounds, on one axis."""
    return min(max(np.int64(np.floor((a.min() + a.max()) / 2 * world)), 0), np.int64(world) - 1)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _snap(
    x: Any, y: Any, ring_start: Any, part_start: Any, feature_start: Any,
    world: float, tolerance: float, floor: float, keep_all: bool,
) -> Any:  # fmt: skip
    room = x.size + 4 * (part_start.size - 1)
    out_x, out_y = np.empty(room, np.int64), np.empty(room, np.int64)
    out_rings, out_features = np.zeros(ring_start.size, np.int64), np.zeros(feature_start.size, np.int64)
    spot_part, spot_area = np.empty(ring_start.size, np.int64), np.empty(ring_start.size)
    spot_x, spot_y, spot_small = np.empty_like(spot_part), np.empty_like(spot_part), np.empty(ring_start.size, np.bool_)
    areas = double_areas(x, y, ring_start)
    for ring in range(areas.size):
        areas[ring] = abs(areas[ring]) / 2 * world * world
    end, rings, spots = 0, 0, 0
    for feature in range(feature_start.size - 1):
        for part in range(feature_start[feature], feature_start[feature + 1]):
            outer, last = part_start[part], part_start[part + 1]
            area = areas[outer]
            for ring in range(outer + 1, last):
                area -= areas[ring]
            small = area < floor and not keep_all
            square_only = False
            for ring in range(outer, outer + 1 if small else last):
                if square_only:
                    break
                rx, ry = x[ring_start[ring] : ring_start[ring + 1]], y[ring_start[ring] : ring_start[ring + 1]]
                true, drawn = areas[ring], 0.0
                if small:
                    true = max(area, 0.0)
                elif ring == outer or areas[ring] * 4 >= floor:
                    to_x, to_y = out_x[end:], out_y[end:]
                    n = _snap_ring(rx, ry, world, tolerance, ring == outer, to_x, to_y)
                    if n == 0 and ring == outer:
                        square_only, true = True, area
                        n = _square(rx, ry, world, max(1, round(np.sqrt(max(area, 0.0)))), to_x, to_y)
                    if n:
                        drawn = abs(double_area(to_x[:n], to_y[:n])) / 2
                        end += n
                        rings += 1
                        out_rings[rings] = end
                if not keep_all:
                    spot_part[spots], spot_small[spots] = part, small
                    spot_x[spots], spot_y[spots] = _unit(rx, world), _unit(ry, world)
                    spot_area[spots] = true - drawn if ring == outer else drawn - true
                    spots += 1
        out_features[feature + 1] = rings
    return (
        out_x[:end], out_y[:end], out_rings[: rings + 1], out_features,
        spot_part[:spots], spot_small[:spots], spot_x[:spots], spot_y[:spots], spot_area[:spots],
    )  # fmt: skip
