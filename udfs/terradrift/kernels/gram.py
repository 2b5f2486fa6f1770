"""The Gram: for every pixel the table of dot products between its years. Every score is a function of it.

Codes are squared with their sign, s = q|q|, which is an int16; products of two such vectors are summed as integers. So the
table is exact and does not depend on the order of bands, on tiles or on machines. The scale 127.5^4 cancels in a cosine.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from terradrift.kernels.quantize import UNIT_PRODUCT

NORM_RANGE = (0.85, 1.15)
"""Decoded norms of a unit vector: outside, codes were averaged, bands are missing or the quantisation is another one."""

STRIP = 512
"""Pixels worked on at a time: nine years of 64 bands of them as int16 stay in the second-level cache."""

_INT32_LIMIT = 2**31

NO_SUMS = np.empty((0, 0), np.int32)


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
    codes: npt.NDArray[Any], first: int, stop: int, sums: npt.NDArray[np.int32] = NO_SUMS
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """The Gram of some pixels of C-contiguous codes (time, band, pixel), which are not copied: from `first` to `stop`.

    `sums` (band, pixel) is filled with the signed squares of int8 codes summed over all years, valid or not: they are at hand.
    """
    if codes.dtype == np.int8:
        return _gram_codes(codes, first, stop, sums)
    return _gram_floats(codes, first, stop)


def guard_norm(products: npt.NDArray[np.int64], valid: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], int]:
    """`valid` without the pixel-years whose decoded norm lies outside NORM_RANGE, and how many those were.

    products (time, time, ...) and valid (time, ...) of `gram` on int8 codes.
    """
    low, high = (np.int64(limit**2 * UNIT_PRODUCT) for limit in NORM_RANGE)
    time = len(valid)
    good, n_bad = _guard_norm(products.reshape(time, time, -1), valid.reshape(time, -1), low, high)
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
def _widen(codes: Any, first: int, n: int, squares: Any, lowest: Any) -> None:
    """Signed squares of one strip, (time, pair of bands, 2 STRIP), and the lowest code of every pixel-year, (time, STRIP).

    The two bands of a pair lie side by side: the processor multiplies and adds them in one instruction.
    """
    time, band = codes.shape[0], codes.shape[1]
    for t in range(time):
        low = lowest[t]
        low[:] = 127
        for b in range(0, band, 2):
            left, right = codes[t, b, first : first + n], codes[t, min(b + 1, band - 1), first : first + n]
            target, paired = squares[t, b // 2], np.int16(b + 1 < band)
            for p in range(n):
                q, r = np.int16(left[p]), np.int16(right[p])
                target[2 * p] = np.int16(q * np.int16(abs(q)))
                target[2 * p + 1] = np.int16(paired * r * np.int16(abs(r)))
                low[p] = min(low[p], min(q, r))


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _add_products(left: Any, right: Any, n: int, total: Any) -> None:
    """total += products of two years over pairs of bands; int32 wraps on the way are harmless where the sum fits.

    One pair of years at a time: with more, the compiler no longer sees the instruction that multiplies and adds.
    """
    for b in range(left.shape[0]):
        x, y = left[b], right[b]
        for p in range(n):
            both = np.int32(np.int32(x[2 * p]) * np.int32(y[2 * p]) + np.int32(x[2 * p + 1]) * np.int32(y[2 * p + 1]))
            total[p] = np.int32(total[p] + both)


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _squared_norms(s: Any, n: int, square: Any, part: Any) -> None:
    """Diagonal in int64, exact for any codes: (time, STRIP). Eight squares of 128^2 at most still fit an int32."""
    for t in range(s.shape[0]):
        target = square[t]
        target[:] = 0
        for b in range(0, s.shape[1], 4):
            part[:n] = 0
            some = s[t, b : b + 4]
            _add_products(some, some, n, part)
            for p in range(n):
                target[p] += np.int64(part[p])


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _sum_years(pairs: Any, first: int, n: int, sums: Any) -> None:
    """Signed squares of all years: (band, pixel); a year's is at most 128^2, so that an int32 holds many.

    pairs (time, pair of bands, STRIP): the int16 of two bands as the halves of one int32, which needs no shuffling.
    """
    bands = sums.shape[0]
    for b in range(0, bands, 2):
        low, high = sums[b, first : first + n], sums[min(b + 1, bands - 1), first : first + n]
        low[:] = 0
        for t in range(pairs.shape[0]):
            row = pairs[t, b // 2]
            for p in range(n):
                low[p] += np.int32(np.int32(row[p] << 16) >> 16)
        if b + 1 < bands:
            high[:] = 0
            for t in range(pairs.shape[0]):
                row = pairs[t, b // 2]
                for p in range(n):
                    high[p] += np.int32(row[p] >> 16)


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _gram_codes(codes: Any, begin: int, stop: int, sums: Any) -> Any:
    time, band, pixels = codes.shape[0], codes.shape[1], stop - begin
    products = np.empty((time, time, pixels), np.int64)
    valid = np.empty((time, pixels), np.bool_)
    squares = np.empty((time, (band + 1) // 2, 2 * STRIP), np.int16)
    pairs = squares.view(np.int32)
    lowest = np.empty((time, STRIP), np.int16)
    norm = np.empty((time, STRIP), np.int64)
    total = np.empty(STRIP, np.int32)
    for first in range(0, pixels, STRIP):
        n = min(STRIP, pixels - first)
        _widen(codes, begin + first, n, squares, lowest)
        _squared_norms(squares, n, norm, total)
        if sums.size:
            _sum_years(pairs, first, n, sums)
        for t in range(time):
            for u in range(t + 1, time):
                total[:n] = 0
                _add_products(squares[t], squares[u], n, total)
                target = products[t, u, first : first + n]
                for p in range(n):
                    target[p] = np.int64(total[p])
        for t in range(time):
            ok, low, square, target = valid[t, first : first + n], lowest[t], norm[t], products[t, t, first : first + n]
            for p in range(n):
                ok[p] = low[p] > -128
                target[p] = square[p]
        _repair_wrapped(squares, norm, lowest, n, products, first)
        _mirror(products, valid, first, n)
    return products, valid


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _repair_wrapped(s: Any, square: Any, lowest: Any, n: int, products: Any, first: int) -> None:
    """Sum in int64 where the norms allow a product beyond int32 (Cauchy-Schwarz); never happens to unit vectors."""
    time, pairs = s.shape[0], s.shape[1]
    for p in range(n):
        largest = np.int64(0)
        for t in range(time):
            if lowest[t, p] > -128:
                largest = max(largest, square[t, p])
        if largest < _INT32_LIMIT:
            continue
        for t in range(time):
            for u in range(t + 1, time):
                total = np.int64(0)
                for b in range(pairs):
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
