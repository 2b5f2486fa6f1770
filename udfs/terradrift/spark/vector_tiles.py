"""Polygons to one PMTiles archive: cut on the executors into sorted files, encoded from them by ranges of tiles, joined on the
driver."""

from __future__ import annotations

import functools
import json
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

from terradrift.kernels.rings import Array
from terradrift.kernels.tile_geometry import MAX_LATITUDE, lon_lat
from terradrift.maps.pair_runs import RUN, TileRange, open_runs, read_range, tile_ranges, write_runs
from terradrift.maps.pmtiles import tile_xyz, write_archive, zoom_start
from terradrift.maps.tile_columns import MOST_LAYERS, archive_metadata, field_types, layer_names
from terradrift.maps.tile_options import TileOptions
from terradrift.maps.tile_parts import INDEX, PART, places, read_index, write_part
from terradrift.maps.tile_stats import LayerStats
from terradrift.maps.vector_tiles import encode_tiles
from terradrift.store import Store

RANGES_A_CORE = 4


@dataclass(frozen=True)
class TileReport:
    """What an archive holds."""

    size: int
    """Bytes of the archive."""
    polygons: int
    """Polygons drawn."""
    tiles: int
    contents: int
    """Different tiles; equal ones are stored once."""
    largest_tile: int
    """Bytes, compressed."""
    features: dict[int, int]
    """Features of the tiles of each zoom, summed."""
    dropped: dict[int, int]
    """Features left out of tiles that would be too large, by zoom; zooms without any are not listed."""
    largest: dict[int, int]
    """Bytes of the largest tile of each zoom, compressed."""
    bounds: tuple[float, float, float, float]
    """West, south, east, north, degrees; the whole world where nothing is drawn."""


def export_pmtiles(
    spark: SparkSession,
    polygons: DataFrame,
    out: Path,
    work: Store,
    options: TileOptions,
    metadata: Mapping[str, Any],
) -> TileReport:
    """Write `polygons` as vector tiles in one PMTiles archive; it appears complete or not at all.

    `polygons`: `options.id_column` (whole numbers), `geometry` (WKB, EPSG:4326), the layer column if one is named, and the
    attributes to show; read once, but for the layers' names.
    `work`: a store that driver and executors reach; what is written there is removed at the end. `metadata`: name,
    description, attribution and the like. The archive's bytes do not depend on the number of partitions. Raises InputError
    for columns that cannot become tiles, before anything runs.
    """
    schema = to_arrow_schema(polygons.schema)
    fields = field_types(schema, options)
    if options.layer_column:
        named = polygons.select(F.col(f"`{options.layer_column}`")).distinct().limit(MOST_LAYERS + 2)
        options = replace(options, layers=layer_names((row[0] for row in named.collect()), options))
    own = work.at(f"tiles-{uuid.uuid4().hex}")
    try:
        numbered = polygons.toDF(*map(str, range(len(schema))))  # mapInArrow reads a dot in a column's name as one in a struct
        cut = numbered.mapInArrow(functools.partial(_cut, own, options, schema.names), from_arrow_schema(RUN)).toArrow()
        index = _encode(spark, cut, own, options)
        bounds = _bounds(index, options)
        stats = LayerStats(options.layer_names, fields)
        stats.merge(map(json.loads, cut["stats"].drop_null().to_pylist()))
        told = archive_metadata(options, stats.tilestats(), metadata)
        with tempfile.TemporaryDirectory(prefix="terradrift-blobs-") as folder:
            archive = write_archive(out, *places(index, own, Path(folder)), bounds, told)
    finally:
        own.clear("")
    return TileReport(
        size=archive.size,
        polygons=sum(layer.count for layer in stats.layers.values()),
        tiles=archive.tiles,
        contents=archive.contents,
        largest_tile=pc.max(index["length"]).as_py() or 0,
        features=_by_zoom(index, "features", np.add),
        dropped={zoom: count for zoom, count in _by_zoom(index, "dropped", np.add).items() if count},
        largest=_by_zoom(index, "length", np.maximum),
        bounds=bounds,
    )


def _cut(work: Store, options: TileOptions, names: list[str], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    return write_runs(work, options, (batch.rename_columns(names) for batch in batches))


def _encode(spark: SparkSession, cut: pa.Table, work: Store, options: TileOptions) -> pa.Table:
    """Encode all tiles into files of `work`; the index of those files."""
    ranges = tile_ranges(cut, RANGES_A_CORE * spark.sparkContext.defaultParallelism)
    if not ranges:
        return INDEX.empty_table()
    first, end = zip(*ranges, strict=True)
    frame = spark.createDataFrame(pa.table({"first": pa.array(first, pa.int64()), "end": pa.array(end, pa.int64())}))
    function = functools.partial(_encode_ranges, options, work, cut.select(["file", "first", "last"]))
    parts = frame.mapInArrow(function, from_arrow_schema(PART)).toArrow()["part"].to_pylist()
    return read_index(work, parts)


def _encode_ranges(
    options: TileOptions, work: Store, files: pa.Table, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    ranges = [TileRange(*row.values()) for batch in batches for row in batch.to_pylist()]
    runs = open_runs(work, files, ranges)
    pairs = (rows for tiles in ranges if (rows := read_range(runs, tiles)) is not None)
    yield pa.RecordBatch.from_pydict({"part": [write_part(work, encode_tiles(pairs, options))]}, PART)


def _by_zoom(index: pa.Table, column: str, join: np.ufunc) -> dict[int, int]:
    """The values of the tiles of each zoom, joined."""
    _, _, zooms = tile_xyz(index["tile_id"].to_numpy())
    found, begin = np.unique(zooms, return_index=True)  # tile ids are in the order of zooms
    values = join.reduceat(index[column].to_numpy(), begin) if begin.size else begin
    return dict(zip(found.tolist(), values.tolist(), strict=True))


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
