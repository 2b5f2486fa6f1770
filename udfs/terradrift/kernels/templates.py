"""Shapes that change takes through the years: steps, ramps and blips, and orders of years that look like none of them.

A template is a centred unit vector u over the valid years of a pixel; u'Cu, with C the cosines between its years, is the sum
of squares that the template explains (scores are in `trajectory`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from terradrift.kernels.series import BLIP, RAMP, STEP, UNCONFIRMED

RAMP_YEARS = (2, 3, 4)
"""Years from the last of the old state to the first of the new one. Longer ramps are told from these by nothing in nine years."""

DECOYS = 8
"""Orders of the years that stand in for "no change"."""

_CANDIDATES = 4000
_SEED = 20170101


@dataclass(frozen=True)
class Bank:
    """Templates over the valid years of a pixel, n of them; changes first, then blips."""

    unit: npt.NDArray[np.float64]
    """(template, n): centred, of length one."""
    gain: npt.NDArray[np.float64]
    """(template): square of the centred shape's length, from a change of size 1 to its sum of squares."""
    first: npt.NDArray[np.int64]
    """(template): position in time of the first year of the new state."""
    kind: npt.NDArray[np.uint8]
    """(template): code of the kind."""
    n_changes: int
    """Templates that are changes; the others are blips of an inner year."""
    single: npt.NDArray[np.int64]
    """(n): the template of each year alone; for the first and the last year that is a step."""

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """(template, pair of years): sums of squares are weights @ cosine distances, as the shapes are centred."""
        i, j = np.triu_indices(self.unit.shape[1], 1)
        return -2 * self.unit[:, i] * self.unit[:, j]


@lru_cache(maxsize=1024)
def bank(years: tuple[int, ...]) -> Bank:
    """The templates of a pixel whose valid years are at these positions in time; at least three."""
    at = np.asarray(years, np.int64)
    n = len(at)
    shapes: list[tuple[npt.NDArray[np.float64], int, int]] = []
    for k in range(1, n):
        end = k in (1, n - 1)  # the same as a single odd year at the end: nobody can tell before the next year is there
        shapes.append(((np.arange(n) >= k).astype(np.float64), int(at[k]), UNCONFIRMED if end else STEP))
    for length in RAMP_YEARS:
        for start in range(at[0], at[-1] - length + 1):
            shapes.append((np.clip((at - start) / length, 0, 1), int(at[at > start][0]), RAMP))
    for k in range(n):
        shapes.append(((np.arange(n) == k).astype(np.float64), int(at[k]), BLIP))
    unit: list[npt.NDArray[np.float64]] = []
    kept: list[tuple[float, int, int]] = []
    single = np.zeros(n, np.int64)
    for number, (shape, first, kind) in enumerate(shapes):
        centred = shape - shape.mean()
        gain = float(centred @ centred)
        vector = centred / np.sqrt(gain)
        same = [k for k, other in enumerate(unit) if abs(other @ vector) > 1 - 1e-9]
        row = same[0] if same else len(unit)  # with years missing, a short ramp is a step
        if not same:
            unit.append(vector)
            kept.append((gain, first, kind))
        if number >= len(shapes) - n:
            single[number - len(shapes) + n] = row
    gains, firsts, kinds = (np.array(column) for column in zip(*kept, strict=True))
    return Bank(
        np.array(unit), gains, firsts.astype(np.int64), kinds.astype(np.uint8), int(np.count_nonzero(kinds != BLIP)), single
    )


@lru_cache(maxsize=64)
def decoy_orders(n: int, count: int = DECOYS) -> npt.NDArray[np.int64]:
    """(count, n): orders of n years in which an inner step looks least like any inner step, always the same ones.

    From nine years on no permuted inner step correlates by more than 0.5 with a true one.
    """
    rng = np.random.default_rng([_SEED, n])
    orders = {tuple(int(k) for k in rng.permutation(n)) for _ in range(_CANDIDATES)}
    steps = np.array([(np.arange(n) >= k).astype(np.float64) for k in range(2, n - 1)] or [np.arange(n, dtype=np.float64)])
    steps -= steps.mean(axis=1, keepdims=True)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    likeness = {order: round(float(np.abs(steps[:, list(order)] @ steps.T).max()), 9) for order in orders}
    best = sorted(orders, key=lambda order: (likeness[order], order))[:count]
    return np.array([best[k % len(best)] for k in range(count)])
