"""The trajectory detector: laws, then plain loops in float64 (plain_trajectory), then its decoys."""

from __future__ import annotations

import numpy as np
import plain_trajectory as plain
import pytest

from terradrift.kernels.distances import cosine
from terradrift.kernels.gram import gram
from terradrift.kernels.series import KIND_NODATA, KINDS, YEAR_NODATA, Change, Series
from terradrift.kernels.templates import DECOYS, decoy_orders
from terradrift.kernels.trajectory import LOYO_CAP, MIN_YEARS, STRIP, draw_decoys, trajectory

NOISE = 0.02


def unit(x: np.ndarray) -> np.ndarray:
    """Vectors (time, band, pixel) of length one."""
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def series(vectors: np.ndarray, valid: np.ndarray | None = None, noise: float | np.ndarray = NOISE) -> Series:
    """As a run sees vectors (time, band, pixel); years that are not valid are NaN."""
    known = np.ones((len(vectors), vectors.shape[2]), bool) if valid is None else valid
    products, seen = gram(np.where(known[:, None], vectors, np.nan))
    distance = cosine(products, seen, 1.0)
    return Series(distance, distance, seen, False, np.broadcast_to(np.asarray(noise, np.float32), seen.shape[1:]).copy())


def noisy_series(seed: int, pixels: int = 300, time: int = 9) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Series with steps, ramps, odd years and none of them, noise of any size, years missing: vectors, valid, noise."""
    rng = np.random.default_rng(seed)
    old, new = rng.normal(size=(2, 64, pixels)) * np.array([[[1.0]], [[0.6]]])
    start, length = rng.integers(0, time, pixels), rng.integers(1, 5, pixels)
    way = np.clip((np.arange(time)[:, None] - start) / length, 0, 1)
    odd = rng.random(pixels) < 0.25
    way[:, odd] = np.arange(time)[:, None] == start[odd]
    way[:, rng.random(pixels) < 0.25] = 0
    x = old + way[:, None] * new + rng.normal(size=(time, 64, pixels)) * rng.uniform(0.02, 0.5, pixels)
    valid = rng.random((time, pixels)) > rng.choice([0, 0.15, 0.5], pixels)
    return unit(x), valid, rng.uniform(0, 0.2, pixels)


def step_series(seed: int, distance: float, year: int, noise: float = 0.0, pixels: int = 200, time: int = 9) -> np.ndarray:
    """Two states at a cosine distance, the second from a year on: (time, band, pixel)."""
    rng = np.random.default_rng(seed)
    a = unit(rng.normal(size=(1, 64, pixels)))
    b = rng.normal(size=(1, 64, pixels))
    b = unit(b - a * (a * b).sum(axis=1, keepdims=True))
    other = a * (1 - distance) + b * np.sqrt(1 - (1 - distance) ** 2)
    x = np.where((np.arange(time) >= year)[:, None, None], other, a)
    return unit(x + noise / 8 * rng.normal(size=x.shape))


def kinds(change: Change) -> set[str]:
    return {KINDS[code] for code in change.kind}


def assert_same(one: Change, other: Change) -> None:
    for name in ("score", "effect", "year", "kind"):
        mine, its = getattr(one, name), getattr(other, name)
        assert np.array_equal(mine, its, equal_nan=mine.dtype.kind == "f"), name


# --- laws ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, NOISE])
def test_a_constant_series_scores_zero(noise: float) -> None:
    vectors = np.repeat(unit(np.random.default_rng(0).normal(size=(1, 64, 300))), 9, axis=0)
    valid = np.random.default_rng(1).random((9, 300)) > 0.3
    valid[:4] = True
    change = trajectory(series(vectors, valid, noise))
    assert (change.score == 0).all()
    assert (change.effect == 0).all()


def test_nothing_is_infinite_without_noise() -> None:
    for year in range(1, 9):
        change = trajectory(series(step_series(year, 1.0, year), noise=0.0))
        assert np.isfinite(change.score).all()
        assert np.isfinite(change.effect).all()


@pytest.mark.parametrize("n", range(9))
def test_fewer_than_four_years_give_no_value(n: int) -> None:
    rng = np.random.default_rng(n)
    vectors = unit(rng.normal(size=(9, 64, 200)))
    valid = rng.permuted(np.broadcast_to(np.arange(9)[:, None] < n, (9, 200)), axis=0)
    change = trajectory(series(vectors, valid))
    known = np.full(200, n >= MIN_YEARS)
    assert MIN_YEARS == 4
    assert np.array_equal(np.isfinite(change.score), known)
    assert np.array_equal(np.isfinite(change.effect), known)
    assert np.array_equal(change.year != YEAR_NODATA, known)
    assert np.array_equal(change.kind != KIND_NODATA, known)
    assert np.array_equal(np.isfinite(draw_decoys(series(vectors, valid))["decoy_score"]), np.broadcast_to(known, (DECOYS, 200)))


@pytest.mark.parametrize("width", [1, 7, STRIP - 1, STRIP, STRIP + 1, 299])
@pytest.mark.parametrize("gaps", [False, True])
def test_the_pixels_beside_it_change_nothing(width: int, gaps: bool) -> None:
    vectors, valid, noise = noisy_series(5)
    whole = series(vectors, valid if gaps else None, noise)
    parts = [whole.take(np.arange(first, min(first + width, 300))) for first in range(0, 300, width)]
    found = [trajectory(part) for part in parts]
    joined = Change(*(np.concatenate([getattr(part, name) for part in found]) for name in ("score", "effect", "year", "kind")))
    assert_same(trajectory(whole), joined)
    decoys = [draw_decoys(part) for part in parts]
    for name, values in draw_decoys(whole).items():
        others = np.concatenate([part[name] for part in decoys], axis=1)
        assert np.array_equal(values, others, equal_nan=values.dtype.kind == "f"), name
    assert_same(trajectory(Series.joined(parts)), joined)


def test_the_order_of_pixels_changes_nothing() -> None:
    whole = series(*noisy_series(6))
    order = np.random.default_rng(6).permutation(300)
    found = trajectory(whole)
    turned = Change(found.score[order], found.effect[order], found.year[order], found.kind[order])
    assert_same(trajectory(whole.take(order)), turned)


def test_what_a_missing_year_held_counts_for_nothing() -> None:
    vectors, valid, noise = noisy_series(7)
    whole = series(vectors, valid, noise)
    rubbish = np.where(valid[:, None] & valid[None], whole.cosine, np.random.default_rng(7).uniform(0, 2, (9, 9, 300)))
    assert_same(trajectory(whole), trajectory(Series(rubbish, rubbish, whole.valid, False, whole.noise)))


@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 1), (2, 3)])
def test_a_series_with_years_missing_at_its_ends_is_the_shorter_series(before: int, after: int) -> None:
    vectors, valid, noise = noisy_series(8)
    valid[:before] = False
    valid[9 - after :] = False
    long, kept = trajectory(series(vectors, valid, noise)), slice(before, 9 - after)
    short = trajectory(series(vectors[kept], valid[kept], noise))
    year = np.where(short.year == YEAR_NODATA, YEAR_NODATA, short.year + before)
    assert_same(long, Change(short.score, short.effect, year, short.kind))


@pytest.mark.parametrize("missing", range(9))
@pytest.mark.parametrize("year", range(1, 9))
def test_a_clean_step_is_dated_and_named(year: int, missing: int) -> None:
    """With a year missing it is dated to the first that shows the new state."""
    valid = np.broadcast_to((np.arange(9) != missing)[:, None], (9, 200))
    change = trajectory(series(step_series(1, 0.3, year), valid))
    years = [t for t in range(9) if t != missing]
    new = [t for t in years if t >= year]
    if not 0 < len(new) < len(years):
        return
    assert (change.year == new[0]).all()
    at_an_end = len(new) == 1 or len(years) - len(new) == 1
    assert kinds(change) == {"unconfirmed" if at_an_end else "step"}


@pytest.mark.parametrize("distance", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("year", [1, 4, 8])
def test_the_effect_of_a_clean_step_is_its_cosine_distance(distance: float, year: int) -> None:
    change = trajectory(series(step_series(2, distance, year)))
    assert change.effect == pytest.approx(np.full(200, distance), rel=1e-4)


@pytest.mark.parametrize("year", [3, 4, 5])
def test_the_effect_has_no_share_of_noise(year: int) -> None:
    noise, distance = 0.15, 0.2
    shrunk = distance / (1 + noise**2)  # the states of unit vectors with noise are shorter
    change = trajectory(series(step_series(3, distance, year, noise, pixels=4000)))
    assert (change.year == year).mean() > 0.9
    assert change.effect.mean() == pytest.approx(shrunk, rel=0.02)
    largest = trajectory(series(step_series(3, 0.0, year, noise, pixels=4000)))
    assert largest.effect.mean() < 0.25 * noise**2  # the best of 26 templates of noise alone


@pytest.mark.parametrize("year", range(9))
def test_one_odd_year_is_a_blip_and_at_the_end_unconfirmed(year: int) -> None:
    vectors = step_series(4, 0.4, 1)
    vectors = np.where((np.arange(9) == year)[:, None, None], vectors[-1], vectors[0])
    change = trajectory(series(vectors))
    assert kinds(change) == {"unconfirmed" if year in (0, 8) else "blip"}


@pytest.mark.parametrize("length", [2, 3, 4])
def test_a_clean_ramp_is_a_ramp_from_its_first_year(length: int) -> None:
    rng = np.random.default_rng(length)
    old, new = unit(rng.normal(size=(1, 64, 200))), unit(rng.normal(size=(1, 64, 200)))
    for start in range(1, 8 - length):  # last year of the old state
        way = np.clip((np.arange(9) - start) / length, 0, 1)[:, None, None]
        change = trajectory(series(unit(old + 0.3 * way * (new - old))))
        assert kinds(change) == {"ramp"}
        assert (change.year == start + 1).all()


@pytest.mark.parametrize("year", range(9))
def test_credit_of_a_single_year_is_capped(year: int) -> None:
    """However far one year lies from all others, its score is at most the cap times what the others show."""
    rng = np.random.default_rng(year)
    quiet = unit(rng.normal(size=(1, 64, 300)) + 0.05 * rng.normal(size=(9, 64, 300)))
    odd = quiet.copy()
    odd[year] = unit(rng.normal(size=(1, 64, 300)))[0]
    others = np.delete(quiet, year, axis=0)
    expected = []
    for p in range(300):
        steps = [plain.projected((np.arange(8) >= new).astype(float), others[:, :, p]) for new in range(1, 8)]
        residual = (plain.total(others[:, :, p]) - max(steps)) / 6
        expected.append(LOYO_CAP * plain.moderated(max(steps), residual, NOISE, 8))
    score = trajectory(series(odd)).score
    assert (score <= np.array(expected) * (1 + 1e-4)).all()
    if year in (0, 8):  # of an inner year the changes explain so little that the cap is seldom reached
        assert score == pytest.approx(np.array(expected), rel=1e-4)
    clean = trajectory(series(np.where((np.arange(9) == year)[:, None, None], odd[year], quiet[0])))
    assert (clean.score == 0).all()


def test_more_noise_in_the_stratum_never_raises_the_score() -> None:
    vectors, valid, _ = noisy_series(9)
    scores = np.array([trajectory(series(vectors, valid, noise)).score for noise in (0.0, 0.01, 0.05, 0.2, 1.0)])
    known = np.isfinite(scores[0])
    assert (np.diff(scores[:, known], axis=0) <= 0).all()
    assert (np.diff(scores[:, known], axis=0) < 0).any(axis=0).mean() > 0.95


# --- oracle -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("time", [4, 5, 9, 12])
def test_it_equals_plain_loops(time: int) -> None:
    vectors, valid, noise = noisy_series(10 + time, pixels=120, time=time)
    change = trajectory(series(vectors, valid, noise))
    compared = 0
    for p in range(120):
        years = [t for t in range(time) if valid[t, p]]
        expected = plain.trajectory(vectors[years, :, p], years, float(np.float32(noise[p])))
        if expected is None:
            assert np.isnan(change.score[p])
            continue
        if not expected.sure:
            continue
        compared += 1
        assert change.score[p] == pytest.approx(expected.score, rel=1e-4, abs=1e-5)
        assert change.effect[p] == pytest.approx(expected.effect, rel=1e-4, abs=1e-6)
        assert change.year[p] == expected.year
        assert KINDS[change.kind[p]] == expected.kind
    assert compared >= 60


# --- decoys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gaps", [False, True])
def test_decoys_are_the_detector_on_years_in_another_order(gaps: bool) -> None:
    vectors, valid, noise = noisy_series(20)
    valid = valid if gaps else np.ones_like(valid)
    decoys = draw_decoys(series(vectors, valid, noise))
    assert {name: values.shape for name, values in decoys.items()} == {
        f"decoy_{name}": (DECOYS, 300) for name in ("score", "effect", "kind")
    }
    for k in range(DECOYS):
        shuffled = vectors.copy()
        for p in range(300):
            years = np.flatnonzero(valid[:, p])
            if len(years) >= MIN_YEARS:
                shuffled[years, :, p] = vectors[years[decoy_orders(len(years))[k]], :, p]
        change = trajectory(series(shuffled, valid, noise))
        assert np.allclose(decoys["decoy_score"][k], change.score, rtol=1e-6, equal_nan=True)
        assert np.allclose(decoys["decoy_effect"][k], change.effect, rtol=1e-5, atol=1e-7, equal_nan=True)
        assert np.array_equal(decoys["decoy_kind"][k], change.kind)
