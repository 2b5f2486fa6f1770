"""Any GeoParquet to vector tiles."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)
from pyspark.sql import types as T  # noqa: N812
from rich.console import Console
from rich.table import Table

from terradrift.errors import InputError, near_miss
from terradrift.maps.tile_columns import field_types
from terradrift.maps.tile_options import Thin, TileOptions
from terradrift.spark.progress import watch
from terradrift.spark.session import FAST_START, explained, is_local, spark_session
from terradrift.spark.vector_tiles import TileReport, export_pmtiles
from terradrift.store import open_store

WEB_CRS = "EPSG:4326"

POLYGONAL = ("Polygon", "MultiPolygon")

ID_COLUMNS = ("change_id", "id", "fid")
"""The first of these that holds whole numbers is the feature id; else rows are numbered."""

ROW_ID = "row_id"
LAYER_COLUMN = "layer"
NO_LAYER = "default"
"""Name of the layer of rows without one."""

AS_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_date, pa.types.is_timestamp, pa.types.is_decimal)
_TEXT = (T.DateType, T.TimestampType, T.TimestampNTZType, T.DecimalType)


def table_to_tiles(
    table: Path,
    archive: Path,
    *,
    layer: str | None = None,
    id_column: str | None = None,
    thin: Sequence[str] = (),
    master: str | None = None,
    **knobs: Any,
) -> None:
    """Polygons of a GeoParquet file or folder, in any CRS, to one PMTiles archive; prints what it holds.

    `layer`: name of the one layer; None: a layer for each value of a text column `layer`, else the file's name. `id_column`:
    None: the first of ID_COLUMNS that is there. `thin`: as `Thin.parse` reads them. `knobs`: of `TileOptions`. Raises InputError
    before Spark starts.
    """
    schema, geometry, crs = read_geometry_column(table)
    if archive.suffix != ".pmtiles" or not archive.parent.is_dir():
        raise InputError(f"archive: found {archive}; expected a name ending in .pmtiles in a folder that exists")
    if archive.is_dir():
        raise InputError(f"archive: found a folder at {archive}; expected the name of a file; give another")
    columns = attribute_columns(schema, geometry)
    by_row = layer is None and columns.get(LAYER_COLUMN) == pa.string()
    options = TileOptions(
        layer=layer or (NO_LAYER if by_row else table.stem),
        layer_column=LAYER_COLUMN if by_row else None,
        id_column=_id_column(columns, id_column),
        thin=tuple(map(Thin.parse, thin)),
        **knobs,
    )
    field_types(pa.schema({**columns, options.id_column: pa.int64(), "geometry": pa.binary()}), options)
    conf = FAST_START if is_local(master) else {}
    with spark_session("terradrift tiles", master, conf) as spark, watch(spark) as progress:
        progress("vector_tiles")
        frame = web_polygons(spark, table, geometry, crs, options.id_column)
        with explained():
            report = export_pmtiles(spark, frame, archive, open_store(str(archive.parent.absolute())), options, {})
    print_tiles(report, archive, Console(file=sys.stdout))


def print_tiles(report: TileReport, archive: Path, console: Console) -> None:
    """What an archive holds, zoom by zoom."""
    console.print(
        f"{archive}: {report.polygons:,} polygons in {report.tiles:,} tiles, {report.size:,} bytes",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    lines = Table(*("zoom", "features", "dropped", "largest tile, kB"), box=None, header_style="")
    for column in lines.columns:
        column.justify = "right"
    for zoom, features in report.features.items():
        figures = (features, report.dropped.get(zoom, 0))
        lines.add_row(str(zoom), *(f"{figure:,}" for figure in figures), f"{report.largest[zoom] / 1e3:,.1f}")
    console.print(lines)


def attribute_columns(schema: pa.Schema, geometry: str) -> dict[str, pa.DataType]:
    """The columns that tiles can carry, and their types there: dates and decimals as text."""
    columns = {}
    for field in schema:
        if pa.types.is_integer(field.type):
            columns[field.name] = pa.int64()
        elif pa.types.is_floating(field.type):
            columns[field.name] = pa.float64()
        elif pa.types.is_boolean(field.type):
            columns[field.name] = pa.bool_()
        elif any(is_text(field.type) for is_text in AS_TEXT):
            columns[field.name] = pa.string()
    return {name: kind for name, kind in columns.items() if name != geometry}


def _id_column(columns: Mapping[str, pa.DataType], wanted: str | None) -> str:
    whole = [name for name, kind in columns.items() if kind == pa.int64()]
    if wanted is None:
        return next((name for name in ID_COLUMNS if name in whole), ROW_ID)
    if wanted not in whole:
        raise InputError(f"id_column: found {wanted!r}; expected a column of whole numbers{near_miss(wanted, whole)}")
    return wanted


def read_geometry_column(table: Path) -> tuple[pa.Schema, str, str | None]:
    """The columns, the name of that with the geometry and its CRS (None: WGS 84 longitude and latitude) from the file itself."""
    file = next(_parquet_files(table), None)
    if file is None:
        raise InputError(f"table: found no Parquet file at {table}; expected a GeoParquet file or folder")
    if (other := next(_of_no_table(table), None)) is not None:
        expected = "expected the files of one GeoParquet table, such as runs/<id>/tables/change_polygons of an output"
        raise InputError(f"table: {table}: found {other} in it; {expected}")
    try:
        schema = pq.read_schema(file)
    except (OSError, pa.ArrowInvalid) as cause:
        raise InputError(f"table: {file}: found a file that is not Parquet; expected GeoParquet") from cause
    metadata = schema.metadata or {}
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
    return schema, name, _crs_text(column.get("crs"), file)


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


def web_polygons(spark: SparkSession, table: Path, geometry: str, crs: str | None, id_column: str) -> DataFrame:
    """Columns that tiles can carry, ids, and the geometry as WKB in WGS 84."""
    frame = spark.read.parquet(str(table))
    shape = F.col(_quoted(geometry))  # WKB as it is: what is not valid is repaired on each zoom's grid
    if crs is not None:
        shape = F.call_function("ST_Force_2D", F.call_function("ST_GeomFromWKB", shape))
        shape = F.call_function("ST_AsBinary", F.call_function("ST_Transform", shape, F.lit(crs), F.lit(WEB_CRS)))
    columns = [column for field in frame.schema if field.name != geometry and (column := _attribute(field)) is not None]
    if id_column == ROW_ID:
        columns.append(F.monotonically_increasing_id().alias(ROW_ID))
    return frame.select(*columns, shape.alias("geometry")).where("geometry IS NOT NULL")


def _quoted(name: str) -> str:
    """A column's name as it is, whatever it holds."""
    return f"`{name.replace('`', '``')}`"


def _attribute(field: T.StructField) -> Column | None:
    column = F.col(_quoted(field.name))
    if isinstance(field.dataType, T.NumericType | T.StringType | T.BooleanType) and not isinstance(field.dataType, T.DecimalType):
        return column
    return column.cast("string").alias(field.name) if isinstance(field.dataType, _TEXT) else None


def _parquet_files(table: Path) -> Iterator[Path]:
    if table.is_file():
        yield table
    elif table.is_dir():
        yield from sorted(path for path in table.rglob("*.parquet") if not path.name.startswith((".", "_")))


def _of_no_table(folder: Path) -> Iterator[Path]:
    """Files of a folder that are no part of one table: Spark reads all but hidden ones, below `column=value` too."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found = path.relative_to(folder)
        is_hidden = any(part.startswith((".", "_")) for part in found.parts)
        if not is_hidden and (found.suffix != ".parquet" or not all("=" in part for part in found.parts[:-1])):
            yield found
