"""A small raster store with overviews, in degrees or in metres."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from terradrift.grid import Grid, Window
from terradrift.overviews import passes, write_overviews
from terradrift.raster_template import RasterArray
from terradrift.score_store import RasterStore, raster_store

STEP = 8.983111749910169e-05
WGS84 = Grid("EPSG:4326", (STEP, 0.0, -105.4, 0.0, -STEP, 40.1), 1 << 12, 1 << 12)
UTM = Grid("EPSG:32613", (10.0, 0.0, 480000.0, 0.0, -10.0, 4430000.0), 1 << 12, 1 << 12)
SCORE = RasterArray("change_score", "float32", math.nan, overview="mean")
YEAR = RasterArray("change_year", "int16", -1, overview="mode")
WINDOW = Window(256, 512, 512, 700)


def store(folder: Path, grid: Grid) -> tuple[RasterStore, np.ndarray, np.ndarray]:
    """A raster with overviews, and its values."""
    rng = np.random.default_rng(0)
    raster = raster_store(str(folder / "scores.zarr"), grid, WINDOW, 256)
    raster.create((SCORE, YEAR))
    score = rng.normal(size=WINDOW.shape).astype(np.float32)
    year = rng.choice(np.array([-1, 0, 0, 2018, 2021], np.int16), WINDOW.shape)
    score[:100], year[:100] = np.nan, -1
    for row in range(1, 3):
        for col in range(2, 5):
            tile = raster.tile(row, col)
            part = tile.window.slices(WINDOW)
            raster.write_tile(tile, {"change_score": score[part], "change_year": year[part]})
    for levels in passes(raster):
        list(write_overviews(raster, (SCORE, YEAR), levels, 0, 0))
    return raster, score, year
