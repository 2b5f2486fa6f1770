"""Cosine distances straight from int8 codes: Gram, guard of norms and distance while a strip of pixels is in the cache.

The same numbers as `gram`, `guard_norm` and DISTANCES["cosine"] one after the other, without their tables in between.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from terradrift.kernels.distances import cosine_row
from terradrift.kernels.gram import NORM_LIMITS, STRIP, sum_years, workspace
from terradrift.kernels.products import signed_squares, year_products


def code_cosines(
    codes: npt.NDArray[np.int8],
    first: int,
    stop: int,
    inside: npt.NDArray[np.bool_] | None = None,
    sums: npt.NDArray[np.int32] | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], int]:
    """Cosine distances of some pixels of C-contiguous codes (time, band, pixel), from `first` to `stop`.

    Gives distance (time, time, pixel), on and above the diagonal, anything below it; valid (time,
    pixel), the years whose norm passes; and the number of pixel-years refused by their norm. Pixels not `inside` (pixel) count
    nowhere. `sums` (band, pixel) as in `gram_of`.
    """
    if inside is None:
        inside = np.ones(stop - first, np.bool_)
    distance, valid, n_bad = _code_cosines(codes, first, stop, inside, sums, *NORM_LIMITS)
    return distance, valid, n_bad


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _code_cosines(codes: Any, begin: int, stop: int, inside: Any, sums: Any, low: Any, high: Any) -> Any:
    time, band, pixels = codes.shape[0], codes.shape[1], stop - begin
    distance, valid = np.empty((time, time, pixels), np.float64), np.empty((time, pixels), np.bool_)
    squares, lowest, products, passed = workspace(time, band)
    n_bad = 0
    for first in range(0, pixels, STRIP):
        n = min(STRIP, pixels - first)
        signed_squares(codes, begin + first, n, squares, lowest)
        if sums is not None:
            sum_years(squares, time, first, n, sums)
        year_products(squares, n, products, passed)
        wanted = inside[first : first + n]
        for t in range(time):
            n_bad += _guard(lowest[t], products[t, t], passed[t], wanted, low, high, valid[t, first : first + n])
        for t in range(time):
            distance[t, t, first : first + n] = 0.0
            for u in range(t + 1, time):
                ok, also, target = valid[t, first : first + n], valid[u, first : first + n], distance[t, u, first : first + n]
                cosine_row(products[t, u], products[t, t], products[u, u], ok, also, target)
    return distance, valid, n_bad


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _guard(lowest: Any, square: Any, passed: Any, inside: Any, low: Any, high: Any, valid: Any) -> int:
    """Which pixels have this year, and how many its norm refuses; a square that passed int32 is refused as well."""
    n_bad = 0
    for p in range(valid.size):
        known = inside[p] & (lowest[p] > -128)
        good = known & (passed[p] >= 0) & (square[p] >= low) & (square[p] <= high)
        valid[p] = good
        n_bad += known & ~good
    return n_bad
