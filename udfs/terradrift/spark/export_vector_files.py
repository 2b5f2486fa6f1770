"""The published polygons as single files for desktop programs, one file a task."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from terradrift.maps.vector_files import write_vector_file
from terradrift.records import Ledger
from terradrift.run import Run
from terradrift.spark.arrow_tasks import ArrowFunction, Batches, describe, spark_schema
from terradrift.spark.parts import read_plain

LAYER = "changes"

SIZE_SCHEMA = pa.schema([("bytes", pa.int64())])


def export_vector_files(spark: SparkSession, run: Run) -> None:
    """`maps/changes.gpkg` and `maps/changes.fgb`, as the run file asks: the table change_polygons in order of change_id."""
    maps = run.plan.params.maps
    names = [f"{LAYER}.gpkg"] * maps.gpkg + [f"{LAYER}.fgb"] * maps.flatgeobuf
    if not names:
        return
    polygons = read_plain(spark, run.folder.records, "tables/change_polygons").drop("bbox")
    for name in names:
        describe(spark, f"write {name}")
        export_file(polygons, name, run.plan.params.refine.crs, run.folder.records)


def export_file(polygons: DataFrame, name: str, crs: str, records: Ledger) -> None:
    """One file of all polygons, streamed through one task, which sorts them on disk where they are many."""
    ordered = polygons.repartition(1).sortWithinPartitions("change_id")
    function = _writing(name, crs, records, to_arrow_schema(polygons.schema))
    ordered.mapInArrow(function, spark_schema(SIZE_SCHEMA)).write.format("noop").mode("overwrite").save()


def _writing(name: str, crs: str, records: Ledger, schema: pa.Schema) -> ArrowFunction:
    """Polygons with WKB, `schema` -> SIZE_SCHEMA."""

    def write_file(batches: Batches) -> Batches:
        with tempfile.TemporaryDirectory(prefix="terradrift-vector-") as folder:
            file = Path(folder) / name
            write_vector_file(batches, schema, file, LAYER, crs, "terradrift change polygons")
            records.put_file(f"maps/{name}", file)
            yield pa.RecordBatch.from_pydict({"bytes": [file.stat().st_size]}, SIZE_SCHEMA)

    return write_file
