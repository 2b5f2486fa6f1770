"""The published polygons as single files for desktop programs, one file a task."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from terradrift.maps.vector_files import write_vector_file
from terradrift.run import Run
from terradrift.spark.arrow_tasks import ArrowFunction, Batches, describe, spark_schema
from terradrift.store import open_store

LAYER = "changes"

SIZE_SCHEMA = pa.schema([("bytes", pa.int64())])


def export_vector_files(spark: SparkSession, run: Run) -> None:
    """`maps/changes.gpkg` and `maps/changes.fgb`, as the run file asks: the table change_polygons in order of change_id."""
    maps = run.plan.params.maps
    names = [f"{LAYER}.gpkg"] * maps.gpkg + [f"{LAYER}.fgb"] * maps.flatgeobuf
    if not names:
        return
    polygons = spark.read.parquet(str(run.folder.tables / "change_polygons")).drop("bbox")  # geometry as WKB: read as it is
    for name in names:
        describe(spark, f"write {name}")
        export_file(polygons, name, run.plan.params.refine.crs, str(run.folder.path))


def export_file(polygons: DataFrame, name: str, crs: str, run: str) -> None:
    """One file of all polygons, streamed through one task, which sorts them on disk where they are many."""
    ordered = polygons.repartition(1).sortWithinPartitions("change_id")
    function = _writing(name, crs, run, to_arrow_schema(polygons.schema))
    ordered.mapInArrow(function, spark_schema(SIZE_SCHEMA)).write.format("noop").mode("overwrite").save()


def _writing(name: str, crs: str, run: str, schema: pa.Schema) -> ArrowFunction:
    """Polygons with WKB, `schema` -> SIZE_SCHEMA."""

    def write_file(batches: Batches) -> Batches:
        with tempfile.TemporaryDirectory(prefix="terradrift-vector-") as folder:
            file = Path(folder) / name
            write_vector_file(batches, schema, file, LAYER, crs, "terradrift change polygons")
            open_store(run).put_file(f"maps/{name}", file)
            yield pa.RecordBatch.from_pydict({"bytes": [file.stat().st_size]}, SIZE_SCHEMA)

    return write_file
