"""A finished run's output folder made of given rasters, with the project's own writers, and truth files to hold it against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
import zarr

import terradrift as td
from terradrift.aoi import read_aoi
from terradrift.aoi.tables import write_frame, zones_frame
from terradrift.grid import Grid, Window
from terradrift.kernels.score_block import Recipe
from terradrift.ledger import RunFolder
from terradrift.score_store import CHANGED, Q, raster_store, score_arrays

STEP = 8.983111749910169e-05
YEARS = tuple(range(2017, 2026))
TILE = 64
GRID = Grid("EPSG:4326", (STEP, 0.0, -105.28, 0.0, -STEP, 40.04), 1024, 1024)
"""The mosaic; a run covers a window of it that does not begin at its corner."""

ORIGIN = (TILE, 2 * TILE)
"""Row and column of the run's first pixel."""

COVERS = ("forest", "built")


def write_output(
    out: Path,
    score: np.ndarray,
    changed: np.ndarray,
    *,
    year: np.ndarray | int = 2020,
    kind: np.ndarray | int = 1,
    q: np.ndarray | None = None,
    years: Sequence[int] = YEARS,
    min_pixels: int = 1,
) -> Path:
    """Rasters (y, x) as a published run: score NaN = no data, changed bool. Sides are multiples of TILE."""
    window = Window(*ORIGIN, *score.shape)
    folder = RunFolder(out, "5" * 16, "7" * 16)
    rasters = {
        "change_score": score.astype(np.float32),
        "change_effect": np.where(np.isfinite(score), 0.2, np.nan).astype(np.float32),
        "change_year": np.broadcast_to(year, score.shape).astype(np.int16),
        "change_kind": np.broadcast_to(kind, score.shape).astype(np.uint8),
    }
    decision = {"changed": np.where(np.isfinite(score), changed, 255).astype(np.uint8)}
    if q is not None:
        decision["q"] = q.astype(np.float32)
    for path, arrays, values in (
        (folder.scores / "scores.zarr", score_arrays(Recipe("cosine", (), False, "trajectory", tuple(years))), rasters),
        (folder.path / "change.zarr", [CHANGED] if q is None else [CHANGED, Q], decision),
    ):
        store = raster_store(str(path), GRID, window, TILE)
        store.create(arrays, years)
        for row in range(window.y0 // TILE, window.y1 // TILE):
            for col in range(window.x0 // TILE, window.x1 // TILE):
                tile = store.tile(row, col)
                at = tile.window.slices(window)
                store.write_tile(tile, {name: raster[at] for name, raster in values.items()})
    _write_polygons(folder.tables / "raw_polygons", changed & np.isfinite(score), score, min_pixels)
    bounds = GRID.window_bounds(window)
    write_frame(folder.records, "tables/zones", zones_frame(read_aoi(list(bounds), GRID), GRID, "EPSG:4326"))
    folder.publish(
        {"input": {"crs": GRID.crs, "mosaic": str(out / "mosaic.zarr")}, "years": list(years), "window": asdict(window)}
    )
    return out


def _write_polygons(folder: Path, mapped: np.ndarray, score: np.ndarray, min_pixels: int) -> None:
    frame = td.polygonize(mapped, np.where(mapped, score, 0), min_pixels=min_pixels)
    corner = np.array([ORIGIN[1], ORIGIN[0]])
    table = pa.table(
        {
            "change_id": frame.change_id.to_numpy(np.int64),
            "whole_id": frame.change_id.to_numpy(np.int64),
            "kind": ["step"] * len(frame),
            "year_mode": np.full(len(frame), 2020, np.int32),
            "score_max": frame.score_max.to_numpy(np.float32),
            "n_pixels": frame.n_pixels.to_numpy(np.int64),
            "geometry": pa.array(
                shapely.to_wkb(shapely.transform(frame.geometry.to_numpy(), lambda xy: xy + corner)), pa.binary()
            ),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "part-00000.parquet")


def write_scene_truth(
    folder: Path,
    kind: np.ndarray,
    year: np.ndarray | int,
    *,
    landcover: np.ndarray | int = 1,
    nuisance: np.ndarray | int = 0,
    rasters: bool = True,
) -> Path:
    """truth.parquet (a polygon a region of equal kind and year) and truth.zarr of rasters (y, x) on the run's window."""
    folder.mkdir(parents=True, exist_ok=True)
    year = np.where(kind > 0, year, 0)
    cover = np.broadcast_to(landcover, kind.shape)
    regions = td.polygonize((kind.astype(np.int32) * 10_000 + year) * (kind > 0))
    inside = [polygon.representative_point() for polygon in regions.geometry]
    at = tuple(np.array([[int(point.y), int(point.x)] for point in inside]).T) if inside else (np.zeros(0, int),) * 2
    frame = gpd.GeoDataFrame(
        {
            "kind": [("step", "ramp", "blip")[code - 1] for code in kind[at]],
            "year_first": year[at].astype(np.int32),
            "year_last": year[at].astype(np.int32),
            "strength": np.ones(len(regions), np.float32),
            "landcover": [COVERS[code - 1] for code in cover[at]],
        },
        geometry=list(to_degrees(regions.geometry.to_numpy())),
        crs="EPSG:4326",
    )
    frame.to_parquet(folder / "truth.parquet")
    if rasters:
        group = zarr.open_group(folder / "truth.zarr", mode="w", zarr_format=3)
        group.attrs.update({"proj:code": GRID.crs, "spatial:transform": list(GRID.transform)})
        values = {"kind": kind, "year_first": year, "year_last": year, "landcover": cover, "nuisance": nuisance}
        types = {"kind": "u1", "year_first": "i2", "year_last": "i2", "landcover": "u1", "nuisance": "u1"}
        flags = {"landcover": f"outside {' '.join(COVERS)}", "nuisance": "rotating_parcel wetland"}
        for name, raster in values.items():
            array = group.create_array(
                name, shape=(GRID.height, GRID.width), dtype=types[name], chunks=(TILE, TILE), fill_value=0
            )
            if name in flags:
                array.attrs["flag_meanings"] = flags[name]
            array[ORIGIN[0] : ORIGIN[0] + kind.shape[0], ORIGIN[1] : ORIGIN[1] + kind.shape[1]] = np.broadcast_to(
                raster, kind.shape
            )
    return folder / "truth.parquet"


def to_degrees(geometry: np.ndarray) -> np.ndarray:
    """Geometries in (column, row) of the run's window, in degrees."""
    a, _, c, _, e, f = GRID.transform
    return shapely.transform(geometry, lambda xy: (xy + np.array(ORIGIN[::-1])) * (a, e) + (c, f))


def sites(rows: Sequence[tuple[float, float]], **columns: Any) -> gpd.GeoDataFrame:
    """Points at the centres of pixels (row, column) of the run's window."""
    points = shapely.points([(col + 0.5, row + 0.5) for row, col in rows])
    return gpd.GeoDataFrame(columns, geometry=list(to_degrees(np.atleast_1d(points))), crs="EPSG:4326")
