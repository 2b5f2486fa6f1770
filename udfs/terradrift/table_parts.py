"""Tables as Parquet objects: a part a task, one record a table. GeoParquet 1.1 where there is a geometry.

A part has the same name and bytes for the same rows, whoever writes it and however often. Specification:
github.com/opengeospatial/geoparquet, format-specs/geoparquet.md of v1.1.0.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from terradrift.errors import DamagedError, StoreError
from terradrift.records import Ledger, is_there
from terradrift.sealed import Written, written, written_file
from terradrift.store import Store

ROW_GROUP_ROWS = 65_536
"""Rows that a reader skips or reads together."""

SIDES = ("xmin", "ymin", "xmax", "ymax")

_WKB_TYPES = ("", "Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection")


@dataclass(frozen=True)
class TableFormat:
    """What the parts of a table have in common."""

    schema: pa.Schema
    crs: str | None = None
    """PROJJSON of the column `geometry` (WKB, with a column `bbox`); None for a table without one."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """More entries for the footer."""


@dataclass(frozen=True)
class Part:
    """A part that was written."""

    key: str
    bytes: int
    sha256: str
    rows: int


PART_SCHEMA = pa.schema([("key", pa.string()), ("bytes", pa.int64()), ("sha256", pa.string()), ("rows", pa.int64())])
"""One row a Part: what a task that wrote parts gives the driver."""


def part_key(table: str, number: int) -> str:
    """Key of a part of a table (a prefix)."""
    return f"{table}/part-{number:05d}.parquet"


def write_part(store: Store, key: str, batches: Iterable[pa.RecordBatch], form: TableFormat) -> Part:
    """Write rows as one Parquet object; memory is that of a row group. Raises StoreError where it cannot be written."""
    geometry = _GeometryFacts() if form.crs is not None else None
    rows = 0
    with tempfile.TemporaryDirectory(prefix="terradrift-part-") as folder:
        path = Path(folder) / "part.parquet"
        try:
            with pq.ParquetWriter(path, form.schema, compression="zstd", store_schema=False, write_page_checksum=True) as writer:
                for table in _row_groups(batches, form.schema):
                    rows += table.num_rows
                    writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
                    if geometry is not None:
                        geometry.add(table)
                footer = dict(form.metadata)
                if geometry is not None:
                    footer["geo"] = json.dumps(geometry.geoparquet(str(form.crs)), sort_keys=True)
                writer.add_key_value_metadata(footer)
        except OSError as cause:
            raise StoreError(f"cannot write {key} in {tempfile.gettempdir()}: {cause}; free space there") from cause
        found = written_file(path)
        store.put_file(key, path)
    return Part(key, found.bytes, found.sha256, rows)


def finish_table(ledger: Ledger, table: str, parts: Sequence[Part], **facts: Any) -> int:
    """Remove what an earlier attempt left of a table, then write its record; gives its rows. Call it after all parts are."""
    keys = {part.key for part in parts}
    for key in list(ledger.store.keys(table)):
        if key not in keys:
            ledger.store.delete(key)
    objects = {part.key: Written(part.bytes, part.sha256) for part in parts}
    rows = sum(part.rows for part in parts)
    ledger.write(record_name(table), objects, table=table, rows=rows, **facts)
    return rows


def write_table(ledger: Ledger, table: str, rows: pa.Table, form: TableFormat, **facts: Any) -> int:
    """A small table of one part and its record; gives its rows."""
    return finish_table(ledger, table, [write_part(ledger.store, part_key(table, 0), rows.to_batches(), form)], **facts)


def record_name(table: str) -> str:
    """Name of a table's record."""
    return table.replace("/", ".")


def table_is_there(ledger: Ledger, table: str) -> bool:
    """Whether a table has a record and all its parts their sizes."""
    record = ledger.read(record_name(table))
    return record is not None and is_there(record["objects"], {key: ledger.store.size(key) or 0 for key in record["objects"]})


def table_keys(ledger: Ledger, table: str) -> dict[str, Written | None]:
    """Keys of a table's parts in order, and what its record says was written; of a table without a record, what is there."""
    record = ledger.read(record_name(table))
    if record is None:
        found: dict[str, Written | None] = dict.fromkeys(ledger.store.keys(table))
    else:
        found = {key: value for key, value in record["objects"].items() if isinstance(value, Written)}
    return {key: found[key] for key in sorted(found) if _is_part(key)}


def _is_part(key: str) -> bool:
    return key.endswith(".parquet") and not key.rpartition("/")[2].startswith((".", "_"))


