"""The polygonize stage as its tasks run it, tile by tile and across the seams, to rows of WKB and sums; no Spark around it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas  # noqa: F401  (pyarrow loads it with its first array: an import, not work)
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from figures import report
from polygons_input import YEARS, mapped, rasters

from terradrift.drawing import Drawing
from terradrift.fragments import FRAGMENT_SCHEMA, POLYGON_SCHEMA, fragments, merge_fragments
from terradrift.grid import Grid, Window
from terradrift.kernels.ragged import runs
from terradrift.kernels.seams import components
from terradrift.spark.polygonize_changes import CELL_PIXELS, MAX_CORNERS

score, threshold, size = np.load(Path(sys.argv[1])), float(sys.argv[2]), int(sys.argv[3])
grid = Grid("EPSG:4326", (1e-4, 0, 10.0, 0, -1e-4, 50.0), *score.shape)
MERGE = {"min_pixels": 1, "fill_holes_pixels": 0, "drawing": Drawing(grid.width, MAX_CORNERS, CELL_PIXELS, 0.75)}
CUT = {"connectivity": 4, "mosaic_width": grid.width, **MERGE}
tables: list[pa.Table] = []


def tiles(given: dict[str, np.ndarray]) -> Iterator[tuple[Window, dict[str, np.ndarray]]]:
    """Every tile and its rasters, as they come from the store."""
    for y0 in range(0, grid.height, size):
        for x0 in range(0, grid.width, size):
            window = Window(y0, x0, size, size)
            yield window, {name: raster[window.slices(grid.window)].copy() for name, raster in given.items()}


def cut(raster: Window) -> pa.Table:
    """Fragments of every tile of a raster."""
    batches = [
        fragments(window, raster, **read[window], years=YEARS, pixel_area=grid.pixel_area, **CUT)
        for window in read
        if window.intersection(raster)
    ]
    return pa.Table.from_batches(batches, FRAGMENT_SCHEMA)


def connected(seam: pa.Table) -> pa.Table:
    """Seam fragments with their components: equal keys of two fragments are an edge."""
    gid, links = seam["gid"].to_numpy(), seam["links"].combine_chunks()
    owner, key = np.repeat(gid, np.diff(links.offsets.to_numpy())), links.flatten().to_numpy()
    order = np.argsort(key, kind="stable")
    owner, starts = owner[order], runs(key[order])
    pairs = starts[:-1][np.diff(starts) == 2]
    nodes, component = components(np.append(owner[pairs], gid), np.append(owner[pairs + 1], gid))
    column = pa.array(component[np.searchsorted(nodes, gid)])
    return seam.append_column("component4", column).append_column("component8", column)


def polygonize(raster: Window) -> list[pa.Table]:
    """Finished polygons, and those that cross a seam."""
    table = cut(raster)
    seam = connected(table.filter(table["seam"]))
    merged = merge_fragments(seam, grid.pixel_area, **MERGE)
    return [table.filter(pa.compute.invert(table["seam"])).select(POLYGON_SCHEMA.names), pa.Table.from_batches([merged])]


def work() -> None:
    """All tiles, all seams."""
    tables.extend(polygonize(grid.window))


def notes() -> dict[str, float]:
    """What came out."""
    geometry = np.concatenate([table["geometry"].to_numpy() for table in tables])
    return {"polygons": len(geometry), "vertices": int(shapely.get_num_coordinates(shapely.from_wkb(geometry)).sum())}


read = dict(tiles({"classes": mapped(score, threshold), **rasters(score)}))
polygonize(Window(0, 0, min(4096, grid.height), min(4096, grid.width)))
report(work, notes)
if len(sys.argv) > 4:
    folder = Path(sys.argv[4])
    folder.mkdir(parents=True)
    for number, table in enumerate(tables):
        pq.write_table(table.rename_columns(["change_id", "whole_id", *POLYGON_SCHEMA.names[2:]]), folder / f"{number}.parquet")
