"""How well a score orders pixels: average precision, AUC, best F1 and recall from the counts at every distinct score.

Pixels of one score stand or fall together, so ties are exact: precision and recall are stepwise over distinct scores.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

STABLE, BLIP, CHANGE = range(3)
"""What a pixel truly is; a blip is not change, yet it is not a stable pixel either."""

EXACT_PIXELS = 20_000_000
"""Rasters up to this size are ranked by the whole float32 score, larger ones by its first 20 bits: 100 bytes a pixel."""

COARSE_BITS = 12
"""Bits dropped above EXACT_PIXELS: scores that differ by less than 1 in 2048 then count as equal."""

MERGE_CODES = 20_000_000
"""Distinct codes held before they are merged, 16 bytes each."""

_SIGN = np.uint32(0x80000000)


@dataclass(frozen=True)
class Ranking:
    """Counts at every distinct score, the largest score first."""

    score: npt.NDArray[np.float64]
    """(score), descending."""
    counts: npt.NDArray[np.float64]
    """(score, 3): stable, blip and changed pixels with exactly this score."""

    @cached_property
    def reached(self) -> npt.NDArray[np.float64]:
        """(score, 3): pixels of this score or a larger one."""
        return self.counts.cumsum(axis=0)

    @cached_property
    def total(self) -> npt.NDArray[np.float64]:
        """(3)"""
        return self.counts.sum(axis=0)


@dataclass
class ScoreCounts:
    """Counts of distinct scores by group and class, added block by block."""

    dropped_bits: int = 0
    _parts: list[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]] = field(default_factory=list)
    _held: int = 0

    def add(self, score: npt.NDArray[np.float32], group: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8]) -> None:
        """Finite scores, their group 0..255 and their class STABLE, BLIP or CHANGE: (pixel) each."""
        keys = (ordered_keys(score) >> np.uint32(self.dropped_bits)).astype(np.uint64)
        codes: npt.NDArray[np.uint64]
        codes, counts = np.unique(
            keys << np.uint64(16) | group.astype(np.uint64) << np.uint64(8) | truth.astype(np.uint64), return_counts=True
        )
        self._parts.append((codes, counts.astype(np.int64)))
        self._held += len(codes)
        if self._held > MERGE_CODES and len(self._parts) > 1:
            self._merge()

    def ranking(self, group: int | None = None) -> Ranking:
        """The ranking of one group, or of all pixels."""
        codes, counts = self._merge()
        if group is not None:
            chosen = (codes >> np.uint64(8) & np.uint64(255)) == group
            codes, counts = codes[chosen], counts[chosen]
        keys, place = np.unique(codes >> np.uint64(16), return_inverse=True)
        table = np.zeros((len(keys), 3))
        np.add.at(table, (place, (codes & np.uint64(255)).astype(np.int64)), counts)
        scores = scores_of((keys << np.uint64(self.dropped_bits)).astype(np.uint32)).astype(np.float64)
        return Ranking(scores[::-1], table[::-1])

    def _merge(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        if len(self._parts) != 1:
            codes = np.concatenate([part[0] for part in self._parts] or [np.zeros(0, np.uint64)])
            counts = np.concatenate([part[1] for part in self._parts] or [np.zeros(0, np.int64)])
            distinct, place = np.unique(codes, return_inverse=True)
            # counts stay far below 2^53, so the float sums are exact
            merged = np.bincount(place, weights=counts, minlength=len(distinct)).astype(np.int64)
            self._parts, self._held = [(distinct, merged)], len(distinct)
        return self._parts[0]


def ordered_keys(score: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Whole numbers in the order of the scores, equal where the scores are: (...) float32 without NaN -> (...) uint32."""
    bits = (np.asarray(score, np.float32) + np.float32(0)).view(np.uint32)  # -0 becomes 0
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def scores_of(keys: npt.NDArray[np.uint32]) -> npt.NDArray[np.float32]:
    """The scores of `ordered_keys`."""
    return np.where(keys & _SIGN, keys & ~_SIGN, ~keys).astype(np.uint32).view(np.float32)


def average_precision(ranking: Ranking) -> float | None:
    """Sum over distinct scores of (step of recall) x precision; None without a changed pixel."""
    reached, change = ranking.reached, ranking.total[CHANGE]
    if not change:
        return None
    seen = np.maximum(reached.sum(axis=1), 1)  # a draw of a bootstrap may have no pixel at the largest scores
    return float((ranking.counts[:, CHANGE] / change * reached[:, CHANGE] / seen).sum())


def roc_auc(ranking: Ranking) -> float | None:
    """Chance that a changed pixel scores higher than one that is not, ties counted half; None without both."""
    change = ranking.counts[:, CHANGE]
    other = ranking.counts.sum(axis=1) - change
    if not change.sum() or not other.sum():
        return None
    above = change.cumsum() - change
    return float((other * (above + change / 2)).sum() / (change.sum() * other.sum()))


def best_f1(ranking: Ranking) -> tuple[float | None, float | None]:
    """(largest F1, its threshold: a pixel is mapped when its score is at least this); ties: the largest threshold."""
    reached, change = ranking.reached, ranking.total[CHANGE]
    if not change:
        return None, None
    f1 = 2 * reached[:, CHANGE] / (reached.sum(axis=1) + change)
    best = int(f1.argmax())
    return float(f1[best]), float(ranking.score[best])


def recall_at_false_rate(ranking: Ranking, rate: float) -> float | None:
    """Largest recall of a threshold that at most `rate` of the stable pixels reach (blips are none); None without both."""
    reached, total = ranking.reached, ranking.total
    if not total[CHANGE] or not total[STABLE]:
        return None
    allowed = reached[:, STABLE] <= rate * total[STABLE]
    return float(reached[allowed, CHANGE].max(initial=0) / total[CHANGE])


def recall_at_fdr(ranking: Ranking, fdr: float) -> float | None:
    """Largest recall of a threshold whose false share is at most `fdr`: what hindsight could choose; None without change."""
    reached, change = ranking.reached, ranking.total[CHANGE]
    if not change:
        return None
    seen = reached.sum(axis=1)
    allowed = seen - reached[:, CHANGE] <= fdr * seen
    return float(reached[allowed, CHANGE].max(initial=0) / change)


def precision_recall(ranking: Ranking, points: int = 400) -> tuple[tuple[float, float], ...]:
    """(recall, precision) along the ranking, at most `points` of them, evenly spaced in recall."""
    reached, change = ranking.reached, ranking.total[CHANGE]
    if not change:
        return ()
    recall, precision = reached[:, CHANGE] / change, reached[:, CHANGE] / np.maximum(reached.sum(axis=1), 1)
    wanted: Any = np.linspace(recall[0], 1, points)
    chosen = np.unique(np.searchsorted(recall, wanted).clip(0, len(recall) - 1))
    return tuple((float(recall[at]), float(precision[at])) for at in chosen)
