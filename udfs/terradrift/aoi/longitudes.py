"""Polygons on the globe: outlines that jump at the antimeridian, longitudes of 0..360, polygons round a pole."""

from __future__ import annotations

from functools import reduce

import numpy as np
import numpy.typing as npt
import shapely
import shapely.affinity
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

WORLD = shapely.box(-180, -90, 180, 90)
HALF_TURN = 180.0  # a longer edge is shorter the other way round
FULL_TURN = 360.0
EXACT = 1e-9  # degrees; an edge of exactly 360 is the side of a map of the world unless its ring jumps elsewhere too


def polygonal(geometry: BaseGeometry) -> Polygon | MultiPolygon:
    """The polygons of a geometry, collections unfolded; empty where it has none."""
    parts = [part for part in _unfold(geometry) if isinstance(part, Polygon) and part.area > 0]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts) if parts else Polygon()


def _unfold(geometry: BaseGeometry) -> list[BaseGeometry]:
    parts = list(shapely.get_parts(geometry))
    return [leaf for part in parts for leaf in (_unfold(part) if hasattr(part, "geoms") else [part])]


def repaired(geometry: BaseGeometry) -> Polygon | MultiPolygon:
    """A valid polygon over the same ground; what two loops of an outline cover twice is covered."""
    return polygonal(shapely.make_valid(geometry, method="structure", keep_collapsed=False))


def jumps(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Which geometries have an edge longer than half a turn: (geometry) bool."""
    rings, owner = _rings(geometries)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    step = np.abs(np.diff(points[:, 0]))
    jump = (ring[1:] == ring[:-1]) & (step > HALF_TURN) & (np.abs(step - FULL_TURN) > EXACT)
    found = np.zeros(len(geometries), np.bool_)
    found[owner[ring[1:][jump]]] = True
    return found


def on_globe(geometry: Polygon | MultiPolygon, jumping: bool) -> Polygon | MultiPolygon:
    """The same ground with longitudes in -180..180, cut at the antimeridian; jumping: outlines that jump are followed."""
    if not jumping:
        return split(geometry)
    parts = []
    for polygon in shapely.get_parts(geometry):
        caps = [split(repaired(_follow(ring))) for ring in [polygon.exterior, *polygon.interiors]]
        # inside is what an odd number of rings encloses: of two rings round one pole either may be called the hole
        parts.append(reduce(shapely.symmetric_difference, caps))
    return polygonal(shapely.union_all(parts))


def split(geometry: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    """A valid polygon of any longitudes cut at the antimeridian and moved into -180..180."""
    west, _, east, _ = geometry.bounds
    if geometry.is_empty or (west >= -HALF_TURN and east <= HALF_TURN):
        return geometry
    turns = range(int(np.floor((west + HALF_TURN) / FULL_TURN)), int(np.floor((east + HALF_TURN) / FULL_TURN)) + 1)
    parts = [shapely.affinity.translate(geometry, -FULL_TURN * turn) for turn in turns]
    return polygonal(shapely.union_all(shapely.intersection(parts, WORLD)))


def _follow(ring: BaseGeometry) -> Polygon:
    """The polygon of a ring whose jumps are read as crossings of the antimeridian; one that goes round closes at its pole."""
    points = shapely.get_coordinates(ring)
    step = np.diff(points[:, 0])
    long = np.abs(step) > HALF_TURN
    crosses = long & np.any(long & (np.abs(np.abs(step) - FULL_TURN) > EXACT))
    turns = np.concatenate([[0], np.cumsum(np.where(crosses, -np.rint(step / FULL_TURN), 0))])
    points[:, 0] += FULL_TURN * turns
    if turns[-1] != 0:
        pole = 90.0 if points[:, 1].mean() > 0 else -90.0
        points = np.vstack([points, [(points[-1, 0], pole), (points[0, 0], pole)]])
    return Polygon(points)


def _rings(geometries: npt.NDArray[np.object_]) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    """Every ring and the geometry it belongs to."""
    parts, owner = shapely.get_parts(geometries, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    return rings, owner[part]
