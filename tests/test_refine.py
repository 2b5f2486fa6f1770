"""What takes polygons to the tables' CRS: units, CRS texts, and what is refused before Spark starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyproj
import pytest

from terradrift.errors import InputError
from terradrift.refine import RefineSettings

DEGREES = RefineSettings(
    transform=(1e-4, 0.0, 13.0, 0.0, -1e-4, 53.0),
    source_crs="EPSG:4326",
    target_crs="EPSG:4326",
    simplify_m=7.5,
    precision_m=0.1,
    max_vertices=256,
    pixel_m=11.132,
    years=(2019, 2020),
    zones=1,
)


@pytest.mark.parametrize(
    ("crs", "precision_m", "decimals"),
    [
        ("EPSG:4326", 0.1, 7),  # 1e-7 degrees are 0.011 m, 1e-6 are 0.11 m
        ("EPSG:4326", 0.12, 6),
        ("EPSG:4326", 1.0, 6),
        ("EPSG:32633", 0.1, 1),
        ("EPSG:32633", 0.5, 1),
        ("EPSG:32633", 0.001, 3),
        ("EPSG:32633", 1.0, 0),
        ("EPSG:32633", 10.0, -1),
        ("EPSG:2263", 0.1, 1),  # US survey feet: 0.1 ft are 0.03 m
        ("EPSG:2263", 0.4, 0),  # 1 ft is 0.30 m
    ],
)
def test_decimals_keep_the_precision(crs: str, precision_m: float, decimals: int) -> None:
    assert replace(DEGREES, target_crs=crs, precision_m=precision_m).precision_decimals == decimals


def test_tolerance_counts_pixel_heights() -> None:
    assert replace(DEGREES, simplify_m=15.0, pixel_m=10.0).simplify_pixels == 1.5


def test_equal_crs_have_equal_texts() -> None:
    spelled_out = replace(DEGREES, source_crs="OGC:CRS84").source_text
    assert spelled_out == "EPSG:4326"
    assert replace(DEGREES, source_crs=pyproj.CRS("EPSG:4326").to_wkt()).source_text == "EPSG:4326"


def test_a_crs_with_a_code_goes_by_it_and_another_as_wkt_1() -> None:
    assert replace(DEGREES, source_crs=pyproj.CRS("EPSG:32633").to_wkt()).source_text == "EPSG:32633"
    own = pyproj.CRS.from_proj4("+proj=laea +lat_0=52 +lon_0=14 +datum=WGS84")
    text = replace(DEGREES, source_crs=own.to_wkt()).source_text
    assert text.startswith("PROJCS[")
    assert pyproj.CRS(text).equals(own)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("target_crs", "WGS84", r"refine.crs: 'WGS84' is not of the form EPSG:<code>"),
        ("target_crs", "EPSG:4326' OR '1'='1", r"refine.crs: .* is not of the form"),
        ("target_crs", "EPSG:999999", r"refine.crs: 'EPSG:999999' is not a known CRS"),
        ("target_crs", "EPSG:4978", r"refine.crs: EPSG:4978 is not a CRS of the plane or of degrees"),
        ("source_crs", "nonsense", r"mosaic CRS: 'nonsense' is not a known CRS"),
        ("simplify_m", -1.0, r"refine.simplify_m: -1.0"),
        ("simplify_m", float("nan"), r"refine.simplify_m: nan"),
        ("precision_m", 0.0, r"refine.precision_m: 0.0"),
        ("max_vertices", 4, r"refine.max_vertices: 4 is below 5"),
        ("pixel_m", 0.0, r"pixel_m: 0.0"),
        ("years", (2020, 2019), r"years: \[2020, 2019\] are not ascending"),
    ],
)
def test_what_cannot_be_used_is_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(DEGREES, **{field: value})
