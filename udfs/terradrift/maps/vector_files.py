"""A table of polygons as one file that desktop programs open: GeoPackage, FlatGeobuf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyogrio
from pyogrio.errors import DataSourceError

from terradrift.errors import StoreError

GEOMETRY = "geometry"

_POLYGON, _MULTIPOLYGON = b"\x01\x03\x00\x00\x00", b"\x01\x06\x00\x00\x00\x01\x00\x00\x00"
"""How the little-endian WKB of a polygon begins, and that of a multipolygon of one."""


@dataclass(frozen=True)
class VectorFormat:
    """One of GDAL's formats."""

    driver: str
    media_type: str


FORMATS = {
    "gpkg": VectorFormat("GPKG", "application/geopackage+sqlite3"),
    "fgb": VectorFormat("FlatGeobuf", "application/vnd.flatgeobuf"),
}
"""By ending of the file's name."""


def write_vector_file(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, layer: str, crs: str, about: str) -> None:
    """Write batches with WKB polygons in the column `geometry` as they come; memory is that of a batch and of GDAL's index.

    Every geometry is a MultiPolygon in the file: desktop programs show one layer instead of two. Raises StoreError where the
    file cannot be written.
    """
    described = schema.set(
        schema.get_field_index(GEOMETRY), pa.field(GEOMETRY, pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})
    )
    reader = pa.RecordBatchReader.from_batches(described, _multipolygons(batches, described))
    driver = FORMATS[path.suffix[1:]].driver
    try:
        pyogrio.write_arrow(
            reader, path, layer=layer, driver=driver, geometry_name=GEOMETRY, geometry_type="MultiPolygon", crs=crs,
            layer_metadata={"DESCRIPTION": about} if driver == "GPKG" else None,
        )  # fmt: skip
    except (OSError, DataSourceError, pa.ArrowException) as cause:
        raise StoreError(f"cannot write {path.name}: {' '.join(str(cause).split())}") from cause


def _multipolygons(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        shapes = [_MULTIPOLYGON + shape if shape.startswith(_POLYGON) else shape for shape in batch[GEOMETRY].to_pylist()]
        columns = {field.name: batch[field.name].cast(field.type) for field in schema if field.name != GEOMETRY}
        columns[GEOMETRY] = pa.array(shapes, pa.binary())
        yield pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
