"""From the ground to codes: prototypes on the unit sphere, noise with the spectrum of real embeddings, int8.

Numbers: a share of the energy of prototypes is common to all, a share to a group of two land covers; noise has 60 % of its
variance along axes common to all land covers and 40 % along axes of each, with eigenvalues as published for annual differences
of AlphaEarth embeddings (DeltaBit: 1, 9, 23 and 40 axes carry 18.3, 50, 75 and 90 %).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from terradrift.scene.landscape import COVERS, CROPLAND, CROPS, Kind
from terradrift.scene.noise import add_smooth, add_white, noise_key, smooth

BANDS = 64

_NODATA = np.int8(-128)

_SPECTRUM = ((1, 0.183), (8, 0.317), (14, 0.25), (17, 0.15), (24, 0.10))
"""(axes, their share of the variance), largest first."""

_COMMON, _GROUP, _OWN = 0.64, 0.17, 0.19
"""Shares of a prototype's energy."""

_CROP_DISTANCE = 0.10
"""Cosine distance between two crops of a rotation."""

_VARIANCE = (0.029, 0.027, 0.015, 0.019, 0.022, 0.025, 0.014, 0.011)
"""Noise variance of one year by land cover, for a scene of level 1."""

_SMOOTH_SHARE = 0.8
_YEAR_SIGMA, _PIXEL_YEAR_SIGMA = 0.3, 0.35
"""Standard deviations of the logarithms of the year's factor of the noise variance and the pixel-year's of its amplitude."""

_DRIFT, _COMMON_MODE = 0.20, 0.25
"""Variances, in units of the noise variance, of a year's step of the random walk and of a year's offset of a land cover."""

_PLACE_SMOOTH, _PLACE_WHITE = 0.05, 0.008
"""Variances of what distinguishes a pixel from its land cover's prototype for good."""

_PLACE_STEP, _NOISE_STEP = 7, 4
"""Lattice steps: correlations of white noise smoothed with sigma 4 and 2.3 pixels."""

_SETUP, _PLACE, _PLACE_FINE, _YEAR, _YEAR_FINE, _FACTOR, _WALK = 41, 42, 43, 44, 45, 46, 47


@dataclass(frozen=True)
class Model:
    """What the embeddings of a scene are drawn from; c: land cover, s: state (land covers, then crops), k: band."""

    seed: int
    prototypes: npt.NDArray[np.float32]
    """(s, k), unit vectors."""
    axes: npt.NDArray[np.float32]
    """(c, j, k): noise coordinate j moves band k; lower triangular, axes' axes = covariance of trace 1."""
    variance: npt.NDArray[np.float32]
    """(c,) noise variance of a year."""
    year_factor: npt.NDArray[np.float32]
    """(t,)"""
    offset: npt.NDArray[np.float32]
    """(t, c, k): the year's common mode."""


def draw_model(seed: int, kind: Kind, years: int) -> Model:
    rng = np.random.default_rng([seed, _SETUP])
    eigenvalue = np.concatenate([np.full(n, share / n) for n, share in _SPECTRUM])
    shared = np.linalg.qr(rng.standard_normal((BANDS, BANDS)))[0] * np.sqrt(eigenvalue)
    axes = np.empty((len(COVERS), BANDS, BANDS))
    for cover in range(len(COVERS)):
        own = np.linalg.qr(rng.standard_normal((BANDS, BANDS)))[0] * np.sqrt(eigenvalue)
        axes[cover] = np.linalg.cholesky(0.6 * shared @ shared.T + 0.4 * own @ own.T).T
    variance = np.array(_VARIANCE) * kind.level
    offset = np.einsum("tcj,cjk->tck", rng.standard_normal((years, len(COVERS), BANDS)), axes)
    offset *= np.sqrt(_COMMON_MODE * variance)[:, None]
    factor = np.exp(rng.normal(0, _YEAR_SIGMA, years))
    factor *= np.exp(_YEAR_SIGMA**2 / 2) / np.mean(factor)  # the mean noise of a scene is its kind's, whatever its years
    return Model(
        seed,
        _prototypes(rng, shared).astype(np.float32),
        axes.astype(np.float32),
        variance.astype(np.float32),
        factor.astype(np.float32),
        offset.astype(np.float32),
    )


