"""The mosaic's pixel grid: integers everywhere, floats only in `Grid.transform`.

Rows count southwards and columns eastwards from the mosaic's own upper left corner, so that two runs with other areas of
interest name the same ground alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyproj

AREA_UNIT_M2 = 1e-6
"""Areas are summed as whole square millimetres (1e-6 m2), so that no sum depends on its order."""

AREA_CELL = 64
"""Rows and columns of one areal scale factor in a projected CRS; anchored on the mosaic's grid, so no area depends on tiles."""


@dataclass(frozen=True, order=True)
class Window:
    """A rectangle of pixels of the mosaic: rows y0 .. y0+height, columns x0 .. x0+width."""

    y0: int
    x0: int
    height: int
    width: int

    @property
    def y1(self) -> int:
        return self.y0 + self.height

    @property
    def x1(self) -> int:
        return self.x0 + self.width

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    def intersection(self, other: Window) -> Window | None:
        """The pixels in both, or None."""
        y0, x0 = max(self.y0, other.y0), max(self.x0, other.x0)
        y1, x1 = min(self.y1, other.y1), min(self.x1, other.x1)
        return Window(y0, x0, y1 - y0, x1 - x0) if y1 > y0 and x1 > x0 else None

    def coarser(self, step: int) -> Window:
        """The window in pixels of step x step; y0 and x0 are multiples of step."""
        return Window(self.y0 // step, self.x0 // step, -(-self.height // step), -(-self.width // step))

    def slices(self, origin: Window) -> tuple[slice, slice]:
        """Where this window lies in an array that covers `origin`."""
        return (
            slice(self.y0 - origin.y0, self.y1 - origin.y0),
            slice(self.x0 - origin.x0, self.x1 - origin.x0),
        )


@dataclass(frozen=True)
class Tile:
    """One task's share: tile `row`, `col` of the mosaic's grid of `size` x `size` pixel tiles, clipped to the array."""

    row: int
    col: int
    window: Window

    @property
    def id(self) -> str:
        return f"r{self.row:06d}_c{self.col:06d}"


@dataclass(frozen=True)
class Grid:
    """CRS, affine transform and shape of a north-up raster, in pixels of the mosaic."""

    crs: str
    """`EPSG:4326`-like code, or WKT2 where the mosaic has no code."""
    transform: tuple[float, float, float, float, float, float]
    """(a, b, c, d, e, f) of rasterio: x = a col + b row + c; y = d col + e row + f, at pixel corners; b = d = 0, e < 0."""
    height: int
    width: int

    @cached_property
    def pyproj_crs(self) -> pyproj.CRS:
        return pyproj.CRS.from_user_input(self.crs)

    @property
    def is_geographic(self) -> bool:
        return bool(self.pyproj_crs.is_geographic)

    @property
    def window(self) -> Window:
        return Window(0, 0, self.height, self.width)

    def coarser(self, step: int) -> Grid:
        """The grid whose pixels are step x step pixels of this one; the last row and column may reach beyond it."""
        a, b, c, d, e, f = self.transform
        return Grid(self.crs, (a * step, b, c, d, e * step, f), -(-self.height // step), -(-self.width // step))

    def x(self, col: float) -> float:
        """CRS x of column coordinate `col` (whole numbers are pixel corners)."""
        return self.transform[2] + self.transform[0] * col

    def y(self, row: float) -> float:
        """CRS y of row coordinate `row` (whole numbers are pixel corners)."""
        return self.transform[5] + self.transform[4] * row

    def col(self, x: float) -> float:
        return (x - self.transform[2]) / self.transform[0]

    def row(self, y: float) -> float:
        return (y - self.transform[5]) / self.transform[4]

    def window_transform(self, window: Window) -> tuple[float, float, float, float, float, float]:
        """The transform of a window, from whole pixel offsets."""
        a, b, _, d, e, _ = self.transform
        return a, b, self.x(window.x0), d, e, self.y(window.y0)

    def window_bounds(self, window: Window) -> tuple[float, float, float, float]:
        """(xmin, ymin, xmax, ymax) of a window in the CRS."""
        return self.x(window.x0), self.y(window.y1), self.x(window.x1), self.y(window.y0)

    def snap(self, bounds: tuple[float, float, float, float], multiple: int) -> Window | None:
        """The smallest window of whole tiles of `multiple` pixels that covers CRS `bounds`, cut at the array; None outside."""
        xmin, ymin, xmax, ymax = bounds
        slack = 1e-6  # of a pixel: a bound that is a tile edge up to rounding does not pull in the next tile
        x0 = math.floor((self.col(xmin) + slack) / multiple) * multiple
        x1 = math.ceil((self.col(xmax) - slack) / multiple) * multiple
        y0 = math.floor((self.row(ymax) + slack) / multiple) * multiple
        y1 = math.ceil((self.row(ymin) - slack) / multiple) * multiple
        if x1 <= x0 or y1 <= y0:
            return None
        return Window(y0, x0, y1 - y0, x1 - x0).intersection(self.window)

    def pixel_area(self, window: Window) -> npt.NDArray[np.int64]:
        """Geodesic area of every pixel of a window in whole square millimetres: (y, x), or (y, 1) where only the row matters.

        Geographic CRS: the exact area of an ellipsoidal latitude band (Snyder 1987, eq. 3-12) times the pixel's share of its
        circle. Projected CRS: planar area over the areal scale factor at the centre of a 64 pixel cell of the mosaic's grid.
        """
        if self.is_geographic:
            return self._latitude_band_areas(window)[:, None]
        return self._projected_areas(window)

    def _latitude_band_areas(self, window: Window) -> npt.NDArray[np.int64]:
        ellipsoid = self.pyproj_crs.ellipsoid
        if ellipsoid is None:
            raise ValueError(f"CRS {self.crs} has no ellipsoid")
        b = ellipsoid.semi_minor_metre
        e = math.sqrt(max(0.0, 1 - (b / ellipsoid.semi_major_metre) ** 2))
        edges = np.arange(window.y0, window.y1 + 1)
        unit = self.pyproj_crs.axis_info[0].unit_conversion_factor
        sine = np.sin((self.transform[5] + self.transform[4] * edges) * unit)
        zone = sine / (1 - (e * sine) ** 2) + (np.arctanh(e * sine) / e if e else sine)
        area = np.abs(np.diff(zone)) * b * b / 2 * abs(self.transform[0]) * unit
        return np.rint(area / AREA_UNIT_M2).astype(np.int64)

    def _projected_areas(self, window: Window) -> npt.NDArray[np.int64]:
        rows = np.arange(window.y0 // AREA_CELL, (window.y1 - 1) // AREA_CELL + 1)
        cols = np.arange(window.x0 // AREA_CELL, (window.x1 - 1) // AREA_CELL + 1)
        row, col = np.meshgrid(rows, cols, indexing="ij")
        x = self.transform[2] + self.transform[0] * (col + 0.5) * AREA_CELL
        y = self.transform[5] + self.transform[4] * (row + 0.5) * AREA_CELL
        crs = self.pyproj_crs
        geodetic = crs.geodetic_crs
        if geodetic is None:
            raise ValueError(f"CRS {self.crs} has no geodetic base")
        lon, lat = pyproj.Transformer.from_crs(crs, geodetic, always_xy=True).transform(x.ravel(), y.ravel())
        scale = np.asarray(pyproj.Proj(crs).get_factors(lon, lat).areal_scale).reshape(row.shape)
        metre = crs.axis_info[0].unit_conversion_factor
        area = abs(self.transform[0] * self.transform[4]) * metre**2 / scale
        cells = np.rint(area / AREA_UNIT_M2).astype(np.int64)
        y_cell = np.arange(window.y0, window.y1) // AREA_CELL - rows[0]
        x_cell = np.arange(window.x0, window.x1) // AREA_CELL - cols[0]
        return cells[y_cell[:, None], x_cell[None, :]]
