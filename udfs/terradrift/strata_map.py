"""Strata a user brings along: a vector file, every geometry one stratum, or a raster of classes, on the mosaic's grid."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
import rasterio.errors
import rasterio.windows

from terradrift.aoi import Zones, read_aoi
from terradrift.errors import InputError, StoreError
from terradrift.grid import Grid, Window
from terradrift.kernels.strata import MAX_STRATA

ELSEWHERE = MAX_STRATA - 1
"""Stratum of pixels that lie in no geometry or in no class."""

_RASTERS = (".tif", ".tiff", ".img")
_DRIVERS = {b"II*\0": "GTiff", b"MM\0*": "GTiff", b"II+\0": "GTiff", b"MM\0+": "GTiff", b"EHFA": "HFA"}
"""By how a file begins; others, whatever their names, may lead to other files or addresses."""


@dataclass(frozen=True)
class StrataMap:
    """A user's strata; small, and sent to every task."""

    grid: Grid
    """The mosaic's."""
    zones: bytes | None
    """Geometries, the number of each its stratum."""
    raster: str | None
    """Path of a raster of whole numbers, its values the strata."""
    sha256: str
    """Of the geometries, or of the raster's file."""

    def classes(self, window: Window) -> npt.NDArray[np.uint8]:
        """The stratum of every pixel of a window: (y, x); a raster gives that of the pixel its centre falls in."""
        if self.zones is not None:
            zone = Zones.from_bytes(self.zones).mask(window)
            return np.where(zone >= 0, zone, ELSEWHERE).astype(np.uint8)
        try:
            return self._sampled(window)
        except rasterio.errors.RasterioError as cause:
            raise StoreError(f"change.strata: cannot read {self.raster}: {' '.join(str(cause).split())}") from cause

    def _sampled(self, window: Window) -> npt.NDArray[np.uint8]:
        with rasterio.open(self.raster, driver=_driver(str(self.raster))) as file:
            x, y = np.meshgrid(
                [self.grid.x(window.x0 + k + 0.5) for k in range(window.width)],
                [self.grid.y(window.y0 + k + 0.5) for k in range(window.height)],
            )
            move = pyproj.Transformer.from_crs(self.grid.pyproj_crs, pyproj.CRS(file.crs), always_xy=True)
            x, y = move.transform(x, y)
            a, b, c, d, e, f = tuple(~file.transform)[:6]
            col, row = a * x + b * y + c, d * x + e * y + f
            inside = np.isfinite(col) & np.isfinite(row) & (col >= 0) & (row >= 0) & (col < file.width) & (row < file.height)
            out = np.full(window.shape, ELSEWHERE, np.uint8)
            if not inside.any():
                return out
            rows, cols = np.floor(row[inside]).astype(np.int64), np.floor(col[inside]).astype(np.int64)
            r0, c0 = int(rows.min()), int(cols.min())
            part = rasterio.windows.Window(c0, r0, int(cols.max()) - c0 + 1, int(rows.max()) - r0 + 1)
            found = file.read(1, window=part, masked=True)[rows - r0, cols - c0]
            known = ~np.ma.getmaskarray(found) & (found.data >= 0) & (found.data < ELSEWHERE)
            out[inside] = np.where(known, found.data, ELSEWHERE)
            return out


def read_strata_map(path: str, grid: Grid) -> StrataMap:
    """A user's strata. InputError, one line: not readable, no CRS, not whole numbers, or more strata than there may be."""
    if Path(path).suffix.lower() in _RASTERS:
        return _raster(path, grid)
    try:
        zones = read_aoi(path, grid)
    except InputError as error:
        raise InputError(str(error).replace("aoi:", "change.strata:", 1)) from error
    if len(zones.geometries) >= ELSEWHERE:
        raise InputError(f"change.strata: found {len(zones.geometries)} geometries in {path}; expected at most {ELSEWHERE - 1}")
    data = zones.to_bytes()
    return StrataMap(grid, data, None, hashlib.sha256(data).hexdigest())


def _driver(path: str) -> str:
    with open(path, "rb") as file:
        start = file.read(4)
    if start not in _DRIVERS:
        raise rasterio.errors.RasterioIOError(f"{path} is no GeoTIFF")
    return _DRIVERS[start]


def _raster(path: str, grid: Grid) -> StrataMap:
    try:
        with rasterio.open(path, driver=_driver(path)) as file:
            crs, dtype = file.crs, file.dtypes[0]
        with open(path, "rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
    except (rasterio.errors.RasterioError, OSError):
        raise InputError(
            f"change.strata: found {path}, which cannot be read as a raster; expected a GeoTIFF of classes"
        ) from None
    if crs is None:
        raise InputError(f"change.strata: found no CRS in {path}; expected a georeferenced raster; assign one")
    if not np.issubdtype(np.dtype(dtype), np.integer):
        raise InputError(f"change.strata: found {dtype} in {path}; expected whole numbers from 0 to {ELSEWHERE - 1}, one a class")
    return StrataMap(grid, None, path, digest)
