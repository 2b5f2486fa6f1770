"""Single values of the run file: what each may be, and the sentence where it is something else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import pyproj
import pyproj.exceptions
from pydantic import AfterValidator, Field, Strict, WithJsonSchema

from terradrift.errors import near_miss
from terradrift.kernels.annual import ANNUAL
from terradrift.kernels.detectors import DETECTORS
from terradrift.kernels.distances import DISTANCES
from terradrift.kernels.series import KINDS
from terradrift.kernels.strata import MAX_STRATA
from terradrift.params.locations import check_characters, is_wkt, local_path
from terradrift.params.messages import show

MAX_INT = 2**31 - 1
MAX_DEGREES = 1000.0


def _known(noun: str, names: Iterable[str]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"unknown {noun} {show(value)}{near_miss(value, names)}")
        return value

    return check


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a name given twice."""
    if len(set(values)) < len(values):
        raise ValueError(f"found {show(values)}, expected every name once")
    return values


def aoi_spec(value: object) -> object:
    """An area of interest: WKT, an absolute path or four degrees."""
    if value is None or (isinstance(value, str) and is_wkt(value)):
        return value
    if isinstance(value, str):
        return local_path(value)
    numbers = value if isinstance(value, (list, tuple)) else ()
    plain = all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in numbers)
    if len(numbers) != 4 or not plain or not all(abs(item) < MAX_DEGREES for item in numbers):
        raise ValueError(
            f"found {show(value)}, expected a vector file, WKT or [west, south, east, north] in degrees; omit it for all"
        )
    return tuple(float(item) for item in numbers)


def crs_code(text: str) -> str:
    """The authority's code of a two-dimensional map CRS."""
    what = "expected an authority's code such as 'EPSG:4326'"
    check_characters(text)
    if "=" in text:  # PROJ strings may name files and grids
        raise ValueError(f"found {show(text)}, {what}")
    try:
        crs = pyproj.CRS.from_user_input(text)
        authority = crs.to_authority()
    except pyproj.exceptions.ProjError:
        raise ValueError(f"found {show(text)}, which PROJ does not know, {what}") from None
    if authority is None or not (crs.is_geographic or crs.is_projected) or len(crs.axis_info) != 2:
        raise ValueError(f"found {show(text)}, which is no two-dimensional map CRS with a code, {what}")
    return ":".join(authority)


def strata_spec(value: object) -> object:
    """A number of strata, or the absolute path of a file of them."""
    if isinstance(value, str):
        return local_path(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_STRATA:
        raise ValueError(f"found {show(value)}, expected a whole number from 1 to {MAX_STRATA}, or a vector file or GeoTIFF")
    return value


STRATA_SCHEMA = WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_STRATA}, {"type": "string"}]})


def _choice(names: Iterable[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(names)})


Count = Annotated[int, Field(ge=1, le=MAX_INT)]
Zoom = Annotated[int, Field(ge=0, le=18)]  # the units of vector tiles end there
Year = Annotated[int, Field(ge=1900, le=2100)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Distance = Annotated[str, AfterValidator(_known("distance", DISTANCES)), _choice(DISTANCES)]
Score = Annotated[str, AfterValidator(_known("score", ANNUAL)), _choice(ANNUAL)]
Detector = Annotated[str, AfterValidator(_known("detector", DETECTORS)), _choice(DETECTORS)]
Kind = Annotated[str, AfterValidator(_known("kind", KINDS[1:])), _choice(KINDS[1:])]
Names = Strict(False)  # YAML has lists, a frozen model holds tuples; the items stay strict
