"""Strata: the nearest centroid by plain cosine; the same codebook for the same sample, whatever its order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from terradrift.kernels.gram import gram_of, sums_for
from terradrift.kernels.quantize import dequantize, quantize
from terradrift.kernels.strata import (
    DEFAULT_NOISE,
    MIN_SAMPLE,
    STRATUM_NODATA,
    Strata,
    assign_strata,
    fit_strata,
    year_sums,
)
from terradrift.strata_sample import SAMPLE_SCHEMA, learn_strata

BANDS = 64


def unit(x: np.ndarray, axis: int) -> np.ndarray:
    return x / np.linalg.norm(x, axis=axis, keepdims=True)


def clusters(seed: int, count: int = 5, pixels: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions around some centres: means (pixel, band), residual variance (pixel), the centre of each."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(count, BANDS)), 1)
    of = rng.integers(0, count, pixels)
    means = unit(centres[of] + 0.02 * rng.normal(size=(pixels, BANDS)), 1) * rng.uniform(1, 9, (pixels, 1))
    return means, (of + 1) * 0.01 + rng.uniform(-0.001, 0.001, pixels), of


def gappy_codes(seed: int, pixels: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Codes of drifting unit vectors (time, band, pixel) and valid (time, pixel), some years missing or refused."""
    rng = np.random.default_rng(seed)
    codes = quantize(unit(rng.normal(size=(1, BANDS, pixels)) + 0.5 * rng.normal(size=(9, BANDS, pixels)), 1))
    missing, refused = rng.random((9, pixels)) < 0.2, rng.random((9, pixels)) < 0.1
    missing[:, :20] = True
    missing[1:, 20:40] = True
    codes = np.where(missing[:, None], np.int8(-128), codes)
    codes[:, 0][refused & ~missing] = 127  # a year that the norm or the area of interest refuses still has codes
    return codes, ~missing & ~refused


