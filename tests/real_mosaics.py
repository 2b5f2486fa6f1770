"""Real data laid out as mosaics in a test's own folder; the data themselves stay where they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from scipy import stats

from mosaics import write_mosaic

LANDSAT_YEARS = tuple(range(1985, 2021, 5))

POINT_YEARS = (2001, 2002, 2003)
"""Stand for the year before a point's event, the year of the event and the year after it."""

POINT_SHAPE = (10, 12)
"""Room for 114 points, row by row; the last six pixels are padding."""

DENSE_YEARS = (2024, 2025)
"""The raster's year, and one made from it by planting a change."""

PLANTED, SOURCE = (slice(30, 60), slice(40, 75)), (slice(64, 94), slice(5, 40))
"""Where the change is planted in the dense raster, and the other ground whose vectors are put there."""

HIDDEN, HALF_HIDDEN = (50, 50), (51, 50)
"""Pixels of the second year without data: in all bands, and in one of them."""


@dataclass(frozen=True)
class Points:
    """Embeddings of labelled points in three consecutive years."""

    codes: np.ndarray
    """(time, band, point) int8"""
    cleared: np.ndarray
    """(point) bool: forest cleared in the middle year, or stable."""
    continent: np.ndarray
    """(point) text: the first word of the region's name."""

    def vectors(self) -> np.ndarray:
        """Decoded by the published formula: (time, band, point) float64."""
        return decoded(self.codes)


def decoded(codes: np.ndarray) -> np.ndarray:
    """sign(q) (q / 127.5)^2 in float64, NaN where no data: (time, band, ...)."""
    q = codes.astype(np.float64)
    return np.where((q == -128).any(axis=1, keepdims=True), np.nan, np.sign(q) * (q / 127.5) ** 2)


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive scores higher than a negative, ties counted half (Mann and Whitney 1947)."""
    hits = stats.mannwhitneyu(score[positive], score[~positive]).statistic
    return float(hits / (positive.sum() * (~positive).sum()))


def landsat(data: Path) -> tuple[np.ndarray, tuple[float, ...]]:
    """Eight dates of a river in Peru: (time, band, y, x) uint8 with 0 = no data in a band, and the transform."""
    files = [data / "landsat-peru-1985-2020" / f"{year}.tif" for year in LANDSAT_YEARS]
    dates = []
    for path in files:
        with rasterio.open(path) as file:
            assert file.nodatavals == (0,) * 4
            dates.append(file.read())
            transform = tuple(file.transform)[:6]
    return np.stack(dates), transform


def write_landsat(data: Path, folder: Path, chunk: int = 64) -> Path:
    """The Landsat stack as a mosaic of plain vectors, four bands of uint8."""
    values, transform = landsat(data)
    attributes = {"geoemb:quantization": {"method": "none"}}
    return write_mosaic(
        folder / "landsat.zarr", values, chunk=chunk, shard=2 * chunk, years=LANDSAT_YEARS, fill_value=0,
        attributes=attributes, transform=transform,
    )  # fmt: skip


def aef_points(data: Path) -> Points:
    """The labelled points, in the order of the file."""
    rows = pd.read_parquet(data / "aef-points-multiyear" / "aef_points_3years.parquet").sort_values(["point", "year"])
    codes = rows[[f"A{band:02d}" for band in range(64)]].to_numpy(np.int8).reshape(-1, 3, 64)
    step = rows.year.to_numpy().reshape(-1, 3) - rows.event_year.to_numpy().reshape(-1, 3)
    assert (step == [-1, 0, 1]).all()
    first = rows.iloc[::3]
    return Points(codes.transpose(1, 2, 0), first.label.to_numpy() == 1, first.region.str.split("_").str[0].to_numpy())


def write_points(data: Path, folder: Path) -> Path:
    """The points as a small raster; where its pixels lie means nothing."""
    points = aef_points(data).codes
    codes = np.full((3, 64, POINT_SHAPE[0] * POINT_SHAPE[1]), -128, np.int8)
    codes[:, :, : points.shape[2]] = points
    return write_mosaic(folder / "points.zarr", codes.reshape(3, 64, *POINT_SHAPE), chunk=8, shard=16, years=POINT_YEARS)


def dense(data: Path) -> np.ndarray:
    """The dense raster of 2024: (band, y, x) int8, -128 = no data."""
    with rasterio.open(data / "aef-wi-2024-dense" / "aef_2024_utm16n_int8.tif") as file:
        assert file.nodata == -128
        return file.read()


def dense_years(data: Path) -> np.ndarray:
    """The dense raster, and once more with other ground's vectors planted in a block of it: (time, band, y, x)."""
    before = dense(data)
    after = before.copy()
    after[:, *PLANTED] = before[:, *SOURCE]
    after[:, *HIDDEN] = -128
    after[17, *HALF_HIDDEN] = -128
    return np.stack([before, after])


def write_dense(data: Path, folder: Path) -> Path:
    """The dense raster of two years on its own UTM grid."""
    with rasterio.open(data / "aef-wi-2024-dense" / "aef_2024_utm16n_int8.tif") as file:
        crs, transform = f"EPSG:{file.crs.to_epsg()}", tuple(file.transform)[:6]
    return write_mosaic(
        folder / "dense.zarr", dense_years(data), chunk=32, shard=64, years=DENSE_YEARS, crs=crs, transform=transform
    )
