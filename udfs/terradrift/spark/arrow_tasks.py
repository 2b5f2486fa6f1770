"""What the stages share: Arrow batches of tiles on executors, and how tiles become tasks.

After a function that touches tiles there is exactly one action: range partitioning and sorting sample their input, and a tile
function evaluated lazily would run several times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from terradrift.aoi import Zones
from terradrift.grid import Tile
from terradrift.run import Run
from terradrift.score_store import RasterStore
from terradrift.table_parts import read_table

Batches = Iterable[pa.RecordBatch]

ArrowFunction = Callable[[Batches], Batches]
"""What mapInArrow takes."""


def spark_schema(schema: pa.Schema) -> Any:
    """The Spark types of an Arrow schema."""
    return from_arrow_schema(schema)


def describe(spark: SparkSession, name: str) -> None:
    """Name the jobs that follow, for Spark's event log and the History Server."""
    spark.sparkContext.setJobDescription(name)


def scored_tiles(spark: SparkSession, run: Run) -> DataFrame:
    """Tiles with data (row, col), a few tasks a core."""
    tiles = read_table(run.folder.ledger, "tiles", ["row", "col", "state"])
    return spread(spark, tiles.filter(pc.equal(tiles["state"], "done")).select(["row", "col"]))


def spread(spark: SparkSession, tiles: pa.Table) -> DataFrame:
    """Tiles (row, col) as rows of a few tasks a core."""
    tasks = max(1, min(len(tiles), 4 * spark.sparkContext.defaultParallelism))
    return spark.createDataFrame(tiles).repartition(tasks, "row", "col")


# --- on executors ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def zones_of(data: bytes) -> Zones:
    """The area of interest from its bytes, once a worker."""
    return Zones.from_bytes(data)


def tiles_of(batch: pa.RecordBatch, raster: RasterStore) -> Iterator[Tile]:
    """The tiles of a batch with the columns row and col."""
    for row, col in zip(batch["row"].to_pylist(), batch["col"].to_pylist(), strict=True):
        yield raster.tile(row, col)
