"""Exact quantiles of a raster from integer histograms: sums of counts, so that they do not depend on tiles or their order.

A float32 is mapped to a whole number of the same order. The upper 16 bits name a bin; a second pass over one bin's lower
16 bits gives the very value.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

BITS = 16


def ordered_keys(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Whole numbers in the order of finite float32 values: same shape."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    negative = bits >> np.uint32(31) == 1
    return np.where(negative, ~bits, bits | np.uint32(0x80000000))


def value_of(key: int) -> float:
    """The float32 whose ordered key this is."""
    bits = key & 0x7FFFFFFF if key & 0x80000000 else ~key & 0xFFFFFFFF
    return float(np.array([bits], np.uint32).view(np.float32)[0])


def histogram(values: npt.NDArray[np.float32], within: int | None = None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Bins that hold values, and their counts, of a raster; NaN is left out.

    Bins are the upper 16 bits of the ordered keys; with `within`, the lower 16 bits of the keys in that one bin.
    """
    keys = ordered_keys(values[np.isfinite(values)])
    upper, lower = keys >> np.uint32(BITS), keys & np.uint32((1 << BITS) - 1)
    counts = np.bincount(upper if within is None else lower[upper == within], minlength=1 << BITS)
    found = np.flatnonzero(counts)
    return found, counts[found]


def quantile_rank(quantile: float, total: int) -> int:
    """0-based rank of the smallest value at or above the linear quantile: the same pixels pass either."""
    return min(math.ceil(round(quantile * (total - 1), 9)), total - 1)


def bin_of_rank(bins: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], rank: int) -> tuple[int, int]:
    """The bin that holds the value of a rank, and the rank within it; bins ascending."""
    after = np.cumsum(counts)
    position = int(np.searchsorted(after, rank, side="right"))
    return int(bins[position]), rank - int(after[position] - counts[position])
