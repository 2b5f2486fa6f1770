"""Stage 4: overviews of the rasters, a block of whole shards a task; a small second pass for the coarse levels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds
from pyspark.sql import SparkSession

from terradrift.overviews import blocks_with, coarser_blocks, passes, write_overviews
from terradrift.pyramid import Level
from terradrift.raster_template import RasterArray
from terradrift.run import Run, decision_arrays
from terradrift.score_store import RasterStore, score_arrays
from terradrift.spark.arrow_tasks import ArrowFunction, Batches, describe, spark_schema
from terradrift.store import open_store

BLOCK_SCHEMA = pa.schema([("row", pa.int64()), ("col", pa.int64())])

DONE = "overviews.json"
"""Beside the scores: which tiles their overviews show. Runs that share the scores share these."""


def build_overviews(spark: SparkSession, run: Run) -> dict[str, Any]:
    """Write the levels after 0 of `scores.zarr`, unless they are there, and of `change.zarr`; gives their number."""
    tiles = ds.dataset(str(run.folder.scores / "tiles"), format="parquet")
    table = tiles.to_table(["tile_id", "y0", "x0", "height", "width"], filter=ds.field("state") == "done").sort_by("tile_id")
    windows = np.stack([table[name].to_numpy().astype(np.int64) for name in ("y0", "x0", "height", "width")], axis=1)
    shown = hashlib.sha256("\n".join(table["tile_id"].to_pylist()).encode()).hexdigest()
    scores = open_store(str(run.folder.scores))
    if json.loads(scores.get(DONE) or b"{}").get("tiles_sha256") != shown:
        build_levels(spark, run.scores, score_arrays(run.plan.recipe), windows)
        scores.put(DONE, json.dumps({"tiles_sha256": shown}).encode())
    build_levels(spark, run.decision, decision_arrays(run.plan), windows)
    return {"overviews": len(run.scores.levels) - 1}


def build_levels(spark: SparkSession, raster: RasterStore, arrays: Sequence[RasterArray], windows: npt.NDArray[np.int64]) -> None:
    """Write all levels of a raster that has data in `windows` (n, 4: y0, x0, height, width) of the mosaic."""
    blocks = blocks_with(windows, raster.window)
    for made in passes(raster):
        describe(spark, f"levels {made[0].name} to {made[-1].name} of {raster.url.rsplit('/', 1)[-1]}")
        if len(blocks):
            tasks = spark.createDataFrame(pa.table({"row": blocks[:, 0], "col": blocks[:, 1]}))
            n_tasks = min(len(blocks), 4 * spark.sparkContext.defaultParallelism)
            function = _building(raster, arrays, made)
            written = tasks.repartition(n_tasks, "row", "col").mapInArrow(function, spark_schema(BLOCK_SCHEMA))
            written.write.format("noop").mode("overwrite").save()
        blocks = coarser_blocks(blocks)


def _building(raster: RasterStore, arrays: Sequence[RasterArray], made: Sequence[Level]) -> ArrowFunction:
    """Blocks (row, col) -> BLOCK_SCHEMA; writes their shards."""

    def build(batches: Batches) -> Batches:
        for batch in batches:
            for row, col in zip(batch["row"].to_pylist(), batch["col"].to_pylist(), strict=True):
                write_overviews(raster, arrays, made, row, col)
            yield batch

    return build
