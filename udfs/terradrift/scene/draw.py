"""One block of a scene: its codes year by year, its truth and the changes that begin in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.grid import Window
from terradrift.scene.changes import Blob, Planted, plant, rasterize, whole_cells
from terradrift.scene.embeddings import BANDS, Block, Model, draw_model, encode
from terradrift.scene.faults import GAP, ROTATING, SEAM, SEAM_SHIFT, WET, Faults, draw_faults
from terradrift.scene.landscape import KINDS, WATER, WETLAND, Land, land


@dataclass(frozen=True)
class Scene:
    """The arguments a scene is a function of, and what is drawn once from them."""

    kind: str
    size: int
    n_years: int
    seed: int
    model: Model
    faults: Faults


def draw_scene(kind: str, size: int, n_years: int, seed: int) -> Scene:
    return Scene(kind, size, n_years, seed, draw_model(seed, KINDS[kind], n_years), draw_faults(seed, size, n_years))


@dataclass(frozen=True)
class Patch:
    """A block of the scene, drawn without any other."""

    scene: Scene
    window: Window
    """The block, in pixels of the scene."""
    land: Land
    planted: Planted
    """Like `land`, reaches SEAM_SHIFT columns beyond the window's right edge."""
    blobs: list[Blob]
    """Those whose first pixel (row by row) lies in the window."""

    def truth(self, first_year: int) -> dict[str, npt.NDArray[Any]]:
        """The truth rasters (y, x), by name."""
        inside = np.s_[:, : self.window.width]
        planted, cover = self.planted, self.land.cover[inside]
        kind = planted.kind[inside]
        nuisance = self.land.rotating[inside] * ROTATING + (cover == WETLAND) * WET
        nuisance += self.scene.faults.seam(self.window) * SEAM + self.scene.faults.gap(None, self.window) * GAP
        return {
            "kind": kind,
            "year_first": np.where(kind > 0, first_year + planted.first[inside], 0).astype(np.int16),
            "year_last": np.where(kind > 0, first_year + planted.last[inside], 0).astype(np.int16),
            "strength": planted.strength[inside],
            "landcover": (cover + 1).astype(np.uint8),
            "nuisance": nuisance.astype(np.uint8),
        }

    def codes(self, side: int, top: int, left: int) -> Iterator[npt.NDArray[np.int8] | None]:
        """int8 (band, y, x) of a chunk of side x side pixels that holds the block at (top, left), -128 around it; year by year.

        None for a year without a valid pixel. The array is used again for the next year.
        """
        scene, window, planted = self.scene, self.window, self.planted
        out = np.full((BANDS, side, side), -128, np.int8)
        block = Block(scene.model, self.land.cover, window.y0, window.x0)
        for t in range(scene.n_years):
            coordinates = block.year(t)
            valid = ~scene.faults.gap(t, window)
            state, wet = self.land.states(scene.seed, t)
            encode(
                out, top, left, valid, scene.faults.shift(t, window),
                state, WATER, wet, planted.target, planted.weight(t),
                self.land.cover, coordinates, scene.model.prototypes, scene.model.axes, scene.model.offset[t],
            )  # fmt: skip
            yield out if valid.any() else None


def draw_patch(scene: Scene, window: Window) -> Patch:
    """The block `window`, in pixels of the scene."""
    width = window.width + SEAM_SHIFT
    y0, y1 = whole_cells(window.y0, window.y1)
    x0, x1 = whole_cells(window.x0, window.x0 + width)
    ground = land(scene.seed, KINDS[scene.kind], y0, x0, y1 - y0, x1 - x0)
    blobs = plant(scene.seed, scene.n_years, scene.size, ground, y0, x0)
    rows, cols = slice(window.y0 - y0, window.y1 - y0), slice(window.x0 - x0, window.x0 - x0 + width)
    own = [b for b in blobs if window.y0 <= b.y0 < window.y1 and window.x0 <= b.first_x < window.x1]
    return Patch(scene, window, ground.crop(rows, cols), rasterize(blobs, window.y0, window.x0, window.height, width), own)
