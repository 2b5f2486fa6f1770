"""Distances between the years of a pixel, from its Gram. One function a distance, one line in DISTANCES.

All take products (time, time, pixel), valid (time, pixel) and `unit`, the integer product of two unit vectors (127.5^4 for
codes, 1 for floats), and give float64 (time, time, pixel), symmetric, zero on the diagonal where defined so; NaN where a
year is not valid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Distance = Callable[[npt.NDArray[Any], npt.NDArray[np.bool_], float], npt.NDArray[np.float64]]


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def cosine_row(both: Any, own: Any, other: Any, ok: Any, also: Any, out: Any) -> None:
    """Cosine distance of two years in each pixel of `out`, from their products and the two squares."""
    for p in range(out.size):
        # one square root of the product: exact for equal vectors, so that their distance is exactly zero
        cosine = np.float64(both[p]) / np.sqrt(np.float64(own[p]) * np.float64(other[p]))
        distance = min(max(1.0 - cosine, 0.0), 2.0)
        out[p] = distance if ok[p] & also[p] & (own[p] > 0) & (other[p] > 0) else np.nan


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _cosine(products: Any, valid: Any) -> Any:
    time, _, pixels = products.shape
    out = np.empty((time, time, pixels), np.float64)
    for t in range(time):
        for u in range(t, time):
            cosine_row(products[t, u], products[t, t], products[u, u], valid[t], valid[u], out[t, u])
            if u > t:
                out[u, t, :] = out[t, u]
    return out


def cosine(products: npt.NDArray[Any], valid: npt.NDArray[np.bool_], unit: float) -> npt.NDArray[np.float64]:
    """1 - cos of the angle between renormalised vectors, in [0, 2]; NaN for a vector of length zero."""
    return np.asarray(_cosine(products, valid))


def angle(products: npt.NDArray[Any], valid: npt.NDArray[np.bool_], unit: float) -> npt.NDArray[np.float64]:
    """Angle between the vectors in degrees, in [0, 180]."""
    return np.degrees(np.arccos(np.clip(1.0 - _cosine(products, valid), -1.0, 1.0)))


def dot(products: npt.NDArray[Any], valid: npt.NDArray[np.bool_], unit: float) -> npt.NDArray[np.float64]:
    """1 - x.y of the decoded vectors as they are: the Earth Engine recipe, not exactly zero between equal years."""
    return np.where(_both(valid), 1.0 - products / unit, np.nan)


def euclidean(products: npt.NDArray[Any], valid: npt.NDArray[np.bool_], unit: float) -> npt.NDArray[np.float64]:
    """|x - y| of the decoded vectors as they are."""
    square = np.einsum("tt...->t...", products)
    # whole numbers for codes: no cancellation before the root
    difference = square[:, None] + square[None] - 2 * products
    return np.where(_both(valid), np.sqrt(np.maximum(difference, 0) / unit), np.nan)


def _both(valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return valid[:, None] & valid[None]


DISTANCES: dict[str, Distance] = {"cosine": cosine, "dot": dot, "angle": angle, "euclidean": euclidean}
