"""Before scoring: strata of alike embeddings, and the noise that is usual in each, from a sample of chunks."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import SparkSession

from terradrift.kernels.strata import Strata
from terradrift.mosaic import Mosaic
from terradrift.run import Run
from terradrift.spark.arrow_tasks import ArrowFunction, Batches, describe, spark_schema, zones_of
from terradrift.strata_map import StrataMap
from terradrift.strata_sample import (
    MIN_SAMPLE_PIXELS,
    SAMPLE_SCHEMA,
    first_round,
    learn_strata,
    read_strata,
    sample_chunk,
    sample_order,
    write_strata,
)


def sample_strata(spark: SparkSession, run: Run) -> Strata:
    """The strata of the run's scores: read where they are known, else learnt from a sample of chunks and kept."""
    store = run.folder.ledger.store
    if (known := read_strata(store)) is not None:
        return known
    describe(spark, "sample strata")
    plan, done = run.plan, 0
    order = sample_order(plan)
    wanted, sample = first_round(len(order)), SAMPLE_SCHEMA.empty_table()
    while done < len(order) and (done == 0 or len(sample) < MIN_SAMPLE_PIXELS):
        chunks = pa.table({"row": order[done : done + wanted, 0], "col": order[done : done + wanted, 1]})
        done, wanted = done + wanted, wanted * 4
        tasks = spark.createDataFrame(chunks).repartition(min(len(chunks), spark.sparkContext.defaultParallelism), "row", "col")
        function = _sampling(plan.mosaic, plan.zones.to_bytes(), plan.years, plan.strata_map)
        sample = pa.concat_tables([sample, tasks.mapInArrow(function, spark_schema(SAMPLE_SCHEMA)).toArrow()])
    count = plan.params.change.strata
    strata = learn_strata(sample, count if isinstance(count, int) else None, plan.mosaic.n_bands)
    write_strata(store, strata)
    return strata


def _sampling(mosaic: Mosaic, zones: bytes, years: tuple[int, ...], strata_map: StrataMap | None) -> ArrowFunction:
    """Chunks (row, col) -> SAMPLE_SCHEMA."""

    def sample(batches: Batches) -> Batches:
        for batch in batches:
            for row, col in zip(batch["row"].to_pylist(), batch["col"].to_pylist(), strict=True):
                yield from sample_chunk(mosaic, zones_of(zones), years, row, col, strata_map).to_batches()

    return sample
