"""Exact quantiles from counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from terradrift.kernels.histogram import BITS, bin_of_rank, histogram, quantile_rank, value_counts, value_of

FLOATS = hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(width=32, allow_nan=False, allow_infinity=False))


def ordered_keys(values: np.ndarray) -> np.ndarray:
    """Oracle: whole numbers in the order of finite float32 values, same shape."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    negative = bits >> np.uint32(31) == 1
    return np.where(negative, ~bits, bits | np.uint32(0x80000000))


@given(FLOATS)
def test_keys_keep_the_order_and_the_value(values: np.ndarray) -> None:
    keys = ordered_keys(values)
    assert np.array_equal(np.sort(values), values[np.argsort(keys, kind="stable")])
    assert [value_of(int(key)) for key in keys] == values.tolist()


@given(FLOATS, st.floats(0.01, 0.99), st.integers(1, 5))
def test_the_same_pixels_pass_as_with_numpys_quantile(values: np.ndarray, quantile: float, parts: int) -> None:
    def merged(within: int | None) -> tuple[np.ndarray, np.ndarray]:
        counts: dict[int, int] = {}
        for part in np.array_split(values, parts):
            for bin_, count in zip(*histogram(part, within), strict=True):
                counts[int(bin_)] = counts.get(int(bin_), 0) + int(count)
        return np.array(sorted(counts)), np.array([counts[bin_] for bin_ in sorted(counts)])

    bin_, rank = bin_of_rank(*merged(None), quantile_rank(quantile, len(values)))
    low, _ = bin_of_rank(*merged(bin_), rank)
    threshold = value_of(bin_ << BITS | low)
    assert threshold == np.quantile(values, quantile, method="inverted_cdf") or np.array_equal(
        values >= np.float32(threshold), values >= np.quantile(values.astype(np.float64), quantile)
    )
    assert threshold in values


def test_nan_is_left_out() -> None:
    bins, counts = histogram(np.array([np.nan, 1.0, 1.0], np.float32))
    assert len(bins) == 1
    assert counts.tolist() == [2]


@pytest.mark.parametrize(("quantile", "total", "rank"), [(0.5, 1, 0), (0.5, 3, 1), (0.9, 11, 9), (0.99, 100, 99), (0.1, 11, 1)])
def test_rank(quantile: float, total: int, rank: int) -> None:
    assert quantile_rank(quantile, total) == rank


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.floats(width=32)))
def test_floats_are_counted_with_their_range_in_one_pass(values: np.ndarray) -> None:
    bins, counts, low, high = value_counts(values, np.nan)
    known = values[np.isfinite(values)]
    expected, numbers = np.unique(ordered_keys(known) >> np.uint32(BITS), return_counts=True)
    assert (bins.tolist(), counts.tolist()) == (expected.tolist(), numbers.tolist())
    assert (low, high) == ((known.min(), known.max()) if known.size else (0.0, 0.0))


@given(st.sampled_from(["uint8", "int16"]).flatmap(lambda dtype: hnp.arrays(dtype, st.integers(1, 40))))
def test_whole_numbers_are_counted_one_by_one(values: np.ndarray) -> None:
    nodata = int(values[0])
    bins, counts, low, high = value_counts(values, nodata)
    known = values[values != nodata]
    expected, numbers = np.unique(known, return_counts=True)
    assert (bins.tolist(), counts.tolist()) == (expected.tolist(), numbers.tolist())
    assert (low, high) == ((known.min(), known.max()) if known.size else (0.0, 0.0))
