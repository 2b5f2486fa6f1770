"""Polygons to make tiles of: what lies above a threshold in a raster of smooth noise, and shifted copies of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from scipy.ndimage import gaussian_filter, zoom

import terradrift as td

PIXEL = 360 / 4009984  # degrees: ten metres
WEST, NORTH = -60.0, -3.0
NOISES = ((1.4, 1), (5.0, 1), (24.0, 8), (120.0, 32))
"""(width in pixels, pixels a cell of the grid it is drawn on): speckle, fields, clearings, regions."""
THRESHOLD = 1.0
COPIES_A_ROW = 5
GEO = {
    "version": "1.0.0",
    "primary_column": "geometry",
    "columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Polygon"]}},
}


def noise_polygons(size: int, seed: int) -> pa.Table:
    """Polygons of a raster `size` pixels a side: fid, score_mean, score_max, n_pixels and geometry, WKB in degrees."""
    rng = np.random.default_rng(seed)
    score = np.zeros((size, size), np.float32)
    for sigma, cell in NOISES:
        coarse = rng.standard_normal((size // cell, size // cell), np.float32)
        noise = zoom(gaussian_filter(coarse, sigma / cell, truncate=3), cell, order=1)
        score += noise / noise.std() * np.float32(len(NOISES) ** -0.5)
    found = td.polygonize(score > THRESHOLD, score, transform=(PIXEL, 0.0, WEST, 0.0, -PIXEL, NORTH))
    return pa.table(
        {
            "fid": np.arange(1, len(found) + 1),
            "score_mean": pa.array(found.score_mean, pa.float32()),
            "score_max": pa.array(found.score_max, pa.float32()),
            "n_pixels": pa.array(found.n_pixels, pa.int32()),
            "geometry": pa.array(list(shapely.to_wkb(found.geometry.to_numpy())), pa.binary()),
        }
    )


def write_copies(path: Path, polygons: pa.Table, copies: int, size: int) -> None:
    """GeoParquet of the polygons and `copies` - 1 shifted copies of them, with ids of their own."""
    shapes = shapely.from_wkb(polygons["geometry"].to_numpy())
    schema = polygons.schema.with_metadata({"geo": json.dumps(GEO)})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for copy in range(copies):
            row, col = divmod(copy, COPIES_A_ROW)
            shift = np.array([col, -row]) * size * PIXEL
            moved = shapely.to_wkb(shapely.transform(shapes, lambda xy, shift=shift: xy + shift))
            ids = polygons["fid"].to_numpy() + copy * len(polygons)
            table = polygons.set_column(0, "fid", pa.array(ids)).set_column(4, "geometry", pa.array(list(moved), pa.binary()))
            writer.write_table(table.replace_schema_metadata(schema.metadata), row_group_size=50_000)
