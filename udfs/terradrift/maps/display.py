"""What the page shows beside tiles and rasters: outlines of the zones, and the largest changes as a list."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

MOST_ZONES = 2000
"""Zones drawn, the largest; a browser reads them whole."""

DETAIL = 2000
"""Outlines keep what shows on a picture so many pixels across."""


def write_zones_geojson(tables: Path, file: Path) -> None:
    """`zones.geojson` of the table zones: EPSG:4326, simplified for display, the zones' attributes as properties.

    `zones` in it is how many there are; beyond MOST_ZONES the largest are drawn.
    """
    zones = gpd.read_parquet(tables / "zones").to_crs("EPSG:4326")
    shapes = zones.geometry.to_numpy()
    bounds = shapely.total_bounds(shapes)
    tolerance = max(bounds[2] - bounds[0], bounds[3] - bounds[1]) / DETAIL
    drawn = np.sort(np.argsort(-shapely.area(shapes), kind="stable")[:MOST_ZONES])
    simple = shapely.set_precision(shapely.simplify(shapes[drawn], tolerance), 1e-6)
    properties = zones.drop(columns=["geometry", *({"bbox"} & set(zones.columns))]).iloc[drawn].to_dict("records")
    features = [
        {"type": "Feature", "properties": _finite(row), "geometry": shapely.geometry.mapping(shape)}
        for row, shape in zip(properties, simple, strict=True)
        if not shape.is_empty
    ]
    document = {"type": "FeatureCollection", "zones": len(zones), "features": features}
    _write_json(document, file)


def write_largest(changes: Sequence[Mapping[str, Any]], file: Path) -> None:
    """`largest.json`: {"changes": rows}, largest first; each with `lon` and `lat` of a point in it."""
    _write_json({"changes": [_finite(change) for change in changes]}, file)


def _write_json(document: Mapping[str, Any], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, separators=(",", ":"), default=_plain, allow_nan=False))


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: a missing number is null."""
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}


def _plain(value: Any) -> Any:
    """Numbers of numpy as numbers, all else (dates, lists of arrays) as text."""
    return value.item() if isinstance(value, np.generic) else str(value)
