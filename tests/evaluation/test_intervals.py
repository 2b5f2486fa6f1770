"""Block bootstrap: seeded, additive over rows, as wide as the blocks are few."""

from __future__ import annotations

import numpy as np
import pytest

from terradrift.evaluation.intervals import BLOCK, DRAWS, BlockBootstrap, _figures
from terradrift.evaluation.ranking import CHANGE, STABLE, ScoreCounts, average_precision, best_f1, roc_auc

Y0, X0 = 70, 45  # not on the grid of blocks


def field(seed: int, size: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.where(np.kron(rng.random((size // 20, size // 20)) < 0.15, np.ones((20, 20), bool)), CHANGE, STABLE).astype(
        np.uint8
    )
    score = (rng.gamma(2, 1, truth.shape) + 2.5 * (truth == CHANGE)).astype(np.float32)
    return score, truth, score > 5, rng.random(truth.shape) < 0.97


def ranking(score: np.ndarray, truth: np.ndarray, evaluated: np.ndarray):
    counts = ScoreCounts()
    counts.add(score[evaluated], np.zeros(evaluated.sum(), np.uint8), truth[evaluated])
    return counts.ranking()


def bootstrap(seed: int, rows: int, *rasters: np.ndarray) -> BlockBootstrap:
    score, truth, mapped, evaluated = rasters
    made = BlockBootstrap(ranking(score, truth, evaluated), seed)
    for y in range(0, len(score), rows):
        part = slice(y, y + rows)
        made.add(Y0 + y, X0, score[part], truth[part], mapped[part], evaluated[part])
    return made


def test_equal_seeds_give_equal_intervals_however_rows_are_read() -> None:
    rasters = field(0)
    whole = bootstrap(3, 1000, *rasters).intervals()
    assert whole == bootstrap(3, 7, *rasters).intervals()
    assert whole != bootstrap(4, 1000, *rasters).intervals()


def test_draws_are_weighted_sums_of_blocks() -> None:
    _, truth, mapped, evaluated = rasters = field(1)
    made = bootstrap(0, 64, *rasters)
    expected = np.zeros((DRAWS, 2, 3))
    for row in range(Y0 // BLOCK, (Y0 + 199) // BLOCK + 1):
        cols = (X0 + 199) // BLOCK - X0 // BLOCK + 1
        weights = np.random.default_rng([0, 4711, row, X0 // BLOCK]).poisson(1.0, (DRAWS, cols))
        for col in range(cols):
            y = slice(max(row * BLOCK - Y0, 0), max((row + 1) * BLOCK - Y0, 0))
            x = slice(max((col + X0 // BLOCK) * BLOCK - X0, 0), max((col + 1 + X0 // BLOCK) * BLOCK - X0, 0))
            for m in (0, 1):
                for t in range(3):
                    n = (evaluated[y, x] & (mapped[y, x] == m) & (truth[y, x] == t)).sum()
                    expected[:, m, t] += weights[:, col] * n
    assert np.array_equal(made._mapped.reshape(DRAWS, 2, 3), expected)


def test_bins_lose_next_to_nothing() -> None:
    score, truth, mapped, evaluated = rasters = field(2)
    made = bootstrap(0, 64, *rasters)
    exact = ranking(score, truth, evaluated)
    place = np.searchsorted(made._edges, score[evaluated], side="right") * 3 + truth[evaluated]
    bins = np.bincount(place, minlength=made._bins.shape[1]).reshape(-1, 3).astype(float)
    cells = np.bincount(mapped[evaluated] * 3 + truth[evaluated], minlength=6).reshape(2, 3)
    found = _figures(bins, cells)
    assert found["average_precision"] == pytest.approx(average_precision(exact), abs=2e-3)
    assert found["auc"] == pytest.approx(roc_auc(exact), abs=1e-3)
    assert found["best_f1"] == pytest.approx(best_f1(exact)[0], abs=3e-3)
    assert found["recall"] == (mapped & evaluated & (truth == CHANGE)).sum() / (evaluated & (truth == CHANGE)).sum()


def test_intervals_hold_the_figure_and_narrow_with_more_blocks() -> None:
    widths = []
    for size in (100, 400):
        score, truth, _, evaluated = rasters = field(5, size)
        low, high = bootstrap(0, 64, *rasters).intervals()["average_precision"]
        assert low <= average_precision(ranking(score, truth, evaluated)) <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_a_perfect_map_is_sure() -> None:
    _, truth, _, evaluated = field(6)
    perfect = truth == CHANGE
    found = bootstrap(0, 64, perfect.astype(np.float32), truth, perfect, evaluated).intervals()
    assert found["fdr"] == (0, 0)
    assert {found[name] for name in ("average_precision", "precision", "recall", "f1", "auc")} == {(1, 1)}


def test_what_has_no_change_has_no_interval() -> None:
    score, truth, mapped, evaluated = field(7)
    found = bootstrap(0, 64, score, np.zeros_like(truth), mapped, evaluated).intervals()
    assert found["average_precision"] is None
    assert found["fdr"] == (1, 1)