def check_sizes(store: Store, keys: Mapping[str, Written | None]) -> None:
    """Raise DamagedError where a part is gone or has another size than its record says: Spark skips a file without a byte."""
    for key, found in zip(keys, store.each(store.size, keys), strict=True):
        expected = keys[key]
        if expected is not None and found != expected.bytes:
            told = "no such object" if found is None else f"{found} bytes"
            raise DamagedError(f"{store.url}/{key}: found {told}; expected {expected.bytes} bytes; run with --fresh")


def read_part(store: Store, key: str, columns: Sequence[str] | None = None, expected: Written | None = None) -> pa.Table:
    """The rows of a part. Raises StoreError where it is absent, DamagedError where it is not Parquet or not what is expected."""
    with _opened(store, key, expected) as part:
        return part.read(list(columns) if columns else None)


@contextmanager
def _opened(store: Store, key: str, expected: Written | None) -> Iterator[pq.ParquetFile]:
    data = store.get(key)
    if data is None:
        raise StoreError(f"{store.url}/{key}: found no such object; expected a part of a table; was the output removed?")
    if expected is not None and (found := written(data)) != expected:
        told = f"found sha256 {found.sha256}; expected {expected.sha256}"
        raise DamagedError(f"{store.url}/{key}: {told}: the object is damaged; run with --fresh")
    try:
        yield pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as cause:
        raise DamagedError(f"{store.url}/{key}: found {len(data)} bytes that are not Parquet: the object is damaged") from cause


def read_table(ledger: Ledger, table: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A whole table, every part of which is what its record says."""
    return pa.concat_tables(read_parts(ledger, table, columns))


def read_parts(ledger: Ledger, table: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """A table a part at a time, each what the table's record says."""
    parts = table_keys(ledger, table)
    if not parts:
        raise StoreError(f"{ledger.url}/{table}: found no Parquet; expected a table of a finished run; run it again")
    for key, expected in parts.items():
        yield read_part(ledger.store, key, columns, expected)


def geo_metadata(ledger: Ledger, table: str) -> dict[str, Any]:
    """The GeoParquet metadata of a table's first part; empty where it is plain Parquet."""
    for key, expected in table_keys(ledger, table).items():
        with _opened(ledger.store, key, expected) as part:
            found = part.schema_arrow.metadata
        geo: dict[str, Any] = json.loads((found or {}).get(b"geo", b"{}"))
        return geo
    raise StoreError(f"{ledger.url}/{table}: found no Parquet; expected a table of a finished run; run it again")


def _row_groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows in tables of ROW_GROUP_ROWS, so that the bytes do not depend on how the rows came; at least one table."""
    held: list[pa.RecordBatch] = []
    n = 0
    for batch in batches:
        held.append(batch)
        n += batch.num_rows
        while n >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(held)
            yield _cast(table.slice(0, ROW_GROUP_ROWS), schema)
            held = table.slice(ROW_GROUP_ROWS).to_batches()
            n -= ROW_GROUP_ROWS
    yield _cast(pa.Table.from_batches(held) if n else schema.empty_table(), schema)


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return table.select(schema.names).combine_chunks().cast(schema)


class _GeometryFacts:
    """What GeoParquet says of the geometries of a file."""

    def __init__(self) -> None:
        self._types: set[str] = set()
        self._bounds: list[float] = []

    def add(self, table: pa.Table) -> None:
        geometry = table["geometry"].drop_null()
        codes = _type_codes(geometry)
        self._types |= {_WKB_TYPES[code % 1000] + (" Z" if code // 1000 == 1 else "") for code in np.unique(codes)}
        bbox = table["bbox"].combine_chunks().drop_null()
        if len(bbox):
            low = [pc.min(bbox.field(side)).as_py() for side in SIDES[:2]]
            high = [pc.max(bbox.field(side)).as_py() for side in SIDES[2:]]
            old = self._bounds or [*low, *high]
            self._bounds = [*map(min, old[:2], low), *map(max, old[2:], high)]

    def geoparquet(self, crs: str) -> dict[str, Any]:
        column: dict[str, Any] = {
            "encoding": "WKB",
            "geometry_types": sorted(self._types),
            "crs": json.loads(crs),
            "covering": {"bbox": {side: ["bbox", side] for side in SIDES}},
        }
        if self._bounds:
            column["bbox"] = self._bounds
        return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _type_codes(geometry: pa.ChunkedArray) -> Any:
    """Type codes of WKB, by its own byte order."""
    heads = pc.binary_slice(geometry, 0, 5).combine_chunks() if len(geometry) else []
    return np.array([int.from_bytes(head[1:5], "little" if head[0] else "big") for head in (h.as_py() for h in heads)], np.int64)
