"""What every tile shows of every polygon: WKB in degrees to geometry in tile units, one Arrow batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from terradrift.errors import InputError
from terradrift.kernels import mvt
from terradrift.kernels.ring_repair import rebuild
from terradrift.kernels.rings import Array, Rings, surely_valid, take_features
from terradrift.kernels.tile_clip import Pieces, clip_to_tiles
from terradrift.kernels.tile_geometry import MAX_LATITUDE, Spots, hash_fraction, mercator, snap
from terradrift.kernels.wkb import BROKEN, OTHER, Shapes, read_polygons
from terradrift.maps.pmtiles import tile_ids
from terradrift.maps.tile_columns import LACKING, SMALL, WHOLE_TILE, layer_numbers, pair_schema, thinned
from terradrift.maps.tile_options import TileOptions
from terradrift.maps.vector_tiles import binary, messages

MAX_ID = 2**53
"""Ids from here on are not whole in JavaScript."""
WORLD = shapely.box(-180.0, -MAX_LATITUDE, 180.0, MAX_LATITUDE)
MAX_LONGITUDE = 540.0  # once round the world past either edge
MAX_RANK = 2.0**1000  # of a fraction of 0; infinite is the rank of what is drawn as it is
SQUARE = np.array([(0, 1, 1, 0), (0, 0, 1, 1)])


class ZoomPairs(NamedTuple):
    """What the tiles of one zoom show."""

    zoom: int
    polygons: Array
    """(layer) int64: those drawn in any tile."""
    pairs: pa.RecordBatch
    """One row a tile and polygon: columns of `pair_schema`, geometry as MVT commands."""


def tile_pairs(batch: pa.RecordBatch, options: TileOptions) -> Iterator[ZoomPairs]:
    """What every tile shows of every polygon, zoom by zoom.

    `batch`: the id column, `geometry` (WKB Polygon or MultiPolygon, EPSG:4326) and any attributes. Rows without a geometry
    or with an empty one are passed over. Longitudes beyond 180 come round at the other side; what lies beyond 85.05 degrees
    north or south is cut off. Raises InputError for anything else that is not polygons in degrees, or not ids.
    """
    schema = pair_schema(batch.schema, options)
    rows, ids, polygons = _polygons(batch, options)
    kind = schema.field("attributes").type
    columns = [batch.column(field.name) for field in kind]
    attributes = pa.StructArray.from_arrays(columns, fields=list(kind)).take(pa.array(rows))
    features = _Features(schema, ids, layer_numbers(batch, options)[rows], attributes)
    for zoom in range(options.min_zoom, options.max_zoom + 1):
        shown = features._replace(attributes=thinned(attributes, zoom, options))
        feature, tiles, commands, spots = _zoom_pieces(polygons, zoom, options)
        drawn = feature[np.diff(feature, prepend=-1) != 0]
        pairs = [shown.pairs(feature, tiles, commands)]
        if spots.part.size:
            pairs += _small_pairs(shown, polygons, spots, zoom, options)
        counts = np.bincount(features.layer[drawn], minlength=len(options.layer_names))
        yield ZoomPairs(zoom, counts, pa.concat_batches(pairs))


class _Features(NamedTuple):
    """What the rows of pairs tell of each feature."""

    schema: pa.Schema
    ids: Array
    layer: Array
    attributes: pa.StructArray

    def pairs(self, feature: Array, tiles: Array, geometry: mvt.Messages, rank: Any = np.inf) -> pa.RecordBatch:
        """Rows of features at these positions, in tiles."""
        told = (self.layer[feature], self.ids[feature])
        return self._batch(tiles, *told, rank, 0, geometry, self.attributes.take(pa.array(feature)))

    def sums(self, what: int, layer: Array, tiles: Array, area: Array) -> pa.RecordBatch:
        """Rows that tell an area of tiles."""
        nothing = mvt.Messages(np.zeros(0, np.uint8), np.zeros(tiles.size + 1, np.int64))
        return self._batch(tiles, layer, what, 0.0, area, nothing, pa.nulls(tiles.size, self.attributes.type))

    def _batch(self, tiles: Array, *columns: Any) -> pa.RecordBatch:
        *numbers, geometry, attributes = columns
        arrays = [pa.array(np.ascontiguousarray(np.broadcast_to(column, tiles.shape))) for column in (tiles, *numbers)]
        arrays = [array.cast(field.type) for array, field in zip(arrays, self.schema, strict=False)]
        return pa.RecordBatch.from_arrays([*arrays, binary(geometry), attributes], schema=self.schema)


def _small_pairs(features: _Features, polygons: _Polygons, spots: Spots, zoom: int, options: TileOptions) -> list[pa.RecordBatch]:
    """Rows of the polygons too small to be drawn that may be shown as squares, and of the area of all."""
    extent = options.tile_resolution
    tiles = tile_ids(zoom, spots.x // extent, spots.y // extent)
    area = np.rint(spots.area * (WHOLE_TILE / extent**2)).astype(np.int64)
    owner = np.repeat(np.arange(features.ids.size), np.diff(polygons.feature_start))[spots.part]
    layer, small = features.layer[owner], spots.small
    rows = [
        features.sums(what, *_sums(layer[which], tiles[which], area[which]))
        for what, which in ((SMALL, small), (LACKING, ~small))
    ]
    owner, tiles, layer = owner[small], tiles[small], layer[small]
    with np.errstate(divide="ignore"):
        rank = np.minimum(spots.area[small] / (options.floor_units * polygons.fraction[spots.part[small]]), MAX_RANK)
    order = np.lexsort((-rank, layer, tiles))
    shown = np.sort(order[(rank[order] > 1) | (_begins(tiles[order], layer[order]) & (rank[order] * options.floor_units > 1))])
    places = mvt.place_commands(spots.x[small][shown] % extent, spots.y[small][shown] % extent)
    return [*rows, features.pairs(owner[shown], tiles[shown], places, rank[shown])]


def _begins(tiles: Array, layer: Array) -> Array:
    """Where the layers of the tiles begin, in rows sorted by both."""
    return (np.diff(tiles, prepend=-1) != 0) | (np.diff(layer, prepend=-1) != 0)


def _sums(layer: Array, tiles: Array, area: Array) -> tuple[Array, Array, Array]:
    """(layers, tiles, sums): the area of each layer of each tile."""
    order = np.lexsort((layer, tiles))
    begin = np.flatnonzero(_begins(tiles[order], layer[order]))
    return layer[order][begin], tiles[order][begin], np.add.reduceat(area[order], begin) if begin.size else begin


class _Polygons(NamedTuple):
    """Polygons as fractions of the Web Mercator square: the nested arrays that `snap` takes."""

    x: Array
    y: Array
    ring_start: Array
    part_start: Array
    feature_start: Array
    fraction: Array
    """(part) in [0, 1): the lower, the earlier is a part shown that is too small to be drawn."""


def _polygons(batch: pa.RecordBatch, options: TileOptions) -> tuple[Array, Array, _Polygons]:
    """(row numbers, ids, polygons) of the rows with a geometry."""
    column = batch.column("geometry")
    rows = np.flatnonzero(column.is_valid())
    shapes = _in_world(column.drop_null())
    there = np.flatnonzero(np.diff(shapes.feature_start))
    rows = rows[there]
    ids = _ids(batch.column(options.id_column), options.id_column)[rows]
    feature_start = np.append(shapes.feature_start[there], shapes.feature_start[-1])
    parts = np.diff(feature_start)
    number = np.arange(parts.sum()) - np.repeat(feature_start[:-1], parts)
    x, y = mercator(shapes.x, shapes.y)
    fraction = hash_fraction(np.repeat(ids, parts) + number * MAX_ID)
    return rows, ids, _Polygons(x, y, shapes.ring_start, shapes.part_start, feature_start, fraction)


def _ids(column: pa.Array, name: str) -> Array:
    ids = column.cast(pa.int64())
    found = "null" if ids.null_count else None
    values = ids.drop_null().to_numpy()
    wrong = values[(values < 0) | (values >= MAX_ID)]
    if wrong.size:
        found = str(wrong[0])
    if found:
        raise InputError(f"{name}: found {found}; expected ids from 0 to 2**53 - 1; number the polygons anew")
    return values


def _in_world(column: pa.Array) -> Shapes:
    """The polygons within the Web Mercator world: cut at its northern and southern edge, brought round at the others."""
    wkb = messages(column)
    shapes, kind = read_polygons(wkb.data, wkb.start)
    if (kind == BROKEN).any():
        raise InputError("geometry: found bytes that are not WKB polygons; expected Polygon or MultiPolygon; use ST_AsBinary")
    if (kind == OTHER).any():
        found = shapely.from_wkb(column[int(np.argmax(kind == OTHER))].as_py()).geom_type
        raise InputError(f"geometry: found a {found}; expected Polygon or MultiPolygon; filter or buffer the rest")
    there = np.flatnonzero(np.diff(shapes.feature_start))
    if there.size == 0:
        return shapes
    begin = shapes.ring_start[shapes.part_start[shapes.feature_start[there]]]
    bounds = np.stack([f.reduceat(a, begin) for f in (np.minimum, np.maximum) for a in (shapes.x, shapes.y)], axis=1)
    degrees = (np.abs(bounds[:, ::2]).max(axis=1) <= MAX_LONGITUDE) & (np.abs(bounds[:, 1::2]).max(axis=1) <= 90)
    if not degrees.all():
        found = ", ".join(f"{number:g}" for number in bounds[~degrees][0])
        raise InputError(f"geometry: found bounds {found}; expected degrees (EPSG:4326); reproject first")
    out = np.zeros(kind.size, bool)
    out[there] = (np.abs(bounds) > (180, MAX_LATITUDE, 180, MAX_LATITUDE)).any(axis=1)
    if not out.any():
        return shapes
    inside = pa.array(list(shapely.to_wkb(_cut_at_edges(shapely.from_wkb(np.array(column.filter(pa.array(out)).to_pylist()))))))
    return _in_world(pc.replace_with_mask(column.cast(pa.binary()), pa.array(out), inside))


def _cut_at_edges(shapes: Array) -> Array:
    """Shapes as the MultiPolygons that they leave in the world, from one turn west to one turn east."""
    turns = [shapely.transform(shapes, lambda xy, turn=turn: np.add(xy, (turn, 0.0))) for turn in (-360.0, 0.0, 360.0)]
    inside = shapely.intersection(shapely.make_valid(shapely.force_2d(np.stack(turns, axis=1))), WORLD)
    polygons = [[part for part in shapely.get_parts(shapely.get_parts(row)) if part.geom_type == "Polygon"] for row in inside]
    return np.array([shapely.MultiPolygon(parts) for parts in polygons], object)


def _zoom_pieces(polygons: _Polygons, zoom: int, options: TileOptions) -> tuple[Array, Array, mvt.Messages, Spots]:
    """(feature positions, tile ids, MVT commands) of what the tiles of one zoom show, and what is too small for it."""
    rings, spots = snap(
        *polygons[:-1],
        world=options.tile_resolution << zoom,
        tolerance=options.tolerance_units,
        floor=options.floor_units,
        keep_all=zoom == options.max_zoom,
    )
    pieces = _valid_pieces(rings, zoom, options)
    lost = np.flatnonzero(np.diff(rings.feature_start))
    lost = lost[~np.isin(lost, pieces.feature)]
    if lost.size:
        pieces = _both(pieces, lost, _valid_pieces(_unit_squares(rings, lost), zoom, options))
    tiles = tile_ids(zoom, pieces.tile_x, pieces.tile_y)
    return pieces.feature, tiles, mvt.polygon_commands(pieces.rings), spots


def _valid_pieces(rings: Rings, zoom: int, options: TileOptions) -> Pieces:
    """What each feature leaves in each tile, as valid polygons; nothing where that has no area.

    Rings may cross, where lines were simplified or the input was not valid. Pieces are rebuilt by the even-odd rule, which
    looks no further than the piece: neighbouring tiles agree.
    """
    margin = round(options.buffer * options.tile_resolution)
    feature, tile_x, tile_y, shown = clip_to_tiles(rings, 1 << zoom, options.tile_resolution, margin)
    doubtful = np.flatnonzero(~surely_valid(shown))
    if doubtful.size:
        order = np.arange(feature.size)
        order[doubtful] = order.size + np.arange(doubtful.size)
        shown = _joined(shown, rebuild(take_features(shown, doubtful)))
        order = order[np.diff(shown.feature_start)[order] > 0]
        back = np.concatenate([np.arange(feature.size), doubtful])[order]
        feature, tile_x, tile_y, shown = feature[back], tile_x[back], tile_y[back], take_features(shown, order)
    return Pieces(feature, tile_x, tile_y, shown)


def _unit_squares(rings: Rings, features: Array) -> Rings:
    """A square of one unit at the first vertex of each feature."""
    at = rings.ring_start[rings.feature_start[features]]
    x, y = ((a[at, None] + corners).ravel() for a, corners in zip((rings.x, rings.y), SQUARE, strict=True))
    count = np.arange(features.size + 1)
    return Rings(x, y, 4 * count, count)


def _both(pieces: Pieces, lost: Array, squares: Pieces) -> Pieces:
    """The pieces and those of the squares drawn for lost features, by feature."""
    feature = np.concatenate([pieces.feature, lost[squares.feature]])
    order = np.argsort(feature, kind="stable")
    tile_x, tile_y = (np.concatenate(pair)[order] for pair in ((pieces.tile_x, squares.tile_x), (pieces.tile_y, squares.tile_y)))
    return Pieces(feature[order], tile_x, tile_y, take_features(_joined(pieces.rings, squares.rings), order))


def _joined(rings: Rings, more: Rings) -> Rings:
    """The features of both, one after another."""
    return Rings(
        np.concatenate([rings.x, more.x]),
        np.concatenate([rings.y, more.y]),
        np.concatenate([rings.ring_start, rings.ring_start[-1] + more.ring_start[1:]]),
        np.concatenate([rings.feature_start, rings.feature_start[-1] + more.feature_start[1:]]),
    )
