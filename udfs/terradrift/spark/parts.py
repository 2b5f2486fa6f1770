"""Tables between Spark and the store: every task writes or reads whole Parquet objects, in a folder or on S3 alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema
from pyspark.sql.types import BinaryType, StructField, StructType
from sedona.spark.sql.types import GeometryType

from terradrift.records import Ledger
from terradrift.sealed import Written
from terradrift.spark.arrow_tasks import ArrowFunction, Batches
from terradrift.store import open_store
from terradrift.table_parts import (
    PART_SCHEMA,
    Part,
    TableFormat,
    check_sizes,
    finish_table,
    geo_metadata,
    part_key,
    read_part,
    table_keys,
    write_part,
)

READ_TASKS_A_CORE = 4

CHECKED = {"parquet.page.verify-checksum.enabled": "true"}
"""How Spark reads what we wrote: by itself it does not look at the checksums of pages."""

SPARK_SCHEMA = "org.apache.spark.sql.parquet.row.metadata"
"""Where Spark keeps the comments of a table's columns in Parquet."""


def write_frame(frame: DataFrame, ledger: Ledger, table: str, crs: str | None = None, **facts: Any) -> int:
    """Write a frame as a table of one part a partition, over what was there, and its record; gives its rows.

    A column `geometry` of Sedona becomes WKB; with `crs` (PROJJSON) the table is GeoParquet. One action.
    """
    form = table_format(frame.schema, crs)
    plain = frame.withColumns({name: F.call_function("ST_AsBinary", name) for name in _geometries(frame.schema)})
    tasks = plain.mapInArrow(_writing(ledger.url, table, form), from_arrow_schema(PART_SCHEMA))
    parts = [Part(**row) for row in tasks.toArrow().to_pylist()]
    parts = parts or [write_part(ledger.store, part_key(table, 0), (), form)]  # Spark runs no task where it sees no row
    return finish_table(ledger, table, parts, **facts)


def table_format(schema: StructType, crs: str | None = None) -> TableFormat:
    """The format of a table with these columns; their comments travel with it."""
    plain = stored(schema)
    return TableFormat(to_arrow_schema(plain), crs, {SPARK_SCHEMA: plain.json()})


def stored(schema: StructType) -> StructType:
    """The columns as they are stored: geometries as WKB."""
    return StructType([_stored(field) for field in schema])


def read_frame(spark: SparkSession, ledger: Ledger, table: str) -> DataFrame:
    """A table as a frame, its geometry Sedona's."""
    if not geo_metadata(ledger, table):
        return read_plain(spark, ledger, table)
    if ledger.store.local_path is not None:
        return _from_folder(spark, ledger, table, "geoparquet")
    return read_plain(spark, ledger, table).withColumn("geometry", F.call_function("ST_GeomFromWKB", "geometry"))


def read_plain(spark: SparkSession, ledger: Ledger, table: str) -> DataFrame:
    """A table as a frame, its geometry WKB as it is stored. Spark itself reads a folder, our tasks what lies elsewhere."""
    if ledger.store.local_path is not None:
        return _from_folder(spark, ledger, table, "parquet")
    return read_parts(spark, ledger, table_keys(ledger, table))


def _from_folder(spark: SparkSession, ledger: Ledger, table: str, form: str) -> DataFrame:
    keys = table_keys(ledger, table)
    check_sizes(ledger.store, keys)
    return spark.read.options(**CHECKED).format(form).load([f"{ledger.store.local_path}/{key}" for key in keys])


def read_parts(
    spark: SparkSession, ledger: Ledger, keys: Mapping[str, Written | None], schema: pa.Schema | None = None, **equal: Any
) -> DataFrame:
    """Rows of Parquet objects, read through the store by tasks. `equal`: only rows with these values of columns."""
    if schema is None:
        schema = read_part(ledger.store, next(iter(keys))).schema.remove_metadata()
    cores = spark.sparkContext.defaultParallelism
    numbers = spark.range(0, len(keys), 1, max(1, min(len(keys), READ_TASKS_A_CORE * cores)))
    return numbers.mapInArrow(_reading(ledger.url, list(keys.items()), schema, equal), from_arrow_schema(schema))


def _geometries(schema: StructType) -> list[str]:
    return [field.name for field in schema if isinstance(field.dataType, GeometryType)]


def _stored(field: StructField) -> StructField:
    kind = BinaryType() if isinstance(field.dataType, GeometryType) else field.dataType
    return StructField(field.name, kind, field.nullable, field.metadata)


def _writing(url: str, table: str, form: TableFormat) -> ArrowFunction:
    """Rows -> PART_SCHEMA: one part a partition; of empty ones only the first, so that a table has its columns."""

    def write(batches: Batches) -> Batches:
        context = TaskContext.get()
        number = context.partitionId() if context else 0
        some = (batch for batch in batches if batch.num_rows)
        first = next(some, None)
        if first is None and number:
            return
        rows = () if first is None else _chained(first, some)
        part = write_part(open_store(url), part_key(table, number), rows, form)
        yield pa.RecordBatch.from_pylist([vars(part)], PART_SCHEMA)

    return write


def _chained(first: pa.RecordBatch, rest: Batches) -> Batches:
    yield first
    yield from rest


def _reading(url: str, keys: list[tuple[str, Written | None]], schema: pa.Schema, equal: dict[str, Any]) -> ArrowFunction:
    """Numbers of keys -> rows."""

    def read(batches: Batches) -> Batches:
        for batch in batches:
            for number in batch["id"].to_pylist():
                key, expected = keys[number]
                table = read_part(open_store(url), key, expected=expected)
                for name, value in equal.items():
                    table = table.filter(pc.equal(table[name], value))
                yield from table.select(schema.names).cast(schema).to_batches()

    return read
