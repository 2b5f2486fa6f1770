"""Georeference of a raster in Zarr: the v0.1 conventions `multiscales`, `proj` and `spatial`, and CF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from terradrift.grid import Grid
from terradrift.pyramid import Level


def _convention(name: str, uuid: str, description: str) -> dict[str, str]:
    # the schemas of the v0.1 tags demand exactly these values
    base = f"https://raw.githubusercontent.com/zarr-conventions/{name}/refs/tags/v0.1/schema.json"
    spec = f"https://github.com/zarr-conventions/{name}/blob/v0.1/README.md"
    return {"schema_url": base, "spec_url": spec, "uuid": uuid, "name": name, "description": description}


MULTISCALES = _convention("multiscales", "d35379db-88df-4056-af3a-620245f8e347", "Multiscale layout of zarr datasets")
PROJ = _convention("proj", "f17cb550-5864-4468-aeb7-f3180cfb622f", "Coordinate reference system information for geospatial data")
SPATIAL = _convention("spatial", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information")


def _crs_attributes(grid: Grid) -> dict[str, str]:
    is_code = ":" in grid.crs and "[" not in grid.crs
    return {"proj:code": grid.crs} if is_code else {"proj:wkt2": grid.crs}


def _spatial_attributes(grid: Grid) -> dict[str, Any]:
    return {
        **_crs_attributes(grid),
        "spatial:dimensions": ["y", "x"],
        "spatial:transform_type": "affine",
        "spatial:registration": "pixel",
        "spatial:shape": [grid.height, grid.width],
        "spatial:transform": list(grid.transform),
        "spatial:bbox": list(grid.window_bounds(grid.window)),
    }


def root_attributes(levels: Sequence[Level], resampling: str) -> dict[str, Any]:
    """Attributes of the root group: the pyramid's levels and the georeference of the first."""
    layout = [_layout_item(level, resampling) for level in levels]
    return {
        "zarr_conventions": [MULTISCALES, PROJ, SPATIAL],
        "multiscales": {"resampling_method": resampling, "layout": layout},
        **_spatial_attributes(levels[0].grid),
    }


def _layout_item(level: Level, resampling: str) -> dict[str, Any]:
    """An item of the multiscales layout; its scale is relative to the level it is derived from."""
    place = {"spatial:shape": [level.grid.height, level.grid.width], "spatial:transform": list(level.grid.transform)}
    if not level.number:
        return {"asset": level.name, "transform": {"scale": [1.0, 1.0], "translation": [0.0, 0.0]}, **place}
    return {
        "asset": level.name,
        "derived_from": str(level.number - 1),
        "transform": {"scale": [2.0, 2.0], "translation": [0.0, 0.0]},
        "resampling_method": resampling,
        **place,
    }


def level_attributes(grid: Grid) -> dict[str, Any]:
    """Attributes of a level's group and of its arrays (the conventions inherit from a group to its own arrays only)."""
    return {"zarr_conventions": [PROJ, SPATIAL], **_spatial_attributes(grid)}


def spatial_ref_attributes(grid: Grid) -> dict[str, Any]:
    """A CF grid mapping, for xarray, rioxarray and GDAL."""
    a, b, c, d, e, f = grid.transform
    cf = grid.pyproj_crs.to_cf()
    return {
        "grid_mapping_name": cf.get("grid_mapping_name", "unknown"),
        "crs_wkt": grid.pyproj_crs.to_wkt(),
        "GeoTransform": " ".join(repr(number) for number in (c, a, b, f, d, e)),
    }
