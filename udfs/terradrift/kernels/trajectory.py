"""Change through all years of a pixel: which step or ramp explains most, beyond what is usual and beyond any one odd year.

For a template u (see `templates`) the sum of squares SS = u'Cu; of TSS, all that differs between the n years, the best template
leaves the residual variance v = (TSS - SS) / (n - 2). One pixel's v stands on few years, so it is moderated by what is usual in
its stratum, s0, worth NOISE_YEARS years (Smyth 2004, limma): F = SS / ((nu v + nu0 s0) / (nu + nu0)), nu = n - 2. Credit that
hangs on a single year is capped: score = min(F, LOYO_CAP times the best step's F without the year that differs most from all
others).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from terradrift.kernels.series import KIND_NODATA, YEAR_NODATA, Change, Series
from terradrift.kernels.templates import DECOYS, Bank, bank, decoy_orders

MIN_YEARS = 4
"""With one year left out, three must remain: two for a step and one for its noise."""

NOISE_YEARS = 5.0
"""Years that the usual noise of the stratum counts in a pixel's residual variance."""

LOYO_CAP = 7.0
"""How many times the score may exceed the one without the oddest year."""

VARIANCE_FLOOR = 2e-4
"""Smallest residual variance: that of the quantisation of int8 codes, so that equal years score 0 and never infinity."""

STRIP = 128
"""Pixels worked on at a time: their pairs of years and sums of squares stay in the first-level cache."""


def trajectory(series: Series) -> Change:
    """Best step or ramp over the valid years of each pixel; fewer than four give no value.

    score: the capped, moderated F. effect: size of the change in cosine distance without the share of noise, (SS - v) / gain / 2,
    which may be negative. year: the first year of the new state. kind: of the template that explains most, blips of one
    inner year among them; a step that only the first or the last year shows is unconfirmed.
    """
    pixels = series.valid.shape[1]
    score, effect = np.full(pixels, np.nan, np.float32), np.full(pixels, np.nan, np.float32)
    year, kind = np.full(pixels, YEAR_NODATA, np.int64), np.full(pixels, KIND_NODATA, np.uint8)
    for pattern, chosen in patterns(series.valid):
        if len(pattern) < MIN_YEARS:
            continue
        templates = bank(pattern)
        pairs = pairs_of(series.cosine, pattern, chosen)
        best, explained, residual, top = statistic(pairs, series.noise[chosen], pattern)
        score[chosen] = best
        effect[chosen] = effect_of(templates, top, explained, residual)
        year[chosen] = templates.first[top[0]]
        kind[chosen] = templates.kind[top[1]]
    return Change(score, effect, year, kind)


def draw_decoys(series: Series) -> dict[str, npt.NDArray[Any]]:
    """The same statistic of the same pixels with their years in other orders: (decoy, pixel) each, by name in the store."""
    shape = (DECOYS, series.valid.shape[1])
    score, effect = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    kind = np.full(shape, KIND_NODATA, np.uint8)
    for pattern, chosen in patterns(series.valid):
        n = len(pattern)
        if n < MIN_YEARS:
            continue
        templates, (i, j) = bank(pattern), np.triu_indices(n, 1)
        pair = np.zeros((n, n), np.int64)
        pair[i, j] = pair[j, i] = np.arange(len(i))
        pairs = pairs_of(series.cosine, pattern, chosen)
        orders = decoy_orders(n)
        shuffled = np.concatenate([pairs[pair[order[i], order[j]]] for order in orders], axis=1)
        best, explained, residual, top = statistic(shuffled, np.tile(series.noise[chosen], DECOYS), pattern)
        score[:, chosen] = best.reshape(DECOYS, -1)
        effect[:, chosen] = effect_of(templates, top, explained, residual).reshape(DECOYS, -1)
        kind[:, chosen] = templates.kind[top[1]].reshape(DECOYS, -1)
    return {"decoy_score": score, "decoy_effect": effect, "decoy_kind": kind}


def patterns(valid: npt.NDArray[np.bool_]) -> list[tuple[tuple[int, ...], Any]]:
    """(years that are valid, the pixels with just these) of valid (time, pixel); a slice where all pixels are alike."""
    if valid.all():
        return [(tuple(range(len(valid))), slice(None))]
    packed = (valid.T @ (1 << np.arange(len(valid), dtype=np.int64))).astype(np.int64)
    return [
        (tuple(int(t) for t in range(len(valid)) if code >> t & 1), np.flatnonzero(packed == code))
        for code in (int(c) for c in np.unique(packed))
    ]


