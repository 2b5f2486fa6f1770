"""Connected components of a class raster, by union-find over its horizontal runs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from terradrift.errors import InputError
from terradrift.kernels.ragged import Int32, Int64, runs
from terradrift.kernels.segments import Segments, find_segments

Classes = npt.NDArray[Any]

MAX_PIXELS = 2**30  # with a border of one pixel, the outlines' vertices are numbered in 32 bits whatever the raster's shape


def label(classes: Classes) -> Segments:
    """4-connected components of equal class: (y, x) bool or integer, 0 = background.

    Components are numbered 1..n by their first pixel in row-major order.
    """
    if classes.ndim != 2 or classes.dtype.kind not in "bui":
        raise InputError(
            f"classes: found {classes.dtype} of shape {classes.shape}; expected bool or integer (y, x); cast or select a band"
        )
    if classes.size > MAX_PIXELS:
        raise InputError(f"classes: found {classes.size} pixels; expected at most {MAX_PIXELS}; work in tiles")
    dense = _dense(classes)
    found = find_segments(dense)
    part, n = _label(dense, *found)
    return Segments(*found, part, n, classes.shape[1])


def diagonal_groups(segments: Segments, classes: Classes) -> Int32:
    """Of every part of `label(classes)`, the smallest part of its 8-connected group: (n + 1), 0 for background."""
    groups: Int32 = _diagonal_groups(_dense(classes), *segments[:5])
    return groups


class Rows(NamedTuple):
    """How the parts of a tile become rows: the parts of one row have consecutive numbers."""

    number: Int32
    """(part + 1): a part's number 1..n, 0 where it is dropped."""
    offsets: Int64
    """(row + 1): where each row begins among the parts."""
    seam: npt.NDArray[np.bool_]
    """(row): whether its group reaches one of the sides."""
    leader: Int64
    """(row): the part that is the first of its group."""


def arrange_rows(segments: Segments, classes: Classes, at_seams: Int32, connectivity: int, min_pixels: int) -> Rows:
    """A row for every part of a group that holds one of the parts `at_seams`, and for every other group a row.

    A group is a part, or with connectivity 8 what `diagonal_groups` joins; off the seams, those below `min_pixels` are dropped.
    """
    n = segments.n
    group = diagonal_groups(segments, classes) if connectivity == 8 else np.arange(n + 1, dtype=np.int32)
    seam = np.zeros(n + 1, np.bool_)
    seam[group[at_seams]] = True
    pixels = np.zeros(n + 1, np.int64)
    np.add.at(pixels, group, segments.pixel_counts())
    kept = 1 + np.flatnonzero((seam | (pixels >= min_pixels))[group[1:]])
    row = np.where(seam[group[kept]], kept, group[kept])
    order = np.argsort(row, kind="stable")
    kept, row = kept[order], row[order]
    number = np.zeros(n + 1, np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    offsets = runs(row)
    first = kept[offsets[:-1]]
    return Rows(number, offsets, seam[group[first]], number[group[first]].astype(np.int64) - 1)


def _dense(classes: Classes) -> Classes:
    dense = np.ascontiguousarray(classes)
    return dense.view(np.uint8) if dense.dtype == np.bool_ else dense


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _root(parent: Any, node: Any) -> Any:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _join(parent: Any, a: Any, b: Any) -> None:
    """Unite the sets of a and b; the smaller root stays, so a root is its set's first member."""
    a, b = _root(parent, a), _root(parent, b)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _join_rows(classes: Any, row_offsets: Any, start: Any, end: Any, node: Any, reach: int, parent: Any) -> None:
    """Unite the nodes of runs of equal class in neighbouring rows that share an edge, with `reach` 1 also those at a corner."""
    for y in range(1, len(row_offsets) - 1):
        above = row_offsets[y - 1]
        for here in range(row_offsets[y], row_offsets[y + 1]):
            while above < row_offsets[y] and end[above] + reach <= start[here]:
                above += 1
            other = above
            while other < row_offsets[y] and start[other] < end[here] + reach:
                if classes[y - 1, start[other]] == classes[y, start[here]]:
                    _join(parent, node[other], node[here])
                other += 1


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _label(classes: Any, row_offsets: Any, start: Any, end: Any) -> Any:
    parent = np.arange(len(start)).astype(np.int32)
    _join_rows(classes, row_offsets, start, end, parent.copy(), 0, parent)
    count = 0
    for run in range(len(start)):  # a parent comes before its child, so it has its number already
        if parent[run] == run:
            count += 1
            parent[run] = count
        else:
            parent[run] = parent[parent[run]]
    return parent, count


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _diagonal_groups(classes: Any, row_offsets: Any, start: Any, end: Any, part: Any, n: int) -> Any:
    parent = np.arange(n + 1).astype(np.int32)
    _join_rows(classes, row_offsets, start, end, part, 1, parent)
    for node in range(1, n + 1):
        parent[node] = parent[parent[node]]
    return parent