def _unit(v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(v / np.linalg.norm(v))


def _prototypes(rng: np.random.Generator, shared: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(s, k): half of what tells land covers apart lies along the axes of the noise, as it does in real embeddings."""

    def direction() -> npt.NDArray[np.float64]:
        along = _unit(shared @ rng.standard_normal(BANDS))
        return _unit(along + _unit(rng.standard_normal(BANDS)))

    common = _unit(rng.standard_normal(BANDS))
    rows = []
    for cover in range(len(COVERS)):
        if cover % 2 == 0:
            group = direction()
        rows.append(_unit(np.sqrt(_COMMON) * common + np.sqrt(_GROUP) * group + np.sqrt(_OWN) * direction()))
    for _ in range(CROPS):
        rows.append(_unit(np.sqrt(1 - _CROP_DISTANCE) * rows[CROPLAND] + np.sqrt(_CROP_DISTANCE) * direction()))
    return np.array(rows)


class Block:
    """The noise coordinates (y, x, j) of a block of pixels, year by year: years must be asked for in order."""

    def __init__(self, model: Model, cover: npt.NDArray[np.uint8], y0: int, x0: int) -> None:
        """cover: land cover (y, x) of a block whose first pixel is (y0, x0) of the window."""
        self._model, self._cover, self._origin = model, cover, (y0, x0)
        self._variance = model.variance[cover]
        self._place = np.zeros((*cover.shape, BANDS), np.float32)
        even = np.ones(cover.shape, np.float32)
        add_smooth(self._place, even * np.float32(_PLACE_SMOOTH**0.5), self._key(_PLACE), y0, x0, _PLACE_STEP)
        add_white(self._place, even * np.float32(_PLACE_WHITE**0.5), self._key(_PLACE_FINE), y0, x0)
        self._coordinates = np.empty_like(self._place)

    def year(self, t: int) -> npt.NDArray[np.float32]:
        """Place, random walk up to year `t` and the noise of the year; the array is used again for the next year."""
        y0, x0 = self._origin
        if t > 0:
            add_smooth(self._place, np.sqrt(_DRIFT * self._variance), self._key(_WALK, t), y0, x0, _NOISE_STEP)
        level = smooth(self._key(_FACTOR, t), y0, x0, (*self._cover.shape, 1), _NOISE_STEP)[:, :, 0]
        sigma = np.sqrt(self._variance * self._model.year_factor[t] * np.exp(np.float32(2 * _PIXEL_YEAR_SIGMA) * level))
        np.copyto(self._coordinates, self._place)
        add_smooth(self._coordinates, np.float32(_SMOOTH_SHARE**0.5) * sigma, self._key(_YEAR, t), y0, x0, _NOISE_STEP)
        add_white(self._coordinates, np.float32((1 - _SMOOTH_SHARE) ** 0.5) * sigma, self._key(_YEAR_FINE, t), y0, x0)
        return self._coordinates

    def _key(self, *stream: int) -> np.uint64:
        return noise_key(self._model.seed, *stream)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def encode(
    codes: Any, top: int, left: int, valid: Any, shift: Any,
    state: Any, water: int, wet: Any, target: Any, weight: Any,
    cover: Any, coordinates: Any, prototypes: Any, axes: Any, offset: Any,
) -> None:  # fmt: skip
    """Writes one year of a block at codes[:, top:, left:], int8 (band, y, x): prototype mixture + offset + noise, normalised.

    valid and shift (y, x); state, wet, target, weight and cover (y, x) and coordinates (y, x, j) reach as far to the right as
    the shift does. A pixel is prototype `state` mixed with prototype `water` by `wet`, then with `target` by `weight`.
    """
    height, width = valid.shape
    bands = prototypes.shape[1]
    vector, magnitude = np.empty(bands, np.float32), np.empty(bands, np.int32)
    line = np.empty((width, bands), np.int8)
    for y in range(height):
        for x in range(width):
            if not valid[y, x]:
                line[x, :] = _NODATA
                continue
            s = x + np.int64(shift[y, x])
            a, b, c = prototypes[state[y, s]], prototypes[water], prototypes[target[y, s]]
            u, w = wet[y, s], weight[y, s]
            common, axis, noise = offset[cover[y, s]], axes[cover[y, s]], coordinates[y, s]
            for k in range(bands):
                base = a[k] + u * (b[k] - a[k])
                vector[k] = base + w * (c[k] - base) + common[k]
            for j in range(bands):
                z, row = noise[j], axis[j]
                for k in range(bands):
                    vector[k] += z * row[k]
            _encode_vector(vector, magnitude, line[x])
        for k in range(bands):
            for x in range(width):
                codes[k, top + y, left + x] = line[x, k]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _encode_vector(vector: Any, magnitude: Any, out: Any) -> None:
    """q = sign(x) min(127, round(127.5 sqrt |x|)) of the normalised vector."""
    square = np.float32(0)
    for k in range(vector.size):
        square += vector[k] * vector[k]
    scale = np.float32(1) / np.sqrt(square)
    for k in range(vector.size):
        magnitude[k] = min(np.int32(np.float32(127.5) * np.sqrt(np.abs(vector[k] * scale)) + np.float32(0.5)), np.int32(127))
    for k in range(vector.size):
        out[k] = magnitude[k] if vector[k] >= 0 else -magnitude[k]