def pairs_of(cosine: npt.NDArray[np.float64], years: tuple[int, ...], chosen: Any) -> npt.NDArray[np.float32]:
    """(pair of years, pixel): cosine distances of all pairs of the years, row by row of their upper triangle."""
    return np.asarray(_pairs(cosine, np.asarray(years), None if isinstance(chosen, slice) else chosen))


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _pairs(cosine: Any, years: Any, chosen: Any) -> Any:
    n = years.size
    pairs = np.empty((n * (n - 1) // 2, cosine.shape[2] if chosen is None else chosen.size), np.float32)
    k = 0
    for i in range(n):
        for j in range(i + 1, n):
            source, target = cosine[years[i], years[j]], pairs[k]
            for x in range(target.size):
                target[x] = np.float32(source[x if chosen is None else chosen[x]])
            k += 1
    return pairs


def effect_of(templates: Bank, top: Any, explained: Any, residual: Any) -> npt.NDArray[np.float32]:
    """Size of the change in cosine distance: half the squared length of the difference between the two states, unbiased."""
    return np.asarray((explained - residual) / templates.gain[top[0]] / 2, np.float32)


def statistic(
    pairs: npt.NDArray[np.float32], noise: npt.NDArray[np.float32], years: tuple[int, ...]
) -> tuple[Any, Any, Any, tuple[Any, Any]]:
    """score, SS of the best change, residual variance, and (best change, best of all templates) of pixels with these years.

    pairs (pair of years, pixel), noise (pixel).
    """
    weights, n_changes, single, steps, kept = _tables(years)
    best, explained, residual, change, top = _statistic(
        pairs, np.maximum(noise, np.float32(VARIANCE_FLOOR)), len(years), weights, n_changes, single, steps, kept
    )
    return best, explained, residual, (change, top)


@lru_cache(maxsize=1024)
def _tables(years: tuple[int, ...]) -> tuple[Any, ...]:
    """What `_statistic` needs to know of the templates of these years, and of the steps and pairs that leave one year out."""
    templates, n = bank(years), len(years)
    i, j = np.triu_indices(n, 1)
    kept = np.array([np.flatnonzero((i != k) & (j != k)) for k in range(n)])
    steps = bank(tuple(range(n - 1))).weights[: n - 2]
    return templates.weights.astype(np.float32), templates.n_changes, templates.single, steps.astype(np.float32), kept


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _sums_of_squares(pairs: Any, weights: Any, first: int, n: int, out: Any) -> None:
    """out[k, :n] = weights[k] . pairs[:, first : first + n], four pairs at a time in a fixed order."""
    whole = pairs.shape[0] // 4 * 4
    for k in range(weights.shape[0]):
        row, w = out[k], weights[k]
        row[:n] = np.float32(0)
        for p in range(0, whole, 4):
            a, b = pairs[p, first : first + n], pairs[p + 1, first : first + n]
            c, d = pairs[p + 2, first : first + n], pairs[p + 3, first : first + n]
            wa, wb, wc, wd = w[p], w[p + 1], w[p + 2], w[p + 3]
            for x in range(n):
                row[x] += wa * a[x] + wb * b[x] + (wc * c[x] + wd * d[x])
        for p in range(whole, pairs.shape[0]):
            a, wa = pairs[p, first : first + n], w[p]
            for x in range(n):
                row[x] += wa * a[x]


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _total(pairs: Any, years: int, first: int, n: int, out: Any) -> None:
    """TSS: 2 / n times the sum of the cosine distances of all pairs."""
    out[:n] = np.float32(0)
    for p in range(pairs.shape[0]):
        a = pairs[p, first : first + n]
        for x in range(n):
            out[x] += a[x]
    factor = np.float32(2.0 / years)
    for x in range(n):
        out[x] *= factor


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _moderated(explained: Any, total: Any, noise: Any, years: int) -> tuple[Any, Any]:
    nu, nu0 = np.float32(years - 2), np.float32(NOISE_YEARS)
    residual = max((total - explained) / nu, np.float32(0))
    return explained / ((nu * residual + nu0 * noise) / (nu + nu0)), residual


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def _statistic(pairs: Any, noise: Any, years: int, weights: Any, n_changes: int, single: Any, steps: Any, kept: Any) -> Any:
    pixels = pairs.shape[1]
    score, explained = np.empty(pixels, np.float32), np.empty(pixels, np.float32)
    residual = np.empty(pixels, np.float32)
    change, top, odd = np.zeros(pixels, np.int64), np.zeros(pixels, np.int64), np.zeros(pixels, np.int64)
    squares, total = np.empty((weights.shape[0], STRIP), np.float32), np.empty(STRIP, np.float32)
    best = np.empty(STRIP, np.float32)
    for first in range(0, pixels, STRIP):
        n = min(STRIP, pixels - first)
        _sums_of_squares(pairs, weights, first, n, squares)
        _total(pairs, years, first, n, total)
        best[:n] = np.float32(-1)
        for k in range(n_changes):
            row, where = squares[k], change[first : first + n]
            for x in range(n):
                if row[x] > best[x]:
                    best[x] = row[x]
                    where[x] = k
        for x in range(n):
            score[first + x], residual[first + x] = _moderated(best[x], total[x], noise[first + x], years)
            explained[first + x] = best[x]
            top[first + x] = change[first + x]
        for k in range(n_changes, weights.shape[0]):
            row, where = squares[k], top[first : first + n]
            for x in range(n):
                if row[x] > best[x]:
                    best[x] = row[x]
                    where[x] = k
        best[:n] = np.float32(-1)
        for k in range(years):
            row, where = squares[single[k]], odd[first : first + n]
            for x in range(n):
                if row[x] > best[x]:
                    best[x] = row[x]
                    where[x] = k
    fewer = np.empty((kept.shape[1], STRIP), np.float32)
    members = np.empty(STRIP, np.int64)
    for k in range(years):
        p = 0
        while p < pixels:
            n = 0
            while p < pixels and n < STRIP:
                members[n] = p
                n += odd[p] == k
                p += 1
            if n == 0:
                continue
            for q in range(kept.shape[1]):
                source, target = pairs[kept[k, q]], fewer[q]
                for x in range(n):
                    target[x] = source[members[x]]
            _sums_of_squares(fewer, steps, 0, n, squares)
            _total(fewer, years - 1, 0, n, total)
            best[:n] = np.float32(-1)
            for r in range(steps.shape[0]):
                row = squares[r]
                for x in range(n):
                    best[x] = max(best[x], row[x])
            for x in range(n):
                m = members[x]
                without, _ = _moderated(best[x], total[x], noise[m], years - 1)
                score[m] = min(score[m], np.float32(LOYO_CAP) * without)
    return score, explained, residual, change, top
