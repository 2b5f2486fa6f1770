"""What takes polygons from mosaic pixels to the tables' CRS, checked before Spark starts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyproj

from terradrift.errors import InputError

MIN_MAX_VERTICES = 5  # ST_SubDivide returns nothing, without an error, below this

SessionValue = float | int | str | list[int] | list[str]


def crs_of(text: Any, field: str) -> pyproj.CRS:
    """Whatever pyproj understands as a CRS. Raises InputError that names `field`."""
    try:
        return pyproj.CRS.from_user_input(text)
    except pyproj.exceptions.CRSError as cause:
        raise InputError(f"{field}: {text!r} is not a known CRS; use EPSG:4326") from cause


@dataclass(frozen=True)
class RefineSettings:
    """What the SQL needs to know of a run. Raises InputError where a value cannot be used."""

    transform: tuple[float, float, float, float, float, float]
    """(a, b, c, d, e, f) of rasterio: mosaic pixels to the mosaic's CRS."""
    source_crs: str
    """CRS of the mosaic: a code or WKT."""
    target_crs: str
    """CRS of the tables: `EPSG:<code>`."""
    simplify_m: float
    """Tolerance of the simplification in metres; 0 removes collinear vertices only."""
    precision_m: float
    """Coordinates are kept at least this fine, in metres."""
    max_vertices: int
    """Most vertices of one row of polygon_parts."""
    pixel_m: float
    """Height of a mosaic pixel in metres."""
    years: tuple[int, ...]
    """Years of the run, ascending: the entries of `year_counts`."""
    zones: int
    """Number of zones of the area of interest."""

    def __post_init__(self) -> None:
        if not 0 <= self.simplify_m < math.inf:
            raise InputError(f"refine.simplify_m: {self.simplify_m} is not a length in metres; use 0 or more")
        if not 0 < self.precision_m < math.inf:
            raise InputError(f"refine.precision_m: {self.precision_m} is not a length in metres; use more than 0")
        if self.max_vertices < MIN_MAX_VERTICES:
            raise InputError(f"refine.max_vertices: {self.max_vertices} is below {MIN_MAX_VERTICES}; use 256")
        if not 0 < self.pixel_m < math.inf:
            raise InputError(f"pixel_m: {self.pixel_m} is not a length in metres; use more than 0")
        if list(self.years) != sorted(set(self.years)):
            raise InputError(f"years: {list(self.years)} are not ascending; list each year once, in order")
        if not (self.target.is_geographic or self.target.is_projected) or len(self.target.axis_info) != 2:
            raise InputError(f"refine.crs: {self.target_crs} is not a CRS of the plane or of degrees; use EPSG:4326")
        _ = self.source_text

    @cached_property
    def target(self) -> pyproj.CRS:
        if not re.fullmatch(r"EPSG:\d+", self.target_crs):
            raise InputError(f"refine.crs: {self.target_crs!r} is not of the form EPSG:<code>; use EPSG:4326")
        return crs_of(self.target_crs, "refine.crs")

    @cached_property
    def source(self) -> pyproj.CRS:
        return crs_of(self.source_crs, "mosaic CRS")

    @cached_property
    def source_text(self) -> str:
        """The mosaic's CRS as Sedona reads it: the target's text where they are equal, else a code, else WKT 1."""
        if self.source.equals(self.target, ignore_axis_order=True):
            return self.target_crs
        code = self.source.to_epsg(min_confidence=100)
        if code is not None:
            return f"EPSG:{code}"
        try:
            return self.source.to_wkt("WKT1_GDAL", output_axis_rule=False)
        except pyproj.exceptions.CRSError as cause:
            raise InputError(f"mosaic CRS: {self.source.name} has no code and no WKT 1; give it an EPSG code") from cause

    @property
    def simplify_pixels(self) -> float:
        return self.simplify_m / self.pixel_m

    @cached_property
    def target_unit_m(self) -> float:
        """Metres of one unit of the target CRS; of a degree, those along the equator."""
        unit = self.target.axis_info[0].unit_conversion_factor
        ellipsoid = self.target.ellipsoid
        return float(unit * ellipsoid.semi_major_metre) if self.target.is_geographic and ellipsoid else float(unit)

    @property
    def precision_decimals(self) -> int:
        """Decimals that keep `precision_m`: 0.1 m is 7 decimals of a degree and 1 of a metre."""
        return math.ceil(round(-math.log10(self.precision_m / self.target_unit_m), 9))

    def variables(self) -> dict[str, SessionValue]:
        """Session variables of `sql/params.sql` that a run sets."""
        return {
            **{f"affine_{name}": float(value) for name, value in zip("abcdef", self.transform, strict=True)},
            "years": list(self.years),
            "zone_count": self.zones,
            "simplify_pixels": self.simplify_pixels,
            "source_crs": self.source_text,
            "target_crs": self.target_crs,
            "target_srid": int(self.target_crs.removeprefix("EPSG:")),
            "precision_decimals": self.precision_decimals,
            "max_vertices": self.max_vertices,
        }
