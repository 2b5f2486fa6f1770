"""From what a user gives to zones on the mosaic's grid: checked, repaired, cut at the antimeridian, in the mosaic's CRS."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyproj
import pyproj.exceptions
import shapely
from shapely import Polygon

from terradrift.aoi.files import LONLAT, Source, read_source
from terradrift.aoi.longitudes import jumps, on_globe, polygonal, repaired
from terradrift.aoi.zones import Zones, usable_bounds
from terradrift.errors import InputError
from terradrift.grid import Grid
from terradrift.params.messages import one_line

MAX_VERTICES = 4_000_000
"""Zones travel to every executor: 64 MB there."""

EARTH_RADIUS_M = 6_371_000.0
METRES_A_DEGREE = 111_320.0
EDGE_TOLERANCE_PIXELS = 0.01
"""How far the chord of a reprojected edge may lie from the edge, at latitudes up to 80 degrees."""
TANGENT_OF_80 = 5.67  # the curvature of a parallel or meridian on a map is at most tan(latitude) / R

SMALL_WINDOW = 1 << 22
"""Pixels of a window that is searched for a pixel centre at once."""

Geometries = npt.NDArray[np.object_]


def read_aoi(spec: str | Sequence[float] | None, grid: Grid) -> Zones:
    """The zones of an area of interest in the mosaic's CRS; every geometry is one zone, in file order.

    spec: path of a vector file (its CRS is read), WKT (EPSG:4326), [west, south, east, north] (EPSG:4326, longitude and
    latitude in degrees; west > east crosses the antimeridian), or None for the whole mosaic.
    InputError, one line: not readable, not polygons, not in degrees, no CRS, or nothing of it on the mosaic.
    """
    if spec is None:
        whole = shapely.box(*usable_bounds(grid))
        return Zones((whole,), ({},), "whole mosaic", grid.transform, outside=Polygon())
    with np.errstate(all="ignore"):  # what is not finite is refused, not warned about
        source = read_source(spec)
        geometries = _polygons(source)
        geometries = _repair(geometries, source)
        geometries = _reproject(geometries, source, grid)
        return _on_mosaic(geometries, source, grid)


def _refuse(source: Source, zones: npt.NDArray[np.bool_], found: str, expected: str) -> None:
    """InputError for the first zone that is marked."""
    if zones.any():
        raise InputError(f"{source.label}: zone {int(zones.argmax())}: found {found}, expected {expected}")


def _polygons(source: Source) -> Geometries:
    """Flat polygons with finite coordinates, as many as there were geometries."""
    geometries = source.geometries
    what = "a Polygon or MultiPolygon"
    if len(geometries) == 0:
        raise InputError(f"{source.label}: found no features, expected at least one polygon")
    _refuse(source, shapely.is_missing(geometries) | shapely.is_empty(geometries), "no geometry", f"{what}; remove it")
    types = shapely.get_type_id(geometries)
    collections = types == shapely.GeometryType.GEOMETRYCOLLECTION
    flat = np.isin(types, (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON))
    wrong = ~flat & ~collections
    _refuse(source, wrong, f"a {geometries[wrong.argmax()].geom_type}", f"{what}; buffer or remove it")
    vertices = int(shapely.get_num_coordinates(geometries).sum())
    if vertices > MAX_VERTICES:
        raise InputError(f"{source.label}: found {vertices} vertices, expected at most {MAX_VERTICES}; simplify the zones first")
    points, zone = shapely.get_coordinates(geometries, return_index=True)
    _refuse(
        source,
        _owners(zone, ~np.isfinite(points).all(axis=1), len(geometries)),
        "a NaN or infinite coordinate",
        "numbers",
    )
    if _in_degrees(source.crs):
        lon, lat = np.abs(points[:, 0]), np.abs(points[:, 1])
        worst = f"latitude {points[lat.argmax(), 1]:.6g}"
        far = _owners(zone, lat > 90, len(geometries))
        metres = "; metres? then the file needs its CRS, and GeoJSON degrees" if lat.max() > 360 else "; are the two swapped?"
        _refuse(source, far, worst, f"longitude, latitude in degrees, latitude in -90..90{metres}")
        far = _owners(zone, lon > 360, len(geometries))
        _refuse(source, far, f"longitude {points[lon.argmax(), 0]:.6g}", "degrees in -180..180 or 0..360; is the CRS right?")
    geometries = shapely.force_2d(geometries)
    for index in np.flatnonzero(collections):
        geometries[index] = polygonal(geometries[index])
    _refuse(source, shapely.is_empty(geometries), "a GeometryCollection without polygons", what)
    return np.asarray(geometries, object)


def _owners(zone: npt.NDArray[np.int64], points: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.bool_]:
    """Zones of the marked points."""
    found = np.zeros(count, np.bool_)
    found[zone[points]] = True
    return found


def _in_degrees(crs: pyproj.CRS) -> bool:
    return crs.is_geographic and math.isclose(crs.axis_info[0].unit_conversion_factor, math.radians(1))


def _repair(geometries: Geometries, source: Source) -> Geometries:
    """Valid polygons; in degrees with longitudes in -180..180."""
    jumping = jumps(geometries) if _in_degrees(source.crs) else np.zeros(len(geometries), np.bool_)
    crossed = ~shapely.is_valid(geometries) & ~jumping
    geometries = geometries.copy()
    for index in np.flatnonzero(crossed):
        geometries[index] = repaired(geometries[index])
    if _in_degrees(source.crs):
        geometries = _cut(geometries, jumping)
    flat = shapely.area(geometries) == 0
    _refuse(source, flat, "a polygon of zero area", "an outline that encloses ground")
    if crossed.any():
        source.warnings.append(f"{source.label}: repaired {crossed.sum()} of {len(crossed)} zones, whose outlines cross")
    if jumping.any():
        source.warnings.append(
            f"{source.label}: {jumping.sum()} zones have edges over more than 180 degrees of longitude; "
            "read as crossing the antimeridian"
        )
    return geometries


def _cut(geometries: Geometries, jumping: npt.NDArray[np.bool_]) -> Geometries:
    bounds = shapely.bounds(geometries)
    for index in np.flatnonzero(jumping | (bounds[:, 0] < -180) | (bounds[:, 2] > 180)):
        geometries[index] = on_globe(geometries[index], bool(jumping[index]))
    return geometries


def _reproject(geometries: Geometries, source: Source, grid: Grid) -> Geometries:
    crs, target = source.crs, grid.pyproj_crs
    if crs.equals(target, ignore_axis_order=True):
        return geometries
    what = f"zones that can be expressed in {one_line(grid.crs, 40)}"
    try:
        transformer = pyproj.Transformer.from_crs(crs, target, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        cause = one_line(error)
        raise InputError(f"{source.label}: found CRS {one_line(crs.name, 60)} ({cause}), expected {what}") from None
    if not (crs.is_geographic and target.is_geographic):
        step = _longest_edge(crs, grid)
        if not shapely.length(geometries).sum() / step < MAX_VERTICES:
            raise InputError(f"{source.label}: found outlines too long for {MAX_VERTICES} edges of {step:.4g}, expected {what}")
        geometries = shapely.segmentize(geometries, step)
    moved = shapely.transform(geometries, transformer.transform, interleaved=False)
    points, zone = shapely.get_coordinates(moved, return_index=True)
    lost = _owners(zone, ~np.isfinite(points).all(axis=1), len(moved))
    _refuse(source, lost, f"a place that has no coordinates in {one_line(grid.crs, 40)}", what)
    if _in_degrees(target):
        moved = _cut(moved, jumps(moved) if not crs.is_geographic else np.zeros(len(moved), np.bool_))
    for index in np.flatnonzero(~shapely.is_valid(moved)):
        moved[index] = repaired(moved[index])
    return np.asarray(moved, object)


def _longest_edge(crs: pyproj.CRS, grid: Grid) -> float:
    """Length, in units of `crs`, at which an edge's sagitta L^2 tan(latitude) / 8R reaches a hundredth of a pixel."""
    pixel_m = abs(grid.transform[0]) * _metres_a_unit(grid.pyproj_crs)
    return math.sqrt(8 * EARTH_RADIUS_M / TANGENT_OF_80 * EDGE_TOLERANCE_PIXELS * pixel_m) / _metres_a_unit(crs)


