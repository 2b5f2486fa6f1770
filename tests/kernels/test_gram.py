"""The Gram against numpy, on codes and on floats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from terradrift.kernels.gram import STRIP, gram, gram_of, guard_norm
from terradrift.kernels.quantize import dequantize, quantize


def plain_gram(codes: np.ndarray) -> np.ndarray:
    """Sums of whole numbers, written out."""
    s = codes.astype(np.int64) * np.abs(codes.astype(np.int64))
    valid = (codes != -128).all(axis=1)
    products = np.einsum("tb...,ub...->tu...", s, s)
    return np.where(valid[:, None] & valid[None], products, 0)


@given(
    hnp.arrays(
        np.int8,
        st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5)),
        elements=st.integers(-128, 127),
    )
)
def test_equals_sums_of_whole_numbers(codes: np.ndarray) -> None:
    products, valid = gram(codes)
    assert products.dtype == np.int64
    assert np.array_equal(products, plain_gram(codes))
    assert np.array_equal(valid, (codes != -128).all(axis=1))


@pytest.mark.parametrize("pixels", [1, STRIP - 1, STRIP, STRIP + 1, 2 * STRIP + 76])
def test_strips_of_any_length(pixels: int) -> None:
    codes = np.random.default_rng(pixels).integers(-127, 128, size=(9, 64, pixels)).astype(np.int8)
    assert np.array_equal(gram(codes)[0], plain_gram(codes))


@pytest.mark.parametrize(("first", "stop"), [(0, 700), (3, 4), (100, 699)])
def test_some_pixels_are_taken_as_they_lie(first: int, stop: int) -> None:
    codes = np.random.default_rng(7).integers(-128, 128, size=(4, 5, 700)).astype(np.int8)
    for values in (codes, np.where(codes == -128, np.nan, codes).astype(np.float32)):
        found, expected = gram_of(values, first, stop), gram(values)
        assert np.array_equal(found[0], expected[0][:, :, first:stop])
        assert np.array_equal(found[1], expected[1][:, first:stop])


def test_products_beyond_int32_are_exact() -> None:
    codes = np.full((3, 64, 300), 127, np.int8)  # 64 * 127^4 > 2^31
    products, _ = gram(codes)
    assert (products == 64 * 127**4).all()


def test_no_data_in_one_band_masks_the_year() -> None:
    codes = np.full((2, 4, 1), 50, np.int8)
    codes[1, 2] = -128
    products, valid = gram(codes)
    assert valid[:, 0].tolist() == [True, False]
    assert products[0, 1, 0] == products[1, 1, 0] == 0


def test_permuting_bands_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(-127, 128, size=(5, 64, 40)).astype(np.int8)
    assert np.array_equal(gram(codes)[0], gram(codes[:, rng.permutation(64)])[0])


def test_float_vectors_are_summed_as_they_are() -> None:
    vectors = np.random.default_rng(2).normal(size=(4, 5, 6, 7)).astype(np.float32)
    vectors[1, 3, 2, 2] = np.nan
    products, valid = gram(vectors)
    assert not valid[1, 2, 2]
    assert valid.sum() == 4 * 6 * 7 - 1
    wide = np.where(valid[:, None], vectors, 0).astype(np.float64)
    assert np.allclose(products, np.einsum("tb...,ub...->tu...", wide, wide), rtol=1e-12)


def test_norms_off_one_are_counted_and_masked() -> None:
    rng = np.random.default_rng(3)
    unit = rng.normal(size=(3, 64, 10))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    unit[1, :, :4] *= 0.7
    products, valid = gram(quantize(unit))
    kept, n_bad = guard_norm(products, valid)
    assert n_bad == 4
    assert np.array_equal(kept, valid & ~np.isin(np.arange(30).reshape(3, 10), np.arange(10, 14)))


def test_decoding_is_the_published_formula() -> None:
    codes = np.arange(-128, 128, dtype=np.int16).astype(np.int8).reshape(256, 1)
    decoded, valid = dequantize(codes)
    q = codes[1:, 0].astype(np.float64)
    assert not valid[0]
    assert np.isnan(decoded[0]).all()
    assert np.allclose(decoded[1:, 0], np.sign(q) * (q / 127.5) ** 2, rtol=1e-7)


@given(hnp.arrays(np.int8, (4, 3), elements=st.integers(-127, 127)))
def test_codes_survive_decoding_and_coding(codes: np.ndarray) -> None:
    assert np.array_equal(quantize(dequantize(codes)[0]), codes)
