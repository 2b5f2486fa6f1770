"""Polygons to one PMTiles archive: cut on the executors, sorted by tile, encoded on the executors, joined on the driver."""

from __future__ import annotations

import functools
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

from terradrift.kernels.rings import Array
from terradrift.kernels.tile_geometry import MAX_LATITUDE, lon_lat
from terradrift.maps.pmtiles import TileIndex, tile_xyz, write_archive, zoom_start
from terradrift.maps.tile_pairs import tile_pairs
from terradrift.maps.vector_tiles import TileOptions, archive_metadata, encode_tiles, field_types, pair_schema

INDEX = pa.schema(
    [
        ("tile_id", pa.int64()),
        ("part", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("digest", pa.binary()),
        ("features", pa.int64()),
        ("dropped", pa.int64()),
        *((side, pa.int64()) for side in ("xmin", "ymin", "xmax", "ymax")),
    ]
)
"""One row an encoded tile: where its bytes lie, what is in it, and the bounds of what it draws in tile units."""
INDEX_ROWS = 4096  # of one batch; a task's tiles number thousands
MOST_VALUES = 100  # of a property in the tilestats, as tippecanoe lists them


@dataclass(frozen=True)
class TileReport:
    """What an archive holds."""

    size: int
    """Bytes of the archive."""
    polygons: int
    """Distinct feature ids drawn."""
    tiles: int
    contents: int
    """Different tiles; equal ones are stored once."""
    largest_tile: int
    """Bytes, compressed."""
    features: dict[int, int]
    """Features of the tiles of each zoom, summed."""
    dropped: dict[int, int]
    """Features left out of tiles that would be too large, by zoom; zooms without any are not listed."""
    bounds: tuple[float, float, float, float]
    """West, south, east, north, degrees; the whole world where nothing is drawn."""


def export_pmtiles(
    spark: SparkSession,
    polygons: DataFrame,
    out: Path,
    work: Path,
    options: TileOptions,
    metadata: Mapping[str, Any],
) -> TileReport:
    """Write `polygons` as vector tiles in one PMTiles archive; it appears complete or not at all.

    `polygons`: `options.id_column` (whole numbers), `geometry` (WKB, EPSG:4326) and the attributes to show; read once.
    `work`: a folder that driver and executors share; what is written there is removed at the end. `metadata`: name,
    description, attribution and the like. The archive's bytes do not depend on the number of partitions. Raises InputError
    for columns that cannot become tiles, before anything runs.
    """
    schema = to_arrow_schema(polygons.schema)
    fields = field_types(schema, options)
    folder = work.absolute() / f"tiles-{uuid.uuid4().hex}"
    blobs = folder / "blobs"
    blobs.mkdir(parents=True)
    try:
        pairs = _cut(spark, polygons, folder / "pairs", pair_schema(schema), options)
        index = _encode(pairs, blobs, folder / "index", options)
        bounds = _bounds(index, options)
        stats = _stats(pairs, fields, options)
        archive = write_archive(out, *_places(index, blobs), bounds, archive_metadata(options, fields, stats, metadata))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return TileReport(
        size=archive.size,
        polygons=stats["count"],
        tiles=archive.tiles,
        contents=archive.contents,
        largest_tile=pc.max(index["length"]).as_py() or 0,
        features=_by_zoom(index, "features"),
        dropped={zoom: count for zoom, count in _by_zoom(index, "dropped").items() if count},
        bounds=bounds,
    )


def _cut(spark: SparkSession, polygons: DataFrame, path: Path, schema: pa.Schema, options: TileOptions) -> DataFrame:
    """What each tile shows of each polygon. Written first: partitioning by range reads its input twice."""
    rows = from_arrow_schema(schema)
    polygons.mapInArrow(functools.partial(_cut_batches, options), rows).write.parquet(path.as_uri(), compression="zstd")
    return spark.read.schema(rows).parquet(path.as_uri())


def _cut_batches(options: TileOptions, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield from tile_pairs(batch, options)


def _encode(pairs: DataFrame, blobs: Path, path: Path, options: TileOptions) -> pa.Table:
    """Encode all tiles into files under `blobs`; the index of those files."""
    in_order = pairs.repartitionByRange("tile_id").sortWithinPartitions("tile_id", "feature_id", "geometry")
    tiles = in_order.mapInArrow(functools.partial(_encode_batches, options, blobs), from_arrow_schema(INDEX))
    tiles.write.parquet(path.as_uri(), compression="zstd")
    return pq.read_table(path, schema=INDEX).sort_by("tile_id")


def _encode_batches(options: TileOptions, blobs: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Append tiles to one file of this attempt at the task; a repeated task leaves a file that no index names."""
    part = uuid.uuid4().hex
    rows: list[tuple[Any, ...]] = []
    offset = 0
    with (blobs / part).open("xb") as file:
        for tile in encode_tiles(batches, options):
            file.write(tile.data)
            length = len(tile.data)
            rows.append((tile.tile_id, part, offset, length, tile.digest, tile.features, tile.dropped, *tile.bounds))
            offset += length
            if len(rows) == INDEX_ROWS:
                yield _index_batch(rows)
                rows = []
    yield _index_batch(rows)


def _index_batch(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else [[]] * len(INDEX)
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, INDEX, strict=True)], schema=INDEX
    )


def _places(index: pa.Table, blobs: Path) -> tuple[TileIndex, list[Path]]:
    """The index as arrays, and the files it names."""
    part = index["part"].combine_chunks().dictionary_encode()
    digest = np.frombuffer(b"".join(index["digest"].to_pylist()), np.uint64).reshape(-1, 2)
    tile_id, offset, length = (index[name].to_numpy() for name in ("tile_id", "offset", "length"))
    files = [blobs / name for name in part.dictionary.to_pylist()]
    return TileIndex(tile_id, part.indices.to_numpy(), offset, length, digest), files


def _by_zoom(index: pa.Table, column: str) -> dict[int, int]:
    _, _, zooms = tile_xyz(index["tile_id"].to_numpy())
    sums = np.bincount(zooms, weights=index[column].to_numpy())
    return {int(zoom): int(sums[zoom]) for zoom in np.unique(zooms)}


def _bounds(index: pa.Table, options: TileOptions) -> tuple[float, float, float, float]:
    """Degrees around all that the tiles of the largest zoom draw, margins aside."""
    shown = index.filter(pc.field("tile_id") >= zoom_start(options.max_zoom))
    if shown.num_rows == 0:
        return -180.0, -MAX_LATITUDE, 180.0, MAX_LATITUDE
    x, y, _ = tile_xyz(shown["tile_id"].to_numpy())
    tiles = 1 << options.max_zoom

    def edge(tile: Array, column: str) -> Array:
        inside = np.clip(shown[column].to_numpy(), 0, options.tile_resolution) / options.tile_resolution
        return (tile + inside) / tiles

    west, north = lon_lat(edge(x, "xmin").min(), edge(y, "ymin").min())
    east, south = lon_lat(edge(x, "xmax").max(), edge(y, "ymax").max())
    return float(west), float(south), float(east), float(north)


def _stats(pairs: DataFrame, fields: Mapping[str, str], options: TileOptions) -> dict[str, Any]:
    """The number of features, and of each property the number of values, their range or the first of them: tilestats.

    Taken from the largest zoom, where every feature is drawn.
    """
    drawn = pairs.where(F.col("tile_id") >= zoom_start(options.max_zoom))
    aggregates = [F.count_distinct("feature_id")]
    for name, kind in fields.items():
        value = F.col("attributes").getField(name)
        finite = F.when(F.abs(value) < float("inf"), value) if kind == "Number" else value
        aggregates += [F.approx_count_distinct(value), F.min(finite), F.max(finite)]
    count, *rest = drawn.agg(*aggregates).collect()[0]
    attributes = []
    for (name, kind), different, least, most in zip(fields.items(), rest[::3], rest[1::3], rest[2::3], strict=True):
        told: dict[str, Any] = {"attribute": name, "count": different, "type": kind.lower(), "values": []}
        if kind == "Number":
            told |= {} if least is None else {"min": least, "max": most}
        else:
            value = F.col("attributes").getField(name).alias("value")
            values = drawn.select(value).distinct().where("value IS NOT NULL").orderBy("value").limit(MOST_VALUES)
            told["values"] = [row.value for row in values.collect()]
        attributes.append(told)
    return {"count": count, "attributes": attributes}
