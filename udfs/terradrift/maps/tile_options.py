"""How polygons become vector tiles: the options, the columns that they are made of, and what the archive tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from terradrift.errors import InputError
from terradrift.kernels.rings import MAX_WORLD

SMALL, LACKING = -1, -2
"""Feature ids of rows of pairs that are no features: the true area of the polygons too small to be drawn, and the area that the
others lack, less that they have too much."""
WHOLE_TILE = 2**52
"""Area of a tile in the unit of such rows: whole numbers, so that sums do not depend on order."""


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
    """Smallest polygon drawn as it is below the largest zoom, square tile units. Of smaller ones some become squares of about
    this area, so sized that the area covered in each tile is right."""
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
        if not 0 <= self.buffer <= 1:
            raise InputError(f"buffer: found {self.buffer}; expected a fraction of a tile's edge, 0 to 1")
        if not 0 <= self.tolerance < self.tile_resolution:
            raise InputError(f"tolerance: found {self.tolerance}; expected tile units, 0 or more, below {self.tile_resolution}")
        if self.tile_resolution << self.max_zoom > MAX_WORLD:
            most = (MAX_WORLD // self.tile_resolution).bit_length() - 1
            raise InputError(f"max_zoom: found {self.max_zoom}; expected at most {most} at {self.tile_resolution} units a tile")


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
    """The columns of `tile_pairs`, for polygons of `schema`.

    `geometry`: MVT commands; of a polygon too small to be drawn, its place. `rank`: infinite, or of such a polygon how early it
    is drawn as a square: where it is above 1, else where it is the highest of its tile. `area`: 0, and in rows with the
    feature ids SMALL and LACKING, which are no features, area in 1 / WHOLE_TILE of a tile.
    """
    attributes = pa.struct([(field.name, field.type) for field in schema if field.name != "geometry"])
    return pa.schema(
        [
            ("tile_id", pa.int64()),
            ("feature_id", pa.int64()),
            ("geometry", pa.binary()),
            ("attributes", attributes),
            ("rank", pa.float64()),
            ("area", pa.int64()),
        ]
    )


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
