"""What was planted, for whoever evaluates: polygons, rasters, and an area of interest to run on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import rasterio.features
import shapely
from shapely.geometry import shape

from terradrift.scene.changes import CHANGES, Blob
from terradrift.scene.faults import GAP, ROTATING, SEAM, WET
from terradrift.scene.landscape import COVERS
from terradrift.scene.store import Layout

RASTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "kind": ("uint8", {"flag_values": [0, 1, 2, 3], "flag_meanings": f"none {' '.join(CHANGES)}"}),
    "year_first": ("int16", {"long_name": "first year of the new state; 0 none"}),
    "year_last": ("int16", {"long_name": "last year of the transition; 0 none"}),
    "strength": ("float32", {"long_name": "share of the way to the other land cover; 0 none"}),
    "landcover": (
        "uint8",
        {"flag_values": list(range(len(COVERS) + 1)), "flag_meanings": f"outside {' '.join(COVERS)}"},
    ),
    "nuisance": (
        "uint8",
        {"flag_masks": [ROTATING, WET, SEAM, GAP], "flag_meanings": "rotating_parcel wetland seam nodata_in_some_year"},
    ),
}
"""Rasters of truth.zarr: (dtype, CF attributes)."""

_AOI_STREAM = 51

_AOI_CORNERS = 24

_AOI_MARGIN = 0.06
"""Largest distance of the area of interest's corners from the window's edge, as a share of its side."""


def write_truth_polygons(path: Path, blobs: list[Blob], layout: Layout) -> None:
    """GeoParquet in EPSG:4326: one polygon a planted blob, its outline along pixel edges."""
    blobs = sorted(blobs, key=lambda blob: (blob.y0, blob.first_x))
    frame = geopandas.GeoDataFrame(
        {
            "kind": [CHANGES[blob.kind - 1] for blob in blobs],
            "year_first": np.array([layout.years[blob.first] for blob in blobs], np.int32),
            "year_last": np.array([layout.years[blob.last] for blob in blobs], np.int32),
            "strength": np.array([blob.strength for blob in blobs], np.float32),
            "landcover": [COVERS[blob.cover] for blob in blobs],
        },
        geometry=_to_degrees(np.array([_outline(blob) for blob in blobs], object), layout),
        crs="EPSG:4326",
    )
    frame.to_parquet(path, index=False, compression="zstd", schema_version="1.1.0", write_covering_bbox=True)


def write_aoi(path: Path, layout: Layout, name: str, seed: int) -> None:
    """GeoJSON of one slightly ragged polygon that covers most of the window."""
    rng = np.random.default_rng([seed, _AOI_STREAM])
    # corners at whole steps along the window's edge, pulled inwards by up to the margin
    along = np.arange(_AOI_CORNERS // 4) / (_AOI_CORNERS // 4)
    none, one = np.zeros_like(along), np.ones_like(along)
    square = np.stack([np.concatenate([none, along, one, 1 - along]), np.concatenate([along, one, 1 - along, none])], axis=1)
    inwards = 0.5 + (square - 0.5) * (1 - 2 * rng.uniform(0, _AOI_MARGIN, (len(square), 1)))
    ring = _to_degrees(np.array([shapely.Polygon(inwards * layout.size)], object), layout)[0]
    feature = {
        "type": "Feature",
        "properties": {"name": name},
        "geometry": json.loads(shapely.to_geojson(shapely.orient_polygons(ring))),
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}, indent=1) + "\n")


def _outline(blob: Blob) -> Any:
    outlines = rasterio.features.shapes(blob.mask.astype(np.uint8), mask=blob.mask, connectivity=4)
    geometry = shape(next(iter(outlines))[0])
    return shapely.transform(geometry, lambda xy: xy + np.array([blob.x0, blob.y0]))


def _to_degrees(geometries: npt.NDArray[Any], layout: Layout) -> npt.NDArray[Any]:
    """Geometries in (column, row) pixels of the scene, in degrees; exact to one rounding."""
    a, _, c, _, e, f = layout.grid.transform
    window = layout.window

    def degrees(pixel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.stack([c + a * (window.x0 + pixel[:, 0]), f + e * (window.y0 + pixel[:, 1])], axis=1)

    return np.asarray(shapely.transform(geometries, degrees))
