"""Cloud-optimised GeoTIFFs of the change rasters, cropped to the area of interest."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil
from rasterio.transform import Affine

from terradrift.errors import StoreError
from terradrift.grid import Tile, Window
from terradrift.score_store import RasterStore


@dataclass(frozen=True)
class CogSpec:
    """One file."""

    array: str
    dtype: str
    nodata: float
    resampling: str
    """How overviews are made."""
    predictor: int
    description: str


COGS = {
    "change_score.tif": CogSpec("change_score", "float32", float("nan"), "average", 3, "change score"),
    "change_year.tif": CogSpec("change_year", "int16", -1, "mode", 2, "first year of the new state"),
}


def write_cog(raster: RasterStore, name: str, tiles: Iterable[Tile], crop: Window, path: Path) -> None:
    """Write one of COGS: tiles into a plain tiled TIFF, then GDAL's COG driver; the name appears when the file is whole.

    Memory is that of one tile and GDAL's cache. Raises StoreError where the file cannot be written.
    """
    spec = COGS[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    plain, partial = path.with_name(f".{name}.plain"), path.with_name(f".{name}.partial")
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": spec.dtype,
        "count": 1,
        "height": crop.height,
        "width": crop.width,
        "nodata": spec.nodata,
        "crs": raster.grid.crs,
        "transform": Affine(*raster.grid.window_transform(crop)),
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "zstd",
        "zstd_level": 1,
        "sparse_ok": True,
        "bigtiff": "if_safer",
    }
    try:
        with rasterio.Env(GDAL_CACHEMAX=128, GDAL_NUM_THREADS=1):
            with rasterio.open(plain, "w", **profile) as file:
                file.set_band_description(1, spec.description)
                for tile in tiles:
                    part = tile.window.intersection(crop)
                    if part is not None:
                        values = raster.read_tile(tile, spec.array)[part.slices(tile.window)]
                        rows, cols = part.slices(crop)
                        window = rasterio.windows.Window(cols.start, rows.start, part.width, part.height)
                        file.write(values, 1, window=window)
            rasterio.shutil.copy(
                plain,
                partial,
                driver="COG",
                compress="DEFLATE",
                predictor=str(spec.predictor),
                blocksize="512",
                overview_resampling=spec.resampling,
                bigtiff="IF_SAFER",
                num_threads="1",
            )
        os.replace(partial, path)
    except (OSError, rasterio.errors.RasterioError) as cause:
        raise StoreError(f"cannot write {path}: {cause}") from cause
    finally:
        plain.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)
