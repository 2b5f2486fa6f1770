"""Well-known binary of polygons to flat coordinates: ISO and EWKB, either byte order, Z and M left out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from terradrift.kernels.rings import Array

POLYGON, MULTIPOLYGON = 3, 6
EWKB_Z, EWKB_M, EWKB_SRID = 0x80000000, 0x40000000, 0x20000000
OTHER, BROKEN = -1, -2
"""Of a value that is not polygons, and of one that is not WKB."""


class Shapes(NamedTuple):
    """Polygons of many features as nested arrays; rings are closed as they stand, the outer ring of each part first."""

    x: Array
    """(vertex) float64."""
    y: Array
    """(vertex) float64."""
    ring_start: Array
    """(ring + 1) int64: first vertex of each ring."""
    part_start: Array
    """(part + 1) int64: first ring of each part."""
    feature_start: Array
    """(feature + 1) int64: first part of each feature."""


def read_polygons(data: Array, start: Array) -> tuple[Shapes, Array]:
    """(shapes, kind) of WKB values: bytes `data` (uint8), value k from start[k] to start[k + 1].

    `kind` (feature) is POLYGON, MULTIPOLYGON, OTHER or BROKEN; the last two, empty values and empty parts have no parts.
    Coordinates are as they stand, NaN too.
    """
    kind, *nested = _read(data, start)
    return Shapes(*nested), kind


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _whole(data: Any, at: int, big: Any) -> Any:
    """The uint32 at `at`."""
    value = np.int64(0)
    for k in range(4):
        value |= np.int64(data[at + k]) << (8 * (3 - k if big else k))
    return value


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _bits(data: Any, at: int, big: Any) -> Any:
    """The 64 bits at `at`."""
    value = np.uint64(0)
    for k in range(8):
        value |= np.uint64(data[at + k]) << np.uint64(8 * (7 - k if big else k))
    return value


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _head(data: Any, at: int, end: int) -> Any:
    """(big endian, type, coordinates a vertex, where the counts begin) of a geometry; type BROKEN where it is cut short."""
    if at + 9 > end or data[at] > 1:
        return False, BROKEN, 2, at
    big = data[at] == 0
    code = _whole(data, at + 1, big)
    at += 5
    width = 2 + (code & EWKB_Z != 0) + (code & EWKB_M != 0)
    if code & EWKB_SRID:
        at += 4
    code &= 0x0FFFFFFF
    if code >= 1000:
        width = 3 + (code >= 3000)
    if code >= 4000 or at + 4 > end:
        return big, BROKEN, 2, at
    return big, code % 1000, width, at


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _read(data: Any, start: Any) -> Any:
    room = data.size // 16 + 1
    bits_x, bits_y = np.empty(room, np.uint64), np.empty(room, np.uint64)
    rings, parts = np.zeros(data.size // 4 + 2, np.int64), np.zeros(data.size // 9 + 2, np.int64)
    features, kinds = np.zeros(start.size, np.int64), np.empty(start.size - 1, np.int64)
    end, ring, part = 0, 0, 0
    for k in range(start.size - 1):
        at, stop = start[k], start[k + 1]
        before = end, ring, part
        big, kind, width, at = _head(data, at, stop)
        if kind not in (POLYGON, MULTIPOLYGON, BROKEN):
            kind = OTHER
        count = 0
        if kind == POLYGON:
            count = 1
        elif kind == MULTIPOLYGON:
            count = _whole(data, at, big)
            at += 4
        for _ in range(count):
            if kind == MULTIPOLYGON:
                big, inner, width, at = _head(data, at, stop)
                if inner != POLYGON:
                    kind = BROKEN
                    break
            n_rings = _whole(data, at, big)
            at += 4
            first = ring
            for _ in range(n_rings):
                if at + 4 > stop:
                    kind = BROKEN
                    break
                n = _whole(data, at, big)
                at += 4
                if at + n * width * 8 > stop:
                    kind = BROKEN
                    break
                for _ in range(n):
                    bits_x[end], bits_y[end] = _bits(data, at, big), _bits(data, at + 8, big)
                    at += 8 * width
                    end += 1
                if n:
                    ring += 1
                    rings[ring] = end
            if kind == BROKEN:
                break
            if ring > first:
                part += 1
                parts[part] = ring
        if kind == BROKEN:
            end, ring, part = before
        kinds[k] = kind
        features[k + 1] = part
    x, y = bits_x[:end].copy(), bits_y[:end].copy()
    return kinds, x.view(np.float64), y.view(np.float64), rings[: ring + 1].copy(), parts[: part + 1].copy(), features
