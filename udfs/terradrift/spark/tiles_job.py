"""Any GeoParquet to vector tiles."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)
from pyspark.sql import types as T  # noqa: N812

from terradrift.errors import InputError
from terradrift.maps.tile_options import TileOptions
from terradrift.spark.progress import watch
from terradrift.spark.session import explained, spark_session
from terradrift.spark.vector_tiles import export_pmtiles

WEB_CRS = "EPSG:4326"

POLYGONAL = ("Polygon", "MultiPolygon")

ID_COLUMNS = ("change_id", "id", "fid")
"""The first of these that holds whole numbers is the feature id; else rows are numbered."""

ROW_ID = "row_id"

_TEXT = (T.DateType, T.TimestampType, T.TimestampNTZType, T.DecimalType)


def table_to_tiles(
    table: Path, archive: Path, *, layer: str | None, min_zoom: int, max_zoom: int, master: str | None = None
) -> None:
    """Polygons of a GeoParquet file or folder, in any CRS, to one PMTiles archive. Raises InputError before Spark starts."""
    geometry, crs = read_geometry_column(table)
    if archive.suffix != ".pmtiles" or not archive.parent.is_dir():
        raise InputError(f"archive: found {archive}; expected a name ending in .pmtiles in a folder that exists")
    if archive.is_dir():
        raise InputError(f"archive: found a folder at {archive}; expected the name of a file; give another")
    TileOptions(layer=layer or table.stem, min_zoom=min_zoom, max_zoom=max_zoom)
    with spark_session("terradrift tiles", master) as spark, watch(spark) as progress:
        progress("vector_tiles")
        frame, id_column = web_polygons(spark, table, geometry, crs)
        options = TileOptions(layer=layer or table.stem, min_zoom=min_zoom, max_zoom=max_zoom, id_column=id_column)
        with explained():
            report = export_pmtiles(spark, frame, archive, archive.parent, options, {})
    dropped = f", {sum(report.dropped.values())} dropped from full tiles" if report.dropped else ""
    sys.stdout.write(f"{archive}: {report.polygons:,} polygons in {report.tiles:,} tiles, {report.size:,} bytes{dropped}\n")


def read_geometry_column(table: Path) -> tuple[str, str | None]:
    """Name of the geometry column and its CRS (None: WGS 84 longitude and latitude) from the file's own metadata."""
    file = next(_parquet_files(table), None)
    if file is None:
        raise InputError(f"table: found no Parquet file at {table}; expected a GeoParquet file or folder")
    try:
        metadata = pq.read_schema(file).metadata or {}
    except (OSError, pa.ArrowInvalid) as cause:
        raise InputError(f"table: {file}: found a file that is not Parquet; expected GeoParquet") from cause
    if b"geo" not in metadata:
        raise InputError(f"table: {file}: found Parquet without the metadata 'geo'; expected GeoParquet; write it with geopandas")
    try:
        geo = json.loads(metadata[b"geo"])
        name = geo["primary_column"]
        column = geo["columns"][name]
        encoding, types = column.get("encoding", "WKB"), [str(kind) for kind in column.get("geometry_types", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise InputError(f"table: {file}: found metadata 'geo' that cannot be read; expected GeoParquet 1.x") from cause
    if encoding != "WKB":
        raise InputError(f"table: {file}: found geometry encoding {encoding!r}; expected WKB")
    wrong = [kind for kind in types if kind.removesuffix(" Z") not in POLYGONAL]
    if wrong:
        raise InputError(f"table: {file}: found {', '.join(wrong)}; expected Polygon or MultiPolygon; filter or buffer the rest")
    if "crs" in column and column["crs"] is None:
        raise InputError(f"table: {file}: found an unknown CRS (null); expected a known one; set it and write the file again")
    return name, _crs_text(column.get("crs"), file)


def _crs_text(crs: Any, file: Path) -> str | None:
    if crs is None:
        return None
    try:
        known = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as cause:
        raise InputError(f"table: {file}: found a CRS that PROJ does not know; expected a known one") from cause
    if known.equals(pyproj.CRS(WEB_CRS), ignore_axis_order=True):
        return None
    code = known.to_epsg()
    return f"EPSG:{code}" if code else known.to_wkt("WKT1_GDAL")


def web_polygons(spark: SparkSession, table: Path, geometry: str, crs: str | None) -> tuple[DataFrame, str]:
    """Columns that tiles can carry, the geometry as WKB in WGS 84, and the name of the id column."""
    frame = spark.read.parquet(str(table))
    shape = F.col(f"`{geometry}`")  # WKB as it is: what is not valid is repaired on each zoom's grid
    if crs is not None:
        shape = F.call_function("ST_Force_2D", F.call_function("ST_GeomFromWKB", shape))
        shape = F.call_function("ST_AsBinary", F.call_function("ST_Transform", shape, F.lit(crs), F.lit(WEB_CRS)))
    columns = [column for field in frame.schema if field.name != geometry and (column := _attribute(field)) is not None]
    names = {
        field.name for field in frame.schema if isinstance(field.dataType, T.LongType | T.IntegerType | T.ShortType | T.ByteType)
    }
    id_column = next((name for name in ID_COLUMNS if name in names), ROW_ID)
    if id_column == ROW_ID:
        columns.append(F.monotonically_increasing_id().alias(ROW_ID))
    frame = frame.select(*columns, shape.alias("geometry"))
    return frame.where("geometry IS NOT NULL"), id_column


def _attribute(field: T.StructField) -> Column | None:
    column = F.col(f"`{field.name}`")
    if isinstance(field.dataType, T.NumericType | T.StringType | T.BooleanType) and not isinstance(field.dataType, T.DecimalType):
        return column
    return column.cast("string").alias(field.name) if isinstance(field.dataType, _TEXT) else None


def _parquet_files(table: Path) -> Iterator[Path]:
    if table.is_file():
        yield table
    elif table.is_dir():
        yield from sorted(path for path in table.rglob("*.parquet") if not path.name.startswith((".", "_")))