def _metres_a_unit(crs: pyproj.CRS) -> float:
    factor = crs.axis_info[0].unit_conversion_factor
    return factor / math.radians(1) * METRES_A_DEGREE if crs.is_geographic else factor


def _on_mosaic(geometries: Geometries, source: Source, grid: Grid) -> Zones:
    bounds = usable_bounds(grid)
    mosaic = shapely.box(*bounds)
    missed = shapely.area(shapely.clip_by_rect(geometries, *bounds)) == 0
    if missed.all():
        own = ", ".join(f"{bound:.6g}" for bound in shapely.total_bounds(geometries))
        theirs = ", ".join(f"{bound:.6g}" for bound in bounds)
        raise InputError(
            f"{source.label}: found bounds [{own}], expected some of the mosaic's [{theirs}] ({one_line(grid.crs, 40)})"
            f"{_swapped(source, grid) or '; check the place and the CRS of the area'}"
        )
    if missed.any():
        listed = ", ".join(map(str, np.flatnonzero(missed)[:5])) + (", ..." if missed.sum() > 5 else "")
        source.warnings.append(f"{source.label}: {missed.sum()} zones lie wholly outside the mosaic ({listed})")
    zones = Zones(
        geometries=tuple(geometries),
        attributes=tuple(source.attributes),
        source=source.text,
        transform=grid.transform,
        outside=_outside(geometries, mosaic, grid),
        warnings=tuple(source.warnings),
    )
    window = zones.window(grid, 1)
    if window.height * window.width <= SMALL_WINDOW and zones.mask(window).max() < 0:
        raise InputError(f"{source.label}: found an area between pixel centres, expected one that contains a pixel's centre")
    return zones


def _outside(geometries: Geometries, mosaic: Polygon, grid: Grid) -> shapely.Geometry:
    """The zones' ground beyond the mosaic; less than half a pixel beyond it no pixel could be missing."""
    reach = np.abs(grid.transform[0]) / 2, np.abs(grid.transform[4]) / 2
    west, south, east, north = mosaic.bounds
    b = shapely.bounds(geometries)
    beyond = (
        (b[:, 0] < west - reach[0]) | (b[:, 2] > east + reach[0]) | (b[:, 1] < south - reach[1]) | (b[:, 3] > north + reach[1])
    )
    return polygonal(shapely.union_all(shapely.difference(geometries[beyond], mosaic)))


def _swapped(source: Source, grid: Grid) -> str:
    """A hint where the mosaic would hold the zones with their coordinates exchanged."""
    if not _in_degrees(source.crs):
        return ""
    south, west, north, east = shapely.total_bounds(source.geometries)
    if max(abs(south), abs(north)) > 90:
        return ""
    try:
        bounds = pyproj.Transformer.from_crs(LONLAT, grid.pyproj_crs, always_xy=True).transform_bounds(west, south, east, north)
    except pyproj.exceptions.ProjError:
        return ""
    inside = shapely.box(*bounds).intersects(shapely.box(*usable_bounds(grid)))
    return "; longitude and latitude look swapped" if inside else ""
