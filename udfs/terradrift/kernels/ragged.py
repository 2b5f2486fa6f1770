"""Ragged arrays: pieces of different lengths one after another, and the offsets at which they begin."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


def offsets_of(lengths: npt.NDArray[Any]) -> Int64:
    """Lengths of consecutive pieces to where each begins, and the end: (n) -> (n + 1)."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def runs(values: npt.ArrayLike) -> Int64:
    """Where each run of equal values begins, and the end: (n) -> (run + 1)."""
    values = np.asarray(values)
    return np.concatenate([np.flatnonzero(np.diff(values, prepend=values[:1] - 1)), [len(values)]])
