"""Zones as they stand in a vector file, WKT or a box: geometries, attributes and their CRS, nothing changed yet."""

from __future__ import annotations

import math
import re
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from terradrift.aoi.longitudes import FULL_TURN, split
from terradrift.aoi.zones import Scalar
from terradrift.errors import InputError
from terradrift.params.locations import is_wkt
from terradrift.params.messages import one_line

LONLAT = "EPSG:4326"
MAX_ZONES = 1_000_000
MAX_BYTES = 1 << 30
MAX_PACKED, MAX_UNPACKED = 100, 64 << 20
"""Vector data shrink ten times, what is made to fill memory a thousand times; small files may be anything."""

FORMS = "a vector file, WKT or [west, south, east, north] in degrees"

QUARTER_TURN = 90.0  # degrees; sides this short are never taken for jumps over the antimeridian

_GDALS_ADVICE = re.compile(r"; It might help|\. Set \w+ config option")
"""What GDAL says to its own callers."""

INDIRECT = (b"<OGRVRT", b"<OGRWFS", b"<OGRWMS", b"<GDAL_WMS", b"<VRTDataset", b"gdal_streamed_alg", b"<!ENTITY")
"""Words of files that make GDAL read other files or addresses, or unfold entities."""


@dataclass
class Source:
    """An AOI before anything is checked or moved."""

    label: str
    """What opens a message about it."""
    text: str
    """The AOI as it was asked for."""
    geometries: npt.NDArray[np.object_]
    crs: pyproj.CRS
    attributes: list[dict[str, Scalar]]
    warnings: list[str] = field(default_factory=list)


def read_source(spec: str | Sequence[float]) -> Source:
    """Read a vector file, WKT or [west, south, east, north]. InputError where there is nothing to read."""
    if not isinstance(spec, str):
        return _box(spec)
    if is_wkt(spec):
        return _wkt(spec)
    return _file(spec)


def _box(spec: Sequence[float]) -> Source:
    what = "expected [west, south, east, north] in degrees (EPSG:4326)"
    text = str(list(spec)) if isinstance(spec, (list, tuple)) else repr(spec)
    numbers = isinstance(spec, (list, tuple)) and all(isinstance(item, (int, float)) for item in spec)
    if not numbers or len(spec) != 4 or not all(math.isfinite(item) for item in spec):
        raise InputError(f"aoi: found {text[:80]}, {what}")
    west, south, east, north = (float(item) for item in spec)
    if not -90 <= south < north <= 90:
        raise InputError(f"aoi: found {text}, {what} with -90 <= south < north <= 90; is it in the order lat, lon?")
    if not -FULL_TURN <= west <= FULL_TURN or not -FULL_TURN <= east <= FULL_TURN or west == east:
        raise InputError(f"aoi: found {text}, {what} with two different longitudes in -180..180 or 0..360")
    east += FULL_TURN if east < west else 0.0
    if east - west > FULL_TURN:
        raise InputError(f"aoi: found {text}, {what} at most 360 degrees wide")
    box = shapely.segmentize(split(shapely.box(west, south, east, north)), QUARTER_TURN)
    return Source("aoi", text, np.array([box], object), pyproj.CRS(LONLAT), [{}])


def _wkt(text: str) -> Source:
    try:
        geometry = shapely.from_wkt(text)
    except shapely.errors.GEOSException as error:
        cause = one_line(error)
        raise InputError(
            f"aoi: found {text[:40]!r}, which is no WKT ({cause}), expected WKT in EPSG:4326 degrees without SRID"
        ) from None
    return Source("aoi", text, np.array([geometry], object), pyproj.CRS(LONLAT), [{}])


def _file(text: str) -> Source:
    label = f"aoi: {text if text.isprintable() else repr(text)}"
    notes: list[str] = []
    try:
        path = Path(text)
        _check_file(path, label)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GDAL's remarks on a file are none on the run
            frame = _read_parquet(path, label) if _is_parquet(path) else _read_vector(path, label, notes)
    except InputError:
        raise
    except Exception as error:  # a reader of foreign files may raise anything
        cause = one_line(_GDALS_ADVICE.split(getattr(error, "strerror", None) or str(error))[0], 200)
        raise InputError(f"{label}: found a file that cannot be read ({cause}), expected {FORMS}") from error
    geometry = getattr(frame, "_geometry_column_name", None)
    if geometry is None or geometry not in frame.columns:
        raise InputError(f"{label}: found a table without geometries, expected polygons")
    if frame.crs is None:
        raise InputError(
            f"{label}: found no CRS, expected one; write it into the file (ogr2ogr -a_srs EPSG:4326 OUT IN) or use GeoJSON, "
            "which is EPSG:4326"
        )
    geometries = np.asarray(frame[geometry].to_numpy(), object)
    return Source(label, text, geometries, pyproj.CRS(frame.crs).to_2d(), _attributes(frame, geometry), notes)


