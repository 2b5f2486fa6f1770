"""Ranking figures against plain loops over the pixels, with many ties."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from terradrift.evaluation.ranking import (
    BLIP,
    CHANGE,
    COARSE_BITS,
    STABLE,
    Ranking,
    ScoreCounts,
    average_precision,
    best_f1,
    ordered_keys,
    precision_recall,
    recall_at_false_rate,
    recall_at_fdr,
    roc_auc,
    scores_of,
)


def ranked(score: np.ndarray, truth: np.ndarray, blocks: int = 1, dropped_bits: int = 0) -> Ranking:
    counts = ScoreCounts(dropped_bits)
    for part, label in zip(np.array_split(score, blocks), np.array_split(truth, blocks), strict=True):
        counts.add(part.astype(np.float32), np.zeros(len(part), np.uint8), label.astype(np.uint8))
    return counts.ranking()


def sample(seed: int, n: int = 300, values: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Few distinct scores, negative ones too, so that most are tied."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([STABLE, BLIP, CHANGE], n, p=[0.7, 0.1, 0.2])
    score = np.rint(rng.normal(0, 1, n) * values / 8 + 3 * (truth == CHANGE)) / 4
    return score.astype(np.float32), truth


def plain(score: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The definitions, threshold by threshold."""
    change, stable = truth == CHANGE, truth == STABLE
    n_change, ap, last_recall, f1, at_false_rate, at_fdr = change.sum(), 0.0, 0.0, (-1.0, 0.0), 0.0, 0.0
    for threshold in sorted(set(score.tolist()), reverse=True):
        mapped = score >= threshold
        true = (mapped & change).sum()
        precision, recall = true / mapped.sum(), true / n_change
        ap += (recall - last_recall) * precision
        last_recall = recall
        value = 2 * true / (mapped.sum() + n_change)
        if value > f1[0]:
            f1 = (value, threshold)
        if (mapped & stable).sum() <= 0.1 * stable.sum():
            at_false_rate = max(at_false_rate, recall)
        if 1 - precision <= 0.2 + 1e-12:
            at_fdr = max(at_fdr, recall)
    wins = sum((a > b) + 0.5 * (a == b) for a in score[change] for b in score[~change])
    return {
        "ap": ap,
        "auc": wins / (n_change * (~change).sum()),
        "f1": f1[0],
        "threshold": f1[1],
        "at_false_rate": at_false_rate,
        "at_fdr": at_fdr,
    }


def figures(ranking: Ranking) -> dict[str, float | None]:
    f1, threshold = best_f1(ranking)
    return {
        "ap": average_precision(ranking),
        "auc": roc_auc(ranking),
        "f1": f1,
        "threshold": threshold,
        "at_false_rate": recall_at_false_rate(ranking, 0.1),
        "at_fdr": recall_at_fdr(ranking, 0.2),
    }


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("values", [2, 40, 4000])
def test_equal_to_plain_loops(seed: int, values: int) -> None:
    score, truth = sample(seed, values=values)
    assert figures(ranked(score, truth)) == pytest.approx(plain(score, truth), abs=1e-12)


def test_order_and_blocks_do_not_matter() -> None:
    score, truth = sample(1)
    order = np.random.default_rng(2).permutation(len(score))
    assert figures(ranked(score[order], truth[order], blocks=7)) == figures(ranked(score, truth))


def test_only_the_order_of_scores_matters() -> None:
    score, truth = sample(3)
    other = figures(ranked(np.exp(score / 4), truth))
    own = figures(ranked(score, truth))
    del other["threshold"], own["threshold"]
    assert other == pytest.approx(own, abs=1e-12)


def test_a_perfect_score_is_1_and_its_opposite_is_not() -> None:
    truth = np.array([STABLE] * 90 + [BLIP] * 5 + [CHANGE] * 5)
    assert figures(ranked((truth == CHANGE).astype(np.float32), truth)) == {
        "ap": 1, "auc": 1, "f1": 1, "threshold": 1, "at_false_rate": 1, "at_fdr": 1
    }  # fmt: skip
    assert roc_auc(ranked(-(truth == CHANGE).astype(np.float32), truth)) == 0


def test_one_score_for_all_is_chance() -> None:
    truth = np.array([STABLE] * 75 + [CHANGE] * 25)
    ranking = ranked(np.full(100, 2.5), truth)
    # one threshold: precision = share of change 0.25; half of every tied pair; F1 = 2 * 25 / (100 + 25)
    assert (average_precision(ranking), roc_auc(ranking), best_f1(ranking)) == (0.25, 0.5, (0.4, 2.5))


def test_blips_are_not_change_and_not_stable() -> None:
    score = np.array([3, 2, 1, 0], np.float32)
    ranking = ranked(score, np.array([BLIP, CHANGE, STABLE, STABLE]))
    assert average_precision(ranking) == 0.5  # the blip above it is false
    assert recall_at_false_rate(ranking, 0) == 1  # yet no stable pixel is


def test_nothing_to_find_is_unknown() -> None:
    ranking = ranked(np.array([1.0, 2.0]), np.array([STABLE, BLIP]))
    found = figures(ranking)
    assert set(found.values()) == {None}
    assert precision_recall(ranking) == ()
    assert figures(ScoreCounts().ranking()) == found


def test_groups_add_up() -> None:
    score, truth = sample(4)
    group = np.random.default_rng(5).integers(0, 4, len(score)).astype(np.uint8)
    counts = ScoreCounts()
    counts.add(score, group, truth.astype(np.uint8))
    for number in range(4):
        own = group == number
        assert figures(counts.ranking(number)) == figures(ranked(score[own], truth[own]))
    assert counts.ranking().total.tolist() == np.bincount(truth, minlength=3).tolist()


def test_keys_have_the_order_of_scores() -> None:
    score = np.array([-np.inf, -3.5, -1e-30, -0.0, 0.0, 1e-40, 1.0, np.float32(1.0000001), 2.5e30, np.inf], np.float32)
    keys = ordered_keys(score)
    assert (np.diff(keys.astype(np.int64)) > 0).tolist() == (np.diff(score) > 0).tolist()
    assert np.array_equal(scores_of(keys), score)


def test_coarse_scores_give_nearly_the_same() -> None:
    rng = np.random.default_rng(6)
    truth = rng.choice([STABLE, CHANGE], 20_000, p=[0.9, 0.1])
    score = rng.gamma(1, 2, len(truth)) + 3 * (truth == CHANGE)
    fine, coarse = (figures(ranked(score, truth, 4, bits)) for bits in (0, COARSE_BITS))
    assert coarse == pytest.approx(fine, rel=2e-3)
    assert len(ranked(score, truth, 1, COARSE_BITS).score) < 0.6 * len(ranked(score, truth).score)


def test_the_curve_begins_and_ends_right() -> None:
    score, truth = sample(7, n=2000, values=4000)
    curve = precision_recall(ranked(score, truth), points=50)
    assert len(curve) <= 50
    assert curve[-1][0] == 1
    assert all(a[0] < b[0] for a, b in itertools.pairwise(curve))
    for recall, precision in curve:
        mapped = [score >= t for t in set(score.tolist())]
        pairs = {
            (round((m & (truth == CHANGE)).sum() / (truth == CHANGE).sum(), 9), round((truth[m] == CHANGE).mean(), 9))
            for m in mapped
        }
        assert (round(recall, 9), round(precision, 9)) in pairs
