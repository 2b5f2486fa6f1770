"""Half the resolution: one pixel from each block of 2 x 2; the last row and column of an odd raster are blocks cut in two.

No data never wins over data: a block with one pixel of data has a value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from terradrift.kernels.quantize import NODATA, SCALE

Array = npt.NDArray[Any]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _is_data(value: Any, nodata: Any) -> Any:
    return (value != nodata) & (value == value)  # NaN equals nothing


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _data(values: Any, nodata: Any, row: int, col: int, found: Any) -> int:
    """Copies what of a block is data into `found`; gives how many."""
    n = 0
    for y in range(2 * row, min(2 * row + 2, values.shape[0])):
        for x in range(2 * col, min(2 * col + 2, values.shape[1])):
            value = values[y, x]
            if _is_data(value, nodata):
                found[n] = value
                n += 1
    return n


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _mean(values: Any, nodata: Any, rounded: bool, out: Any) -> None:
    """Without a branch inside: what is no data adds nothing; a row or column that is not there is the one before, not counted."""
    height, width = values.shape
    for row in range(out.shape[0]):
        low = values[2 * row]
        also = 2 * row + 1 < height
        high = values[2 * row + 1] if also else low
        for col in range(out.shape[1]):
            x = 2 * col
            beside = x + 1 < width
            right = x + 1 if beside else x
            a, b, c, d = low[x], low[right], high[x], high[right]
            has_a, has_b = _is_data(a, nodata), _is_data(b, nodata) & beside
            has_c, has_d = _is_data(c, nodata) & also, _is_data(d, nodata) & beside & also
            total = (np.float64(a) if has_a else 0.0) + (np.float64(b) if has_b else 0.0)
            total = total + (np.float64(c) if has_c else 0.0) + (np.float64(d) if has_d else 0.0)
            n = np.int64(has_a) + np.int64(has_b) + np.int64(has_c) + np.int64(has_d)
            mean = total / n
            out[row, col] = nodata if n == 0 else (np.rint(mean) if rounded else mean)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _max(values: Any, nodata: Any, out: Any) -> None:
    found = np.empty(4, values.dtype)
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            n = _data(values, nodata, row, col, found)
            out[row, col] = found[:n].max() if n else nodata


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _mode(values: Any, nodata: Any, out: Any) -> None:
    found = np.empty(4, values.dtype)
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            n, most = _data(values, nodata, row, col, found), 0
            out[row, col] = nodata
            for k in range(n):
                same = 0
                for other in range(n):
                    same += found[other] == found[k]
                if same > most or (same == most and found[k] > out[row, col]):
                    out[row, col], most = found[k], same


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _mean_vector(codes: Any, out: Any) -> None:
    bands, height, width = codes.shape
    vector = np.empty(bands)
    for row in range(out.shape[1]):
        for col in range(out.shape[2]):
            vector[:] = 0.0
            for y in range(2 * row, min(2 * row + 2, height)):
                for x in range(2 * col, min(2 * col + 2, width)):
                    known = True
                    for band in range(bands):
                        known &= codes[band, y, x] != NODATA
                    if known:
                        for band in range(bands):
                            code = float(codes[band, y, x])
                            vector[band] += code * abs(code)
            length = np.sqrt((vector * vector).sum())
            for band in range(bands):
                if length > 0:
                    part = vector[band] / length
                    out[band, row, col] = np.int8(max(-127.0, min(127.0, np.rint(SCALE * np.sign(part) * np.sqrt(abs(part))))))
                else:
                    out[band, row, col] = NODATA


def mean(values: Array, nodata: float) -> Array:
    """Mean of the data of each block, summed in float64: (y, x) -> (ceil(y/2), ceil(x/2)).

    Of whole numbers: rounded, halves to even.
    """
    out = _half(values)
    _mean(values, values.dtype.type(nodata), values.dtype.kind != "f", out)
    return out


def maximum(values: Array, nodata: float) -> Array:
    """Largest of the data of each block: (y, x) -> (ceil(y/2), ceil(x/2))."""
    out = _half(values)
    _max(values, values.dtype.type(nodata), out)
    return out


def mode(values: Array, nodata: float) -> Array:
    """Most frequent of the data of each block; the largest of equally frequent ones, so that a change wins over none.

    (y, x) -> (ceil(y/2), ceil(x/2))
    """
    out = _half(values)
    _mode(values, values.dtype.type(nodata), out)
    return out


def mean_vector(codes: Array) -> Array:
    """Mean of the unit vectors of each block, of length one again: `signed_square` codes (band, y, x) -> half of y and x.

    A pixel is no data where any band is -128, and so is a block without data, or whose vectors cancel out.
    """
    out = _half(codes)
    _mean_vector(codes, out)
    return out


def _half(values: Array) -> Array:
    return np.empty((*values.shape[:-2], -(-values.shape[-2] // 2), -(-values.shape[-1] // 2)), values.dtype)


METHODS: dict[str, Callable[[Array, float], Array]] = {"mean": mean, "max": maximum, "mode": mode}
"""Of planes (y, x)."""

VECTORS = "mean_vector"
"""The method of embeddings, whose bands belong together."""

RESAMPLING = {"mean": "average", "max": "max", "mode": "mode", VECTORS: "average"}
"""What GDAL and the multiscales convention call them."""


def halved(values: Array, method: str, nodata: float) -> Array:
    """One of METHODS on every plane of (..., y, x), or VECTORS on (..., band, y, x)."""
    if method == VECTORS:
        parts = [mean_vector(part) for part in values.reshape(-1, *values.shape[-3:])]
    else:
        parts = [METHODS[method](part, nodata) for part in values.reshape(-1, *values.shape[-2:])]
    return np.stack(parts).reshape(*values.shape[:-2], *parts[0].shape[-2:])
