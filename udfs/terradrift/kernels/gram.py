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

STRIP = 256
"""Pixels worked on at a time: nine years of 64 bands of them as int16 stay in the second-level cache."""

_INT32_LIMIT = 2**31


def gram(codes: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Dot products between years: (time, band, ...) -> products (time, time, ...), valid (time, ...).

    int8 codes (signed-square quantisation): products are int64, exact, in units of 1 / 127.5^4; a pixel-year with -128 in any
    band is not valid. Float vectors: products are float64 in their own units; a pixel-year with a band that is not finite is
    not valid. Products of years that are not valid are zero.
    """
    time, band = codes.shape[:2]
    pixels = np.ascontiguousarray(codes).reshape(time, band, -1)
    if codes.dtype == np.int8:
        products, valid = _gram_codes(pixels)
    else:
        products, valid = _gram_floats(pixels)
    return products.reshape(time, time, *codes.shape[2:]), valid.reshape(time, *codes.shape[2:])


def guard_norm(products: npt.NDArray[np.int64], valid: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], int]:
    """`valid` without the pixel-years whose decoded norm lies outside NORM_RANGE, and how many those were.

    products (time, time, ...) and valid (time, ...) of `gram` on int8 codes.
    """
    low, high = (np.int64(limit**2 * UNIT_PRODUCT) for limit in NORM_RANGE)
    square = np.einsum("tt...->t...", products)
    bad = valid & ((square < low) | (square > high))
    n_bad = int(np.count_nonzero(bad))
    return (valid & ~bad if n_bad else valid), n_bad


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _widen(codes: Any, first: int, n: int, squares: Any, lowest: Any) -> None:
    """Signed squares of one strip, (time, band, STRIP), and the lowest code of every pixel-year, (time, STRIP)."""
    time, band = codes.shape[0], codes.shape[1]
    for t in range(time):
        low = lowest[t]
        low[:] = 127
        for b in range(band):
            source = codes[t, b, first : first + n]
            target = squares[t, b]
            for p in range(n):
                q = np.int16(source[p])
                target[p] = np.int16(q * np.int16(abs(q)))
                low[p] = min(low[p], q)


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _products_1x3(s: Any, t: int, others: Any, n: int, acc: Any) -> None:
    """Products of one year with three others over all bands, four at a time; int32 wraps on the way are harmless.

    Few enough rows for the compiler to prove that none overlaps another: with three years by three it gives up and the loop
    is five times slower.
    """
    c0, c1, c2 = acc[0], acc[1], acc[2]
    c0[:n], c1[:n], c2[:n] = 0, 0, 0
    i, j, k = others[0], others[1], others[2]
    for b in range(0, s.shape[1], 4):
        a0, a1, a2, a3 = s[t, b], s[t, b + 1], s[t, b + 2], s[t, b + 3]
        u0, u1, u2, u3 = s[i, b], s[i, b + 1], s[i, b + 2], s[i, b + 3]
        v0, v1, v2, v3 = s[j, b], s[j, b + 1], s[j, b + 2], s[j, b + 3]
        w0, w1, w2, w3 = s[k, b], s[k, b + 1], s[k, b + 2], s[k, b + 3]
        for p in range(n):
            x0, x1, x2, x3 = np.int32(a0[p]), np.int32(a1[p]), np.int32(a2[p]), np.int32(a3[p])
            c0[p] = np.int32(c0[p] + x0 * np.int32(u0[p]) + x1 * np.int32(u1[p]) + x2 * np.int32(u2[p]) + x3 * np.int32(u3[p]))
            c1[p] = np.int32(c1[p] + x0 * np.int32(v0[p]) + x1 * np.int32(v1[p]) + x2 * np.int32(v2[p]) + x3 * np.int32(v3[p]))
            c2[p] = np.int32(c2[p] + x0 * np.int32(w0[p]) + x1 * np.int32(w1[p]) + x2 * np.int32(w2[p]) + x3 * np.int32(w3[p]))


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _squared_norms(s: Any, n: int, square: Any) -> None:
    """Diagonal in int64, exact for any codes: (time, STRIP)."""
    for t in range(s.shape[0]):
        target = square[t]
        target[:] = 0
        for b in range(s.shape[1]):
            row = s[t, b]
            for p in range(n):
                target[p] += np.int64(np.int32(row[p]) * np.int32(row[p]))


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _gram_codes(codes: Any) -> Any:
    time, band, pixels = codes.shape
    products = np.empty((time, time, pixels), np.int64)
    valid = np.empty((time, pixels), np.bool_)
    squares = np.zeros((time, (band + 3) // 4 * 4, STRIP), np.int16)  # whole groups of four bands, zero beyond the last
    lowest = np.empty((time, STRIP), np.int16)
    norm = np.empty((time, STRIP), np.int64)
    acc = np.empty((3, STRIP), np.int32)
    others = np.empty(3, np.int64)
    for first in range(0, pixels, STRIP):
        n = min(STRIP, pixels - first)
        _widen(codes, first, n, squares, lowest)
        _squared_norms(squares, n, norm)
        for t in range(time):
            for u in range(t + 1, time, 3):
                for k in range(3):
                    others[k] = min(u + k, time - 1)
                _products_1x3(squares, t, others, n, acc)
                for k in range(min(3, time - u)):
                    source, target = acc[k], products[t, u + k, first : first + n]
                    for p in range(n):
                        target[p] = np.int64(source[p])
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
    time, band = s.shape[0], s.shape[1]
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
                for b in range(band):
                    total += np.int64(s[t, b, p]) * np.int64(s[u, b, p])
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
def _gram_floats(vectors: Any) -> Any:
    """Bands are summed in their order, so that the result does not depend on tiles."""
    time, band, pixels = vectors.shape
    products = np.zeros((time, time, pixels), np.float64)
    valid = np.ones((time, pixels), np.bool_)
    for t in range(time):
        for b in range(band):
            row, ok = vectors[t, b], valid[t]
            for p in range(pixels):
                ok[p] = ok[p] and np.isfinite(row[p])
    for t in range(time):
        for u in range(t, time):
            total, ok, also = products[t, u], valid[t], valid[u]
            for b in range(band):
                left, right = vectors[t, b], vectors[u, b]
                for p in range(pixels):
                    if ok[p] and also[p]:
                        total[p] += np.float64(left[p]) * np.float64(right[p])
            products[u, t, :] = total
    return products, valid
