"""What every tile shows of every polygon: WKB in degrees to geometry in tile units, one Arrow batch at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import shapely

from terradrift.errors import InputError
from terradrift.kernels import mvt
from terradrift.kernels.rings import MAX_WORLD, Array, Rings, double_areas, surely_valid, take_features
from terradrift.kernels.tile_clip import clip_to_tiles
from terradrift.kernels.tile_geometry import MAX_LATITUDE, hash_fraction, mercator, snap
from terradrift.maps.pmtiles import tile_ids
from terradrift.maps.vector_tiles import TileOptions, binary, field_types, pair_schema

MAX_ID = 2**53
"""Ids from here on are not whole in JavaScript."""
MOST_VERTICES = 50_000
"""Larger polygons are tested and repaired tile by tile alone: a test of the whole takes minutes at millions of vertices."""
WORLD = shapely.box(-180.0, -MAX_LATITUDE, 180.0, MAX_LATITUDE)
MAX_LONGITUDE = 540.0  # once round the world past either edge
POLYGONAL = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


def tile_pairs(batch: pa.RecordBatch, options: TileOptions) -> Iterator[pa.RecordBatch]:
    """What every tile shows of every polygon, one batch a zoom: columns of `pair_schema`, geometry as MVT commands.

    `batch`: the id column, `geometry` (WKB Polygon or MultiPolygon, EPSG:4326) and any attributes. Rows without a geometry
    or with an empty one are passed over. Longitudes beyond 180 come round at the other side; what lies beyond 85.05 degrees
    north or south is cut off. Raises InputError for anything else that is not polygons in degrees, or not ids.
    """
    field_types(batch.schema, options)
    schema = pair_schema(batch.schema)
    rows, ids, polygons = _polygons(batch, options)
    attributes = pa.StructArray.from_arrays(
        [batch.column(field.name) for field in schema.field("attributes").type],
        fields=list(schema.field("attributes").type),
    ).take(pa.array(rows))
    for zoom in range(options.min_zoom, options.max_zoom + 1):
        feature, tiles, commands = _zoom_pieces(polygons, zoom, options)
        yield pa.RecordBatch.from_arrays(
            [pa.array(tiles), pa.array(ids[feature]), binary(commands), attributes.take(pa.array(feature))],
            schema=schema,
        )


class _Polygons(NamedTuple):
    """Polygons as fractions of the Web Mercator square: the nested arrays that `snap` takes."""

    x: Array
    y: Array
    ring_start: Array
    part_start: Array
    feature_start: Array
    fraction: Array


def _polygons(batch: pa.RecordBatch, options: TileOptions) -> tuple[Array, Array, _Polygons]:
    """(row numbers, ids, polygons) of the rows with a geometry."""
    try:
        shapes = shapely.from_wkb(batch.column("geometry").to_numpy(zero_copy_only=False))
    except shapely.GEOSException as cause:
        raise InputError(f"geometry: found bytes that are not WKB ({cause}); expected WKB polygons; use ST_AsBinary") from cause
    rows = np.flatnonzero(~(shapely.is_missing(shapes) | shapely.is_empty(shapes)))
    ids = _ids(batch.column(options.id_column), options.id_column)[rows]
    coordinates, ring_start, part_start, feature_start = _ragged(_in_world(shapely.force_2d(shapes[rows])))
    parts = np.diff(feature_start)
    number = np.arange(parts.sum()) - np.repeat(feature_start[:-1], parts)
    x, y = mercator(coordinates[:, 0], coordinates[:, 1])
    fraction = hash_fraction(np.repeat(ids, parts) + number * MAX_ID)
    return rows, ids, _Polygons(x, y, ring_start, part_start, feature_start, fraction)


def _ragged(shapes: Array) -> tuple[Array, Array, Array, Array]:
    """(coordinates, ring_start, part_start, feature_start) of the polygons in shapes of any kind."""
    parts, owner = shapes, np.arange(shapes.size)
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():  # collections, maybe of collections
        parts, of = shapely.get_parts(parts, return_index=True)
        owner = owner[of]
    polygons = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    feature_start = np.searchsorted(owner[polygons], np.arange(shapes.size + 1))
    if not polygons.any():
        return np.empty((0, 2)), np.zeros(1, np.int64), np.zeros(1, np.int64), feature_start
    _, coordinates, starts = shapely.to_ragged_array(parts[polygons])
    ring_start, part_start = (np.asarray(start, np.int64) for start in starts)
    return coordinates, ring_start, part_start, feature_start


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


def _in_world(shapes: Array) -> Array:
    """The shapes within the Web Mercator world: cut at its northern and southern edge, brought round at the others."""
    wrong = ~np.isin(shapely.get_type_id(shapes), POLYGONAL)
    if wrong.any():
        found = shapes[wrong][0].geom_type
        raise InputError(f"geometry: found a {found}; expected Polygon or MultiPolygon; filter or buffer the rest")
    bounds = shapely.bounds(shapes)
    degrees = (np.abs(bounds[:, ::2]).max(axis=1) <= MAX_LONGITUDE) & (np.abs(bounds[:, 1::2]).max(axis=1) <= 90)
    if not degrees.all():
        found = ", ".join(f"{number:g}" for number in bounds[~degrees][0])
        raise InputError(f"geometry: found bounds {found}; expected degrees (EPSG:4326); reproject first")
    out = (np.abs(bounds) > (180, MAX_LATITUDE, 180, MAX_LATITUDE)).any(axis=1)
    if out.any():
        turns = [shapely.transform(shapes[out], lambda xy, turn=turn: np.add(xy, (turn, 0.0))) for turn in (-360.0, 0.0, 360.0)]
        shapes = shapes.copy()
        shapes[out] = shapely.geometrycollections(shapely.intersection(shapely.make_valid(np.stack(turns, axis=1)), WORLD))
    return shapes


def _zoom_pieces(polygons: _Polygons, zoom: int, options: TileOptions) -> tuple[Array, Array, mvt.Messages]:
    """(feature positions, tile ids, MVT commands) of what the tiles of one zoom show."""
    rings = snap(
        *polygons,
        world=options.tile_resolution << zoom,
        tolerance=options.tolerance,
        square=math.isqrt(options.area_floor),
        keep_all=zoom == options.max_zoom,
    )
    rings = _repaired(rings, MOST_VERTICES, keep_all=True)
    pieces = clip_to_tiles(rings, 1 << zoom, options.tile_resolution, round(options.buffer * options.tile_resolution))
    shown = _repaired(pieces.rings, MAX_WORLD, keep_all=False)
    left = np.flatnonzero(np.diff(shown.feature_start))
    tiles = tile_ids(zoom, pieces.tile_x[left], pieces.tile_y[left])
    return pieces.feature[left], tiles, mvt.polygon_commands(take_features(shown, left))


def _repaired(rings: Rings, most_vertices: int, keep_all: bool) -> Rings:
    """The features with those that are not valid polygons repaired on the same grid.

    One that is nothing but lines becomes empty, or with `keep_all` a square of one unit.
    """
    doubtful = np.flatnonzero(~surely_valid(rings, most_vertices))
    shapes = _shapes(take_features(rings, doubtful))
    broken = ~shapely.is_valid(shapes)
    if not broken.any():
        return rings
    features, shapes = doubtful[broken], shapes[broken]
    fixed = shapely.set_precision(shapely.make_valid(shapes, method="structure", keep_collapsed=False), 1.0)
    if keep_all:
        corner = np.floor(shapely.bounds(shapes)[:, :2])
        fixed = np.where(shapely.is_empty(fixed), shapely.box(*corner.T, *(corner.T + 1)), fixed)
    coordinates, ring_start, part_start, feature_start = _ragged(fixed)
    x, y = coordinates.T.copy()
    anew = snap(x, y, ring_start, part_start, feature_start, np.zeros(part_start.size - 1), 1, 0.0, 0, True)
    both = Rings(
        np.concatenate([rings.x, anew.x]),
        np.concatenate([rings.y, anew.y]),
        np.concatenate([rings.ring_start, rings.ring_start[-1] + anew.ring_start[1:]]),
        np.concatenate([rings.feature_start, rings.feature_start[-1] + anew.feature_start[1:]]),
    )
    order = np.arange(rings.feature_start.size - 1)
    order[features] = order.size + np.arange(features.size)
    return take_features(both, order)


def _shapes(rings: Rings) -> Array:
    """Shapely MultiPolygons of the features."""
    counts = np.diff(rings.ring_start)
    vertices = np.insert(np.arange(rings.x.size), rings.ring_start[1:], rings.ring_start[:-1])
    part_start = np.append(np.flatnonzero(double_areas(rings.x, rings.y, rings.ring_start) > 0), counts.size)
    parts = np.searchsorted(part_start, rings.feature_start)
    shapes: Array = shapely.from_ragged_array(
        shapely.GeometryType.MULTIPOLYGON,
        np.stack([rings.x[vertices], rings.y[vertices]], axis=1).astype(np.float64),
        (rings.ring_start + np.arange(counts.size + 1), part_start, parts),
    )
    return shapes
