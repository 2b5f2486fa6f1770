"""The columns of polygons that become tiles, and of the rows between the two halves of the work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from terradrift.errors import InputError, near_miss
from terradrift.kernels.rings import Array
from terradrift.maps.tile_options import TileOptions

SMALL, LACKING = -1, -2
"""Feature ids of rows of pairs that are no features: the true area of the polygons too small to be drawn, and the area that the
others lack, less that they have too much."""
WHOLE_TILE = 2**52
"""Area of a tile in the unit of such rows: whole numbers, so that sums do not depend on order."""
SORTED_BY = ("tile_id", "layer", "feature_id", "rank")
"""Columns of pairs that a tile is made from in their order."""
MOST_LAYERS = 256


def field_types(schema: pa.Schema, options: TileOptions) -> dict[str, str]:
    """Property names and their TileJSON types, of the columns of a table; refuses a table that cannot become tiles."""
    for name in (options.id_column, "geometry", *([options.layer_column] if options.layer_column else [])):
        if name not in schema.names:
            raise InputError(f"{name}: no such column; found {', '.join(schema.names)}; rename or add it")
    if not pa.types.is_binary(schema.field("geometry").type):
        raise InputError(f"geometry: found {schema.field('geometry').type}; expected WKB as binary; use ST_AsBinary")
    if not pa.types.is_signed_integer(schema.field(options.id_column).type):
        raise InputError(f"{options.id_column}: found {schema.field(options.id_column).type}; expected whole numbers as ids")
    if options.layer_column and not _is_text(schema.field(options.layer_column).type):
        raise InputError(f"{options.layer_column}: found {schema.field(options.layer_column).type}; expected text as layers")
    fields = {field.name: _field_type(field) for field in schema if field.name not in ("geometry", options.layer_column)}
    for rule in options.thin:
        if rule.attribute not in fields:
            raise InputError(f"thin: found {rule.attribute!r}; expected an attribute{near_miss(rule.attribute, fields)}")
        if rule.decimals is not None and fields[rule.attribute] != "Number":
            raise InputError(f"thin: found decimals for {rule.attribute}, which is no number; expected NAME:ZOOM alone")
    never = {rule.attribute for rule in options.thin if rule.decimals is None and rule.zoom > options.max_zoom}
    return {name: kind for name, kind in fields.items() if name not in never}


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _field_type(field: pa.Field) -> str:
    if pa.types.is_boolean(field.type):
        return "Boolean"
    if _is_text(field.type):
        return "String"
    if pa.types.is_signed_integer(field.type) or pa.types.is_float32(field.type) or pa.types.is_float64(field.type):
        return "Number"
    raise InputError(f"{field.name}: found {field.type}; expected integer, float, string or boolean; cast or leave it out")


def pair_schema(schema: pa.Schema, options: TileOptions) -> pa.Schema:
    """The columns of `tile_pairs`, for polygons of `schema`.

    `layer`: number of the layer. `geometry`: MVT commands; of a polygon too small to be drawn, its place. `rank`: infinite, or of
    such a polygon how early it is drawn as a square: where it is above 1, else where it is the highest of its tile. `area`: 0,
    and in rows with the feature ids SMALL and LACKING, which are no features, area in 1 / WHOLE_TILE of a tile.
    """
    attributes = pa.struct([(name, schema.field(name).type) for name in field_types(schema, options)])
    return pa.schema(
        [
            ("tile_id", pa.int64()),
            ("layer", pa.int16()),
            ("feature_id", pa.int64()),
            ("rank", pa.float64()),
            ("area", pa.int64()),
            ("geometry", pa.binary()),
            ("attributes", attributes),
        ]
    )


def layer_names(named: Iterable[str | None], options: TileOptions) -> tuple[str, ...]:
    """The layers of rows that name these. Raises InputError for too many."""
    names = sorted({name or options.layer for name in named})
    if len(names) > MOST_LAYERS:
        raise InputError(f"{options.layer_column}: found {len(names)} layers; expected at most {MOST_LAYERS}; name a --layer")
    return tuple(names or [options.layer])


def layer_numbers(batch: pa.RecordBatch, options: TileOptions) -> Array:
    """(row) int16: the number of each row's layer."""
    if not options.layer_column:
        return np.zeros(batch.num_rows, np.int16)
    column = batch.column(options.layer_column).cast(pa.string())
    named = pc.if_else(pc.equal(pc.fill_null(column, ""), ""), options.layer, column)
    return np.asarray(pc.index_in(named, pa.array(options.layers, pa.string())).to_numpy()).astype(np.int16)


def thinned(attributes: pa.StructArray, zoom: int, options: TileOptions) -> pa.StructArray:
    """The attributes as the tiles of a zoom give them."""
    rules = {rule.attribute: rule for rule in options.thin if zoom < rule.zoom}
    if not rules:
        return attributes
    columns = []
    for field, column in zip(attributes.type, attributes.flatten(), strict=True):
        rule = rules.get(field.name)
        columns.append(column if rule is None else rounded(column, rule.decimals))
    return pa.StructArray.from_arrays(columns, fields=list(attributes.type))


def rounded(column: pa.Array, decimals: int | None) -> pa.Array:
    """Numbers to so many decimals, of the same type; with None, nothing."""
    if decimals is None:
        return pa.nulls(len(column), column.type)
    if pa.types.is_integer(column.type) and decimals >= 0:
        return column
    return pc.round(column, ndigits=decimals).cast(column.type)


def archive_metadata(options: TileOptions, stats: Mapping[str, Mapping[str, Any]], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The archive's JSON metadata: `extra` (name, attribution, ...), then vector_layers and tilestats.

    `stats`: of each layer, as `TileStats.tilestats` gives it: its fields, and their values.
    """
    layers, told = [], []
    for name, stat in stats.items():
        zooms = {"minzoom": options.min_zoom, "maxzoom": options.max_zoom}
        layers.append({"id": name, "description": "", **zooms, "fields": dict(stat["fields"])})
        attributes = list(stat["attributes"])
        count = {"count": stat["count"], "geometry": "Polygon", "attributeCount": len(attributes)}
        told.append({"layer": name, **count, "attributes": attributes})
    return {
        "name": options.layer,
        "type": "overlay",
        "format": "pbf",
        "generator": "terradrift",
        **extra,
        "vector_layers": layers,
        "tilestats": {"layerCount": len(told), "layers": told},
    }
