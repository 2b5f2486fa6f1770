"""The Gram: for every pixel the table of dot products between its years. Every score is a function of it.

Codes are squared with their sign, s = q|q|, which is an int16; products of two such vectors are summed as integers. So the
table is exact and does not depend on the order of bands, on tiles or on machines. The scale 127.5^4 cancels in a cosine.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from terradrift.kernels.products import BLOCK, signed_squares, year_products
from terradrift.kernels.quantize import UNIT_PRODUCT

NORM_RANGE = (0.85, 1.15)
"""Decoded norms of a unit vector: outside, codes were averaged, bands are missing or the quantisation is another one."""

STRIP = 256
"""Pixels worked on at a time: nine years of 64 bands of them as int16 stay in the second-level cache."""

PAD = 32
"""Between rows of a strip: a cache line, so that the rows of a few pixels do not all fall on the same lines of the cache."""


NORM_LIMITS = (int(NORM_RANGE[0] ** 2 * UNIT_PRODUCT), int(NORM_RANGE[1] ** 2 * UNIT_PRODUCT))
"""NORM_RANGE as squared norms of codes; both fit an int32."""


def gram(codes: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Dot products between years: (time, band, ...) -> products (time, time, ...), valid (time, ...).

    int8 codes (signed-square quantisation): products are int64, exact, in units of 1 / 127.5^4; a pixel-year with -128 in any
    band is not valid. Float vectors: products are float64 in their own units; a pixel-year with a band that is not finite is
    not valid. Products of years that are not valid are zero.
    """
    time, band = codes.shape[:2]
    pixels = np.ascontiguousarray(codes).reshape(time, band, -1)
    products, valid = gram_of(pixels, 0, pixels.shape[2])
    return products.reshape(time, time, *codes.shape[2:]), valid.reshape(time, *codes.shape[2:])


