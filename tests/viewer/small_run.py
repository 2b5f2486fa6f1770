"""A small finished run made with the project's own writers, without Spark: rasters, polygons, tiles, lists."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyproj
import shapely

import terradrift as td
from terradrift.aoi import read_aoi
from terradrift.aoi.tables import write_frame, zones_frame
from terradrift.grid import Grid, Window
from terradrift.kernels.score_block import Recipe
from terradrift.ledger import RunFolder
from terradrift.maps.display import write_largest, write_zones_geojson
from terradrift.maps.pmtiles import TileIndex, write_archive
from terradrift.maps.tile_columns import SORTED_BY, archive_metadata, field_types
from terradrift.maps.tile_options import TileOptions
from terradrift.maps.tile_pairs import tile_pairs
from terradrift.maps.vector_tiles import encode_tiles
from terradrift.overviews import passes, write_overviews
from terradrift.score_store import CHANGED, raster_store, score_arrays

STEP = 8.983111749910169e-05
GRID = Grid("EPSG:4326", (STEP, 0.0, -105.28, 0.0, -STEP, 40.04), 1024, 1024)
TILE = 64
ORIGIN = (TILE, 2 * TILE)
"""Row and column of the run's first pixel on the mosaic's grid."""

SHAPE = (3 * TILE, 4 * TILE)
YEARS = tuple(range(2019, 2025))
RECIPE = Recipe("cosine", ("difference", "loo_medoid"), True, "trajectory", YEARS)
KINDS = ("none", "step", "ramp", "blip", "unconfirmed")
RUN_ID, SCORE_ID = "7" * 16, "5" * 16
MAX_ZOOM = 13
MANIFEST: dict[str, Any] = {
    "years": list(YEARS),
    "bands": list(RECIPE.bands),
    "parameters": {"change": {"detector": "trajectory"}, "variable": "embeddings"},
    "counts": {"fdr": 0.1, "threshold": None},
    "input": {"crs": GRID.crs, "mosaic": "s3://somewhere/mosaic.zarr"},
    "attribution": "Made of synthetic embeddings.",
    "warnings": [],
}


@cache
def rasters(shape: tuple[int, int] = SHAPE) -> dict[str, np.ndarray]:
    """Scores with holes of no data: a whole tile, a chunk's corner, pixels; blocks of change, and noise that looks like it."""
    rng = np.random.default_rng(0)
    height, width = shape
    score = rng.gamma(2.0, 1.5, shape).astype(np.float32)
    kind, year = np.zeros(shape, np.uint8), np.zeros(shape, np.int16)
    for k, (row, col) in enumerate([(10, 20), (40, 70), (90, 60), (110, 180), (150, 120), (160, 30), (30, 150)]):
        block = np.s_[row : row + 6 + 2 * k, col : col + 8 + 2 * k]
        score[block] += 20
        kind[block] = (1, 2, 4)[k % 3]
        year[block] = YEARS[1 + k % (len(YEARS) - 1)]
    changed = (kind > 0).astype(np.uint8)
    noise = (changed == 0) & (rng.random(shape) < 0.1)
    kind[noise], year[noise] = rng.integers(1, 5, noise.sum()), rng.choice(YEARS[1:], noise.sum())
    empty = np.zeros(shape, bool)
    empty[2 * TILE : 3 * TILE, 3 * TILE : 4 * TILE] = True
    empty[-40:-20, -30:-10] = True
    empty[TILE : TILE + 20, : TILE // 2] = True
    empty[rng.integers(0, height, 300), rng.integers(0, width, 300)] = True
    annual = (rng.normal(0, 1, (len(YEARS), 2, *shape)) + np.arange(len(YEARS))[:, None, None, None]).astype(np.float32)
    annual[:, :, empty] = np.nan
    annual[0, 0] = np.nan  # the first year has no year before
    return {
        "scores": annual,
        "change_score": np.where(empty, np.nan, score).astype(np.float32),
        "change_effect": np.where(empty, np.nan, score / 50).astype(np.float32),
        "change_year": np.where(empty, -1, year).astype(np.int16),
        "change_kind": np.where(empty, 255, kind).astype(np.uint8),
        "stratum": np.where(empty, 255, 0).astype(np.uint8),
        "changed": np.where(empty, 255, changed).astype(np.uint8),
    }


def write_run(
    out: Path,
    values: Mapping[str, np.ndarray] | None = None,
    *,
    grid: Grid = GRID,
    zones: str | None = None,
    **manifest: Any,
) -> Path:
    """Publish a run in `out`; `zones`: a file of the area of interest; `manifest` overrides what run.json says."""
    values = values or rasters()
    window, folder = Window(*ORIGIN, *values["change_score"].shape), RunFolder(out, SCORE_ID, RUN_ID)
    for url, arrays in ((f"{folder.scores_url}/scores.zarr", score_arrays(RECIPE)), (f"{folder.url}/change.zarr", (CHANGED,))):
        store = raster_store(url, grid, window, TILE)
        store.create(arrays, YEARS, RECIPE.bands)
        for row in range(window.y0 // TILE, -(-window.y1 // TILE)):
            for col in range(window.x0 // TILE, -(-window.x1 // TILE)):
                tile = store.tile(row, col)
                at = tile.window.slices(window)
                store.write_tile(tile, {array.name: values[array.name][(..., *at)] for array in arrays})
        for made in passes(store):
            list(write_overviews(store, arrays, made, 0, 0))  # it writes as it counts
    whole = gpd.GeoSeries([shapely.box(*grid.window_bounds(window))], crs=grid.crs).to_crs("EPSG:4326").iloc[0].wkt
    area = read_aoi(zones or whole, grid)
    write_frame(folder.records, "tables/zones", zones_frame(area, grid, "EPSG:4326"))
    changes = change_polygons(values, grid)
    write_changes(changes, folder.maps / "changes.pmtiles", str(manifest.get("attribution", "")))
    points = changes.geometry.representative_point()
    rows = changes.drop(columns="geometry").assign(lon=points.x, lat=points.y, zone=0)
    write_largest(rows.sort_values("area_m2", ascending=False).to_dict("records"), folder.maps / "largest.json")
    write_zones_geojson(folder.tables, folder.maps / "zones.geojson")
    folder.publish({**MANIFEST, "window": asdict(window), "summary": {"polygons": len(changes)}, **manifest})
    return out


def change_polygons(values: Mapping[str, np.ndarray], grid: Grid = GRID) -> gpd.GeoDataFrame:
    """The mapped blocks as polygons in degrees, with the attributes of the vector tiles."""
    kind, score, year = values["change_kind"], values["change_score"], values["change_year"]
    mapped = values["changed"] == 1
    found = td.polygonize(mapped, np.where(mapped, score, 0), min_pixels=4)
    a, _, c, _, e, f = grid.window_transform(Window(*ORIGIN, *mapped.shape))
    inside = [(int(p.y), int(p.x)) for p in found.geometry.representative_point()]
    frame = gpd.GeoDataFrame(
        {
            "change_id": found.change_id.to_numpy(np.int64),
            "kind": [KINDS[kind[at]] for at in inside],
            "year_first": np.array([year[at] for at in inside], np.int32),
            "score_max": found.score_max.to_numpy(np.float32),
            "effect_mean": np.array([score[at] / 50 for at in inside], np.float32),
        },
        geometry=[shapely.transform(shape, lambda xy: xy * (a, e) + (c, f)) for shape in found.geometry],
        crs=grid.crs,
    ).to_crs("EPSG:4326")
    frame["area_m2"] = frame.to_crs("EPSG:6933").area
    return frame


def write_changes(changes: gpd.GeoDataFrame, file: Path, attribution: str = "") -> None:
    """One archive of vector tiles, layer `changes`."""
    options = TileOptions(layer="changes", id_column="change_id", min_zoom=6, max_zoom=MAX_ZOOM)
    columns: dict[str, Any] = {name: changes[name].to_numpy() for name in changes.columns if name not in ("geometry", "kind")}
    geometry = pa.array(list(shapely.to_wkb(changes.geometry.to_numpy())), pa.binary())
    batch = pa.RecordBatch.from_pydict({**columns, "kind": pa.array(list(changes["kind"])), "geometry": geometry})
    order = [(name, "ascending") for name in SORTED_BY]
    pairs = pa.Table.from_batches([rows.pairs for rows in tile_pairs(batch, options)]).sort_by(order)
    tiles = list(encode_tiles(pairs.combine_chunks().to_batches(), options))
    file.parent.mkdir(parents=True, exist_ok=True)
    blob = file.with_suffix(".blob")
    blob.write_bytes(b"".join(tile.data for tile in tiles))
    lengths = np.array([len(tile.data) for tile in tiles])
    ids = np.array([tile.tile_id for tile in tiles])
    index = TileIndex(
        ids,
        np.zeros(len(tiles), np.int64),
        np.cumsum(lengths) - lengths,
        lengths,
        np.frombuffer(b"".join(tile.digest for tile in tiles), np.uint64).reshape(-1, 2),
    )
    stats = {"changes": {"fields": field_types(batch.schema, options), "count": len(changes), "attributes": []}}
    told = archive_metadata(options, stats, {"attribution": attribution})
    bounds = tuple(float(degrees) for degrees in changes.total_bounds)
    write_archive(file, index, [blob], bounds, told)
    blob.unlink()


def copy_run(run: Path, to: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(run, to))


def pixel_centre(row: Any, col: Any, grid: Grid = GRID) -> tuple[Any, Any]:
    """Longitude and latitude of the centre of a pixel of the run, or of many."""
    a, _, c, _, e, f = grid.transform
    x, y = c + a * (ORIGIN[1] + col + 0.5), f + e * (ORIGIN[0] + row + 0.5)
    return (x, y) if grid.is_geographic else pyproj.Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(x, y)
