"""Zones: the area of interest on the mosaic's grid. What windows and tiles it needs, and which pixels lie in which zone."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from terradrift.errors import InputError
from terradrift.grid import Grid, Window
from terradrift.kernels.mask import Edges, fill_zones, polygon_edges, touched_tiles

Scalar = str | int | float | bool | None
Transform = tuple[float, float, float, float, float, float]

ANTIMERIDIAN = 180.0


def usable_width(grid: Grid) -> int:
    """Columns of the mosaic that are no padding. In a geographic CRS columns with a centre beyond +180 degrees repeat the
    west edge or hold nothing."""
    if not grid.is_geographic:
        return grid.width
    half_turn = math.radians(ANTIMERIDIAN) / grid.pyproj_crs.axis_info[0].unit_conversion_factor
    return max(0, min(grid.width, math.floor(grid.col(half_turn) - 0.5) + 1))


def usable_bounds(grid: Grid) -> tuple[float, float, float, float]:
    """(xmin, ymin, xmax, ymax) of the usable columns in the mosaic's CRS."""
    return grid.window_bounds(Window(0, 0, grid.height, usable_width(grid)))


@dataclass(frozen=True)
class Zones:
    """The area of interest: zone n is `geometries[n]`. Cheap to send to executors with `to_bytes`."""

    geometries: tuple[Polygon | MultiPolygon, ...]
    """Valid polygons in the mosaic's CRS, in the order of the AOI file; also where they reach outside the mosaic."""
    attributes: tuple[dict[str, Scalar], ...]
    """One a zone, as in the AOI file; dates as ISO text."""
    source: str
    """The AOI as it was asked for: path, WKT, box or `whole mosaic`."""
    transform: Transform
    """The mosaic's, from its pixel corners to its CRS."""
    outside: BaseGeometry
    """What lies outside the mosaic, in its CRS; may be empty."""
    warnings: tuple[str, ...] = ()
    """One line each."""

    def window(self, grid: Grid, tile_size: int) -> Window:
        """The zones' bounds snapped outward to tiles of `tile_size` pixels, clipped to the array and its usable columns."""
        clipped = shapely.clip_by_rect(np.array(self.geometries, object), *usable_bounds(grid))
        xmin, ymin, xmax, ymax = (float(bound) for bound in shapely.total_bounds(clipped))
        snapped = None if math.isnan(xmin) else grid.snap((xmin, ymin, xmax, ymax), tile_size)
        usable = Window(0, 0, grid.height, usable_width(grid))
        window = snapped.intersection(usable) if snapped else None
        if window is None:
            raise InputError(f"aoi: found no pixel of the mosaic in {self.source[:80]!r}, expected an area of pixels")
        return window

    def tiles(self, grid: Grid, tile_size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows and columns, on the mosaic's grid of tiles, of the tiles that can hold a pixel of a zone; row-major order.

        Of two tiles that a zone merely touches between pixel centres none is listed; no tile with a pixel is left out.
        """
        (row0, col0), touched = self.touched(grid, tile_size)
        rows, cols = np.nonzero(touched)
        return rows + row0, cols + col0

    def touched(self, grid: Grid, tile_size: int) -> tuple[tuple[int, int], npt.NDArray[np.bool_]]:
        """The same tiles as a map (row, column) of those that the bounds span, and the row and column it begins with."""
        window = self.window(grid, tile_size)
        row0, col0 = window.y0 // tile_size, window.x0 // tile_size
        shape = math.ceil(window.y1 / tile_size) - row0, math.ceil(window.x1 / tile_size) - col0
        return (row0, col0), touched_tiles(*self._edges, tile_size, (row0, col0, *shape))

    def mask(self, window: Window) -> npt.NDArray[np.int32]:
        """Lowest zone that contains each pixel's centre, -1 outside all: (y, x) int32; the same in whatever window."""
        return fill_zones(*self._edges, (window.y0, window.x0, window.height, window.width))

    @cached_property
    def _edges(self) -> tuple[Edges, npt.NDArray[np.int64]]:
        """Edges of all zones in pixel coordinates of the mosaic, and where each zone's begin."""
        a, _, c, _, e, f = self.transform
        parts, zone = shapely.get_parts(np.array(self.geometries, object), return_index=True)
        rings, part = shapely.get_rings(parts, return_index=True)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        edges, ring_of_edge = polygon_edges((points - (c, f)) / (a, e), ring)
        zone_of_edge = zone[part][ring_of_edge]
        return edges, np.searchsorted(zone_of_edge, np.arange(len(self.geometries) + 1))

    def to_bytes(self) -> bytes:
        """A JSON line, then the geometries and `outside` as WKB."""
        shapes = [shapely.to_wkb(geometry) for geometry in (*self.geometries, self.outside)]
        header = {
            "source": self.source,
            "transform": self.transform,
            "warnings": self.warnings,
            "attributes": self.attributes,
            "sizes": [len(shape) for shape in shapes],
        }
        return json.dumps(header, allow_nan=False).encode() + b"\n" + b"".join(shapes)

    @staticmethod
    def from_bytes(data: bytes) -> Zones:
        """The zones that `to_bytes` wrote."""
        line, shapes = data.split(b"\n", 1)
        header = json.loads(line)
        ends = np.cumsum(header["sizes"])
        geometries = [shapely.from_wkb(shapes[end - size : end]) for end, size in zip(ends, header["sizes"], strict=True)]
        return Zones(
            geometries=tuple(geometries[:-1]),
            attributes=tuple(header["attributes"]),
            source=header["source"],
            transform=tuple(header["transform"]),
            outside=geometries[-1],
            warnings=tuple(header["warnings"]),
        )
