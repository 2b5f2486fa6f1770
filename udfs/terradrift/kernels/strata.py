"""Strata: pixels whose embeddings are alike are compared with one another. A codebook of mean embeddings by spherical k-means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

MAX_STRATA = 64
STRATUM_NODATA = 255

_ROUNDS = 25
_SEED = 1957

MIN_SAMPLE = 64
"""Sampled pixels from which a stratum has a noise of its own."""

DEFAULT_NOISE = 0.02
"""Noise where nothing could be sampled; the run then scores next to nothing."""


@dataclass(frozen=True)
class Strata:
    """The codebook and what is usual in each stratum."""

    centroids: npt.NDArray[np.float32]
    """(stratum, band), unit vectors."""
    noise: npt.NDArray[np.float32]
    """(stratum) median residual variance of a pixel, see `trajectory`."""

    def __len__(self) -> int:
        return len(self.noise)


def fit_strata(means: npt.NDArray[np.float64], residual: npt.NDArray[np.float64], count: int) -> Strata:
    """The codebook of a sample: means (pixel, band), residual variance (pixel). Fewer distinct pixels give fewer strata.

    Spherical k-means from a k-means++ start, seeded; sums in a fixed order, so that the same sample gives the same strata.
    """
    length = np.linalg.norm(means, axis=1)
    known = length > 0
    unit, residual = means[known] / length[known, None], residual[known]
    if not len(unit):
        return Strata(np.zeros((1, means.shape[1]), np.float32), np.full(1, DEFAULT_NOISE, np.float32))
    centroids = _start(unit, min(count, len(unit)))
    nearest = np.zeros(len(unit), np.int64)
    for _ in range(_ROUNDS):
        nearest = np.einsum("pb,sb->ps", unit, centroids).argmax(axis=1)
        sums = np.zeros_like(centroids)
        np.add.at(sums, nearest, unit)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centroids = np.where(length > 0, sums / np.where(length > 0, length, 1), centroids)
    everywhere = float(np.median(residual))
    noise = [
        float(np.median(residual[nearest == s])) if np.count_nonzero(nearest == s) >= MIN_SAMPLE else everywhere
        for s in range(len(centroids))
    ]
    return Strata(centroids.astype(np.float32), np.array(noise, np.float32))


def fit_classes(classes: npt.NDArray[np.integer[Any]], residual: npt.NDArray[np.float64], bands: int) -> Strata:
    """MAX_STRATA strata that are given by a class (pixel), with the noise of a sample; they have no centroids."""
    everywhere = float(np.median(residual)) if len(residual) else DEFAULT_NOISE
    noise = [
        float(np.median(residual[classes == s])) if np.count_nonzero(classes == s) >= MIN_SAMPLE else everywhere
        for s in range(MAX_STRATA)
    ]
    return Strata(np.zeros((MAX_STRATA, bands), np.float32), np.array(noise, np.float32))


def _start(unit: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """k-means++: every next centre is drawn by its distance to those there are (Arthur and Vassilvitskii 2007)."""
    rng = np.random.default_rng(_SEED)
    chosen = [int(rng.integers(len(unit)))]
    away = np.full(len(unit), np.inf)
    while len(chosen) < count:
        away = np.minimum(away, np.maximum(1 - np.einsum("pb,b->p", unit, unit[chosen[-1]]), 0))
        after = np.cumsum(away)
        if after[-1] <= 1e-9:  # all pixels are alike
            break
        chosen.append(int(np.searchsorted(after, rng.random() * after[-1], side="right")))
    return unit[chosen]


def assign_strata(
    codes: npt.NDArray[Any], valid: npt.NDArray[np.bool_], centroids: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """Stratum of every pixel by the direction of its mean embedding: codes (time, band, pixel), valid (time, pixel) -> (pixel).

    int8 codes are signed squares, other values count as they are. 255 where no year is valid.
    """
    return np.asarray(_assign(codes, valid, centroids, codes.dtype == np.int8))


def mean_embeddings(codes: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Sum over the valid years of pixels that have some: codes (time, band, pixel) -> (pixel, band), up to a factor."""
    total = np.empty(codes.shape[1:], np.float32)
    _sum_years(codes, valid, 0, codes.shape[2], codes.dtype == np.int8, total)
    return np.ascontiguousarray(total.T)


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _sum_years(codes: Any, valid: Any, first: int, n: int, squared: bool, total: Any) -> None:
    time, bands = codes.shape[0], codes.shape[1]
    squares = np.empty(n, np.int32)
    for b in range(bands):
        row = total[b]
        if squared:
            squares[:] = 0
            for t in range(time):
                source = codes[t, b, first : first + n]
                for x in range(n):
                    q = np.int16(source[x])
                    squares[x] += np.int32(np.int16(q * np.int16(abs(q))))
            for x in range(n):
                row[x] = np.float32(squares[x])
        else:
            row[:n] = np.float32(0)
            for t in range(time):
                source, ok = codes[t, b, first : first + n], valid[t, first : first + n]
                for x in range(n):
                    row[x] += np.float32(source[x]) if ok[x] else np.float32(0)
    if squared:  # years that are not valid are few: taken out again, which whole numbers do without a trace
        some = np.zeros(n, np.bool_)
        for t in range(time):
            for x in range(n):
                some[x] |= valid[t, first + x]
        for t in range(time):
            for x in range(n):
                if some[x] and not valid[t, first + x]:
                    for b in range(bands):
                        q = np.int16(codes[t, b, first + x])
                        total[b, x] -= np.float32(np.int16(q * np.int16(abs(q))))


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _assign(codes: Any, valid: Any, centroids: Any, squared: bool) -> Any:
    time, bands, pixels = codes.shape
    strip = 128
    out = np.full(pixels, np.uint8(STRATUM_NODATA), np.uint8)
    total = np.empty((bands, strip), np.float32)
    product, best = np.empty(strip, np.float32), np.empty(strip, np.float32)
    for first in range(0, pixels, strip):
        n = min(strip, pixels - first)
        _sum_years(codes, valid, first, n, squared, total)
        best[:n] = -np.inf
        where = out[first : first + n]
        for s in range(centroids.shape[0]):
            centroid = centroids[s]
            product[:n] = np.float32(0)
            for b in range(bands):
                row, c = total[b], centroid[b]
                for x in range(n):
                    product[x] += c * row[x]
            for x in range(n):
                if product[x] > best[x]:
                    best[x] = product[x]
                    where[x] = s
        for x in range(n):
            known = False
            for t in range(time):
                known |= valid[t, first + x]
            if not known:
                where[x] = np.uint8(STRATUM_NODATA)
    return out
