"""Histograms, groups and q-values of the target-decoy competition, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from terradrift.kernels.calibrate import (
    BINS,
    EDGES,
    HIGHEST,
    LOWEST,
    MIN_STRATUM_PIXELS,
    bins_of,
    count_bins,
    groups,
    q_values,
    tail_factor,
)

UP, DOWN = np.float32(np.inf), np.float32(-np.inf)


def plain_bin(score: float) -> int:
    """The last bin whose lower edge is not above the score; the first for what lies below all."""
    return max([0, *(k for k in range(BINS) if EDGES[k] <= score)])


# --- bins -----------------------------------------------------------------------------------------------------------------


def test_edges_are_even_on_the_log_scale() -> None:
    assert EDGES[0] == LOWEST
    ratio = EDGES[1:].astype(float) / EDGES[:-1]
    assert ratio == pytest.approx(np.full(BINS - 1, (HIGHEST / LOWEST) ** (1 / BINS)), rel=1e-5)
    assert EDGES[-1] * ratio[0] == pytest.approx(HIGHEST, rel=1e-5)


def test_a_score_on_an_edge_lies_above_it() -> None:
    assert bins_of(EDGES).tolist() == list(range(BINS))
    assert bins_of(np.nextafter(EDGES, UP)).tolist() == list(range(BINS))
    assert bins_of(np.nextafter(EDGES, DOWN)).tolist() == [0, *range(BINS - 1)]
    ends = np.array([-5.0, 0.0, 0.1, HIGHEST, 2 * HIGHEST, 3e38], np.float32)
    assert bins_of(ends).tolist() == [0, 0, 0, BINS - 1, BINS - 1, BINS - 1]


def test_bins_equal_a_plain_loop() -> None:
    scores = np.exp(np.random.default_rng(1).uniform(-3, 10, (20, 30))).astype(np.float32)
    found = bins_of(scores)
    assert found.shape == scores.shape
    assert found.ravel().tolist() == [plain_bin(score) for score in scores.ravel()]


@pytest.mark.parametrize("weighted", [False, True])
def test_counts_equal_a_plain_loop(weighted: bool) -> None:
    rng = np.random.default_rng(2)
    score = np.exp(rng.uniform(-2, 6, 500)).astype(np.float32)
    group = rng.integers(0, 4, 500).astype(np.uint8)
    weight = rng.integers(0, 1000, 500) if weighted else None
    expected = np.zeros((5, BINS), np.int64)
    for k in range(500):
        expected[group[k], plain_bin(score[k])] += 1 if weight is None else weight[k]
    found = count_bins(score, group, 5, weight)
    assert found.dtype == np.int64
    assert np.array_equal(found, expected)
    assert not count_bins(score[:0], group[:0], 5).any()


# --- groups ---------------------------------------------------------------------------------------------------------------

ENOUGH, FEW = MIN_STRATUM_PIXELS, MIN_STRATUM_PIXELS - 1

GROUPS: list[tuple[list[int], list[int]]] = [
    ([ENOUGH, ENOUGH], [0, 1]),
    ([0], [0]),
    ([FEW], [0]),
    ([FEW, FEW, FEW], [0, 0, 0]),
    ([ENOUGH, FEW, 3 * ENOUGH, FEW], [0, 1, 2, 1]),  # the small ones together are enough
    ([3 * ENOUGH, 10, ENOUGH, 0], [0, 1, 1, 1]),  # they are not: the smallest large one joins them
    ([10, 3 * ENOUGH, ENOUGH], [0, 1, 0]),
    ([ENOUGH, 10], [0, 0]),
    ([10, 10, ENOUGH, ENOUGH, 2 * ENOUGH], [0, 0, 0, 3, 4]),  # of two equals the first joins
    ([0, ENOUGH, ENOUGH], [0, 0, 2]),
]


@pytest.mark.parametrize(("pixels", "expected"), GROUPS)
def test_small_strata_are_calibrated_together(pixels: list[int], expected: list[int]) -> None:
    assert groups(np.array(pixels)).tolist() == expected


def test_every_group_is_large_enough_where_any_can_be() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        pixels = rng.integers(0, 3 * ENOUGH, rng.integers(1, 12)) // rng.integers(1, 40)
        group = groups(pixels)
        together = np.bincount(group, pixels, minlength=len(pixels))[np.unique(group)]
        assert (together >= min(ENOUGH, pixels.sum())).all()
        assert all(group[number] == number for number in np.unique(group))


# --- the tail factor ---------------------------------------------------------------------------------------------------------


def lognormal(seed: int, centre: float, spread: float, n: int = 200_000) -> np.ndarray:
    scores = np.exp(np.random.default_rng(seed).normal(centre, spread, n)).astype(np.float32)
    return count_bins(scores, np.zeros(n, np.uint8), 1)[0]


def test_equal_distributions_need_no_factor() -> None:
    one = lognormal(4, 1.0, 0.5)
    assert tail_factor(one, 8 * one) == pytest.approx(1.0, abs=1e-9)
    assert tail_factor(one, lognormal(5, 1.0, 0.5)) == pytest.approx(1.0, abs=0.02)


def test_no_scores_need_no_factor() -> None:
    one, none = lognormal(4, 1.0, 0.5), np.zeros(BINS, np.int64)
    assert [tail_factor(one, none), tail_factor(none, one), tail_factor(none, none)] == [1.0] * 3


def test_the_factor_is_bounded() -> None:
    decoy = lognormal(6, 1.0, 0.5)
    assert tail_factor(lognormal(7, -0.5, 0.5), decoy) == 0.8  # far fewer large scores than decoys: the limit
    factors = [tail_factor(lognormal(7, 1.0 + drift, 0.5), decoy) for drift in (0.1, 0.4, 1.0, 2.0)]
    assert factors == sorted(factors)
    assert all(1 < factor < np.exp(drift) for factor, drift in zip(factors, (0.1, 0.4, 1.0, 2.0), strict=True))
    # a ratio that is smaller at the 80 % quantile than at the median is the limit
    narrow = lognormal(8, 1.4, 0.1)
    assert tail_factor(narrow, decoy) < tail_factor(lognormal(8, 1.4, 0.5), decoy)


# --- q-values --------------------------------------------------------------------------------------------------------------


def plain_q(won: np.ndarray, lost: np.ndarray) -> list[float]:
    found: list[float] = []
    for k in range(BINS):
        rate = min(1.0, (sum(int(n) for n in lost[k:]) + 1) / max(sum(int(n) for n in won[k:]), 1))
        found.append(min(rate, found[-1]) if found else rate)
    return found


@pytest.mark.parametrize("decoys", [0.125, 1.0, 2.5])
def test_q_equals_a_plain_loop_and_never_rises(decoys: float) -> None:
    rng = np.random.default_rng(9)
    tail = np.exp(-np.arange(BINS) / 60)
    won, lost = rng.poisson(900 * tail + 2), rng.poisson(300 * decoys * tail**2)
    q = q_values(won, lost)
    assert q == pytest.approx(np.array(plain_q(won, lost)), rel=1e-6)
    assert (np.diff(q) <= 0).all()
    assert q[0] > q[-1] > 0
    assert q.max() <= 1


def test_nothing_mapped_has_q_one_and_no_decoys_leave_the_one_that_is_kept() -> None:
    nothing = np.zeros(BINS, np.int64)
    assert (q_values(nothing, nothing) == 1).all()
    hundred = nothing.copy()
    hundred[300] = 100
    q = q_values(hundred, nothing)
    assert q[:301] == pytest.approx(np.full(301, 0.01))
    assert q[400] == pytest.approx(0.01)  # never rises, though nothing is there
