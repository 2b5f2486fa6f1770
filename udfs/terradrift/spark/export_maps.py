"""Stage 5: tables and rasters to maps: vector tiles, GeoTIFFs, a picture."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)

from terradrift.grid import Window
from terradrift.maps.cog import COGS, write_cog
from terradrift.maps.display import write_largest, write_zones_geojson
from terradrift.maps.preview import write_preview
from terradrift.maps.tile_options import TileOptions
from terradrift.run import Run
from terradrift.score_store import RasterStore
from terradrift.spark.arrow_tasks import ArrowFunction, Batches, describe, spark_schema
from terradrift.spark.summary import largest_changes
from terradrift.spark.vector_tiles import export_pmtiles

WEB_CRS = "EPSG:4326"
"""What vector tiles are made from."""

LISTED = 500
"""Changes in `largest.json`."""

LISTED_COLUMNS = ("change_id", "zone", "kind", "year_first", "year_last", "score_max", "effect_mean", "area_m2")

TILE_ATTRIBUTES = ("change_id", "kind", "year_first", "score_max", "effect_mean", "area_m2")


def export_maps(spark: SparkSession, run: Run) -> dict[str, Any]:
    """Write the maps that the run file asks for; gives the counts of the vector tiles."""
    maps, folder = run.plan.params.maps, run.folder.maps
    report = {}
    if maps.pmtiles:
        report["vector_tiles"] = export_vector_tiles(spark, run)
        export_display(spark, run)
    if maps.cog:
        export_cogs(spark, run)
        write_preview(folder / "change_score.tif", run.folder.tables / "change_polygons", folder / "preview.png")
    return report


def export_vector_tiles(spark: SparkSession, run: Run) -> dict[str, Any]:
    """`maps/changes.pmtiles` from change_polygons."""
    params = run.plan.params
    describe(spark, "write vector tiles")
    polygons = spark.read.parquet(str(run.folder.tables / "change_polygons"))  # geometry as WKB: read as it is
    shape = F.col("geometry")
    if params.refine.crs != WEB_CRS:
        shape = F.call_function("ST_GeomFromWKB", shape)
        shape = F.call_function("ST_AsBinary", F.call_function("ST_Transform", shape, F.lit(params.refine.crs), F.lit(WEB_CRS)))
    frame = polygons.select(*TILE_ATTRIBUTES, shape.alias("geometry"))
    options = TileOptions(layer="changes", id_column="change_id", min_zoom=params.maps.min_zoom, max_zoom=params.maps.max_zoom)
    attribution = run.plan.mosaic.attribution
    metadata = {"name": "changes", "description": "terradrift change polygons"} | (
        {"attribution": attribution} if attribution else {}
    )
    report = export_pmtiles(
        spark, frame, run.folder.maps / "changes.pmtiles", run.folder.work / "vector_tiles", options, metadata
    )
    return asdict(report)


def export_display(spark: SparkSession, run: Run) -> None:
    """What the page shows beside tiles and rasters."""
    describe(spark, "list the largest changes")
    tables, folder = run.folder.tables, run.folder.maps
    polygons = spark.read.format("geoparquet").load(str(tables / "change_polygons"))
    write_largest(largest_changes(polygons, LISTED, LISTED_COLUMNS, run.plan.params.refine.crs), folder / "largest.json")
    write_zones_geojson(tables, folder / "zones.geojson")


def export_cogs(spark: SparkSession, run: Run) -> None:
    """The files of COGS, one a task, cropped to the bounds of the area of interest."""
    describe(spark, "write GeoTIFFs")
    names = spark.createDataFrame(pa.table({"name": list(COGS)})).repartition(len(COGS))
    function = _cog_udf(run.scores, str(run.folder.scores / "tiles"), crop_window(run), str(run.folder.maps))
    names.mapInArrow(function, spark_schema(_NAME)).write.format("noop").mode("overwrite").save()


_NAME = pa.schema([("name", pa.string())])


def crop_window(run: Run) -> Window:
    """Whole pixels that cover the bounds of the area of interest, within the raster."""
    grid, window = run.plan.grid, run.plan.window
    bounds = [geometry.bounds for geometry in run.plan.zones.geometries]
    xmin, ymin, xmax, ymax = (f(b[k] for b in bounds) for k, f in enumerate((min, min, max, max)))
    slack = 1e-6
    x0, x1 = math.floor(grid.col(xmin) + slack), math.ceil(grid.col(xmax) - slack)
    y0, y1 = math.floor(grid.row(ymax) + slack), math.ceil(grid.row(ymin) - slack)
    return Window(y0, x0, max(1, y1 - y0), max(1, x1 - x0)).intersection(window) or window


def _cog_udf(raster: RasterStore, tiles: str, crop: Window, folder: str) -> ArrowFunction:
    def write_cogs(batches: Batches) -> Batches:
        for batch in batches:
            for name in batch["name"].to_pylist():
                scanner = ds.dataset(tiles, format="parquet").scanner(["row", "col"], filter=ds.field("state") == "done")
                done = (row for part in scanner.to_batches() for row in part.to_pylist())
                write_cog(raster, name, (raster.tile(tile["row"], tile["col"]) for tile in done), crop, Path(folder) / name)
                yield pa.RecordBatch.from_pydict({"name": [name]}, _NAME)

    return write_cogs
