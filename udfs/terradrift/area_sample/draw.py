"""Counting the pixels of a run and drawing from them, block by block, with one read of two small rasters.

Every pixel has a hash of its row and column on the mosaic's own grid and of the seed; the smallest hashes of a stratum are
its sample. So each pixel of a stratum is equally likely, none is drawn twice, and neither tiles nor order matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from scipy import ndimage

from terradrift.area_sample.design import FAR, MAPPED, N_CLASSES, NEAR, NEAR_PIXELS
from terradrift.errors import StoreError
from terradrift.grid import AREA_UNIT_M2, Grid, Window
from terradrift.kernels.series import KINDS
from terradrift.results import RunResult

BLOCK = 1024
"""Pixels a side of what is read at a time."""

NO_CLASS = 255

Pixels = npt.NDArray[np.int64]
"""Rows and columns on the mosaic's grid: (2, pixel)."""


@dataclass(frozen=True)
class RunRasters:
    """The rasters of a published run that a sample needs."""

    grid: Grid
    """The mosaic's grid, as far as the run reaches."""
    window: Window
    changed: Any
    kind: Any
    year: Any

    def read(self, array: Any, window: Window) -> npt.NDArray[Any]:
        """A window of one of the arrays, (y, x)."""
        try:
            return np.asarray(array[window.slices(self.window)])
        except (OSError, ValueError, RuntimeError) as cause:
            raise StoreError(f"{array.store_path}: cannot read {window}: {cause}") from cause

    def at(self, array: Any, pixels: Pixels) -> npt.NDArray[Any]:
        """Values of one of the arrays at pixels inside the window: (pixel)."""
        try:
            return np.asarray(array.vindex[pixels[0] - self.window.y0, pixels[1] - self.window.x0])
        except (OSError, ValueError, RuntimeError) as cause:
            raise StoreError(f"{array.store_path}: cannot read {pixels.shape[1]} pixels: {cause}") from cause


@dataclass(frozen=True)
class Census:
    """What the run holds, by class of pixel."""

    pixels: Sequence[int]
    area_mm2: Sequence[int]
    """Geodesic, whole square millimetres."""
    first: Sequence[Pixels]
    """The pixels with the smallest hashes, in their order; at most as many as were asked for."""

    def area_m2(self, classes: Sequence[int]) -> float:
        return sum(self.area_mm2[number] for number in classes) * AREA_UNIT_M2


def open_rasters(run: RunResult) -> RunRasters:
    """The rasters of a run on the mosaic's grid."""
    change, scores = run.zarr("change"), run.zarr("scores")
    at = run.manifest["window"]
    window = Window(at["y0"], at["x0"], at["height"], at["width"])
    try:
        attributes: dict[str, Any] = dict(zarr.open_group(change, mode="r", zarr_format=3).attrs)
        a, b, c, d, e, f = (float(number) for number in attributes["spatial:transform"])
        crs = str(attributes.get("proj:code") or attributes["proj:wkt2"])
        arrays = [_open(change, "changed"), _open(scores, "change_kind"), _open(scores, "change_year")]
    except (OSError, KeyError, ValueError) as cause:
        raise StoreError(f"{run.folder.url}/change.zarr: cannot open the run's rasters: {cause}; run it again") from cause
    origin = (a, b, c - window.x0 * a, d, e, f - window.y0 * e)
    return RunRasters(Grid(crs, origin, window.y1, window.x1), window, *arrays)


def count_and_draw(rasters: RunRasters, size: int, seed: int, block: int = BLOCK) -> Census:
    """Pixels and area of every class, and its `size` pixels with the smallest hashes."""
    pixels, area = [0] * N_CLASSES, [0] * N_CLASSES
    best: list[tuple[npt.NDArray[np.uint64], Pixels]] = [(np.empty(0, np.uint64), np.empty((2, 0), np.int64))] * N_CLASSES
    whole = rasters.window
    for y0 in range(whole.y0, whole.y1, block):
        for x0 in range(whole.x0, whole.x1, block):
            window = Window(y0, x0, min(block, whole.y1 - y0), min(block, whole.x1 - x0))
            classes = classes_of(rasters, window)
            each = np.broadcast_to(rasters.grid.pixel_area(window), window.shape)
            for number in np.unique(classes[classes != NO_CLASS]):
                where = classes == number
                pixels[number] += int(where.sum())
                area[number] += int(each[where].sum())
                found = np.array(np.nonzero(where)) + np.array([[y0], [x0]])
                hashes, kept = best[number]
                best[number] = _smallest(hashes, kept, found, size, seed)
    return Census(pixels, area, [kept for _, kept in best])


def classes_of(rasters: RunRasters, window: Window) -> npt.NDArray[np.uint8]:
    """Class of every pixel of a window, NO_CLASS without data: (y, x)."""
    reach = Window(
        window.y0 - NEAR_PIXELS, window.x0 - NEAR_PIXELS, window.height + 2 * NEAR_PIXELS, window.width + 2 * NEAR_PIXELS
    ).intersection(rasters.window)
    if reach is None:
        raise ValueError(f"{window} lies outside the run {rasters.window}")
    changed = rasters.read(rasters.changed, reach)
    inner = window.slices(reach)
    mapped = changed == 1
    near = ndimage.maximum_filter(mapped, size=2 * NEAR_PIXELS + 1, mode="constant")[inner]
    own = changed[inner]
    classes = np.where(near, np.uint8(NEAR), np.uint8(FAR))
    if (own == 1).any():
        kind = rasters.read(rasters.kind, window)
        classes = np.where(own == 1, np.uint8(MAPPED) + np.where(kind < len(KINDS), kind, 0), classes)
    return np.where(own > 1, np.uint8(NO_CLASS), classes).astype(np.uint8)


def pixel_hash(pixels: Pixels, seed: int, salt: str = "draw") -> npt.NDArray[np.uint64]:
    """A pseudo-random number of each pixel and the seed, different for all pixels of a mosaic: (pixel)."""
    digest = hashlib.sha256(f"{salt} {seed}".encode()).digest()
    key = (pixels[0].astype(np.uint64) << np.uint64(32)) | pixels[1].astype(np.uint64)
    for part in (digest[:8], digest[8:16]):
        key = _mix(key ^ np.uint64(int.from_bytes(part, "little")))
    return key


def _smallest(
    hashes: npt.NDArray[np.uint64], kept: Pixels, found: Pixels, size: int, seed: int
) -> tuple[npt.NDArray[np.uint64], Pixels]:
    fresh = pixel_hash(found, seed)
    if len(hashes) == size:
        lower = fresh < hashes[-1]
        fresh, found = fresh[lower], found[:, lower]
    every, pixels = np.concatenate([hashes, fresh]), np.concatenate([kept, found], axis=1)
    if len(every) > size:
        first = np.argpartition(every, size - 1)[:size]
        every, pixels = every[first], pixels[:, first]
    order = np.argsort(every)
    return every[order], pixels[:, order]


def _mix(key: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): one to one on 64 bits."""
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


def _open(store: Any, name: str) -> Any:
    return zarr.open_array(store, path=f"0/{name}", mode="r", zarr_format=3)
