"""Published runs made by hand: the few files that a sample reads, without Spark."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyogrio

from terradrift.area_sample import Sample
from terradrift.grid import Grid, Window
from terradrift.ledger import RunFolder
from terradrift.score_store import CHANGED, RasterArray, raster_store

KIND = RasterArray("change_kind", "uint8", 255)
YEAR = RasterArray("change_year", "int16", -1)

YEARS = [2017, 2018, 2019, 2020, 2021]

LONLAT = Grid("EPSG:4326", (0.01, 0.0, 10.0, 0.0, -0.01, 60.0), 256, 384)
"""Pixels of a hundredth of a degree from 60 to 57.44 north: their areas differ by 8 %."""

METRES = Grid("EPSG:32632", (30.0, 0.0, 300_000.0, 0.0, -30.0, 5_000_000.0), 256, 384)

WINDOW = Window(128, 128, 128, 256)


def write_run(
    out: Path,
    changed: npt.NDArray[np.uint8],
    kind: npt.NDArray[np.uint8],
    year: npt.NDArray[np.int16] | None = None,
    grid: Grid = LONLAT,
    tile_size: int = 64,
    run_id: str = "0123456789abcdef",
) -> Path:
    """A published run over WINDOW; the rasters are its (y, x)."""
    run = RunFolder(out, f"{run_id[::-1]}", run_id)
    year = np.where(changed == 1, 2019, np.where(changed == 0, 0, -1)).astype(np.int16) if year is None else year
    scores = raster_store(str(run.scores / "scores.zarr"), grid, WINDOW, tile_size)
    decision = raster_store(str(run.path / "change.zarr"), grid, WINDOW, tile_size)
    scores.create([KIND, YEAR])
    decision.create([CHANGED])
    for row in range(WINDOW.y0 // tile_size, -(-WINDOW.y1 // tile_size)):
        for col in range(WINDOW.x0 // tile_size, -(-WINDOW.x1 // tile_size)):
            tile = decision.tile(row, col)
            at = tile.window.slices(WINDOW)
            decision.write_tile(tile, {"changed": changed[at]})
            scores.write_tile(tile, {"change_kind": kind[at], "change_year": year[at]})
    at = {"y0": WINDOW.y0, "x0": WINDOW.x0, "height": WINDOW.height, "width": WINDOW.width}
    run.publish({"years": YEARS, "window": at})
    return out


def some_map(seed: int = 0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """`changed` and `change_kind` with patches of steps and ramps, a few blips that are not mapped, and a corner without data."""
    rng = np.random.default_rng(seed)
    changed, kind = np.zeros(WINDOW.shape, np.uint8), np.zeros(WINDOW.shape, np.uint8)
    for _ in range(30):
        y, x = rng.integers(0, WINDOW.height - 12), rng.integers(0, WINDOW.width - 12)
        patch = slice(y, y + rng.integers(3, 12)), slice(x, x + rng.integers(3, 12))
        changed[patch], kind[patch] = 1, rng.integers(1, 3)
    kind[100:103, 40:60][changed[100:103, 40:60] == 0] = 3
    changed[:20, :30], kind[:20, :30] = 255, 255
    return changed, kind


def fill(sample: Sample, labels: npt.NDArray[np.str_], years: npt.NDArray[np.int64] | None = None) -> Path:
    """Fill in the labels, in the order of `sample.draws`, as QGIS would: the layer is written again, the rest stays."""
    frame = gpd.read_file(sample.file, layer="sample", engine="pyogrio")
    assert frame["sample_id"].tolist() == sample.draws["sample_id"].tolist()
    frame["label"] = labels
    if years is not None:
        frame["year"] = years
    pyogrio.write_dataframe(frame, sample.file, layer="sample", driver="GPKG")
    return sample.file
