"""Rows of (tile, feature, geometry, attributes) to encoded vector tiles, on Arrow tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from terradrift.kernels import mvt
from terradrift.kernels.rings import Array
from terradrift.kernels.tile_squares import covering_squares
from terradrift.maps.pmtiles import gzip_bytes
from terradrift.maps.tile_columns import LACKING, SMALL, WHOLE_TILE
from terradrift.maps.tile_options import TileOptions
from terradrift.maps.tile_parts import EncodedTile, digest_of

SHRINK = 0.98
"""Of the share of polygons that a too large tile should keep by its size; the smallest take fewer bytes than the mean."""


class _Rows(NamedTuple):
    """The rows of a tile: columns of `pair_schema`, properties as codes."""

    layer: Array
    ids: Array
    rank: Array
    area: Array
    codes: Array
    geometry: mvt.Messages

    def cut(self, a: int, b: int) -> _Rows:
        """Rows a .. b."""
        geometry = mvt.Messages(self.geometry.data, self.geometry.start[a : b + 1])
        return _Rows(self.layer[a:b], self.ids[a:b], self.rank[a:b], self.area[a:b], self.codes[a:b], geometry)


def encode_tiles(batches: Iterable[pa.RecordBatch], options: TileOptions) -> Iterator[EncodedTile]:
    """Tiles from the rows of `tile_pairs`, sorted by SORTED_BY and cut into batches anywhere.

    Holds one batch and one tile in memory. A tile's bytes depend on its own rows alone.
    """
    for table in _whole_tiles(batches):
        tiles = table.column("tile_id").to_numpy()
        names, codes, values = _properties(table.column("attributes"))
        heads = [mvt.layer_head(layer, names, options.tile_resolution) for layer in options.layer_names]
        layer, ids, rank, area = (table.column(name).to_numpy() for name in ("layer", "feature_id", "rank", "area"))
        rows = _Rows(layer, ids, rank, area, codes, messages(table.column("geometry")))
        begins = np.flatnonzero(np.diff(tiles, prepend=-1))
        for a, b in zip(begins, np.append(begins[1:], tiles.size), strict=True):
            tile = _encode_tile(int(tiles[a]), rows.cut(int(a), int(b)), values, heads, options)
            if tile:
                yield tile


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


def _encode_tile(tile_id: int, rows: _Rows, values: mvt.Messages, heads: list[Array], options: TileOptions) -> EncodedTile | None:
    """One tile; while it is too large, without its smallest polygons. One polygon is always left; None where there is none."""
    polygons, spots = np.flatnonzero(np.isinf(rows.rank)), _squares_shown(rows, options.floor_units)
    count = polygons.size + spots.size
    if count == 0:
        return None
    kept = min(count, options.max_features_per_tile)
    largest_first = polygons if kept == count else _largest_first(rows, polygons)
    while True:
        tile = _draw(rows, np.sort(largest_first[:kept]), spots[: max(0, kept - polygons.size)], values, heads, options)
        if len(tile.data) <= options.max_tile_bytes or kept == 1:
            break
        largest_first = _largest_first(rows, polygons) if kept == count else largest_first
        kept = max(1, min(kept - 1, int(kept * options.max_tile_bytes / len(tile.data) * SHRINK)))
    return EncodedTile(tile_id, tile.data, digest_of(tile.data), kept, count - kept, tile.bounds)


def _largest_first(rows: _Rows, polygons: Array) -> Array:
    areas, _ = mvt.polygon_measures(_taken(rows.geometry, polygons))
    return polygons[np.argsort(-areas, kind="stable")]


def _squares_shown(rows: _Rows, floor: float) -> Array:
    """Positions of the polygons drawn as squares, highest rank first: those above 1, or a layer's first if a unit would show."""
    spots = np.flatnonzero(np.isfinite(rows.rank) & (rows.ids >= 0))
    spots = spots[np.argsort(-rows.rank[spots], kind="stable")]
    _, first = np.unique(rows.layer[spots], return_index=True)
    shown = rows.rank[spots] > 1
    shown[first] |= rows.rank[spots[first]] * floor > 1
    return spots[shown]


class _Drawn(NamedTuple):
    data: bytes
    bounds: tuple[int, int, int, int]


def _draw(rows: _Rows, polygons: Array, spots: Array, values: mvt.Messages, heads: list[Array], options: TileOptions) -> _Drawn:
    """Layer by layer the polygons at these positions as they are, then squares for those at `spots`."""
    parts, bounds = [], []
    for layer in np.unique(np.concatenate([rows.layer[polygons], rows.layer[spots]])).tolist():
        there, small = (which[rows.layer[which] == layer] for which in (polygons, spots))
        geometry = _taken(rows.geometry, there)
        if small.size:
            _, places = mvt.polygon_measures(_taken(rows.geometry, small))
            area = _units_lacking(rows, layer, options)
            squares = covering_squares(mvt.polygon_rings(geometry), places[:, 0], places[:, 1], area, options.tile_resolution)
            geometry = _joined(geometry, mvt.polygon_commands(squares))
        shown = np.concatenate([there, small])
        parts.append(mvt.encode_tile(heads[layer], rows.ids[shown], rows.codes[shown], values, geometry).tobytes())
        bounds.append(mvt.polygon_measures(geometry)[1])
    box = np.concatenate(bounds)
    return _Drawn(gzip_bytes(b"".join(parts)), (*box[:, :2].min(axis=0).tolist(), *box[:, 2:].max(axis=0).tolist()))


def _joined(first: mvt.Messages, then: mvt.Messages) -> mvt.Messages:
    """The messages of both, one after another."""
    a, b = first.start[0], first.start[-1]
    return mvt.Messages(np.concatenate([first.data[a:b], then.data]), np.append(first.start - a, then.start[1:] + (b - a)))


def _units_lacking(rows: _Rows, layer: int, options: TileOptions) -> int:
    """Square units that the squares of a layer cover: what the small polygons have, and what the others lack as far as that is
    not more than half of it or all of it again."""
    small, lacking = (int(rows.area[(rows.ids == what) & (rows.layer == layer)].sum()) for what in (SMALL, LACKING))
    area = min(max(small + lacking, small // 2), 2 * small)
    return round(area / WHOLE_TILE * options.tile_resolution**2)


def _taken(geometry: mvt.Messages, rows: Array) -> mvt.Messages:
    """The messages at ascending or other positions."""
    if rows.size and rows[-1] - rows[0] == rows.size - 1 and (np.diff(rows) == 1).all():
        return mvt.Messages(geometry.data, geometry.start[rows[0] : rows[-1] + 2])
    return messages(binary(geometry).take(pa.array(rows)))
