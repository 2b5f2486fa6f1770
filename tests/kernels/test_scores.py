"""Distances, annual scores and detectors: laws, then plain loops in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terradrift.kernels.annual import ANNUAL, _sort_rows, _sorting_network, difference, loo_medoid, robust_z
from terradrift.kernels.detectors import DETECTORS
from terradrift.kernels.distances import DISTANCES
from terradrift.kernels.gram import gram
from terradrift.kernels.quantize import UNIT_PRODUCT, quantize
from terradrift.kernels.score_block import Recipe, impossible, possible_annual, score_pixels

YEARS = tuple(range(2017, 2026))


def unit_codes(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Codes of random unit vectors, (time, band, ...)."""
    x = rng.normal(size=shape)
    return quantize(x / np.linalg.norm(x, axis=1, keepdims=True))


def gappy_codes(seed: int, time: int = 9, pixels: int = 200) -> np.ndarray:
    """Slowly changing series with missing years and a few equal years: (time, band, pixel)."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(1, 64, pixels))
    x = base + rng.normal(size=(time, 64, pixels)) * rng.uniform(0, 0.5, size=pixels)
    codes = quantize(x / np.linalg.norm(x, axis=1, keepdims=True))
    codes[1, :, :20] = codes[0, :, :20]
    missing = np.broadcast_to(rng.random((time, 1, pixels)) < 0.2, codes.shape)
    return np.where(missing, np.int8(-128), codes)


# --- plain loops -------------------------------------------------------------------------------------------------


def plain_vectors(codes: np.ndarray) -> list[np.ndarray | None]:
    """Decoded years of one pixel (time, band); None = no data."""
    out: list[np.ndarray | None] = []
    for q in codes.astype(np.float64):
        x = np.sign(q) * (q / 127.5) ** 2
        out.append(None if (q == -128).any() or not 0.85 <= np.linalg.norm(x) <= 1.15 else x)
    return out


def plain_distance(name: str, x: np.ndarray, y: np.ndarray) -> float:
    cosine = float(x @ y / math.sqrt((x @ x) * (y @ y)))
    return {
        "cosine": min(max(1 - cosine, 0.0), 2.0),
        "angle": math.degrees(math.acos(min(max(cosine, -1.0), 1.0))),
        "dot": float(1 - x @ y),
        "euclidean": float(np.linalg.norm(x - y)),
    }[name]


def plain_difference(d: dict[tuple[int, int], float], valid: list[int], time: int) -> list[float]:
    return [d[t - 1, t] if t in valid and t - 1 in valid else math.nan for t in range(time)]


def plain_loo_medoid(d: dict[tuple[int, int], float], valid: list[int], time: int) -> list[float]:
    scores = [math.nan] * time
    if len(valid) < 4:
        return scores
    for k in valid:
        others = [i for i in valid if i != k]
        costs = [sum(d[i, j] for j in others) for i in others]
        medoid = next(i for i, cost in zip(others, costs, strict=True) if cost <= min(costs) + 1e-12)
        scores[k] = d[medoid, k]
    return scores


def plain_z(scores: list[float]) -> list[float]:
    finite = [s for s in scores if math.isfinite(s)]
    if len(finite) < 5:
        return [math.nan] * len(scores)
    median = float(np.median(finite))
    sigma = max(1.4826 * float(np.median([abs(s - median) for s in finite])), 0.004)
    return [(s - median) / sigma for s in scores]


PLAIN = {"difference": plain_difference, "loo_medoid": plain_loo_medoid}


def plain_pixel(codes: np.ndarray, name: str, distance: str) -> list[float]:
    x = plain_vectors(codes)
    valid = [t for t, vector in enumerate(x) if vector is not None]
    d = {(i, j): plain_distance(distance, x[i], x[j]) for i in valid for j in valid}
    return PLAIN[name](d, valid, len(x))


# --- laws ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cosine", "angle", "euclidean"])
def test_equal_years_have_distance_exactly_zero(name: str) -> None:
    codes = np.repeat(unit_codes(np.random.default_rng(0), 1, 64, 50), 4, axis=0)
    assert (DISTANCES[name](*gram(codes), UNIT_PRODUCT) == 0).all()


@pytest.mark.parametrize("name", list(DISTANCES))
def test_distances_are_symmetric_and_in_range(name: str) -> None:
    d = DISTANCES[name](*gram(unit_codes(np.random.default_rng(1), 6, 64, 30)), UNIT_PRODUCT)
    assert np.array_equal(d, d.transpose(1, 0, 2))
    top = {"cosine": 2, "angle": 180, "dot": 2.05, "euclidean": 2.05}[name]
    assert d.min() >= -0.05
    assert d.max() <= top


@pytest.mark.parametrize("name", list(ANNUAL))
def test_a_constant_series_scores_zero(name: str) -> None:
    codes = np.repeat(unit_codes(np.random.default_rng(2), 1, 64, 20), 9, axis=0)
    products, valid = gram(codes)
    score = ANNUAL[name](DISTANCES["cosine"](products, valid, UNIT_PRODUCT), valid)
    assert (score[np.isfinite(score)] == 0).all()
    assert np.isfinite(score).any()


@pytest.mark.parametrize("name", list(ANNUAL))
@given(seed=st.integers(0, 2**16))
def test_other_pixels_change_nothing(name: str, seed: int) -> None:
    products, valid = gram(gappy_codes(seed, pixels=12))
    d = DISTANCES["cosine"](products, valid, UNIT_PRODUCT)
    alone = np.concatenate([ANNUAL[name](d[..., p : p + 1], valid[:, p : p + 1]) for p in range(12)], axis=1)
    assert np.array_equal(alone, ANNUAL[name](d, valid), equal_nan=True)


def test_the_first_year_has_no_difference_and_a_gap_has_none_after_it() -> None:
    d = np.ones((4, 4, 1))
    d[2] = d[:, 2] = np.nan
    score = difference(d, np.array([[True], [True], [False], [True]]))
    assert np.isnan(score[[0, 2, 3], 0]).all()
    assert score[1, 0] == 1


def test_three_years_have_no_medoid_score() -> None:
    assert np.isnan(loo_medoid(np.ones((3, 3, 2)), np.ones((3, 2), bool))).all()


def test_ties_of_medoids_go_to_the_earliest_year() -> None:
    position = np.array([0.0, 1.0, 2.0, 10.0])
    d = np.abs(position[:, None] - position[None])[..., None]
    # without the last year all of 0, 1, 2 are near: 1 is the medoid; without year 1, years 0 and 2 and 10: 2 wins; equal
    # costs of 0 and 2 without year 3 would not matter, so make a tie: points 0, 2 and their middle removed
    square = np.array([[0, 1, 1, 1.5], [1, 0, 1, 1], [1, 1, 0, 1], [1.5, 1, 1, 0]])[..., None]
    assert loo_medoid(d, np.ones((4, 1), bool))[3, 0] == 9  # medoid 1
    # without year 0: costs of 1, 2, 3 are 2, 2, 2: year 1 is taken, and it lies 1 from year 0
    assert loo_medoid(square, np.ones((4, 1), bool))[0, 0] == 1
    square[0, 1] = square[1, 0] = 0.25
    assert loo_medoid(square, np.ones((4, 1), bool))[0, 0] == 0.25


@pytest.mark.parametrize("n", range(1, 34))
def test_the_network_sorts_any_number_of_rows(n: int) -> None:
    rows = np.random.default_rng(n).integers(0, n, (n, 300)).astype(np.float64)
    expected = np.sort(rows, axis=0)
    _sort_rows(rows, _sorting_network(n), 300)
    assert np.array_equal(rows, expected)


def test_z_is_floored_and_never_infinite() -> None:
    scores = np.zeros((6, 2))
    scores[5] = 0.04
    z = robust_z(scores)
    assert np.allclose(z[:5], 0)
    assert np.allclose(z[5], 10)
    assert np.isnan(robust_z(scores[:4])).all()


# --- oracle ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", list(DISTANCES))
@pytest.mark.parametrize("name", list(ANNUAL))
def test_annual_scores_equal_plain_loops(name: str, distance: str) -> None:
    codes = gappy_codes(7, pixels=150)
    for use_z in (False, True):
        recipe = Recipe(distance, (name,), use_z, "bitemporal", YEARS)
        block, _, _ = score_pixels(codes[:, :, None, :], recipe)
        for p in range(codes.shape[2]):
            raw = plain_pixel(codes[:, :, p], name, distance)
            found = block.rasters["scores"][:, 0, 0, p]
            if use_z:
                assert np.allclose(found, plain_z(raw), rtol=1e-3, atol=1e-3, equal_nan=True)
            else:
                tolerance = 1e-5 if distance != "angle" else 1e-2  # arccos near zero
                assert np.allclose(found, raw, rtol=0, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("name", ["max_difference", "max_loo_medoid"])
@pytest.mark.parametrize("use_z", [False, True])
def test_largest_score_and_its_year(name: str, use_z: bool) -> None:
    codes, annual = gappy_codes(9, pixels=150), name.removeprefix("max_")
    block, _, _ = score_pixels(codes[:, :, None, :], Recipe("cosine", (), use_z, name, YEARS))
    change = {field: block.rasters[f"change_{field}"][0] for field in ("score", "year", "kind", "effect")}
    for p in range(codes.shape[2]):
        raw = plain_pixel(codes[:, :, p], annual, "cosine")
        scores = plain_z(raw) if use_z else raw
        if not np.isfinite(scores).any():
            assert change["year"][p] == -1
            assert change["kind"][p] == 255
            assert np.isnan(change["score"][p])
            assert np.isnan(change["effect"][p])
            continue
        best = int(np.nanargmax(scores))
        assert change["score"][p] == pytest.approx(scores[best], rel=1e-3, abs=1e-5)
        assert change["year"][p] == YEARS[best]
        assert change["effect"][p] == pytest.approx(raw[best], abs=1e-5)
        assert change["kind"][p] == 4


def test_bitemporal_needs_its_two_years_and_no_other() -> None:
    codes = unit_codes(np.random.default_rng(4), 4, 64, 3)
    codes[1:3] = -128
    codes[3, :, 2] = -128
    block, n_valid, _ = score_pixels(codes[:, :, None, :], Recipe("cosine", (), False, "bitemporal", YEARS[:4]))
    assert n_valid == 2
    assert np.isnan(block.rasters["change_score"][0]).tolist() == [False, False, True]
    assert block.rasters["change_year"][0].tolist() == [2020, 2020, -1]
    expected = plain_distance("cosine", *(plain_vectors(codes[:, :, 0])[t] for t in (0, 3)))
    assert block.rasters["change_score"][0, 0] == pytest.approx(expected, abs=1e-6)


def test_cosine_of_raw_codes_is_another_number() -> None:
    rng = np.random.default_rng(5)
    codes = unit_codes(rng, 2, 64, 200)
    right = DISTANCES["cosine"](*gram(codes), UNIT_PRODUCT)[0, 1]
    q = codes.astype(np.float64)
    wrong = 1 - np.einsum("bp,bp->p", q[0], q[1]) / np.linalg.norm(q[0], axis=0) / np.linalg.norm(q[1], axis=0)
    assert np.abs(right - wrong).max() > 0.02


def test_pixels_outside_the_area_are_no_data() -> None:
    codes = unit_codes(np.random.default_rng(6), 5, 64, 4, 6)
    inside = np.zeros((4, 6), bool)
    inside[1:3, 2:4] = True
    block, n_valid, _ = score_pixels(codes, Recipe("cosine", ("difference",), False, "bitemporal", YEARS[:5]), inside)
    assert n_valid == 4
    assert np.array_equal(np.isfinite(block.rasters["change_score"]), inside)
    assert np.array_equal(np.isfinite(block.rasters["scores"][1, 0]), inside)


def test_a_norm_off_one_counts_as_no_data() -> None:
    codes = unit_codes(np.random.default_rng(8), 5, 64, 1, 3)
    codes[2, 30:, 0, 1] = 0
    _, _, n_bad = score_pixels(codes, Recipe("cosine", (), False, "bitemporal", YEARS[:5]))
    assert n_bad == 1


def test_a_vector_of_length_zero_has_no_angle_but_a_place() -> None:
    vectors = np.zeros((2, 3, 1), np.float32)
    vectors[1, 0] = 2
    products, valid = gram(vectors)
    assert np.isnan(DISTANCES["cosine"](products, valid, 1.0)[0, 1, 0])
    assert DISTANCES["euclidean"](products, valid, 1.0)[0, 1, 0] == 2


@pytest.mark.parametrize(
    ("n_years", "use_z", "expected"),
    [
        (2, False, ("difference",)),
        (3, False, ("difference",)),
        (4, False, ("difference", "loo_medoid")),
        (5, True, ("loo_medoid",)),
        (6, True, ("difference", "loo_medoid")),
    ],
)
def test_what_so_many_years_can_give(n_years: int, use_z: bool, expected: tuple[str, ...]) -> None:
    assert possible_annual(tuple(ANNUAL), n_years, use_z) == expected
    refused = impossible(Recipe("cosine", tuple(ANNUAL), use_z, "bitemporal", YEARS[:n_years]))
    assert refused == [name for name in ANNUAL if name not in expected]


@pytest.mark.parametrize("name", list(DETECTORS))
def test_every_detector_gives_a_value_to_nine_good_years(name: str) -> None:
    assert impossible(Recipe("cosine", (), True, name, YEARS)) == []
