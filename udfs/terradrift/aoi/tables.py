"""The area of interest as tables: its zones, and the parts of it that were not scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from terradrift.aoi.zones import Zones
from terradrift.grid import Grid, Window

RESERVED = ("zone", "geometry", "bbox")


def write_zones(zones: Zones, grid: Grid, crs: str, folder: Path) -> None:
    """GeoParquet of the zones: `zone` (0-based, order of the file), the file's attributes, geometry in `crs`."""
    rows = [
        {"zone": number, **{name: value for name, value in attributes.items() if name.lower() not in RESERVED}}
        for number, attributes in enumerate(zones.attributes)
    ]
    frame = gpd.GeoDataFrame(pd.DataFrame(rows), geometry=list(zones.geometries), crs=grid.pyproj_crs)
    frame["zone"] = frame["zone"].astype("int32")
    _write(frame.to_crs(crs), folder)


def write_gaps(zones: Zones, grid: Grid, crs: str, tiles: Iterable[Mapping[str, Any]], folder: Path) -> int:
    """GeoParquet of the gaps: what of the area lies outside the mosaic, and tiles without data or failed; their number."""
    rows: list[dict[str, Any]] = []
    if zones.outside is not None and not zones.outside.is_empty:
        rows.append({"reason": "outside the mosaic", "tile_id": None, "detail": None, "geometry": zones.outside})
    area = shapely.union_all(list(zones.geometries)) if len(zones.geometries) < 1000 else None
    for tile in tiles:
        box = shapely.box(*grid.window_bounds(Window(tile["y0"], tile["x0"], tile["height"], tile["width"])))
        geometry = box if area is None else shapely.intersection(box, area)
        if not geometry.is_empty:
            reason = "failed" if tile["state"] == "failed" else "no data"
            rows.append({"reason": reason, "tile_id": tile["tile_id"], "detail": tile["error"], "geometry": geometry})
    columns = ["reason", "tile_id", "detail", "geometry"]
    frame = gpd.GeoDataFrame(pd.DataFrame(rows, columns=columns), geometry="geometry", crs=grid.pyproj_crs)
    for name in columns[:-1]:
        frame[name] = frame[name].astype("string")
    _write(frame.to_crs(crs), folder)
    return len(rows)


def _write(frame: gpd.GeoDataFrame, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(
        folder / "part-00000.zstd.parquet",
        compression="zstd",
        schema_version="1.1.0",
        write_covering_bbox=True,
        index=False,
    )
