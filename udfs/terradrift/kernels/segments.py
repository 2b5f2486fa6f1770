"""A labelled raster as its horizontal runs of equal label: far fewer than pixels, and all that statistics and outlines need."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from terradrift.kernels.ragged import Int32, Int64, offsets_of


class Segments(NamedTuple):
    """Horizontal runs of pixels of one part, in row-major order; every other pixel is background."""

    row_offsets: Int64
    """(y + 1): where each row begins among the segments."""
    start: Int32
    """(segment): its first column."""
    end: Int32
    """(segment): the column after its last."""
    part: Int32
    """(segment): the number of its part, 1..n."""
    n: int
    width: int
    """Columns of the raster."""

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.row_offsets) - 1, self.width

    def renumber(self, number: Int32, n: int) -> Segments:
        """Every part (n + 1) under its new number up to `n`, 0 to drop it."""
        part = number[self.part]
        keep = part > 0
        kept = offsets_of(keep)[self.row_offsets]
        return Segments(kept, self.start[keep], self.end[keep], part[keep], n, self.width)

    def pixel_counts(self) -> Int64:
        """Pixels of every part: (n + 1), entry 0 is 0."""
        counts: Int64 = _pixel_counts(self.start, self.end, self.part, self.n)
        return counts

    def paint(self, margin: int = 0) -> Int32:
        """The raster (y, x), 0 = background, with so many rows and columns of background around it."""
        height, width = self.shape
        labels = np.zeros((height + 2 * margin, width + 2 * margin), np.int32)
        _paint(*self[:4], labels[margin : margin + height, margin : margin + width])
        return labels

    def outermost(self) -> tuple[Int64, Int64, Int32]:
        """The pixels along the four sides of the raster that belong to a part, each once: row, column and part."""
        y, x, part = _outermost(*self[:4], self.width)
        return y, x, part


def find_segments(classes: npt.NDArray[Any]) -> tuple[Int64, Int32, Int32]:
    """Maximal horizontal runs of equal class that is not 0, of contiguous (y, x): row_offsets, start, end."""
    row_offsets = offsets_of(_count(classes))
    start, end = _find(classes, int(row_offsets[-1]))
    return row_offsets, start, end


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _count(classes: Any) -> Any:
    """Runs of every row: (y). A loop without branches, which compiles to vector instructions."""
    counts = np.zeros(len(classes), np.int64)
    if classes.size == 0:
        return counts
    for y in range(len(classes)):
        row = classes[y]
        count = np.int64(row[0] != 0)
        for here, before in zip(row[1:], row[:-1]):  # noqa: B905  (numba's zip takes no keyword)
            count += (here != 0) & (here != before)
        counts[y] = count
    return counts


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _find(classes: Any, n: int) -> Any:
    start, end = np.empty(n, np.int32), np.empty(n, np.int32)
    at = 0
    for y in range(len(classes)):
        row = classes[y]
        x = 0
        before = classes.dtype.type(0)
        for here in row:
            if here != before:
                if before != 0:
                    end[at] = x
                    at += 1
                if here != 0:
                    start[at] = x
                before = here
            x += 1
        if before != 0:
            end[at] = x
            at += 1
    return start, end


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _pixel_counts(start: Any, end: Any, part: Any, n: int) -> Any:
    counts = np.zeros(n + 1, np.int64)
    for i in range(len(part)):
        counts[part[i]] += end[i] - start[i]
    return counts


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _paint(row_offsets: Any, start: Any, end: Any, part: Any, labels: Any) -> None:
    for y in range(len(labels)):
        for i in range(row_offsets[y], row_offsets[y + 1]):
            labels[y, start[i] : end[i]] = part[i]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _outermost(row_offsets: Any, start: Any, end: Any, part: Any, width: int) -> Any:
    height = len(row_offsets) - 1
    longest = 2 * (height + width)
    y, x, found = np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty(longest, np.int32)
    n = 0
    for row in range(height):
        step = max(1, width - 1) if 0 < row < height - 1 else 1  # between the columns that lie on a side
        for i in range(row_offsets[row], row_offsets[row + 1]):
            for col in range(-(-start[i] // step) * step, end[i], step):
                y[n], x[n], found[n] = row, col, part[i]
                n += 1
    return y[:n], x[:n], found[:n]
