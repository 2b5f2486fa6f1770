"""Strata: pixels whose embeddings are alike are compared with one another. A codebook of mean embeddings by spherical k-means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

STRIP = 256
"""Pixels worked on at a time: their bands stay in the second-level cache."""

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
    sums: npt.NDArray[Any], valid: npt.NDArray[np.bool_], centroids: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """Stratum of every pixel by the direction of its mean embedding: `year_sums` (band, pixel), valid (time, pixel) -> (pixel).

    255 where no year is valid.
    """
    return np.asarray(_assign(sums, valid.any(axis=0), centroids))


def year_sums(
    codes: npt.NDArray[Any], first: int, valid: npt.NDArray[np.bool_], of_all_years: npt.NDArray[np.int32] | None
) -> npt.NDArray[Any]:
    """Vectors summed over the valid years: codes (time, band, pixel) from pixel `first` on, valid (time, pixel) -> (band, pixel).

    int8 codes count as signed squares, in int32: `of_all_years`, as `gram_of` sums them, corrected in place. Other values count
    as they are, in float32. Anything where no year is valid.
    """
    if of_all_years is None:
        return np.asarray(_sum_floats(codes, first, valid))
    if not valid.all():
        _without_invalid(codes, first, valid, of_all_years)
    return of_all_years


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _without_invalid(codes: Any, first: int, valid: Any, sums: Any) -> None:
    """Years that are not valid are few where some are: taken out again, which whole numbers do without a trace."""
    some = np.zeros(valid.shape[1], np.bool_)
    for t in range(valid.shape[0]):
        for x in range(valid.shape[1]):
            some[x] |= valid[t, x]
    for t in range(valid.shape[0]):
        for x in range(valid.shape[1]):
            if some[x] and not valid[t, x]:
                for b in range(sums.shape[0]):
                    q = np.int16(codes[t, b, first + x])
                    sums[b, x] -= np.int32(np.int16(q * np.int16(abs(q))))


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _sum_floats(codes: Any, first: int, valid: Any) -> Any:
    sums = np.zeros((codes.shape[1], valid.shape[1]), np.float32)
    for b in range(codes.shape[1]):
        target = sums[b]
        for t in range(codes.shape[0]):
            source, ok = codes[t, b, first : first + target.size], valid[t]
            for x in range(target.size):
                target[x] += np.float32(source[x]) if ok[x] else np.float32(0)
    return sums


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _assign(sums: Any, known: Any, centroids: Any) -> Any:
    bands, pixels = sums.shape
    out = np.empty(pixels, np.uint8)
    total = np.empty((bands, STRIP), np.float32)
    product, best = np.empty(STRIP, np.float32), np.empty(STRIP, np.float32)
    where = np.empty(STRIP, np.int32)
    for first in range(0, pixels, STRIP):
        n = min(STRIP, pixels - first)
        for b in range(bands):
            source, row = sums[b, first : first + n], total[b]
            for x in range(n):
                row[x] = np.float32(source[x])
        best[:n], where[:n] = -np.inf, 0
        for s in range(centroids.shape[0]):
            centroid = centroids[s]
            product[:n] = np.float32(0)
            for b in range(bands):
                row, c = total[b], centroid[b]
                for x in range(n):
                    product[x] += c * row[x]
            for x in range(n):
                likeness, most, chosen = product[x], best[x], where[x]
                best[x] = likeness if likeness > most else most
                where[x] = np.int32(s) if likeness > most else chosen
        for x in range(n):
            out[first + x] = np.uint8(where[x]) if known[first + x] else np.uint8(STRATUM_NODATA)
    return out
