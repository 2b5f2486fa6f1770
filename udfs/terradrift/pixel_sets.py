"""Geometries as sets of pixels: polygons by the pixel centres they hold, points by the pixel they lie in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from terradrift.grid import Window
from terradrift.kernels.mask import Edges, fill_zones, polygon_edges


@dataclass(frozen=True)
class PixelSets:
    """Points, polygons and their multiples in (column, row) of the mosaic, numbered from 1; the first to claim a pixel has it.

    A polygon between pixel centres is taken as a point in it, so that no small site is lost. Points come after polygons.
    """

    geometry: npt.NDArray[Any]

    def labels(self, window: Window) -> npt.NDArray[np.int32]:
        """Number of the geometry at each pixel, 0 for none: (y, x) int32; the same in whatever window."""
        zones = fill_zones(*self._edges, (window.y0, window.x0, window.height, window.width))
        labels: npt.NDArray[np.int32] = zones + np.int32(1)
        place, owner = self._points
        y, x = place[:, 1] - window.y0, place[:, 0] - window.x0
        here = (y >= 0) & (y < window.height) & (x >= 0) & (x < window.width)
        y, x, owner = y[here][::-1], x[here][::-1], owner[here][::-1]  # the last to write is the first
        free = labels[y, x] == 0
        labels[y[free], x[free]] = owner[free] + 1
        return labels

    def covered(self, window: Window) -> npt.NDArray[np.bool_]:
        """Pixels of any of them: (y, x)."""
        return self.labels(window) > 0

    @cached_property
    def _edges(self) -> tuple[Edges, npt.NDArray[np.int64]]:
        parts, owner = shapely.get_parts(self.geometry, return_index=True)
        polygonal = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
        rings, part = shapely.get_rings(parts[polygonal], return_index=True)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        edges, ring_of_edge = polygon_edges(points, ring)
        owner_of_edge = owner[polygonal][part][ring_of_edge]
        return edges, np.searchsorted(owner_of_edge, np.arange(len(self.geometry) + 1))

    @cached_property
    def _points(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Pixels (column, row) of the points, and of polygons that hold no pixel centre; the geometry of each."""
        parts, owner = shapely.get_parts(self.geometry, return_index=True)
        is_point = shapely.get_type_id(parts) == shapely.GeometryType.POINT
        small = ~is_point & ~_may_hold_centre(parts)
        points = np.concatenate([parts[is_point], shapely.point_on_surface(parts[small])])
        owners = np.concatenate([owner[is_point], owner[small]])
        order = np.argsort(owners, kind="stable")
        return np.floor(shapely.get_coordinates(points[order])).astype(np.int64), owners[order].astype(np.int64)


def _may_hold_centre(parts: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether a polygon holds a pixel centre; those with a box of more than two pixels a side surely do or are slivers."""
    bounds = shapely.bounds(parts)
    holds = np.ones(len(parts), np.bool_)
    for at in np.flatnonzero(shapely.area(parts) < 4):
        x0, y0, x1, y1 = bounds[at]
        x, y = np.meshgrid(np.arange(np.floor(x0), np.ceil(x1)) + 0.5, np.arange(np.floor(y0), np.ceil(y1)) + 0.5)
        holds[at] = bool(shapely.contains_xy(parts[at], x, y).any()) if x.size < 10_000 else True
    return holds
