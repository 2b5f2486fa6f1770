"""The ground before anything is planted: Voronoi parcels and their land cover, crops in rotation, wetlands under water.

Everything is a function of the seed and of the pixel's position in the scene's window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from terradrift.scene.noise import hash_place, mix, noise_key, smooth

COVERS = ("water", "wetland", "forest", "shrub", "grassland", "cropland", "built", "bare")
"""Land covers; code 1 is the first, 0 is outside the scene. Neighbouring pairs are a group: alike, but not the same."""

WATER, WETLAND, CROPLAND = (COVERS.index(name) for name in ("water", "wetland", "cropland"))
"""Indices into COVERS (codes less one)."""

CROPS = 3
"""Crops that rotating parcels go through; their prototypes follow those of COVERS."""

_PARCEL = 20
"""Pixels between parcel centres: 4 ha at 10 m."""

_CLUSTER = 2
"""Parcels between the lattice values of the fields that decide land cover, so that neighbours tend to be alike."""

_PARCEL_STREAM, _COVER_STREAM, _STATE_STREAM = 11, 12, 13

_WET_YEARS = 0.4
"""Share of years in which a wetland is under water."""

_WET_MIXTURE = 0.6
"""How far a wetland goes towards open water in such a year."""


@dataclass(frozen=True)
class Kind:
    """What makes a kind of scene."""

    level: float
    """Multiplies the noise variance of every land cover."""
    rotating: float
    """Share of cropland parcels that change crop every year."""
    bias: tuple[float, ...]
    """Added to the field of each land cover, in its standard deviations, before the largest decides: abundance."""


KINDS = {
    "quiet": Kind(0.55, 0.0, (-0.7, -1.1, 0.7, 0.2, 0.5, 0.1, -0.3, -0.3)),
    "tropical": Kind(1.45, 0.0, (-0.7, -0.9, 1.1, 0.4, 0.3, 0.2, -0.5, -0.7)),
    "agri": Kind(1.0, 0.5, (-0.7, -0.8, 0.5, 0.0, 0.4, 1.2, -0.3, -0.6)),
}


@dataclass(frozen=True)
class Land:
    """A block of ground; arrays are (y, x)."""

    cover: npt.NDArray[np.uint8]
    """Index into COVERS."""
    parcel: npt.NDArray[np.uint64]
    """A hash that names the pixel's parcel."""
    rotating: npt.NDArray[np.bool_]

    def crop(self, rows: slice, cols: slice) -> Land:
        return Land(self.cover[rows, cols], self.parcel[rows, cols], self.rotating[rows, cols])

    def states(self, seed: int, t: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Prototype of every pixel in year `t`, and how far it is mixed with water."""
        state = np.where(self.rotating, len(COVERS) + _crop(self.parcel, t), self.cover).astype(np.uint8)
        draw = _hash_parcels(self.parcel, noise_key(seed, _STATE_STREAM, t)) / 2.0**64
        wet = np.where((self.cover == WETLAND) & (draw < _WET_YEARS), _WET_MIXTURE, 0.0)
        return state, wet.astype(np.float32)


def land(seed: int, kind: Kind, y0: int, x0: int, height: int, width: int) -> Land:
    """The ground of a block of the window; its first pixel is (y0, x0)."""
    row0, col0 = y0 // _PARCEL - 1, x0 // _PARCEL - 1
    shape = (y0 + height - 1) // _PARCEL - row0 + 2, (x0 + width - 1) // _PARCEL - col0 + 2, len(COVERS)
    fields = smooth(noise_key(seed, _COVER_STREAM), row0, col0, shape, _CLUSTER) + np.array(kind.bias, np.float32)
    covers = fields.argmax(axis=2).astype(np.uint8)
    cover, parcel = _parcels(noise_key(seed, _PARCEL_STREAM), covers, y0, x0, row0, col0, height, width)
    rotating = (cover == CROPLAND) & ((parcel >> np.uint64(48)) < kind.rotating * 2.0**16)
    return Land(cover, parcel, rotating)


def _crop(parcel: npt.NDArray[np.uint64], t: int) -> npt.NDArray[np.int64]:
    """Crop of a rotating parcel: two or three crops in turn, from a phase of its own."""
    draw = (parcel >> np.uint64(32)).astype(np.int64)
    phase, period = draw % 6, 2 + (draw >> 8) % 2
    return (t + phase) % period


def _hash_parcels(parcel: npt.NDArray[np.uint64], key: np.uint64) -> npt.NDArray[np.uint64]:
    return np.asarray(_mix_all(parcel.ravel(), key)).reshape(parcel.shape)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _mix_all(parcel: Any, key: Any) -> Any:
    out = np.empty_like(parcel)
    for i in range(parcel.size):
        out[i] = mix(parcel[i] ^ key)
    return out


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _parcels(key: Any, covers: Any, y0: int, x0: int, row0: int, col0: int, height: int, width: int) -> Any:
    """Land cover and parcel of every pixel: those of the nearest of the nine jittered centres around it."""
    names = np.empty(covers.shape, np.uint64)
    centre_y, centre_x = np.empty(covers.shape, np.float32), np.empty(covers.shape, np.float32)
    for r in range(covers.shape[0]):
        for c in range(covers.shape[1]):
            h = hash_place(key, row0 + r, col0 + c)
            names[r, c] = h
            # jitter within the middle 80 % of the cell: then the nearest centre is practically always among the nine
            centre_y[r, c] = (row0 + r + 0.1 + 0.8 * (np.int64(h & np.uint64(0xFFFF)) / 65536)) * _PARCEL
            centre_x[r, c] = (col0 + c + 0.1 + 0.8 * (np.int64(h >> np.uint64(16) & np.uint64(0xFFFF)) / 65536)) * _PARCEL
    cover, parcel = np.empty((height, width), np.uint8), np.empty((height, width), np.uint64)
    for y in range(height):
        r = (y0 + y) // _PARCEL - row0
        for x in range(width):
            c = (x0 + x) // _PARCEL - col0
            nearest, best_r, best_c = np.float32(np.inf), r, c
            for i in range(r - 1, r + 2):
                for j in range(c - 1, c + 2):
                    dy, dx = centre_y[i, j] - (y0 + y), centre_x[i, j] - (x0 + x)
                    square = np.float32(dy * dy + dx * dx)
                    if square < nearest:
                        nearest, best_r, best_c = square, i, j
            cover[y, x], parcel[y, x] = covers[best_r, best_c], names[best_r, best_c]
    return cover, parcel
