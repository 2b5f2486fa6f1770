"""A picture of the result: change score as colours, outlines of the polygons over it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyarrow.dataset as ds
import rasterio
import rasterio.features
from rasterio.enums import Resampling

from terradrift.maps.colors import SCORE, ramp

MAX_PIXELS = 1024
"""Longest side of the picture."""

MAX_OUTLINES = 20_000
"""With more polygons an outline would cover the map."""

STEPS = 32
NO_DATA = (235, 235, 235)
OUTLINE = (255, 64, 92)


def write_preview(score: Path, polygons: Path, path: Path) -> None:
    """PNG of the GeoTIFF `score` with the outlines of the GeoParquet folder `polygons`, at most 1024 pixels a side."""
    with rasterio.open(score) as file:
        scale = max(1.0, max(file.shape) / MAX_PIXELS)
        shape = (max(1, round(file.height / scale)), max(1, round(file.width / scale)))
        values = file.read(1, out_shape=shape, resampling=Resampling.average)
        transform = file.transform @ rasterio.Affine.scale(file.width / shape[1], file.height / shape[0])
        crs = file.crs
    picture = classes(values)
    if 0 < ds.dataset(polygons, format="parquet", exclude_invalid_files=True).count_rows() <= MAX_OUTLINES:
        outlines = gpd.read_parquet(polygons, columns=["geometry"])
        lines = ((line, 1) for line in outlines.to_crs(crs).boundary if not line.is_empty)
        drawn = rasterio.features.rasterize(lines, shape, transform=transform, dtype="uint8")
        picture[drawn == 1] = STEPS + 1
    profile: dict[str, Any] = {"driver": "PNG", "count": 1, "dtype": "uint8", "height": shape[0], "width": shape[1], "zlevel": 9}
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # a picture has no place
        with rasterio.open(path, "w", **profile) as file:
            file.write(picture, 1)
            file.write_colormap(1, dict(enumerate(palette())))


def value_range(values: npt.NDArray[np.floating[Any]]) -> tuple[float, float]:
    """The 2nd and the 99.5th percentile of a score: what the ramp spans."""
    known = np.isfinite(values)
    low, high = np.percentile(values[known], (2, 99.5)) if known.any() else (0.0, 1.0)
    return float(low), float(high)


def classes(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Steps of the ramp (y, x) of a score (y, x) over its `value_range`; STEPS where no data."""
    known = np.isfinite(values)
    low, high = value_range(values)
    share = np.clip((np.where(known, values, low) - low) / max(high - low, 1e-9), 0, 1)
    return np.where(known, np.rint(share * (STEPS - 1)), STEPS).astype(np.uint8)


def palette() -> list[tuple[int, int, int]]:
    """RGB of every step, of no data and of an outline."""
    return [*ramp(SCORE, STEPS), NO_DATA, OUTLINE]
