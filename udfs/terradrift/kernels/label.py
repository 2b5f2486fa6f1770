"""Connected components of a class raster, in one pass of union-find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from terradrift.errors import InputError

Classes = npt.NDArray[Any]
Labels = npt.NDArray[np.int32]

MAX_PIXELS = 2**31 - 1  # a raster in which every pixel is its own part still numbers them as int32


def label(classes: Classes) -> Labels:
    """4-connected components of equal class: (y, x) bool or integer, 0 = background -> (y, x) int32, 0 = background.

    Components are numbered 1..n by their first pixel in row-major order.
    """
    if classes.ndim != 2 or classes.dtype.kind not in "bui":
        raise InputError(
            f"classes: found {classes.dtype} of shape {classes.shape}; expected bool or integer (y, x); cast or select a band"
        )
    if classes.size > MAX_PIXELS:
        raise InputError(f"classes: found {classes.size} pixels; expected at most {MAX_PIXELS}; work in tiles")
    dense = np.ascontiguousarray(classes)
    labels: Labels = _label(dense.view(np.uint8) if dense.dtype == np.bool_ else dense)
    return labels


def diagonal_groups(labels: Labels, classes: Classes) -> npt.NDArray[np.int32]:
    """Of every label of `label(classes)`, the smallest label of its 8-connected group: (n + 1) int32, 0 for background."""
    groups: npt.NDArray[np.int32] = _diagonal_groups(labels, np.ascontiguousarray(classes), int(labels.max(initial=0)))
    return groups


def pixel_counts(labels: Labels, n: int) -> npt.NDArray[np.int64]:
    """Pixels of every label: (n + 1) int64, the background's first."""
    counts: npt.NDArray[np.int64] = _pixel_counts(labels, n)
    return counts


def renumber(labels: Labels, number: npt.NDArray[np.int32]) -> Labels:
    """`number[labels]`: every label (n + 1) under its new number, 0 to drop it."""
    renumbered: Labels = _renumber(labels, number)
    return renumbered


class Rows(NamedTuple):
    """How the parts of a tile become rows: the parts of one row have consecutive numbers."""

    number: Labels
    """(label + 1): a part's number 1..n, 0 where it is dropped."""
    offsets: npt.NDArray[np.int64]
    """(row + 1): where each row begins among the parts."""
    seam: npt.NDArray[np.bool_]
    """(row): whether its group reaches one of the sides."""
    leader: npt.NDArray[np.int64]
    """(row): the part that is the first of its group."""


def arrange_rows(labels: Labels, classes: Classes, sides: Sequence[Labels], connectivity: int, min_pixels: int) -> Rows:
    """A row for every part of a group that reaches one of the `sides` (label vectors), and for every other group a row.

    A group is a label, or with connectivity 8 what `diagonal_groups` joins; off the sides, those below `min_pixels` are dropped.
    """
    n = int(labels.max(initial=0))
    group = diagonal_groups(labels, classes) if connectivity == 8 else np.arange(n + 1, dtype=np.int32)
    seam = np.zeros(n + 1, np.bool_)
    for side in sides:
        seam[group[side]] = True
    pixels = np.zeros(n + 1, np.int64)
    np.add.at(pixels, group, pixel_counts(labels, n))
    kept = 1 + np.flatnonzero((seam | (pixels >= min_pixels))[group[1:]])
    row = np.where(seam[group[kept]], kept, group[kept])
    order = np.argsort(row, kind="stable")
    kept, row = kept[order], row[order]
    number = np.zeros(n + 1, np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    offsets = runs(row)
    first = kept[offsets[:-1]]
    return Rows(number, offsets, seam[group[first]], number[group[first]].astype(np.int64) - 1)


def runs(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Where each run of equal values begins, and the end: (n) -> (run + 1)."""
    values = np.asarray(values)
    return np.concatenate([np.flatnonzero(np.diff(values, prepend=values[:1] - 1)), [len(values)]])


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _root(parent: Any, node: Any) -> Any:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _join(parent: Any, a: Any, b: Any) -> None:
    """Unite the sets of a and b; the smaller root stays, so a root is its set's first pixel."""
    a, b = _root(parent, a), _root(parent, b)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _label(classes: Any) -> Any:
    height, width = classes.shape
    labels = np.zeros((height, width), np.int32)
    parent = np.empty(height * width + 1, np.int32)
    last = 0
    for y in range(height):
        for x in range(width):
            here = classes[y, x]
            if here == 0:
                continue
            above = y > 0 and classes[y - 1, x] == here
            before = x > 0 and classes[y, x - 1] == here
            if above:
                labels[y, x] = labels[y - 1, x]
                if before and classes[y - 1, x - 1] != here:  # else the corner pixel has already joined them
                    _join(parent, labels[y - 1, x], labels[y, x - 1])
            elif before:
                labels[y, x] = labels[y, x - 1]
            else:
                last += 1
                parent[last] = last
                labels[y, x] = last
    parent[0] = 0
    count = 0
    for node in range(1, last + 1):  # a parent is smaller than its child, so it has its number already
        if parent[node] == node:
            count += 1
            parent[node] = count
        else:
            parent[node] = parent[parent[node]]
    for y in range(height):
        for x in range(width):
            if labels[y, x]:
                labels[y, x] = parent[labels[y, x]]
    return labels


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _diagonal_groups(labels: Any, classes: Any, n: int) -> Any:
    parent = np.arange(n + 1).astype(np.int32)
    height, width = labels.shape
    for y in range(1, height):
        for x in range(width):
            here = labels[y, x]
            if here == 0:
                continue
            if x > 0 and classes[y - 1, x - 1] == classes[y, x] and labels[y - 1, x - 1] != here:
                _join(parent, here, labels[y - 1, x - 1])
            if x + 1 < width and classes[y - 1, x + 1] == classes[y, x] and labels[y - 1, x + 1] != here:
                _join(parent, here, labels[y - 1, x + 1])
    for node in range(1, n + 1):
        parent[node] = parent[parent[node]]
    return parent


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _pixel_counts(labels: Any, n: int) -> Any:
    counts = np.zeros(n + 1, np.int64)
    for here in labels.flat:
        counts[here] += 1
    return counts


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _renumber(labels: Any, number: Any) -> Any:
    renumbered = np.zeros(labels.shape, np.int32)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if labels[y, x]:
                renumbered[y, x] = number[labels[y, x]]
    return renumbered
