"""Random fields that are functions of a key and a pixel's position alone, so no block of a scene knows of another.

Randomness is counter-based: a value is the hash of its key and its place, never the next draw of a stream. The smooth field is
a cubic B-spline over hashed lattice values, scaled so that its variance is one at every pixel.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

_ROW, _COL, _ITEM = np.uint64(0xD1B54A32D192ED03), np.uint64(0x8CB92BA72F3D8DD7), np.uint64(0x9E3779B97F4A7C15)
"""Odd multipliers that spread rows, columns and items over 64 bits before they are mixed."""

_QUARTERS_MEAN = np.float32(2 * 65535)
_QUARTERS_SIGMA = np.float32(np.sqrt(4 * (65536.0**2 - 1) / 12))
"""Mean and standard deviation of the sum of the four 16-bit parts of a hash: close to normal, and needs no logarithm."""

_WHITE_SCALE = np.float32(np.sqrt(3.0) / 2**31)
"""A signed 32-bit hash times this is uniform with variance one."""


def noise_key(seed: int, *stream: int) -> np.uint64:
    """The key of one field: equal for equal seed and stream, unrelated otherwise."""
    return np.uint64(np.random.SeedSequence([seed, *stream]).generate_state(1, np.uint64)[0])


def spline_weights(step: int) -> npt.NDArray[np.float32]:
    """Cubic B-spline weights of four lattice values for every pixel between two of them, (step, 4); squares sum to one."""
    f = np.arange(step) / step
    weights = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, 3 * f * (1 + f - f**2) + 1, f**3], axis=1)
    return np.asarray(weights / np.sqrt((weights**2).sum(axis=1, keepdims=True)), dtype=np.float32)


def add_smooth(out: npt.NDArray[np.float32], scale: npt.NDArray[np.float32], key: np.uint64, y0: int, x0: int, step: int) -> None:
    """Adds `scale` (y, x) times smooth standard normal fields to `out` (y, x, item); the block starts at pixel (y0, x0).

    Values `step` pixels apart are drawn; the correlation is that of white noise smoothed with sigma = 0.58 step.
    """
    _add_smooth(out, scale, key, y0, x0, spline_weights(step))


def smooth(key: np.uint64, y0: int, x0: int, shape: tuple[int, int, int], step: int) -> npt.NDArray[np.float32]:
    """Smooth standard normal fields, float32 (y, x, item)."""
    out = np.zeros(shape, np.float32)
    add_smooth(out, np.ones(shape[:2], np.float32), key, y0, x0, step)
    return out


@numba.njit(cache=True, error_model="numpy", nogil=True)
def mix(h: Any) -> Any:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): every bit of the result depends on every bit of `h`."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def hash_place(key: Any, row: int, col: int) -> Any:
    """64 random bits of a place; rows and columns may be negative."""
    return mix(key ^ mix(np.uint64(row) * _ROW ^ mix(np.uint64(col) * _COL)))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _lattice(nodes: Any, key: Any, row0: int, col0: int) -> None:
    """Fills (row, col, item) with values of mean 0 and variance 1."""
    low = np.uint64(0xFFFF)
    for row in range(nodes.shape[0]):
        for col in range(nodes.shape[1]):
            place = hash_place(key, row0 + row, col0 + col)
            values = nodes[row, col]
            for item in range(values.size):
                h = mix(place + np.uint64(item) * _ITEM)
                total = (h & low) + (h >> np.uint64(16) & low) + (h >> np.uint64(32) & low) + (h >> np.uint64(48))
                values[item] = (np.float32(np.int64(total)) - _QUARTERS_MEAN) / _QUARTERS_SIGMA


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _add_smooth(out: Any, scale: Any, key: Any, y0: int, x0: int, weights: Any) -> None:
    height, width, items = out.shape
    step = weights.shape[0]
    row0, col0 = y0 // step - 1, x0 // step - 1
    nodes = np.empty(((y0 + height - 1) // step - row0 + 3, (x0 + width - 1) // step - col0 + 3, items), np.float32)
    _lattice(nodes, key, row0, col0)
    line = np.empty(nodes.shape[1:], np.float32)
    for y in range(height):
        row = (y0 + y) // step - 1 - row0
        v = weights[(y0 + y) % step]
        for col in range(line.shape[0]):
            n0, n1, n2, n3 = nodes[row, col], nodes[row + 1, col], nodes[row + 2, col], nodes[row + 3, col]
            node = line[col]
            for item in range(items):
                node[item] = v[0] * n0[item] + v[1] * n1[item] + v[2] * n2[item] + v[3] * n3[item]
        for x in range(width):
            col = (x0 + x) // step - 1 - col0
            w, s = weights[(x0 + x) % step], scale[y, x]
            w0, w1, w2, w3 = s * w[0], s * w[1], s * w[2], s * w[3]
            n0, n1, n2, n3 = line[col], line[col + 1], line[col + 2], line[col + 3]
            pixel = out[y, x]
            for item in range(items):
                pixel[item] += w0 * n0[item] + w1 * n1[item] + w2 * n2[item] + w3 * n3[item]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def add_white(out: Any, scale: Any, key: Any, y0: int, x0: int) -> None:
    """Adds `scale` (y, x) times independent uniform values of mean 0 and variance 1 to `out` (y, x, item)."""
    height, width, items = out.shape
    for y in range(height):
        for x in range(width):
            place = np.uint32(hash_place(key, y0 + y, x0 + x) & np.uint64(0xFFFFFFFF))
            s, pixel = scale[y, x] * _WHITE_SCALE, out[y, x]
            for item in range(items):
                h = np.uint32(place + np.uint32(np.uint32(item) * np.uint32(0x9E3779B9)))
                h = np.uint32((h ^ np.uint32(h >> np.uint32(16))) * np.uint32(0x7FEB352D))
                h = np.uint32((h ^ np.uint32(h >> np.uint32(15))) * np.uint32(0x846CA68B))
                h = np.uint32(h ^ np.uint32(h >> np.uint32(16)))
                pixel[item] += s * np.float32(np.int32(h))
