"""Stage 4: overviews of the rasters, a block of whole shards a task; a small second pass for the coarse levels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)

from terradrift.overviews import blocks_with, coarser_blocks, passes, write_overviews
from terradrift.raster_template import RasterArray
from terradrift.records import Ledger
from terradrift.run import Run, decision_arrays
from terradrift.score_store import RasterStore, score_arrays
from terradrift.spark.arrow_tasks import ArrowFunction, Batches, describe, spark_schema
from terradrift.statistics import COUNT_SCHEMA, describe_counts
from terradrift.table_parts import read_table

STATISTICS = "statistics.json"
"""Beside scores.zarr: what its values are like, and which tiles its overviews show. Runs that share the scores share it."""


def build_overviews(spark: SparkSession, run: Run) -> dict[str, Any]:
    """Write the levels after 0 of `scores.zarr`, unless they are there, and of `change.zarr`; gives their number.

    `statistics.json` follows the levels of the scores: with it they are whole.
    """
    tiles = read_table(run.folder.ledger, "tiles", ["tile_id", "y0", "x0", "height", "width", "state"])
    table = tiles.filter(pc.equal(tiles["state"], "done")).sort_by("tile_id")
    windows = np.stack([table[name].to_numpy().astype(np.int64) for name in ("y0", "x0", "height", "width")], axis=1)
    shown = hashlib.sha256("\n".join(table["tile_id"].to_pylist()).encode()).hexdigest()
    scores, plan = run.folder.ledger.store, run.plan
    if json.loads(scores.get(STATISTICS) or b"{}").get("tiles_sha256") != shown:
        counts = build_levels(
            spark, run.scores, score_arrays(plan.recipe, plan.params.scores.overviews), windows, run.folder.ledger
        )
        found = describe_counts(counts, plan.years, plan.recipe.bands)
        scores.put(STATISTICS, json.dumps({"tiles_sha256": shown, "arrays": found}, indent=1).encode())
    build_levels(spark, run.decision, decision_arrays(plan), windows, run.folder.records)
    return {"overviews": len(run.scores.levels) - 1}


def build_levels(
    spark: SparkSession,
    raster: RasterStore,
    arrays: Sequence[RasterArray],
    windows: npt.NDArray[np.int64],
    ledger: Ledger | None = None,
) -> pa.Table:
    """Write all levels of a raster that has data in `windows` (n, 4: y0, x0, height, width) of the mosaic.

    Records go to the ledger, if there is one. Gives the counts of its values at full resolution (COUNT_SCHEMA).
    """
    blocks = blocks_with(windows, raster.window)
    name, counts = raster.url.rsplit("/", 1)[-1], COUNT_SCHEMA.empty_table()
    for made in list(passes(raster)) or [()]:
        describe(spark, f"levels of {name}")
        found = run_blocks(spark, blocks, partial(write_overviews, raster, arrays, made, ledger=ledger))
        counts, blocks = pa.concat_tables([counts, found]), coarser_blocks(blocks)
    return counts


def run_blocks(
    spark: SparkSession, blocks: npt.NDArray[np.int64], work: Callable[[int, int], Iterable[pa.RecordBatch]]
) -> pa.Table:
    """Do `work` (row, col) on every block (n, 2), a few tasks a core; gives the sums of the counts of all (COUNT_SCHEMA)."""
    if not len(blocks):
        return COUNT_SCHEMA.empty_table()
    table = spark.createDataFrame(pa.table({"row": blocks[:, 0], "col": blocks[:, 1]}))
    tasks = table.repartition(min(len(blocks), 4 * spark.sparkContext.defaultParallelism), "row", "col")
    counts = tasks.mapInArrow(_each(work), spark_schema(COUNT_SCHEMA)).groupBy("array", "plane", "bin")
    sums = counts.agg(F.sum("count").alias("count"), F.min("low").alias("low"), F.max("high").alias("high"))
    return sums.toArrow().cast(COUNT_SCHEMA)


def _each(work: Callable[[int, int], Iterable[pa.RecordBatch]]) -> ArrowFunction:
    """Blocks (row, col) -> COUNT_SCHEMA."""

    def do(batches: Batches) -> Batches:
        for batch in batches:
            for row, col in zip(batch["row"].to_pylist(), batch["col"].to_pylist(), strict=True):
                yield from work(row, col)

    return do
