"""Polygons cut into the tiles of one zoom, in whole tile units."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from terradrift.kernels.rings import Array, Rings, clean, double_areas, owners


class Pieces(NamedTuple):
    """What each feature leaves in each tile; `rings` has one entry a piece, coordinates from the tile's upper left corner."""

    feature: Array
    """(piece) int64: position of the feature."""
    tile_x: Array
    """(piece) int64."""
    tile_y: Array
    """(piece) int64."""
    rings: Rings


def clip_to_tiles(rings: Rings, tiles: int, extent: int, buffer: int) -> Pieces:
    """Every tile's share of every feature on a grid of `tiles` x `tiles` tiles of `extent` units, with `buffer` units around.

    A feature is cut into columns, each column into tiles. Shares that are lines alone are left out; holes stand after their outer
    ring, before all a negative ring in none, which only a polygon that is not valid leaves.
    """
    feature, tile_x, tile_y, *ragged = _clip_to_tiles(*rings, tiles, extent, buffer)
    return Pieces(feature, tile_x, tile_y, Rings(*ragged))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _append(out_u: Any, out_v: Any, end: Any, u: Any, v: Any, first: Any, last: Any) -> Any:
    """Write vertices first .. last of u, v at `end`; the new end."""
    for i in range(first, last):
        out_u[end], out_v[end] = u[i], v[i]
        end += 1
    return end


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _clip_half(u: Any, v: Any, rings: Any, limit: int) -> Any:
    """Rings cut to u <= limit: crossings are joined in pairs, in the order they have half a unit inside, where no vertex lies.

    What the line cuts off falls away cleanly: pieces come apart, holes open into the outer ring, edges on the line vanish.
    Where rings cross themselves the pairs do not match; then each ring is closed along the line by itself.
    """
    if u.size == 0 or u.max() <= limit:
        return u, v, rings
    out_u, out_v = np.empty(2 * u.size, u.dtype), np.empty(2 * u.size, u.dtype)
    out_rings = np.zeros(rings.size + u.size, np.int64)
    cut_u, cut_v = np.empty(2 * u.size, u.dtype), np.empty(2 * u.size, u.dtype)
    chain_start, follow = np.zeros(u.size + 1, np.int64), np.empty(u.size, np.int64)
    at = np.empty(2 * u.size, np.float64)  # v of each chain's entry (even) and exit (odd)
    end, cut, count, chains = 0, 0, 0, 0
    for ring in range(rings.size - 1):
        a, b = rings[ring], rings[ring + 1]
        outside = -1
        for i in range(a, b):
            if u[i] >= limit:
                outside = i
        if outside < 0:
            end = _append(out_u, out_v, end, u, v, a, b)
            count += 1
            out_rings[count] = end
            continue
        first_chain = chains
        i = outside
        for _ in range(b - a):
            j = i + 1 if i + 1 < b else a
            if (u[i] < limit) != (u[j] < limit):
                inner, outer = (i, j) if u[i] < limit else (j, i)
                slope = (v[outer] - v[inner]) / (u[outer] - u[inner])
                at[2 * chains + (inner == i)] = v[inner] + slope * (limit - 0.5 - u[inner])
                cut_u[cut], cut_v[cut] = limit, v[inner] + np.int64(np.rint(slope * (limit - u[inner])))
                cut += 1
                if inner == i:
                    follow[chains] = chains + 1
                    chains += 1
                    chain_start[chains] = cut
            if u[j] < limit:
                cut_u[cut], cut_v[cut] = u[j], v[j]
                cut += 1
            i = j
        if chains > first_chain:
            follow[chains - 1] = first_chain
    order = np.argsort(at[: 2 * chains], kind="mergesort")
    paired = True
    for k in range(0, 2 * chains, 2):
        paired = paired and (order[k] + order[k + 1]) % 2 == 1
    if paired:
        for k in range(0, 2 * chains, 2):
            leave, enter = (order[k], order[k + 1]) if order[k] % 2 else (order[k + 1], order[k])
            follow[leave // 2] = enter // 2
    used = np.zeros(chains, np.bool_)
    for start in range(chains):
        chain = start
        if used[chain]:
            continue
        while not used[chain]:
            used[chain] = True
            end = _append(out_u, out_v, end, cut_u, cut_v, chain_start[chain], chain_start[chain + 1])
            chain = follow[chain]
        count += 1
        out_rings[count] = end
    return out_u[:end], out_v[:end], out_rings[: count + 1]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _clip_span(u: Any, v: Any, rings: Any, low: int, high: int) -> Any:
    """Rings cut to low <= u <= high."""
    u, v, rings = _clip_half(u, v, rings, high)
    if u.size == 0 or u.min() >= low:
        return u, v, rings
    u, v, rings = _clip_half(-u, v, rings, -low)
    return -u, v, rings


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _clean_rings(u: Any, v: Any, rings: Any, left: Any, top: Any) -> Any:
    """Rings from (left, top), without repeats, points in line and spikes; those of nothing else are left out."""
    x, y = np.empty_like(u), np.empty_like(v)
    starts = np.zeros(rings.size, np.int64)
    end, count = 0, 0
    for ring in range(rings.size - 1):
        last = _append(x, y, end, u, v, rings[ring], rings[ring + 1])
        for i in range(end, last):
            x[i], y[i] = x[i] - left, y[i] - top
        n = clean(x[end:last], y[end:last])
        if n:
            end += n
            count += 1
            starts[count] = end
    return x[:end], y[:end], starts[: count + 1]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _room(a: Any, used: Any, more: Any) -> Any:
    """`a`, or a longer copy of it that has room for `more` values after the `used` ones."""
    if used + more <= a.size:
        return a
    longer = np.empty(2 * (used + more), np.int64)
    for i in range(used):
        longer[i] = a[i]
    return longer


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _clip_to_tiles(x: Any, y: Any, ring_start: Any, feature_start: Any, tiles: int, extent: int, buffer: int) -> Any:
    out_x, out_y, out_rings = np.empty(x.size, np.int64), np.empty(x.size, np.int64), np.zeros(ring_start.size, np.int64)
    out_pieces = np.zeros(feature_start.size, np.int64)
    features, tiles_x, tiles_y = np.empty(1, np.int64), np.empty(1, np.int64), np.empty(1, np.int64)
    end, rings, pieces = 0, 0, 0
    for feature in range(feature_start.size - 1):
        starts = ring_start[feature_start[feature] : feature_start[feature + 1] + 1] - ring_start[feature_start[feature]]
        a, b = ring_start[feature_start[feature]], ring_start[feature_start[feature + 1]]
        if a == b:
            continue
        fx, fy = x[a:b], y[a:b]
        for tx in range(max(0, (fx.min() - buffer) // extent), min(tiles, (fx.max() + buffer - 1) // extent + 1)):
            left = tx * extent
            cx, cy, cr = _clip_span(fx, fy, starts, left - buffer, left + extent + buffer)
            if cx.size == 0:
                continue
            for ty in range(max(0, (cy.min() - buffer) // extent), min(tiles, (cy.max() + buffer - 1) // extent + 1)):
                top = ty * extent
                v, u, r = _clip_span(cy, cx, cr, top - buffer, top + extent + buffer)
                px, py, pr = _clean_rings(u, v, r, left, top)
                if px.size == 0:
                    continue
                out_x, out_y, out_rings = (
                    _room(out_x, end, px.size),
                    _room(out_y, end, px.size),
                    _room(out_rings, rings + 1, pr.size),
                )
                owner = owners(px, py, pr, double_areas(px, py, pr))
                for ring in np.argsort(2 * owner + (owner != np.arange(owner.size)), kind="mergesort"):
                    end = _append(out_x, out_y, end, px, py, pr[ring], pr[ring + 1])
                    rings += 1
                    out_rings[rings] = end
                features, out_pieces = _room(features, pieces, 1), _room(out_pieces, pieces + 1, 1)
                tiles_x, tiles_y = _room(tiles_x, pieces, 1), _room(tiles_y, pieces, 1)
                features[pieces], tiles_x[pieces], tiles_y[pieces] = feature, tx, ty
                pieces += 1
                out_pieces[pieces] = rings
    return (
        features[:pieces], tiles_x[:pieces], tiles_y[:pieces],
        out_x[:end], out_y[:end], out_rings[: rings + 1], out_pieces[: pieces + 1],
    )  # fmt: skip
