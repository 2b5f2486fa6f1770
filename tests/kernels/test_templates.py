"""Templates: unit vectors that explain what a projection explains; decoy orders that look like no change."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from plain_trajectory import projected, shapes

from terradrift.kernels.series import KINDS
from terradrift.kernels.templates import DECOYS, Bank, bank, decoy_orders

NINE = tuple(range(9))

PATTERNS = [years for n in range(3, 10) for years in combinations(NINE, n)]
"""Every set of at least three of nine years."""


def kinds(found: Bank) -> list[str]:
    return [KINDS[code] for code in found.kind]


# --- laws ---------------------------------------------------------------------------------------------------------------


def test_templates_are_centred_unit_vectors_and_no_two_are_alike() -> None:
    for years in PATTERNS:
        unit = bank(years).unit
        assert np.abs(unit.sum(axis=1)).max() < 1e-12
        assert np.abs((unit**2).sum(axis=1) - 1).max() < 1e-12
        likeness = np.abs(unit @ unit.T) - np.eye(len(unit))
        assert likeness.max() < 1 - 1e-6, years


def test_nine_years_have_eight_steps_eighteen_ramps_and_seven_blips() -> None:
    found = bank(NINE)
    assert Counter(kinds(found)) == {"step": 6, "unconfirmed": 2, "ramp": 18, "blip": 7}
    assert found.n_changes == 26
    assert kinds(found)[26:] == ["blip"] * 7


def test_changes_come_first_and_single_years_are_found() -> None:
    for years in PATTERNS:
        found, n = bank(years), len(years)
        names = kinds(found)
        assert "blip" not in names[: found.n_changes]
        assert set(names[found.n_changes :]) <= {"blip"}
        alone = np.eye(n) - 1 / n
        likeness = np.abs(np.einsum("kn,kn->k", found.unit[found.single], alone)) / np.linalg.norm(alone, axis=1)
        assert np.abs(likeness - 1).max() < 1e-12
        ends = [names[k] for k in found.single[[0, -1]]]
        assert ends == ["unconfirmed"] * 2
        inner = found.single[1:-1]
        assert all(names[k] == "blip" for k in inner) or n == 3  # of three years the middle one alone is a blip as well


def test_gain_is_the_sum_of_squares_of_a_change_of_size_one() -> None:
    found = bank(NINE)
    for k in range(1, 9):
        old = np.zeros((9, 3))
        old[k:, 1] = 1.0
        assert found.gain[k - 1] == pytest.approx(((old - old.mean(axis=0)) ** 2).sum())
        assert found.gain[k - 1] == pytest.approx(k * (9 - k) / 9)


def test_missing_years_keep_their_place_in_the_calendar() -> None:
    years = (0, 1, 2, 5, 6, 8)
    found = bank(years)
    steps = [(int(first), kind) for first, kind in zip(found.first, kinds(found), strict=True) if kind in ("step", "unconfirmed")]
    assert steps == [(1, "unconfirmed"), (2, "step"), (5, "step"), (6, "step"), (8, "unconfirmed")]
    # from year 2 to year 6: three quarters of the way in year 5
    way = np.array([0, 0, 0, 0.75, 1, 1])
    way = (way - way.mean()) / np.linalg.norm(way - way.mean())
    row = int(np.abs(found.unit @ way - 1).argmin())
    assert found.unit[row] == pytest.approx(way)
    assert (int(found.first[row]), kinds(found)[row]) == (5, "ramp")
    # from year 3 to year 5 nobody saw it under way: a step
    assert not any(
        kind == "ramp" and np.abs(np.diff(unit) > 1e-9).sum() == 1 for kind, unit in zip(kinds(found), found.unit, strict=True)
    )
    # the same years next to one another are other templates
    assert len(bank(tuple(range(6))).unit) != len(found.unit) or not np.allclose(bank(tuple(range(6))).unit, found.unit)


# --- oracle -------------------------------------------------------------------------------------------------------------


def test_sums_of_squares_are_those_of_a_projection() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(9, 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for years in PATTERNS:
        known = vectors[list(years)]
        i, j = np.triu_indices(len(years), 1)
        distance = 1 - np.einsum("pb,pb->p", known[i], known[j])
        found, expected = bank(years), shapes(list(years))
        assert len(found.unit) == len(expected)
        assert found.first.tolist() == [shape.first for shape in expected]
        assert kinds(found) == [shape.kind for shape in expected]
        squares = [projected(np.array(shape.values), known) for shape in expected]
        assert found.weights @ distance == pytest.approx(np.array(squares), abs=1e-11)
        assert found.gain == pytest.approx(np.array([float((shape.centred**2).sum()) for shape in expected]))


# --- decoys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(4, 13))
def test_decoy_orders_are_permutations_and_the_same_every_time(n: int) -> None:
    orders = decoy_orders(n)
    assert orders.shape == (DECOYS, n)
    assert (np.sort(orders, axis=1) == np.arange(n)).all()
    assert len(np.unique(orders, axis=0)) == DECOYS
    decoy_orders.cache_clear()
    assert np.array_equal(decoy_orders(n), orders)


@pytest.mark.parametrize("n", range(9, 13))
def test_no_inner_step_of_a_decoy_looks_like_one(n: int) -> None:
    steps = np.array([(np.arange(n) >= k).astype(float) for k in range(2, n - 1)])
    for order in decoy_orders(n):
        likeness = np.abs(np.corrcoef(steps[:, order], steps)[: len(steps), len(steps) :])
        assert likeness.max() <= 0.5 + 1e-9
