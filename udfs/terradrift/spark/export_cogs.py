"""Rasters to Cloud-optimised GeoTIFFs, one file a task."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from terradrift.grid import Window
from terradrift.maps.cog import COGS, DECISION_COGS, CogSpec, write_cog
from terradrift.records import Ledger
from terradrift.run import Run, decision_arrays
from terradrift.score_store import RasterStore
from terradrift.spark.arrow_tasks import ArrowFunction, Batches, describe, spark_schema
from terradrift.table_parts import read_table

NAME_SCHEMA = pa.schema([("name", pa.string())])


@dataclass(frozen=True)
class CogTask:
    """What every task knows."""

    files: Mapping[str, tuple[RasterStore, CogSpec]]
    """By name of the file."""
    scores: Ledger
    """Of the scores, which have the table `tiles`."""
    crop: Window
    records: Ledger
    """Of the run; files go to `maps/`."""
    tags: Mapping[str, str]


def export_cogs(spark: SparkSession, run: Run) -> None:
    """The files of COGS and DECISION_COGS, cropped to the bounds of the area of interest."""
    describe(spark, "write GeoTIFFs")
    made = {array.name for array in decision_arrays(run.plan)}
    files = {name: (run.scores, spec) for name, spec in COGS.items()}
    files |= {name: (run.decision, spec) for name, spec in DECISION_COGS.items() if spec.array in made}
    tags = {"TIFFTAG_SOFTWARE": "terradrift"}
    if run.plan.mosaic.attribution:
        tags["TIFFTAG_COPYRIGHT"] = run.plan.mosaic.attribution
    task = CogTask(files, run.folder.ledger, crop_window(run), run.folder.records, tags)
    names = spark.createDataFrame(pa.table({"name": list(files)})).repartitionByRange(len(files), "name")
    names.mapInArrow(_writing(task), spark_schema(NAME_SCHEMA)).write.format("noop").mode("overwrite").save()


def crop_window(run: Run) -> Window:
    """Whole pixels that cover the bounds of the area of interest, within the raster."""
    grid, window = run.plan.grid, run.plan.window
    bounds = [geometry.bounds for geometry in run.plan.zones.geometries]
    xmin, ymin, xmax, ymax = (f(b[k] for b in bounds) for k, f in enumerate((min, min, max, max)))
    slack = 1e-6
    x0, x1 = math.floor(grid.col(xmin) + slack), math.ceil(grid.col(xmax) - slack)
    y0, y1 = math.floor(grid.row(ymax) + slack), math.ceil(grid.row(ymin) - slack)
    return Window(y0, x0, max(1, y1 - y0), max(1, x1 - x0)).intersection(window) or window


def _writing(task: CogTask) -> ArrowFunction:
    """Names of files -> the same; each is made in a temporary folder of the machine and handed over whole."""

    def write_cogs(batches: Batches) -> Batches:
        for batch in batches:
            for name in batch["name"].to_pylist():
                raster, spec = task.files[name]
                table = read_table(task.scores, "tiles", ["row", "col", "state"])
                done = table.filter(pc.equal(table["state"], "done")).to_pylist()
                tiles = (raster.tile(tile["row"], tile["col"]) for tile in done)
                with tempfile.TemporaryDirectory(prefix="terradrift-cog-") as folder:
                    file = Path(folder) / name
                    write_cog(raster, spec, tiles, task.crop, file, task.tags)
                    task.records.put_file(f"maps/{name}", file)
            yield batch

    return write_cogs
