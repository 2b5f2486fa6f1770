"""Cloud-optimised GeoTIFFs of the rasters of a run, cropped to the area of interest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil
from rasterio.transform import Affine

from terradrift.errors import StoreError
from terradrift.grid import Tile, Window
from terradrift.kernels.series import KINDS
from terradrift.maps.colors import CHANGED, KIND_CODES, RGB
from terradrift.score_store import RasterStore

BLOCK = 512
"""Pixels a side of a block of a file: what GDAL reads at a time."""

CACHE_MIB = 128


@dataclass(frozen=True)
class CogSpec:
    """One file."""

    array: str
    dtype: str
    nodata: float
    resampling: str
    """How overviews are made."""
    description: str
    unit: str = ""
    colors: Mapping[int, RGB] = field(default_factory=dict)
    """Of values, in the file's colour table."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Of values, among the band's tags."""

    @property
    def predictor(self) -> int:
        """TIFF predictor: 3 of floats, 2 of whole numbers; 1 (none) where neighbours are classes."""
        return 1 if self.colors else 3 if self.dtype == "float32" else 2


COGS = {
    "change_score.tif": CogSpec("change_score", "float32", float("nan"), "average", "statistic of the change detector"),
    "change_effect.tif": CogSpec(
        "change_effect", "float32", float("nan"), "average", "size of the change", unit="cosine distance"
    ),
    "change_year.tif": CogSpec("change_year", "int16", -1, "mode", "first year of the new state, 0 = none", unit="year"),
    "change_kind.tif": CogSpec(
        "change_kind", "uint8", 255, "mode", "kind of change", colors=KIND_CODES, names=dict(enumerate(KINDS))
    ),
}
"""Of scores.zarr, by name of the file."""

DECISION_COGS = {
    "changed.tif": CogSpec("changed", "uint8", 255, "mode", "mapped as change", colors=CHANGED, names={0: "no", 1: "yes"}),
    "q.tif": CogSpec("q", "float32", float("nan"), "average", "smallest false discovery rate at which it is mapped"),
}
"""Of change.zarr; q only with a calibrated threshold."""


def write_cog(
    raster: RasterStore, spec: CogSpec, tiles: Iterable[Tile], crop: Window, path: Path, tags: Mapping[str, str]
) -> None:
    """Write a file: tiles into a plain tiled TIFF beside it, then GDAL's COG driver.

    Memory is that of one tile and GDAL's cache. Raises StoreError where the file cannot be written.
    """
    plain = path.with_name(f"{path.stem}.plain.tif")
    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE_MIB, GDAL_NUM_THREADS=1, GDAL_PAM_ENABLED="NO"):
            _write_plain(raster, spec, tiles, crop, plain, tags)
            rasterio.shutil.copy(
                plain,
                path,
                driver="COG",
                compress="DEFLATE",
                predictor=str(spec.predictor),
                blocksize=str(BLOCK),
                overview_resampling=spec.resampling,
                bigtiff="IF_SAFER",
                num_threads="1",
            )
    except (OSError, rasterio.errors.RasterioError) as cause:
        raise StoreError(f"cannot write {path}: {cause}") from cause
    finally:
        plain.unlink(missing_ok=True)


def _write_plain(
    raster: RasterStore, spec: CogSpec, tiles: Iterable[Tile], crop: Window, path: Path, tags: Mapping[str, str]
) -> None:
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
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "compress": "zstd",
        "zstd_level": 1,
        "sparse_ok": True,
        "bigtiff": "if_safer",
    }
    if spec.colors:
        profile["photometric"] = "palette"
    with rasterio.open(path, "w", **profile) as file:
        file.set_band_description(1, spec.description)
        file.update_tags(**tags)
        if spec.unit:
            file.set_band_unit(1, spec.unit)
        if spec.colors:
            file.write_colormap(1, {value: (*color, 255) for value, color in spec.colors.items()})
            file.update_tags(1, **{f"value_{value}": name for value, name in spec.names.items()})
        for tile in tiles:
            part = tile.window.intersection(crop)
            if part is not None:
                values = raster.read_tile(tile, spec.array)[part.slices(tile.window)]
                rows, cols = part.slices(crop)
                file.write(values, 1, window=rasterio.windows.Window(cols.start, rows.start, part.width, part.height))
