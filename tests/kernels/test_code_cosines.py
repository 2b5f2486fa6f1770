"""Cosine distances straight from codes: bit for bit those of Gram, guard and distance one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from terradrift.kernels.code_cosines import code_cosines
from terradrift.kernels.distances import cosine
from terradrift.kernels.gram import STRIP, gram_of, guard_norm, sums_for
from terradrift.kernels.products import CODES
from terradrift.kernels.quantize import UNIT_PRODUCT, quantize


def mixed_codes(seed: int, pixels: int, time: int = 9, band: int = 64) -> np.ndarray:
    """Unit vectors with missing years, equal years, norms off one and squares beyond int32."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1, band, pixels)) + 0.4 * rng.normal(size=(time, band, pixels))
    codes = quantize(x / np.linalg.norm(x, axis=1, keepdims=True))
    codes[-1, :, ::7] = codes[0, :, ::7]
    codes[:, :, ::11] = 127
    codes[0, band // 2 :, ::5] = 0
    return np.where(rng.random((time, 1, pixels)) < 0.1, np.int8(-128), codes)


def one_after_the_other(codes: np.ndarray, first: int, stop: int, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    products, valid = gram_of(codes, first, stop)
    valid, n_bad = guard_norm(products, valid & inside)
    return cosine(products, valid, UNIT_PRODUCT), valid, n_bad


def assert_same(codes: np.ndarray, first: int, stop: int, inside: np.ndarray) -> None:
    distance, valid, n_bad = code_cosines(codes, first, stop, inside)
    expected, good, bad = one_after_the_other(codes, first, stop, inside)
    assert n_bad == bad
    assert np.array_equal(valid, good)
    t, u = np.triu_indices(len(codes), 1)
    assert np.array_equal(distance[t, u], expected[t, u], equal_nan=True)
    assert (distance[np.arange(len(codes)), np.arange(len(codes))] == 0).all()


@pytest.mark.parametrize("pixels", [1, CODES - 1, CODES + 1, STRIP, STRIP + 1, 3 * STRIP + 76])
@pytest.mark.parametrize(("time", "band"), [(9, 64), (2, 64), (4, 5)])
def test_the_same_bits_as_step_by_step(pixels: int, time: int, band: int) -> None:
    codes = mixed_codes(pixels, pixels, time, band)
    assert_same(codes, 0, pixels, np.random.default_rng(pixels).random(pixels) < 0.8)
    assert_same(codes, pixels // 3, pixels, np.ones(pixels - pixels // 3, bool))


@given(
    hnp.arrays(
        np.int8,
        st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 40)),
        elements=st.integers(-128, 127),
    )
)
def test_any_codes(codes: np.ndarray) -> None:
    assert_same(codes, 0, codes.shape[2], np.ones(codes.shape[2], bool))


def test_equal_years_are_exactly_alike() -> None:
    codes = np.repeat(mixed_codes(3, 500)[:1], 4, axis=0)
    distance, valid, _ = code_cosines(codes, 0, 500)
    t, u = np.triu_indices(4, 1)
    assert (distance[t, u][:, valid.all(axis=0)] == 0).all()


def test_sums_are_those_of_the_gram() -> None:
    codes = mixed_codes(4, 700)
    sums, expected = sums_for(codes, 600), sums_for(codes, 600)
    code_cosines(codes, 50, 650, None, sums)
    gram_of(codes, 50, 650, expected)
    assert np.array_equal(sums, expected)
