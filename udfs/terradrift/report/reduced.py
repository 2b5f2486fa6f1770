"""A run's rasters at the size of a picture, from their overviews; and its polygons drawn at that size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
import zarr

from terradrift.errors import StoreError
from terradrift.grid import Window
from terradrift.pixel_sets import PixelSets
from terradrift.store.zarr_view import ZarrView

MAX_SIDE = 1100
"""Pixels of the longest side of a picture."""


@dataclass(frozen=True)
class Canvas:
    """A picture's pixels: squares of `factor` x `factor` pixels of the mosaic."""

    window: Window
    """What is shown, in pixels of the mosaic; its sides are multiples of `factor`, so it may reach past the raster."""
    factor: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.window.height // self.factor, self.window.width // self.factor

    def to_canvas(self, geometry: Any) -> Any:
        """Geometries in (column, row) of the mosaic in pixels of the picture."""
        return shapely.transform(geometry, lambda xy: (xy - (self.window.x0, self.window.y0)) / self.factor)


def canvas_of(crop: Window, raster: Window) -> Canvas:
    """The picture of `crop`, a part of `raster`: a factor of two powers where overviews are of use."""
    most = max(crop.shape)
    factor = 1 if most <= MAX_SIDE else 1 << math.ceil(math.log2(most / MAX_SIDE))
    y0, x0 = (start + (at - start) // factor * factor for at, start in ((crop.y0, raster.y0), (crop.x0, raster.x0)))
    return Canvas(Window(y0, x0, _up(crop.y1 - y0, factor), _up(crop.x1 - x0, factor)), factor)


def read_reduced(root: str, name: str, raster: Window, canvas: Canvas) -> npt.NDArray[Any]:
    """An array (y, x) of a raster store on the canvas: the overview of its factor, else every so many pixels of a finer one.

    Memory is that of the picture; what lies past the raster is the array's fill value.
    """
    try:
        group = zarr.open_group(ZarrView(root), mode="r", zarr_format=3, use_consolidated=False)
        level, scale = _level(group, name, canvas.factor)
        array: Any = group[f"{level}/{name}"]
        step = canvas.factor // scale
        y0, x0 = (canvas.window.y0 - raster.y0) // scale, (canvas.window.x0 - raster.x0) // scale
        height, width = (side * step for side in canvas.shape)
        middle = (step - 1) // 2
        found = np.asarray(array[y0 + middle : y0 + height : step, x0 + middle : x0 + width : step])
    except (OSError, ValueError, KeyError) as cause:
        raise StoreError(f"cannot read {root}: {cause}; expected the raster of a finished run; run it again") from cause
    values = np.full(canvas.shape, array.fill_value, array.dtype)
    values[: found.shape[0], : found.shape[1]] = found
    return values


def _level(group: zarr.Group, name: str, factor: int) -> tuple[str, int]:
    """The coarsest overview that is no coarser than `factor` and holds the array, and its scale."""
    layout: Any = group.attrs["multiscales"]
    base = float(layout["layout"][0]["spatial:transform"][0])
    scales = {str(level["asset"]): round(float(level["spatial:transform"][0]) / base) for level in layout["layout"]}
    fitting = [(scale, asset) for asset, scale in scales.items() if factor % scale == 0 and f"{asset}/{name}" in group]
    scale, asset = max(fitting)
    return asset, scale


def draw_polygons(index: npt.NDArray[np.uint8], geometry: npt.NDArray[Any], values: npt.NDArray[np.uint8]) -> None:
    """Set the pixels of polygons, in pixels of the picture, to their values; one that holds no centre sets the pixel it is in."""
    xmin, ymin, xmax, ymax = shapely.bounds(geometry).T
    small = (xmax - xmin < 1) & (ymax - ymin < 1)  # most, where the picture is coarse; one by one they would take too long
    rows, cols = ((ymin + ymax) / 2)[small].astype(np.int64), ((xmin + xmax) / 2)[small].astype(np.int64)
    inside = (rows >= 0) & (rows < index.shape[0]) & (cols >= 0) & (cols < index.shape[1])
    index[rows[inside], cols[inside]] = values[small][inside]
    labels = PixelSets(geometry[~small]).labels(Window(0, 0, *index.shape))
    drawn = labels > 0
    index[drawn] = values[~small][labels[drawn] - 1]


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
