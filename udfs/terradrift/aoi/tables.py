"""The area of interest as tables: its zones, and the parts of it that were not scored."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from terradrift.aoi.zones import Zones
from terradrift.grid import Grid, Window
from terradrift.records import Ledger
from terradrift.sealed import written
from terradrift.table_parts import Part, finish_table, part_key

RESERVED = ("zone", "geometry", "bbox")


def zones_frame(zones: Zones, grid: Grid, crs: str) -> gpd.GeoDataFrame:
    """The zones: `zone` (0-based, order of the file), the file's attributes, geometry in `crs`."""
    rows = [
        {"zone": number, **{name: value for name, value in attributes.items() if name.lower() not in RESERVED}}
        for number, attributes in enumerate(zones.attributes)
    ]
    frame = gpd.GeoDataFrame(pd.DataFrame(rows), geometry=list(zones.geometries), crs=grid.pyproj_crs)
    frame["zone"] = frame["zone"].astype("int32")
    return frame.to_crs(crs)


def gaps_frame(zones: Zones, grid: Grid, crs: str, tiles: Iterable[Mapping[str, Any]]) -> gpd.GeoDataFrame:
    """The gaps: what of the area lies outside the mosaic, and tiles without data, without some years, or failed."""
    rows: list[dict[str, Any]] = []
    if zones.outside is not None and not zones.outside.is_empty:
        rows.append({"reason": "outside the mosaic", "tile_id": None, "detail": None, "geometry": zones.outside})
    area = shapely.union_all(list(zones.geometries)) if len(zones.geometries) < 1000 else None
    for tile in tiles:
        box = shapely.box(*grid.window_bounds(Window(tile["y0"], tile["x0"], tile["height"], tile["width"])))
        geometry = box if area is None else shapely.intersection(box, area)
        if not geometry.is_empty:
            rows.append({**_reason(tile), "tile_id": tile["tile_id"], "geometry": geometry})
    columns = ["reason", "tile_id", "detail", "geometry"]
    frame = gpd.GeoDataFrame(pd.DataFrame(rows, columns=columns), geometry="geometry", crs=grid.pyproj_crs)
    for name in columns[:-1]:
        frame[name] = frame[name].astype("string")
    return frame.to_crs(crs)


def _reason(tile: Mapping[str, Any]) -> dict[str, str | None]:
    if tile["state"] == "failed":
        return {"reason": "failed", "detail": tile["error"]}
    if absent := tile.get("absent_years"):
        return {"reason": "years missing", "detail": f"{absent} objects are absent that the same ground has in other years"}
    return {"reason": "no data", "detail": tile["error"]}


def geoparquet(frame: gpd.GeoDataFrame) -> bytes:
    """A frame as GeoParquet 1.1 with a covering."""
    out = io.BytesIO()
    frame.to_parquet(out, compression="zstd", schema_version="1.1.0", write_covering_bbox=True, index=False)
    return out.getvalue()


def write_frame(ledger: Ledger, table: str, frame: gpd.GeoDataFrame) -> int:
    """A small geometry table of one part, and its record; gives its rows."""
    data, key = geoparquet(frame), part_key(table, 0)
    ledger.store.put(key, data)
    return finish_table(ledger, table, [Part(key, *written(data), len(frame))])