def _check_file(path: Path, label: str) -> None:
    if not path.exists():
        raise InputError(f"{label}: found no such file, expected {FORMS}")
    if path.is_dir():
        if path.suffix.lower() != ".gdb":
            raise InputError(f"{label}: found a directory, expected {FORMS}")
        return
    if not path.is_file():
        raise InputError(f"{label}: found something that is no regular file, expected {FORMS}")
    size, heads = path.stat().st_size, []
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MAX_PACKED * max(1, path.stat().st_size) and size > MAX_UNPACKED:
                raise InputError(f"{label}: found a zip archive that unpacks to {size} bytes, expected vector data; unpack it")
            for member in archive.infolist()[:1000]:
                with archive.open(member) as file:
                    heads.append(file.read(4096))
    else:
        with path.open("rb") as file:
            heads.append(file.read(4096))
        if heads[0].startswith(b"PK"):
            raise InputError(f"{label}: found a zip archive that is cut or damaged, expected {FORMS}; pack it again")
    if size == 0:
        raise InputError(f"{label}: found an empty file, expected {FORMS}")
    if size > MAX_BYTES:
        raise InputError(f"{label}: found {size} bytes, expected at most {MAX_BYTES}; extract or simplify the zones")
    if any(opening in head for head in heads for opening in INDIRECT):
        raise InputError(f"{label}: found a file that points to others, expected the polygons themselves")


def _is_parquet(path: Path) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _read_parquet(path: Path, label: str) -> Any:
    import geopandas
    import pyarrow.parquet

    found = pyarrow.parquet.read_metadata(path)
    if b"geo" not in (found.metadata or {}):
        raise InputError(f"{label}: found Parquet without the metadata 'geo', expected GeoParquet; write it with geopandas")
    _check_count(found.num_rows, label)
    _check_values(path, found, label)
    return geopandas.read_parquet(path)


def _check_values(path: Path, found: Any, label: str) -> None:
    """Refuse columns that unfold to more than MAX_BYTES: repeated values are stored once, pages are packed."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet

    groups = [found.row_group(k) for k in range(found.num_row_groups)]
    size = sum(group.column(k).total_uncompressed_size for group in groups for k in range(group.num_columns))
    texts = [field.name for field in found.schema.to_arrow_schema() if pa.types.is_binary(field.type) or _is_text(field.type)]
    if size <= MAX_BYTES:
        with pyarrow.parquet.ParquetFile(path, read_dictionary=texts) as file:
            for batch in file.iter_batches(columns=texts):
                for column in batch.columns:
                    folded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
                    lengths = pc.binary_length(folded.dictionary)
                    size += pc.sum(pc.take(lengths, folded.indices).cast(pa.int64())).as_py() or 0
    if size > 2 * MAX_BYTES:
        raise InputError(f"{label}: found columns of {size} bytes, expected at most {MAX_BYTES}; extract or simplify the zones")


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return any(matches(kind) for matches in (pa.types.is_string, pa.types.is_large_string, pa.types.is_large_binary))


def _read_vector(path: Path, label: str, notes: list[str]) -> Any:
    import pyogrio

    spatial = [(name, kind) for name, kind in pyogrio.list_layers(path) if kind is not None]
    if not spatial:
        raise InputError(f"{label}: found no layer with geometries, expected polygons")
    polygons = [name for name, kind in spatial if "Polygon" in kind or kind in ("Unknown", "GeometryCollection")]
    layer = polygons[0] if polygons else spatial[0][0]
    if len(spatial) > 1:
        notes.append(f"{label}: has the layers {one_line(', '.join(name for name, _ in spatial), 200)}; read {one_line(layer)}")
    _check_count(pyogrio.read_info(path, layer=layer)["features"], label)
    return pyogrio.read_dataframe(path, layer=layer)


def _check_count(features: int, label: str) -> None:
    if features == 0:
        raise InputError(f"{label}: found no features, expected at least one polygon")
    if features > MAX_ZONES:
        raise InputError(f"{label}: found {features} features, expected at most {MAX_ZONES}; dissolve or extract them")


def _attributes(frame: Any, geometry: str) -> list[dict[str, Scalar]]:
    names = [name for name in frame.columns if name != geometry]
    columns = [[_scalar(value) for value in frame[name].tolist()] for name in names]
    return [dict(zip(map(str, names), row, strict=True)) for row in zip(*columns, strict=True)] or [{} for _ in range(len(frame))]


def _scalar(value: Any) -> Scalar:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "isoformat"):
        return str(value.isoformat()) if value == value else None  # NaT differs from itself
    return None if str(value) == "<NA>" else str(value)
