"""A small finished run made with the project's own writers, without Spark: rasters, polygons, tiles, lists."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
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
from terradrift.score_store import raster_store, score_arrays

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
def rasters() -> dict[str, np.ndarray]:
    """Scores with holes of no data: one tile wholly, one chunk's corner, single pixels; blocks of change."""
    rng = np.random.default_rng(0)
    height, width = SHAPE
    score = rng.gamma(2.0, 1.5, SHAPE).astype(np.float32)
    kind, year = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.int16)
    for k, (row, col) in enumerate([(10, 20), (40, 70), (90, 60), (110, 180), (150, 120), (160, 30), (30, 150)]):
        block = np.s_[row : row + 6 + 2 * k, col : col + 8 + 2 * k]
        score[block] += 20
        kind[block] = (1, 2, 4)[k % 3]
        year[block] = YEARS[1 + k % (len(YEARS) - 1)]
    empty = np.zeros(SHAPE, bool)
    empty[2 * TILE :, 3 * TILE :] = True
    empty[TILE : TILE + 20, : TILE // 2] = True
    empty[rng.integers(0, height, 300), rng.integers(0, width, 300)] = True
    annual = (rng.normal(0, 1, (len(YEARS), 2, *SHAPE)) + np.arange(len(YEARS))[:, None, None, None]).astype(np.float32)
    annual[:, :, empty] = np.nan
    annual[0, 0] = np.nan  # the first year has no year before
    return {
        "scores": annual,
        "change_score": np.where(empty, np.nan, score).astype(np.float32),
        "change_effect": np.where(empty, np.nan, score / 50).astype(np.float32),
        "change_year": np.where(empty, -1, year).astype(np.int16),
        "change_kind": np.where(empty, 255, kind).astype(np.uint8),
        "stratum": np.where(empty, 255, 0).astype(np.uint8),
    }


def write_run(out: Path, values: Mapping[str, np.ndarray] | None = None, **manifest: Any) -> Path:
    """Publish a run in `out`; `manifest` overrides what run.json says; `zones` is what the area of interest is read from."""
    values = values or rasters()
    zones = manifest.pop("zones", None)
    window, folder = Window(*ORIGIN, *SHAPE), RunFolder(out, SCORE_ID, RUN_ID)
    store = raster_store(str(folder.scores / "scores.zarr"), GRID, window, TILE)
    store.create(score_arrays(RECIPE), YEARS, RECIPE.bands)
    names = {array.name for array in score_arrays(RECIPE)}
    for row in range(window.y0 // TILE, window.y1 // TILE):
        for col in range(window.x0 // TILE, window.x1 // TILE):
            tile = store.tile(row, col)
            at = tile.window.slices(window)
            store.write_tile(tile, {name: raster[(..., *at)] for name, raster in values.items() if name in names})
    area = read_aoi(zones or list(GRID.window_bounds(window)), GRID)
    write_frame(folder.records, "tables/zones", zones_frame(area, GRID, "EPSG:4326"))
    changes = change_polygons(values)
    write_changes(changes, folder.maps / "changes.pmtiles", str(manifest.get("attribution", "")))
    points = changes.geometry.representative_point()
    rows = changes.drop(columns="geometry").assign(lon=points.x, lat=points.y, zone=0)
    write_largest(rows.sort_values("area_m2", ascending=False).to_dict("records"), folder.maps / "largest.json")
    write_zones_geojson(folder.tables, folder.maps / "zones.geojson")
    folder.publish({**MANIFEST, "window": asdict(window), "summary": {"polygons": len(changes)}, **manifest})
    return out


def change_polygons(values: Mapping[str, np.ndarray]) -> gpd.GeoDataFrame:
    """The blocks of change as polygons in degrees, with the attributes of the vector tiles."""
    kind, score, year = values["change_kind"], values["change_score"], values["change_year"]
    mapped = (kind > 0) & (kind < 255)
    found = td.polygonize(mapped, np.where(mapped, score, 0), min_pixels=4)
    a, _, c, _, e, f = GRID.window_transform(Window(*ORIGIN, *SHAPE))
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
        crs=GRID.crs,
    )
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


def pixel_centre(row: int, col: int) -> Sequence[float]:
    """Longitude and latitude of the centre of a pixel of the run."""
    a, _, c, _, e, f = GRID.window_transform(Window(*ORIGIN, *SHAPE))
    return c + a * (col + 0.5), f + e * (row + 0.5)