def gram_of(
    codes: npt.NDArray[Any], first: int, stop: int, sums: npt.NDArray[np.int32] | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """The Gram of some pixels of C-contiguous codes (time, band, pixel), which are not copied: from `first` to `stop`.

    `sums` (band, pixel) is filled with the signed squares of int8 codes summed over all years, valid or not: they are at hand.
    """
    if codes.dtype == np.int8:
        return _gram_codes(codes, first, stop, sums)
    return _gram_floats(codes, first, stop)


def sums_for(codes: npt.NDArray[Any], pixels: int) -> npt.NDArray[np.int32] | None:
    """What `gram_of` fills for so many pixels of int8 codes; other values are not summed on the way."""
    return np.empty((codes.shape[1], pixels), np.int32) if codes.dtype == np.int8 else None


def guard_norm(products: npt.NDArray[np.int64], valid: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], int]:
    """`valid` without the pixel-years whose decoded norm lies outside NORM_RANGE, and how many those were.

    products (time, time, ...) and valid (time, ...) of `gram` on int8 codes.
    """
    time = len(valid)
    good, n_bad = _guard_norm(products.reshape(time, time, -1), valid.reshape(time, -1), *NORM_LIMITS)
    return good.reshape(valid.shape), n_bad


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _guard_norm(products: Any, valid: Any, low: Any, high: Any) -> Any:
    good, n_bad = np.empty_like(valid), 0
    for t in range(valid.shape[0]):
        square, ok, target = products[t, t], valid[t], good[t]
        for p in range(ok.size):
            target[p] = ok[p] & (square[p] >= low) & (square[p] <= high)
            n_bad += ok[p] & ~target[p]
    return good, n_bad


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def workspace(time: int, band: int) -> Any:
    """Of one strip: squares (year, pair of bands, 2 STRIP and PAD) int16 with whole blocks of years, the lowest code of every
    pixel-year (year, STRIP), and what `year_products` fills. Years beyond `time` are zero.
    """
    years = -(-time // BLOCK) * BLOCK
    squares = np.empty((years, (band + 1) // 2, 2 * STRIP + PAD), np.int16)
    squares[time:] = 0
    lowest = np.empty((time, STRIP), np.int8)
    return squares, lowest, np.empty((years, years, STRIP), np.int32), np.empty((years, STRIP), np.int32)


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def sum_years(squares: Any, time: int, first: int, n: int, sums: Any) -> None:
    """Signed squares of all years: (band, pixel); a year's is at most 128^2, so that an int32 holds many.

    The int16 of two bands are the halves of one int32, which needs no shuffling.
    """
    bands, pairs = sums.shape[0], squares.view(np.int32)
    for b in range(0, bands, 2):
        low, high = sums[b, first : first + n], sums[min(b + 1, bands - 1), first : first + n]
        low[:] = 0
        for t in range(time):
            row = pairs[t, b // 2]
            for p in range(n):
                low[p] += np.int32(np.int32(row[p] << 16) >> 16)
        if b + 1 < bands:
            high[:] = 0
            for t in range(time):
                row = pairs[t, b // 2]
                for p in range(n):
                    high[p] += np.int32(row[p] >> 16)


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _gram_codes(codes: Any, begin: int, stop: int, sums: Any) -> Any:
    time, band, pixels = codes.shape[0], codes.shape[1], stop - begin
    products = np.empty((time, time, pixels), np.int64)
    valid = np.empty((time, pixels), np.bool_)
    squares, lowest, totals, passed = workspace(time, band)
    for first in range(0, pixels, STRIP):
        n = min(STRIP, pixels - first)
        signed_squares(codes, begin + first, n, squares, lowest)
        if sums is not None:
            sum_years(squares, time, first, n, sums)
        year_products(squares, n, totals, passed)
        for t in range(time):
            ok, low = valid[t, first : first + n], lowest[t]
            for p in range(n):
                ok[p] = low[p] > -128
        for t in range(time):
            for u in range(t, time):
                total, target = totals[t, u], products[t, u, first : first + n]
                for p in range(n):
                    target[p] = np.int64(total[p])
        _repair_wrapped(squares, passed, time, n, products, valid, first)
        _mirror(products, valid, first, n)
    return products, valid


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _repair_wrapped(s: Any, passed: Any, time: int, n: int, products: Any, valid: Any, first: int) -> None:
    """Sum in int64 where a squared norm is beyond int32, as then (Cauchy-Schwarz) a product may be; never so of unit vectors."""
    for p in range(n):
        wrapped = False
        for t in range(time):
            wrapped |= valid[t, first + p] and passed[t, p] < 0
        if not wrapped:
            continue
        for t in range(time):
            for u in range(t, time):
                total = np.int64(0)
                for b in range(s.shape[1]):
                    for k in range(2 * p, 2 * p + 2):
                        total += np.int64(s[t, b, k]) * np.int64(s[u, b, k])
                products[t, u, first + p] = total


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _mirror(products: Any, valid: Any, first: int, n: int) -> None:
    """The lower triangle from the upper one, and zero where a year is not valid."""
    time = products.shape[0]
    for t in range(time):
        ok = valid[t, first : first + n]
        for u in range(t, time):
            also, upper, lower = valid[u, first : first + n], products[t, u, first : first + n], products[u, t, first : first + n]
            for p in range(n):
                upper[p] = upper[p] if ok[p] and also[p] else 0
                lower[p] = upper[p]


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _gram_floats(vectors: Any, begin: int, stop: int) -> Any:
    """Bands are summed in their order, so that the result does not depend on tiles."""
    time, band, pixels = vectors.shape[0], vectors.shape[1], stop - begin
    products = np.zeros((time, time, pixels), np.float64)
    valid = np.ones((time, pixels), np.bool_)
    for t in range(time):
        for b in range(band):
            row, ok = vectors[t, b, begin:stop], valid[t]
            for p in range(pixels):
                ok[p] = ok[p] and np.isfinite(row[p])
    for t in range(time):
        for u in range(t, time):
            total, ok, also = products[t, u], valid[t], valid[u]
            for b in range(band):
                left, right = vectors[t, b, begin:stop], vectors[u, b, begin:stop]
                for p in range(pixels):
                    if ok[p] and also[p]:
                        total[p] += np.float64(left[p]) * np.float64(right[p])
            products[u, t, :] = total
    return products, valid
