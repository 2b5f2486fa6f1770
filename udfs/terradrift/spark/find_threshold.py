"""From which score a pixel is mapped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)

from terradrift.kernels.histogram import BITS, bin_of_rank, histogram, quantile_rank, value_of
from terradrift.run import Run
from terradrift.score_store import RasterStore
from terradrift.spark.arrow_tasks import ArrowFunction, Batches, describe, scored_tiles, spark_schema, tiles_of
from terradrift.spark.parts import table_format
from terradrift.spark.schemas import THRESHOLDS
from terradrift.table_parts import write_table

HISTOGRAM_SCHEMA = pa.schema([("bin", pa.int64()), ("count", pa.int64())])


def find_threshold(spark: SparkSession, run: Run) -> tuple[float, int]:
    """The score from which pixels are mapped, and the number of pixels with a score; writes the `thresholds` table.

    A quantile is exact: two passes of integer histograms over the change score, summed over tiles.
    """
    rule, detector = run.plan.params.change.rule, run.plan.params.change.detector
    upper = _histogram(spark, run, None)
    total = int(upper["count"].sum())
    threshold = np.nan if rule.score is None else rule.score
    if rule.quantile is not None and total:
        bin_, rank = bin_of_rank(upper["bin"], upper["count"], quantile_rank(rule.quantile, total))
        lower = _histogram(spark, run, bin_)
        low, _ = bin_of_rank(lower["bin"], lower["count"], rank)
        threshold = value_of(bin_ << BITS | low)
    row = (0, detector, rule.name, float(getattr(rule, rule.name)), float(threshold), None, total, None, None, None, 0, None)
    write_thresholds(run, [row])
    return float(threshold), total


def write_thresholds(run: Run, rows: Sequence[tuple[Any, ...]]) -> None:
    """The table `thresholds`, one row a stratum."""
    form = table_format(THRESHOLDS)
    named = [dict(zip(THRESHOLDS.names, row, strict=True)) for row in rows]
    write_table(run.folder.records, "tables/thresholds", pa.Table.from_pylist(named, form.schema), form)


def _histogram(spark: SparkSession, run: Run, within: int | None) -> dict[str, Any]:
    describe(spark, "count scores")
    counted = scored_tiles(spark, run).mapInArrow(_counting(run.scores, within), spark_schema(HISTOGRAM_SCHEMA))
    table = counted.groupBy("bin").agg(F.sum("count").alias("count")).toArrow().sort_by("bin")
    return {name: table[name].to_numpy() for name in ("bin", "count")}


def _counting(raster: RasterStore, within: int | None) -> ArrowFunction:
    """Tiles (row, col) -> HISTOGRAM_SCHEMA of their change scores."""

    def count_scores(batches: Batches) -> Batches:
        for batch in batches:
            for tile in tiles_of(batch, raster):
                bins, counts = histogram(raster.read_tile(tile, "change_score"), within)
                yield pa.RecordBatch.from_arrays([pa.array(bins), pa.array(counts)], schema=HISTOGRAM_SCHEMA)

    return count_scores
