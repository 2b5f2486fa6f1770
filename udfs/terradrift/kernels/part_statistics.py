"""Integer sums over the pixels of parts and of the holes in them; they add up across tiles in any order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from terradrift.errors import InputError
from terradrift.kernels.ragged import Int64
from terradrift.kernels.segments import Segments
from terradrift.kernels.trace import Rings

SCORE_UNIT = 2.0**-20
"""Scores and effects are summed in whole multiples of it, so that no sum depends on its order."""

KINDS = 5  # none, step, ramp, blip, unconfirmed

RASTERS = {
    "score": np.float32,
    "effect": np.float32,
    "year": np.int16,
    "kind": np.uint8,
    "zones": np.int32,
    "q": np.float32,
}
"""What the statistics are made of, and the type it is read as."""

NO_RASTER = np.zeros((0, 0), np.float32)


class PartStatistics(NamedTuple):
    """Of every part 1..n, in this order."""

    first: Int64
    """(n): row-major index of its first pixel in the window."""
    n_pixels: Int64
    score_sum: Int64
    """(n): in SCORE_UNIT."""
    score_max: npt.NDArray[np.float32]
    effect_sum: Int64
    """(n): in SCORE_UNIT."""
    q_min: npt.NDArray[np.float32]
    """(n): NaN where no pixel has one."""
    area_mm2: Int64
    year_counts: Int64
    """(n, time): pixels of each year."""
    kind_counts: Int64
    """(n, KINDS): pixels of each kind."""
    zone: npt.NDArray[np.int32]
    """(n): of its first pixel."""


def part_statistics(
    segments: Segments,
    *,
    score: npt.NDArray[Any],
    effect: npt.NDArray[Any],
    year: npt.NDArray[Any],
    kind: npt.NDArray[Any],
    q: npt.NDArray[Any] | None,
    zones: npt.NDArray[Any],
    years: npt.ArrayLike,
    area_mm2: Int64,
) -> PartStatistics:
    """One pass over the pixels of parts 1..n; all rasters are (y, x), `area_mm2` (y, x) or (y, 1).

    score, effect, q are read as float32, and score and effect must be finite in every part; a pixel counts in no year or kind
    that is not among `years` and 0..KINDS-1.
    """
    given = {"score": score, "effect": effect, "year": year, "kind": kind, "zones": zones}
    if q is not None:
        given["q"] = q
    for name, raster in given.items():
        if raster.shape != segments.shape:
            raise InputError(f"{name}: found shape {raster.shape}; expected that of the classes, {segments.shape}")
    height = segments.shape[0]
    if area_mm2.shape not in (segments.shape, (height, 1)):
        raise InputError(f"area_mm2: found shape {area_mm2.shape}; expected {segments.shape} or {(height, 1)}")
    dense = {name: np.ascontiguousarray(raster, RASTERS[name]) for name, raster in given.items()}
    calendar = np.asarray(years, np.int64)
    first_year = int(calendar.min(initial=np.iinfo(np.int64).max))
    column = np.full(int(calendar.max(initial=first_year - 1)) - first_year + 1, -1, np.int64)
    column[calendar - first_year] = np.arange(calendar.size)
    columns, finite = _statistics(
        *segments[:5], dense["score"], dense["effect"], dense["year"], dense["kind"], dense["zones"],
        dense.get("q", NO_RASTER), first_year, column, calendar.size, np.ascontiguousarray(area_mm2, np.int64)
    )  # fmt: skip
    if not finite:
        raise InputError("score, effect: found a mapped pixel without a finite value; expected one each; unmap such pixels")
    return PartStatistics(*columns)


def ring_pixels(rings: Rings) -> Int64:
    """Pixels that every ring encloses: (ring), positive for exteriors, negative for holes."""
    pixels: Int64 = _ring_pixels(rings.xy, rings.ring_offsets)
    return pixels


def hole_sums(rings: Rings, holes: Int64, values: Int64, window: tuple[int, int, int, int]) -> Int64:
    """Sum of whole-number `values` over the pixels inside each of `holes` (ring indexes).

    window (y0, x0, height, width) covers the holes; values (height, width), or (height, 1) where they depend on the row alone.
    """
    y0, x0, height, width = window
    westward = np.zeros((height, width + 1), np.int64)
    np.cumsum(np.broadcast_to(values, (height, width)), axis=1, out=westward[:, 1:])
    sums: Int64 = _hole_sums(rings.xy, rings.ring_offsets, holes, westward, x0, y0)
    return sums


def parts_inside(rings: Rings, row_offsets: Int64, small: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which polygons lie inside a `small` hole (ring) of another polygon of their row: (polygon).

    Row r holds the polygons row_offsets[r] .. row_offsets[r + 1], ordered row-major by their first pixel.
    """
    inside: npt.NDArray[np.bool_] = _parts_inside(*rings, row_offsets, small)
    return inside


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _statistics(
    row_offsets: Any, start: Any, end: Any, part: Any, n: int, score: Any, effect: Any, year: Any, kind: Any, zones: Any, q: Any,
    first_year: int, column: Any, n_years: int, area: Any,
) -> Any:  # fmt: skip
    first = np.full(n, -1, np.int64)
    n_pixels = np.zeros(n, np.int64)
    score_sum = np.zeros(n, np.int64)
    score_max = np.full(n, -np.inf, np.float32)
    effect_sum = np.zeros(n, np.int64)
    q_min = np.full(n, np.nan, np.float32)
    area_mm2 = np.zeros(n, np.int64)
    year_counts = np.zeros((n, n_years), np.int64)
    kind_counts = np.zeros((n, KINDS), np.int64)
    zone = np.zeros(n, np.int32)
    finite = True
    for y in range(len(row_offsets) - 1):
        for segment in range(row_offsets[y], row_offsets[y + 1]):
            i = part[segment] - 1
            begin, stop = start[segment], end[segment]
            if first[i] < 0:
                first[i] = y * score.shape[1] + begin
                zone[i] = zones[y, begin]
            n_pixels[i] += stop - begin
            scores, effects, area_sum = np.int64(0), np.int64(0), np.int64(0)  # in registers: parts lie far apart
            most, least = score_max[i], q_min[i]
            for x in range(begin, stop):
                finite &= np.isfinite(score[y, x]) and np.isfinite(effect[y, x])
                scores += np.int64(np.rint(np.float64(score[y, x]) / SCORE_UNIT))
                effects += np.int64(np.rint(np.float64(effect[y, x]) / SCORE_UNIT))
                most = max(most, score[y, x])
                if q.size and not (q[y, x] >= least or np.isnan(q[y, x])):
                    least = q[y, x]
                area_sum += area[y, x if area.shape[1] > 1 else 0]
                since = year[y, x] - first_year
                if 0 <= since < len(column) and column[since] >= 0:
                    year_counts[i, column[since]] += 1
                if kind[y, x] < KINDS:
                    kind_counts[i, kind[y, x]] += 1
            score_sum[i] += scores
            effect_sum[i] += effects
            area_mm2[i] += area_sum
            score_max[i], q_min[i] = most, least
    columns = (first, n_pixels, score_sum, score_max, effect_sum, q_min, area_mm2, year_counts, kind_counts, zone)
    return columns, finite


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _ring_pixels(xy: Any, ring_offsets: Any) -> Any:
    pixels = np.zeros(len(ring_offsets) - 1, np.int64)
    for ring in range(len(pixels)):
        before = ring_offsets[ring + 1] - 1
        for corner in range(ring_offsets[ring], ring_offsets[ring + 1]):
            pixels[ring] += xy[corner, 0] * (xy[corner, 1] - xy[before, 1])
            before = corner
    return pixels


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _hole_sums(xy: Any, ring_offsets: Any, holes: Any, westward: Any, x0: int, y0: int) -> Any:
    """Green's theorem on pixels: add what lies west of edges heading north, take off what lies west of those heading south."""
    sums = np.zeros(len(holes), np.int64)
    for i in range(len(holes)):
        before = ring_offsets[holes[i] + 1] - 1
        for corner in range(ring_offsets[holes[i]], ring_offsets[holes[i] + 1]):
            top, bottom = xy[before, 1], xy[corner, 1]
            for y in range(min(top, bottom), max(top, bottom)):
                west = westward[y - y0, xy[corner, 0] - x0]
                sums[i] += west if bottom < top else -west
            before = corner
    return sums


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _parts_inside(xy: Any, ring_offsets: Any, polygon_offsets: Any, row_offsets: Any, small: Any) -> Any:
    start = ring_offsets[polygon_offsets[:-1]]  # a polygon's first corner: the upper left one of its first pixel
    inside = np.zeros(len(start), np.bool_)
    for row in range(len(row_offsets) - 1):
        first, last = row_offsets[row], row_offsets[row + 1]
        if last - first == 1:
            continue
        for ring in range(polygon_offsets[first], polygon_offsets[last]):
            if not small[ring]:
                continue
            outline = xy[ring_offsets[ring] : ring_offsets[ring + 1]]
            x_min, x_max = outline[:, 0].min(), outline[:, 0].max()
            for y in range(outline[:, 1].min(), outline[:, 1].max()):
                part = _first_from(xy, start, first, last, y, x_min)
                while part < last and xy[start[part], 1] == y and xy[start[part], 0] < x_max:
                    inside[part] |= _covers(outline, xy[start[part], 0], y)
                    part += 1
    return inside


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _first_from(xy: Any, start: Any, low: int, high: int, y: int, x: int) -> int:
    """The first polygon of low..high whose first corner is not before (y, x)."""
    while low < high:
        middle = (low + high) // 2
        if xy[start[middle], 1] < y or (xy[start[middle], 1] == y and xy[start[middle], 0] < x):
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _covers(outline: Any, x: int, y: int) -> bool:
    """Whether the pixel at row y, column x lies inside a ring: an odd number of its vertical edges lies east of it."""
    odd = False
    before = len(outline) - 1
    for corner in range(len(outline)):
        top, bottom = min(outline[before, 1], outline[corner, 1]), max(outline[before, 1], outline[corner, 1])
        if top <= y < bottom and outline[corner, 0] > x:
            odd = not odd
        before = corner
    return odd
