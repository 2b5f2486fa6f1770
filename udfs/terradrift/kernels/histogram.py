"""Exact quantiles of a raster from integer histograms: sums of counts, so that they do not depend on tiles or their order.

A float32 is mapped to a whole number of the same order. The upper 16 bits name a bin; a second pass over one bin's lower
16 bits gives the very value.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

BITS = 16


def value_of(key: int) -> float:
    """The float32 whose ordered key this is."""
    bits = key & 0x7FFFFFFF if key & 0x80000000 else ~key & 0xFFFFFFFF
    return float(np.array([bits], np.uint32).view(np.float32)[0])


def histogram(values: npt.NDArray[np.float32], within: int | None = None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Bins that hold values, and their counts, of a raster; what is not finite is left out.

    Bins are the upper 16 bits of the ordered keys; with `within`, the lower 16 bits of the keys in that one bin.
    """
    counts, _, _ = _count_keys(_bits(values), -1 if within is None else within)
    found = np.flatnonzero(counts)
    return found, counts[found]


def value_counts(values: npt.NDArray[Any], nodata: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], float, float]:
    """Bins that hold data, their counts, the lowest and the highest value (0.0 without data) of a raster, in one pass.

    Floats are float32, counted in the bins of `histogram`; whole numbers of up to 16 bits are bins themselves.
    """
    if values.dtype.kind == "f":
        counts, low, high = _count_keys(_bits(values), -1)
        found = np.flatnonzero(counts)
        return found, counts[found], *((value_of(low), value_of(high)) if found.size else (0.0, 0.0))
    lowest = int(np.iinfo(values.dtype).min)
    counts = _count_whole(values.reshape(-1), values.dtype.type(nodata), lowest)
    found = np.flatnonzero(counts)
    bins = found + lowest
    return bins, counts[found], *((float(bins[0]), float(bins[-1])) if found.size else (0.0, 0.0))


def _bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    return np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint32)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _count_keys(bits: Any, within: int) -> Any:
    """Counts of the bins of finite values (of those in the bin `within`, unless it is negative); the lowest and highest key."""
    counts = np.zeros(1 << BITS, np.int64)
    low, high = np.uint32(0xFFFFFFFF), np.uint32(0)
    for k in range(bits.size):
        word = bits[k]
        if word & np.uint32(0x7F800000) == np.uint32(0x7F800000):
            continue  # NaN and the infinities
        key = np.uint32(~word) if word >> np.uint32(31) else np.uint32(word | np.uint32(0x80000000))
        upper = key >> np.uint32(BITS)
        if within < 0:
            counts[upper] += 1
        elif upper == within:
            counts[key & np.uint32((1 << BITS) - 1)] += 1
        low, high = min(low, key), max(high, key)
    return counts, low, high


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _count_whole(values: Any, nodata: Any, lowest: int) -> Any:
    counts = np.zeros(1 << BITS, np.int64)
    for k in range(values.size):
        if values[k] != nodata:
            counts[np.int64(values[k]) - lowest] += 1
    return counts


def quantile_rank(quantile: float, total: int) -> int:
    """0-based rank of the smallest value at or above the linear quantile: the same pixels pass either."""
    return min(math.ceil(round(quantile * (total - 1), 9)), total - 1)


def bin_of_rank(bins: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], rank: int) -> tuple[int, int]:
    """The bin that holds the value of a rank, and the rank within it; bins ascending."""
    after = np.cumsum(counts)
    position = int(np.searchsorted(after, rank, side="right"))
    return int(bins[position]), rank - int(after[position] - counts[position])
