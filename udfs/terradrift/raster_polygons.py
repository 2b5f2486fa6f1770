"""Polygons of a raster in a notebook, without Spark: one row a connected region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from terradrift.errors import InputError
from terradrift.fragments import fragments
from terradrift.grid import Window
from terradrift.kernels.part_statistics import RASTERS, SCORE_UNIT

if TYPE_CHECKING:
    import geopandas as gpd


def polygonize(
    mask_or_classes: npt.ArrayLike,
    score: npt.ArrayLike | None = None,
    *,
    connectivity: int = 4,
    min_pixels: int = 1,
    fill_holes_pixels: int = 0,
    transform: Sequence[float] | None = None,
    crs: Any = None,
) -> gpd.GeoDataFrame:
    """Polygons of a mask or a class raster (y, x), one row a connected region of equal class; 0 is not mapped.

    Columns: change_id (1 + row-major index of the first pixel), class, n_pixels, score_mean and score_max where a score (y, x) is
    given, geometry in pixel coordinates (x = column, y = row), or in the CRS of `transform` (a, b, c, d, e, f, as rasterio's).
    connectivity 8 joins regions that touch at a corner into one MultiPolygon. Regions of fewer than `min_pixels` are left out,
    holes of at most `fill_holes_pixels` filled: n_pixels counts them, the score does not; what lies in them keeps its own row.
    """
    import geopandas as gpd
    import shapely

    if connectivity not in (4, 8):
        raise InputError(f"connectivity: found {connectivity}; expected 4 or 8")
    if min_pixels < 1 or fill_holes_pixels < 0:
        raise InputError(
            f"min_pixels, fill_holes_pixels: found {min_pixels} and {fill_holes_pixels}; expected at least 1 and at least 0"
        )
    classes = np.asarray(mask_or_classes)
    if classes.ndim != 2:
        raise InputError(f"mask_or_classes: found {classes.ndim} dimensions; expected (y, x); select one band")
    window = Window(0, 0, *classes.shape)
    zeros: dict[str, Any] = {name: np.zeros(classes.shape, dtype) for name, dtype in RASTERS.items() if name != "q"}
    if score is not None:
        zeros["score"] = np.asarray(score)
    batch = fragments(
        window, window, classes, **zeros, q=None, years=(), pixel_area=lambda part: np.ones((part.height, 1), np.int64),
        mosaic_width=window.width, connectivity=connectivity, min_pixels=min_pixels, fill_holes_pixels=fill_holes_pixels,
    )  # fmt: skip
    columns = {"change_id": batch["gid"].to_numpy()}
    columns |= {name: batch[name].to_numpy() for name in ("class", "n_pixels")}
    if score is not None:
        columns["score_mean"] = batch["score_sum"].to_numpy() * SCORE_UNIT / batch["n_scored"].to_numpy()
        columns["score_max"] = batch["score_max"].to_numpy()
    geometry = shapely.from_wkb(batch["geometry"].to_numpy(zero_copy_only=False))
    if transform is not None:
        a, b, c, d, e, f = tuple(transform)[:6]
        geometry = shapely.transform(geometry, lambda xy: xy @ np.array([[a, d], [b, e]]) + (c, f))
    return gpd.GeoDataFrame(columns, geometry=geometry, crs=crs)
