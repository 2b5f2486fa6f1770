"""Vector tiles on Arrow tables: the options, and rows of (tile, feature, geometry, attributes) to encoded tiles."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from terradrift.errors import InputError
from terradrift.kernels import mvt
from terradrift.kernels.rings import MAX_WORLD, Array
from terradrift.maps.pmtiles import gzip_bytes

SHRINK = 0.98
"""Of the share of polygons that a too large tile should keep by its size; the smallest take fewer bytes than the mean."""


@dataclass(frozen=True)
class TileOptions:
    """How polygons become tiles. A tile unit is 1 / `tile_resolution` of a tile's edge."""

    layer: str = "polygons"
    """Name of the layer."""
    min_zoom: int = 0
    max_zoom: int = 13
    """Smallest and largest zoom; every polygon is drawn at the largest."""
    tile_resolution: int = 4096
    """Units across a tile (the MVT extent)."""
    buffer: float = 80 / 4096
    """Margin drawn around each tile, as a fraction of its edge."""
    tolerance: float = 4.0
    """Douglas-Peucker tolerance, tile units; 0 keeps the snapped lines, for coverages whose borders must meet."""
    area_floor: int = 64
    """Smallest area drawn below the largest zoom, square tile units; a square number. Of smaller polygons, as many become squares
    of this area as keep the drawn area right."""
    max_tile_bytes: int = 500_000
    """Largest tile, compressed; the smallest polygons of a tile beyond it are left out and counted."""
    id_column: str = "id"
    """Column with the feature ids: whole numbers in 0 .. 2**53 - 1; a property too, as all columns are."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_zoom <= self.max_zoom:
            raise InputError(f"min_zoom, max_zoom: found {self.min_zoom}, {self.max_zoom}; expected 0 <= min_zoom <= max_zoom")
        for name in ("tile_resolution", "area_floor", "max_tile_bytes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: found {getattr(self, name)}; expected a whole number of at least 1")
        if math.isqrt(self.area_floor) ** 2 != self.area_floor:
            raise InputError(
                f"area_floor: found {self.area_floor}; expected a square number; use {math.isqrt(self.area_floor) ** 2}"
            )
        if not 0 <= self.buffer <= 1:
            raise InputError(f"buffer: found {self.buffer}; expected a fraction of a tile's edge, 0 to 1")
        if not 0 <= self.tolerance < self.tile_resolution:
            raise InputError(f"tolerance: found {self.tolerance}; expected tile units, 0 or more, below {self.tile_resolution}")
        if self.tile_resolution << self.max_zoom > MAX_WORLD:
            most = (MAX_WORLD // self.tile_resolution).bit_length() - 1
            raise InputError(f"max_zoom: found {self.max_zoom}; expected at most {most} at {self.tile_resolution} units a tile")


class EncodedTile(NamedTuple):
    """A finished tile."""

    tile_id: int
    data: bytes
    """Gzipped vector tile."""
    digest: bytes
    """128-bit BLAKE2b of `data`."""
    features: int
    dropped: int
    """Features left out because the tile would be too large."""
    bounds: tuple[int, int, int, int]
    """xmin, ymin, xmax, ymax of what is drawn, tile units."""


def field_types(schema: pa.Schema, options: TileOptions) -> dict[str, str]:
    """Property names and their TileJSON types, of the columns of a table; refuses a table that cannot become tiles."""
    for name in (options.id_column, "geometry"):
        if name not in schema.names:
            raise InputError(f"{name}: no such column; found {', '.join(schema.names)}; rename or add it")
    if not pa.types.is_binary(schema.field("geometry").type):
        raise InputError(f"geometry: found {schema.field('geometry').type}; expected WKB as binary; use ST_AsBinary")
    fields = {}
    for field in schema:
        if field.name == "geometry":
            continue
        if pa.types.is_boolean(field.type):
            fields[field.name] = "Boolean"
        elif pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            fields[field.name] = "String"
        elif pa.types.is_signed_integer(field.type) or pa.types.is_float32(field.type) or pa.types.is_float64(field.type):
            fields[field.name] = "Number"
        else:
            raise InputError(
                f"{field.name}: found {field.type}; expected integer, float, string or boolean; cast or leave it out"
            )
    if not pa.types.is_signed_integer(schema.field(options.id_column).type):
        raise InputError(f"{options.id_column}: found {schema.field(options.id_column).type}; expected whole numbers as ids")
    return fields


def pair_schema(schema: pa.Schema) -> pa.Schema:
    """The columns of `tile_pairs`, for polygons of `schema`."""
    attributes = pa.struct([(field.name, field.type) for field in schema if field.name != "geometry"])
    return pa.schema([("tile_id", pa.int64()), ("feature_id", pa.int64()), ("geometry", pa.binary()), ("attributes", attributes)])


def encode_tiles(batches: Iterable[pa.RecordBatch], options: TileOptions) -> Iterator[EncodedTile]:
    """Tiles from the rows of `tile_pairs`, sorted by tile and feature and cut into batches anywhere.

    Holds one batch and one tile in memory. A tile's bytes depend on its own rows alone.
    """
    for table in _whole_tiles(batches):
        tiles = table.column("tile_id").to_numpy()
        ids = table.column("feature_id").to_numpy()
        geometry = messages(table.column("geometry"))
        names, codes, values = _properties(table.column("attributes"))
        head = mvt.layer_head(options.layer, names, options.tile_resolution)
        begins = np.flatnonzero(np.diff(tiles, prepend=-1))
        for a, b in zip(begins, np.append(begins[1:], tiles.size), strict=True):
            rows = mvt.Messages(geometry.data, geometry.start[a : b + 1])
            yield _encode_tile(int(tiles[a]), head, ids[a:b], codes[a:b], values, rows, options.max_tile_bytes)


def archive_metadata(
    options: TileOptions, fields: Mapping[str, str], stats: Mapping[str, Any], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """The archive's JSON metadata: `extra` (name, attribution, ...), then vector_layers and, as `stats` gives it, tilestats.

    `stats`: `count` of features, and `attributes`: of each property its `count`, `type`, `values`, `min`, `max`.
    """
    layer = {
        "id": options.layer,
        "description": "",
        "minzoom": options.min_zoom,
        "maxzoom": options.max_zoom,
        "fields": dict(fields),
    }
    attributes = list(stats["attributes"])
    told = {"layer": options.layer, "count": stats["count"], "geometry": "Polygon", "attributeCount": len(attributes)}
    return {
        "name": options.layer,
        "type": "overlay",
        "format": "pbf",
        "generator": "terradrift",
        **extra,
        "vector_layers": [layer],
        "tilestats": {"layerCount": 1, "layers": [{**told, "attributes": attributes}]},
    }


def binary(messages: mvt.Messages) -> pa.Array:
    """Arrow binary array over the same bytes."""
    start = messages.start.astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), start.size - 1, [None, pa.py_buffer(start), pa.py_buffer(messages.data)])


def messages(column: pa.Array) -> mvt.Messages:
    """The bytes of a binary or string array without nulls."""
    wide = column.cast(pa.large_binary())
    _, starts, data = wide.buffers()
    start = np.frombuffer(starts, np.int64)[wide.offset : wide.offset + len(wide) + 1]
    return mvt.Messages(np.frombuffer(data or b"", np.uint8), start)


def _whole_tiles(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows, cut between tiles only: the last tile of a batch waits for the next."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if batch.num_rows == 0:
            continue
        tiles = batch.column("tile_id").to_numpy()
        last = int(np.searchsorted(tiles, tiles[-1]))
        if last == 0 and held and held[-1].column("tile_id")[-1].as_py() == tiles[0]:
            held.append(batch)
            continue
        if held or last:
            yield pa.concat_batches([*held, batch.slice(0, last)])
        held = [batch.slice(last)]
    if held:
        yield pa.concat_batches(held)


def _properties(attributes: pa.StructArray) -> tuple[list[str], Array, mvt.Messages]:
    """(names, codes, values): of every row (row, name) the position of its value among all values, -1 where it has none."""
    names = [field.name for field in attributes.type]
    codes = np.empty((len(attributes), len(names)), np.int32)
    encoded: list[mvt.Messages] = []
    count = 0
    for key, column in enumerate(attributes.flatten()):
        if pa.types.is_floating(column.type):  # -0 and 0 are one value; NaN is none
            column = pc.add(pc.if_else(pc.is_nan(column), None, column), pa.scalar(0, column.type))
        coded = column.dictionary_encode()
        position = coded.indices.fill_null(-1).to_numpy()
        codes[:, key] = np.where(position < 0, -1, position + count)
        encoded.append(_values(coded.dictionary))
        count += len(coded.dictionary)
    bytes_before = np.cumsum([0, *(message.data.size for message in encoded)])
    starts = [message.start[:-1] + before for message, before in zip(encoded, bytes_before, strict=False)]
    data = np.concatenate([message.data for message in encoded])
    return names, codes, mvt.Messages(data, np.append(np.concatenate(starts), data.size).astype(np.int64))


def _values(dictionary: pa.Array) -> mvt.Messages:
    """Tile.Value messages of different values of one type."""
    if pa.types.is_boolean(dictionary.type):
        return mvt.boolean_values(dictionary.to_numpy(zero_copy_only=False))
    if pa.types.is_floating(dictionary.type):
        return mvt.float_values(dictionary.to_numpy())
    if pa.types.is_integer(dictionary.type):
        return mvt.integer_values(dictionary.cast(pa.int64()).to_numpy())
    return mvt.text_values(messages(dictionary))


def _encode_tile(
    tile_id: int, head: Array, ids: Array, codes: Array, values: mvt.Messages, geometry: mvt.Messages, max_bytes: int
) -> EncodedTile:
    """One tile; while it is too large, without its smallest polygons. One polygon is always left."""
    areas, bounds = mvt.polygon_measures(geometry)
    largest_first = np.argsort(-areas, kind="stable")
    data = gzip_bytes(mvt.encode_tile(head, ids, codes, values, geometry).tobytes())
    kept = ids.size
    while len(data) > max_bytes and kept > 1:
        kept = max(1, min(kept - 1, int(kept * max_bytes / len(data) * SHRINK)))
        rows = np.sort(largest_first[:kept])
        some = messages(binary(geometry).take(pa.array(rows)))
        data = gzip_bytes(mvt.encode_tile(head, ids[rows], codes[rows], values, some).tobytes())
    shown = bounds[largest_first[:kept]]
    return EncodedTile(
        tile_id=tile_id,
        data=data,
        digest=hashlib.blake2b(data, digest_size=16).digest(),
        features=kept,
        dropped=ids.size - kept,
        bounds=(*shown[:, :2].min(axis=0).tolist(), *shown[:, 2:].max(axis=0).tolist()),
    )
