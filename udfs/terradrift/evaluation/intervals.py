"""How sure the figures are: a bootstrap over blocks of pixels, because pixels beside one another are not independent.

Every block gets a Poisson weight in every draw (Hanley and MacGibbon 2006), seeded by its row on the mosaic's grid. So draws add
up over any blocks of rows in one pass, and equal runs give equal intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.evaluation.ranking import BLIP, CHANGE, STABLE, Ranking, average_precision, best_f1, roc_auc

BLOCK = 32
"""Pixels a side, on the mosaic's grid."""

DRAWS = 200
COVERAGE = 0.90
BINS = 512
"""Scores are counted in as many bins, the quantiles of the changed and of the other pixels' scores."""

_CLASSES = 3
_STREAM = 4711


class BlockBootstrap:
    """Weighted counts of every draw, added block of rows by block of rows."""

    def __init__(self, ranking: Ranking, seed: int = 0) -> None:
        """ranking: of all pixels; chooses the bins."""
        self._edges = _edges(ranking)
        self._seed = seed
        self._bins = np.zeros((DRAWS, (len(self._edges) + 1) * _CLASSES))
        self._mapped = np.zeros((DRAWS, 2 * _CLASSES))

    def add(
        self,
        y0: int,
        x0: int,
        score: npt.NDArray[np.float32],
        truth: npt.NDArray[np.uint8],
        mapped: npt.NDArray[np.bool_],
        evaluated: npt.NDArray[np.bool_],
    ) -> None:
        """(y, x) rasters of a window at row y0, column x0 of the mosaic; `truth` is the class where `evaluated`."""
        y, x = np.nonzero(evaluated)
        if not len(y):
            return
        block_row, block_col = (y + y0) // BLOCK, (x + x0) // BLOCK
        first_col, cols = x0 // BLOCK, (x0 + score.shape[1] - 1) // BLOCK - x0 // BLOCK + 1
        kind = truth[y, x].astype(np.int64)
        bin_ = np.searchsorted(self._edges, score[y, x], side="right") * _CLASSES + kind
        cell = mapped[y, x].astype(np.int64) * _CLASSES + kind
        starts = np.concatenate([[0], np.flatnonzero(np.diff(block_row)) + 1, [len(y)]])
        for start, end in pairwise(starts):
            weights = self._weights(int(block_row[start]), first_col, cols)
            col = block_col[start:end] - first_col
            for table, index in ((self._bins, bin_), (self._mapped, cell)):
                width = table.shape[1]
                counts = np.bincount(col * width + index[start:end], minlength=cols * width).reshape(cols, width)
                table += weights @ counts.astype(np.float64)  # whole numbers: exact in any order

    def _weights(self, block_row: int, first_col: int, cols: int) -> npt.NDArray[np.float64]:
        """(draw, block): of the blocks of a row from column `first_col` on."""
        rng = np.random.default_rng([self._seed, _STREAM, block_row, first_col])
        return rng.poisson(1.0, (DRAWS, cols)).astype(np.float64)

    def intervals(self) -> Mapping[str, tuple[float, float] | None]:
        """90 % intervals by figure; None where no draw has a value."""
        draws: dict[str, list[float | None]] = {}
        for bins, mapped in zip(self._bins, self._mapped, strict=True):
            for name, value in _figures(bins.reshape(-1, _CLASSES), mapped.reshape(2, _CLASSES)).items():
                draws.setdefault(name, []).append(value)
        return {name: _interval(values) for name, values in draws.items()}


def _figures(bins: npt.NDArray[np.float64], mapped: npt.NDArray[np.float64]) -> dict[str, float | None]:
    ranking = Ranking(np.arange(len(bins))[::-1].astype(np.float64), bins[::-1])
    true, false = mapped[1, CHANGE], mapped[1, STABLE] + mapped[1, BLIP]
    change = mapped[:, CHANGE].sum()
    return {
        "average_precision": average_precision(ranking),
        "auc": roc_auc(ranking),
        "best_f1": best_f1(ranking)[0],
        "precision": _share(true, true + false),
        "recall": _share(true, change),
        "f1": _share(2 * true, true + false + change),
        "fdr": _share(false, true + false),
    }


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _interval(values: list[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)


def _edges(ranking: Ranking) -> npt.NDArray[np.float32]:
    """Ascending scores at which a new bin begins."""
    found: list[Any] = [np.zeros(0)]
    rising, counts = ranking.score[::-1], ranking.counts[::-1]
    for weight in (counts[:, CHANGE], counts[:, STABLE] + counts[:, BLIP]):
        if weight.sum():
            below = weight.cumsum() / weight.sum()
            at = np.searchsorted(below, np.arange(1, BINS // 2) / (BINS // 2))
            found.append(rising[at.clip(0, len(rising) - 1)])
    return np.unique(np.concatenate(found)).astype(np.float32)
