"""From scores to q-values: every pixel competes with decoys of itself, its own years in orders that look like no change.

Where nothing happened, a pixel's years are as good in one order as in another, so that a decoy wins over the pixel as often as
the pixel over the decoy. So the decoys that win at or above a score count the false ones among the pixels mapped there
(target-decoy competition: Elias and Gygi 2007; Barber and Candes 2015 for the proof, the 1 / K of which is kept). Years are not
quite exchangeable where the ground drifts slowly: `tail_factor` raises the decoys for that.

Counts are whole numbers in fixed bins: their sums do not depend on tiles or workers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]

BINS = 512
LOWEST, HIGHEST = 0.5, 5000.0
EDGES = (LOWEST * (HIGHEST / LOWEST) ** (np.arange(BINS) / BINS)).astype(np.float32)
"""Lower edges of the bins of a score, 1.8 % wide; what lies below or above falls into the first or last."""

MIN_STRATUM_PIXELS = 100_000
"""Scored pixels from which a stratum is calibrated by itself; smaller ones are calibrated together."""

DRIFT_POWER = 0.25
"""What is left of the decoys' deficit at the median in the tail, as a power of it: measured, docs/method.md has the table."""


def bins_of(score: npt.NDArray[np.float32]) -> Int64:
    """Bin of every finite score, same shape."""
    return np.maximum(np.searchsorted(EDGES, np.asarray(score, np.float32), side="right") - 1, 0)


def count_bins(score: npt.NDArray[np.float32], group: npt.NDArray[np.uint8], n: int, weight: Int64 | None = None) -> Int64:
    """(group, bin) counts of scores with their groups (0 .. n - 1), or sums of whole-number weights below 2^53."""
    key = group.astype(np.int64) * BINS + bins_of(score)
    found = np.bincount(key.ravel(), None if weight is None else weight.ravel(), minlength=n * BINS)
    return np.rint(found).astype(np.int64).reshape(n, BINS)


def groups(n_pixels: Int64) -> Int64:
    """(stratum) -> (stratum): strata that are calibrated together, by the lowest of their numbers.

    Strata of fewer than MIN_STRATUM_PIXELS are one group; if even that is too small, the smallest large stratum joins it.
    """
    group = np.arange(len(n_pixels))
    small = n_pixels < MIN_STRATUM_PIXELS
    if small.any() and not small.all() and n_pixels[small].sum() < MIN_STRATUM_PIXELS:
        small[np.flatnonzero(~small)[n_pixels[~small].argmin()]] = True
    if small.any():
        group[small] = np.flatnonzero(small)[0]
    return group


def tail_factor(target: Int64, decoy: Int64) -> float:
    """By how much the decoys fall short of what unchanged pixels score: (bin) counts of all pixels and all decoys.

    At the median, where hardly a pixel has changed, the ratio of the two is plain to see; towards the tail it shrinks to its
    DRIFT_POWER. Where it is smaller at the 80 % quantile already, as where crops rotate, that is the limit. At least 0.8.
    """
    if not target.sum() or not decoy.sum():
        return 1.0
    median, upper = (_quantile(target, p) / _quantile(decoy, p) for p in (0.5, 0.8))
    return float(max(min(max(median, 1.0) ** DRIFT_POWER, upper), 0.8))


def _quantile(counts: Int64, p: float) -> float:
    """Quantile of binned scores, by interpolation on the log scale."""
    after = np.cumsum(counts)
    rank = p * after[-1]
    k = int(np.searchsorted(after, rank))
    share = (rank - (after[k] - counts[k])) / max(counts[k], 1)
    step = float(np.log(HIGHEST / LOWEST)) / BINS
    return float(LOWEST * np.exp((k + share) * step))


def q_values(won: Int64, lost: Int64) -> npt.NDArray[np.float32]:
    """(bin) -> (bin): the smallest false discovery rate at which pixels of a bin are mapped; never rises with the score.

    won: competitions that the pixel won, by its score; lost: those that the decoy won, by the decoy's.
    """
    above = np.cumsum(won[::-1])[::-1]
    false = np.cumsum(lost[::-1])[::-1] + 1
    rate = np.minimum(false / np.maximum(above, 1), 1.0)
    return np.minimum.accumulate(rate).astype(np.float32)
