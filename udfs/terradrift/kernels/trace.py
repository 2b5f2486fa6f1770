"""Labels to polygons: rings along pixel edges, and their bytes.

A ring is walked with its label on the right hand (north is up), starting eastwards along the first top edge in row-major
order. Where two pixels of a label meet only diagonally the walk turns left, which parts the rings there: a hole may touch the
exterior in a point, no ring ever touches itself, so every polygon of a 4-connected label is valid by construction (OGC 06-103r4,
6.1.11).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from terradrift.kernels.ragged import Int64, offsets_of
from terradrift.kernels.segments import Segments

WKB_POLYGON, WKB_MULTIPOLYGON = 3, 6
WKB_HEAD = 9  # byte order, type, number of members
WKB_POINT = 16  # x and y as float64


class Rings(NamedTuple):
    """Polygons as ragged arrays: corners only, rings not closed, the first ring of a polygon its exterior, the others holes."""

    xy: Int64
    """(corner, 2): column and row of pixel corners."""
    ring_offsets: Int64
    """(ring + 1): where each ring begins in `xy`."""
    polygon_offsets: Int64
    """(polygon + 1): where each polygon begins among the rings."""

    def select(self, keep: npt.NDArray[np.bool_]) -> Rings:
        """Only the rings of `keep` (ring); a polygon left without rings vanishes."""
        length = np.diff(self.ring_offsets)
        rings = np.add.reduceat(keep.astype(np.int64), self.polygon_offsets[:-1])
        return Rings(self.xy[np.repeat(keep, length)], offsets_of(length[keep]), offsets_of(rings[rings > 0]))


def trace(segments: Segments, y0: int = 0, x0: int = 0) -> Rings:
    """Outlines of parts 1..n, one polygon a part, every part 4-connected; the raster begins at row y0, column x0.

    The order of polygons is that of parts; holes follow the exterior in row-major order of their first edge.
    """
    # large arrays are numpy's: it asks for huge pages, without which touching them first takes as long as the walk
    padded = segments.paint(margin=1)
    walked = np.zeros(padded.size, np.bool_)
    corners, starts, owners = _walk(padded, walked, *segments[:4])
    xy = np.empty((len(corners), 2), np.int64)
    ring_offsets, polygon_offsets = _by_owner(corners, starts, owners, segments.n, segments.width + 2, y0 - 1, x0 - 1, xy)
    return Rings(xy, ring_offsets, polygon_offsets)


def rings_to_wkb(rings: Rings, row_offsets: Int64) -> tuple[npt.NDArray[np.uint8], Int64]:
    """Little-endian WKB of every row: (bytes, offsets (row + 1)).

    Row r holds the polygons row_offsets[r] .. row_offsets[r + 1]: a Polygon where that is one, else a MultiPolygon.
    """
    ring_bytes = offsets_of(4 + WKB_POINT * (np.diff(rings.ring_offsets) + 1))
    polygon_bytes = offsets_of(WKB_HEAD + np.diff(ring_bytes[rings.polygon_offsets]))
    several = np.diff(row_offsets) != 1
    offsets = offsets_of(np.diff(polygon_bytes[row_offsets]) + WKB_HEAD * several)
    data = np.empty(int(offsets[-1]), np.uint8)
    _write_wkb(*rings, row_offsets, data)
    return data, offsets


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _walk(padded: Any, walked: Any, row_offsets: Any, start: Any, end: Any, part: Any) -> Any:
    """Rings of `trace` in the order they are found: corners, where each ring begins, the polygon of each.

    padded: the parts with a border of one background pixel; walked: takes the top edges that belong to a ring. A vertex is named
    by the flat index of the pixel south-east of it; headings are 0 E, 1 S, 2 W, 3 N. Indexes are unsigned: compiled code tests
    signed ones for counting from the end.
    """
    one, width = np.uint64(1), np.uint64(padded.shape[1])
    north, west = np.uint64(0) - width, np.uint64(0) - one
    flat = padded.ravel()
    step = np.array([one, width, west, north])
    left = np.array([north, np.uint64(0), west, north + west])  # the pixel before the left hand, seen from the vertex ahead
    right = np.array([np.uint64(0), west, north + west, north])
    corners = np.empty(1024, np.uint32)
    starts = np.empty(256, np.int64)
    owners = np.empty(256, np.int32)
    n_corners, n_rings = np.uint64(0), 0
    for row in range(len(row_offsets) - 1):
        first = np.uint64(row + 1) * width + one
        for segment in range(row_offsets[row], row_offsets[row + 1]):
            here = part[segment]
            for begin in range(first + np.uint64(start[segment]), first + np.uint64(end[segment])):
                if flat[begin + north] == here or walked[begin]:
                    continue
                if n_rings == len(starts):
                    starts, owners = _doubled(starts), _doubled(owners)
                starts[n_rings] = n_corners
                owners[n_rings] = here - 1
                n_rings += 1
                vertex, heading, turn = begin, np.uint64(0), one
                while True:
                    if turn != 0:
                        if n_corners == np.uint64(len(corners)):
                            corners = _doubled(corners)
                        corners[n_corners] = vertex
                        n_corners += one
                    if heading == 0:
                        walked[vertex] = True
                    vertex += step[heading]
                    if flat[vertex + left[heading]] == here:
                        turn = np.uint64(3)
                    elif flat[vertex + right[heading]] == here:
                        turn = np.uint64(0)
                    else:
                        turn = one
                    heading = (heading + turn) & np.uint64(3)
                    if vertex == begin and heading == 0:
                        break
    return corners[:n_corners], starts[:n_rings], owners[:n_rings]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _doubled(array: Any) -> Any:
    grown = np.empty(2 * len(array), array.dtype)
    grown[: len(array)] = array
    return grown


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _by_owner(corners: Any, starts: Any, owners: Any, n: int, width: int, y0: int, x0: int, xy: Any) -> Any:
    """Rings in the order they were found to `xy` and offsets polygon by polygon (a stable counting sort)."""
    wide = np.uint32(width)  # 32-bit division takes a fraction of the time of a 64-bit one
    n_rings = len(starts)
    polygon_offsets = np.zeros(n + 1, np.int64)
    for owner in owners:
        polygon_offsets[owner + 1] += 1
    for polygon in range(n):
        polygon_offsets[polygon + 1] += polygon_offsets[polygon]
    place = polygon_offsets[:-1].copy()
    order = np.empty(n_rings, np.int64)
    for ring in range(n_rings):
        order[place[owners[ring]]] = ring
        place[owners[ring]] += 1
    ring_offsets = np.zeros(n_rings + 1, np.int64)
    at = 0
    for i in range(n_rings):
        ring = order[i]
        end = starts[ring + 1] if ring + 1 < n_rings else len(corners)
        for corner in range(starts[ring], end):
            y = corners[corner] // wide
            xy[at, 0] = x0 + np.int64(corners[corner] - y * wide)
            xy[at, 1] = y0 + np.int64(y)
            at += 1
        ring_offsets[i + 1] = at
    return ring_offsets, polygon_offsets


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _write_wkb(xy: Any, ring_offsets: Any, polygon_offsets: Any, row_offsets: Any, data: Any) -> None:
    at = 0
    for row in range(len(row_offsets) - 1):
        first, last = row_offsets[row], row_offsets[row + 1]
        if last - first != 1:
            at = _put_head(data, at, WKB_MULTIPOLYGON, last - first)
        for polygon in range(first, last):
            at = _put_head(data, at, WKB_POLYGON, polygon_offsets[polygon + 1] - polygon_offsets[polygon])
            for ring in range(polygon_offsets[polygon], polygon_offsets[polygon + 1]):
                begin, end = ring_offsets[ring], ring_offsets[ring + 1]
                at = _put_uint32(data, at, end - begin + 1)
                for corner in range(begin, end):
                    at = _put_point(data, at, xy[corner, 0], xy[corner, 1])
                at = _put_point(data, at, xy[begin, 0], xy[begin, 1])


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _put_head(data: Any, at: int, kind: int, members: int) -> int:
    data[at] = 1  # little endian
    _put_uint32(data, at + 1, kind)
    return _put_uint32(data, at + 5, members)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _put_uint32(data: Any, at: int, value: int) -> int:
    for i in range(4):
        data[at + i] = (value >> (8 * i)) & 0xFF
    return at + 4


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _put_point(data: Any, at: int, x: int, y: int) -> int:
    x_bits, y_bits = np.float64(x).view(np.int64), np.float64(y).view(np.int64)
    for i in range(8):
        data[at + i] = (x_bits >> (8 * i)) & 0xFF
        data[at + 8 + i] = (y_bits >> (8 * i)) & 0xFF
    return at + WKB_POINT
