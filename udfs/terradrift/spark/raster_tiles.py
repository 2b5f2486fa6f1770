"""Rasters of a run to picture tiles: blocks of tiles on the executors, joined on the driver."""

from __future__ import annotations

import functools
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from terradrift.grid import Window
from terradrift.kernels.tile_geometry import lon_lat
from terradrift.maps.pmtiles import PNG, write_archive
from terradrift.maps.raster_tiles import Legend, block_tiles, blocks, largest_zoom, mercator_bounds
from terradrift.maps.tile_parts import PART, places, read_index, write_part
from terradrift.score_store import RasterStore
from terradrift.store import Store

TASKS_A_CORE = 4


@dataclass(frozen=True)
class PictureReport:
    """What an archive of pictures holds."""

    size: int
    """Bytes of the archive."""
    tiles: int
    contents: int
    """Different tiles; equal ones are stored once."""
    largest_tile: int
    """Bytes."""


def export_raster_tiles(
    spark: SparkSession,
    raster: RasterStore,
    crop: Window,
    legend: Legend,
    out: Path,
    work: Store,
    zooms: tuple[int, int],
    metadata: dict[str, Any],
) -> PictureReport:
    """Write one array of a raster store, in a window of the mosaic, as picture tiles of these zooms in one PMTiles archive.

    The largest zoom is at most that of the raster's own pixels. `work`: a store that driver and executors reach. The archive's
    bytes do not depend on the number of partitions; it appears complete or not at all.
    """
    bounds = mercator_bounds(raster.grid, crop)
    largest = min(zooms[1], largest_zoom(raster.grid))
    rows = [(zoom, x, y) for zoom in range(min(zooms[0], largest), largest + 1) for x, y in blocks(bounds, zoom)]
    table = pa.table(dict(zip(("zoom", "x", "y"), np.array(rows, np.int64).T, strict=True)))
    own = work.at(f"tiles-{uuid.uuid4().hex}")
    try:
        tasks = max(1, min(len(rows), TASKS_A_CORE * spark.sparkContext.defaultParallelism))
        frame = spark.createDataFrame(table).repartition(tasks, "zoom", "x", "y")
        parts = frame.mapInArrow(functools.partial(_write_blocks, raster, legend, own), from_arrow_schema(PART)).toArrow()
        index = read_index(own, parts["part"].to_pylist())
        west, north = lon_lat(np.array(bounds[0]), np.array(bounds[1]))
        east, south = lon_lat(np.array(bounds[2]), np.array(bounds[3]))
        edges = (float(west), float(south), float(east), float(north))
        told = {"type": "overlay", "format": "png", "generator": "terradrift", **legend.metadata(), **metadata}
        with tempfile.TemporaryDirectory(prefix="terradrift-blobs-") as folder:
            archive = write_archive(out, *places(index, own, Path(folder)), edges, told, PNG)
    finally:
        own.clear("")
    return PictureReport(archive.size, archive.tiles, archive.contents, max(index["length"].to_pylist(), default=0))


def _write_blocks(
    raster: RasterStore, legend: Legend, work: Store, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    tiles = (
        tile
        for batch in batches
        for row in batch.to_pylist()
        for tile in block_tiles(raster, legend, row["zoom"], row["x"], row["y"])
    )
    yield pa.RecordBatch.from_pydict({"part": [write_part(work, tiles)]}, PART)