def plain_means(vectors: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return np.stack([sum(vectors[t, :, p] for t in range(9) if valid[t, p]) + np.zeros(BANDS) for p in range(valid.shape[1])])


def sums_of(codes: np.ndarray, valid: np.ndarray) -> np.ndarray:
    sums = sums_for(codes, codes.shape[2])
    gram_of(codes, 0, codes.shape[2], sums)
    return year_sums(codes, 0, valid, sums)


def strata_of(codes: np.ndarray, valid: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return assign_strata(sums_of(codes, valid), valid, centroids)


# --- assignment -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_float", [False, True])
@pytest.mark.parametrize("count", [1, 2, 12, 64])
def test_a_stratum_is_the_nearest_centroid_by_plain_cosine(count: int, is_float: bool) -> None:
    codes, valid = gappy_codes(1)
    vectors = dequantize(codes)[0].astype(np.float64)
    centroids = unit(np.random.default_rng(2).normal(size=(count, BANDS)), 1).astype(np.float32)
    found = strata_of(vectors.astype(np.float32) if is_float else codes, valid, centroids)
    means = plain_means(vectors, valid)
    assert found.dtype == np.uint8
    for p, mean in enumerate(means):
        if not valid[:, p].any():
            assert found[p] == STRATUM_NODATA
            continue
        cosine = [float(mean @ centroid) / float(np.linalg.norm(mean) * np.linalg.norm(centroid)) for centroid in centroids]
        best = int(np.argmax(cosine))
        assert found[p] == best or cosine[best] - cosine[found[p]] < 1e-6
    assert (found[valid.any(axis=0)] < count).all()


@pytest.mark.parametrize("width", [1, 127, 128, 129])
def test_the_pixels_beside_it_change_nothing(width: int) -> None:
    codes, valid = gappy_codes(3)
    centroids = unit(np.random.default_rng(4).normal(size=(12, BANDS)), 1).astype(np.float32)
    parts = [
        strata_of(np.ascontiguousarray(codes[:, :, p : p + width]), valid[:, p : p + width], centroids)
        for p in range(0, 500, width)
    ]
    assert np.array_equal(np.concatenate(parts), strata_of(codes, valid, centroids))


@pytest.mark.parametrize("bands", [BANDS, 5, 1])
def test_sums_of_some_pixels_are_those_of_signed_squares(bands: int) -> None:
    codes = np.ascontiguousarray(gappy_codes(6)[0][:, :bands])
    sums = sums_for(codes, 300)
    _, valid = gram_of(codes, 100, 400, sums)
    valid[2, :50] = False  # as the guard of norms does
    known, part = valid.any(axis=0), codes[:, :, 100:400].astype(np.int64)
    expected = (part * np.abs(part) * valid[:, None]).sum(axis=0)
    assert np.array_equal(year_sums(codes, 100, valid, sums)[:, known], expected[:, known])


@pytest.mark.parametrize("is_float", [False, True])
def test_means_are_sums_over_the_valid_years(is_float: bool) -> None:
    codes, valid = gappy_codes(5)
    vectors = dequantize(codes)[0].astype(np.float64)
    found = sums_of(vectors.astype(np.float32) if is_float else codes, valid).T
    some = valid.any(axis=0)
    scale = 1.0 if is_float else 127.5**2
    assert found[some] / scale == pytest.approx(plain_means(vectors, valid)[some], abs=1e-5)


# --- the codebook -----------------------------------------------------------------------------------------------------------


def test_clusters_are_found_with_their_noise() -> None:
    means, residual, of = clusters(6)
    strata = fit_strata(means, residual, 5)
    assert len(strata) == 5
    assert np.linalg.norm(strata.centroids, axis=1) == pytest.approx(np.ones(5), abs=1e-6)
    nearest = (unit(means, 1) @ strata.centroids.T).argmax(axis=1)
    for centre in range(5):
        (stratum,) = set(nearest[of == centre].tolist())
        assert strata.noise[stratum] == pytest.approx(np.median(residual[of == centre]), rel=1e-6)
    assert len(set(nearest.tolist())) == 5


def test_a_small_stratum_has_the_noise_of_all() -> None:
    means, residual, _ = clusters(7, pixels=MIN_SAMPLE * 3)
    strata = fit_strata(means, residual, 5)
    sizes = np.bincount((unit(means, 1) @ strata.centroids.T).argmax(axis=1), minlength=5)
    assert (sizes < MIN_SAMPLE).all()
    assert strata.noise == pytest.approx(np.full(5, np.median(residual)), rel=1e-6)


def sample(means: np.ndarray, residual: np.ndarray, order: np.ndarray) -> pa.Table:
    """As the chunks give it, in any order of rows."""
    y, x = np.divmod(np.arange(len(means)), 40)
    rows = [
        {"y": int(y[k]), "x": int(x[k]), "residual": float(residual[k]), "mean": means[k].astype(np.float32).tolist()}
        for k in order
    ]
    names = set(SAMPLE_SCHEMA.names) - {"y", "x", "residual", "mean"}
    return pa.Table.from_pylist([{**row, **dict.fromkeys(names, 0)} for row in rows], SAMPLE_SCHEMA)


def same(one: Strata, other: Strata) -> bool:
    return np.array_equal(one.centroids, other.centroids) and np.array_equal(one.noise, other.noise)


def test_the_same_sample_gives_the_same_strata_in_any_order() -> None:
    means, residual, _ = clusters(8)
    first = learn_strata(sample(means, residual, np.arange(600)), 12, BANDS)
    assert same(first, learn_strata(sample(means, residual, np.arange(600)), 12, BANDS))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(600)
        assert same(first, learn_strata(sample(means, residual, order), 12, BANDS))
    assert len(first) == 12


def test_no_sample_is_one_stratum() -> None:
    strata = fit_strata(np.zeros((0, BANDS)), np.zeros(0), 12)
    assert (len(strata), strata.centroids.shape) == (1, (1, BANDS))
    assert strata.noise == pytest.approx([DEFAULT_NOISE])


def test_an_empty_sample_is_learnt_too() -> None:
    """Where no pixel of the area of interest has enough years: what is there belongs to the one stratum."""
    strata = learn_strata(SAMPLE_SCHEMA.empty_table(), 12, BANDS)
    assert strata.noise == pytest.approx([DEFAULT_NOISE])
    codes, valid = gappy_codes(9)
    found = strata_of(codes, valid, strata.centroids)
    assert set(found[valid.any(axis=0)].tolist()) == {0}


@pytest.mark.parametrize(("pixels", "count"), [(1, 12), (1, 1), (5, 12), (200, 12)])
def test_fewer_different_pixels_than_strata(pixels: int, count: int) -> None:
    means = np.repeat(np.random.default_rng(10).normal(size=(1, BANDS)), pixels, axis=0)
    strata = fit_strata(means, np.full(pixels, 0.03), count)
    assert len(strata) == 1
    assert strata.noise == pytest.approx([0.03])
    assert strata.centroids[0] == pytest.approx(unit(means, 1)[0], abs=1e-6)
    several = np.concatenate([means, -means])
    assert len(fit_strata(several, np.full(2 * pixels, 0.03), count)) == min(count, 2)


def test_a_vector_of_length_zero_counts_for_nothing() -> None:
    means, residual, _ = clusters(11)
    with_zero = np.concatenate([np.zeros((1, BANDS)), means])
    assert same(fit_strata(means, residual, 5), fit_strata(with_zero, np.concatenate([[9.0], residual]), 5))
    assert len(fit_strata(np.zeros((3, BANDS)), np.zeros(3), 5)) == 1
