"""R7: areas of interest and strata that cannot be used: one clear line, nothing written, no Spark."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pytest
import shapely
from refusals import EAST, INSIDE, NORTH, SOUTH, WEST, Room, feature_collection, frame, refused, run_file, write_area

from mosaics import STEP, unit_codes, write_mosaic

pytestmark = [pytest.mark.row("R7"), pytest.mark.usefixtures("no_spark")]

ENGINEERING = 'ENGCRS["x",EDATUM["x"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],UNIT["metre",1]]'

MIDDLE = (WEST + EAST) / 2, (NORTH + SOUTH) / 2


def wkt(*points: tuple[float, float]) -> str:
    return f"POLYGON(({', '.join(f'{x} {y}' for x, y in points)}))"


def zipped(room: Room, name: str, content: bytes) -> str:
    with zipfile.ZipFile(room / "aoi.zip", "w") as archive:
        archive.writestr(name, content)
    return str(room / "aoi.zip")


def beside(room: Room, *lost: str) -> str:
    """A shapefile that lost some of its files."""
    path = write_area(room, "aoi.shp", frame(INSIDE))
    for ending in lost:
        Path(path).with_suffix(ending).unlink()
    return path


def spoiled(room: Room, name: str, start: int, end: int) -> str:
    path = Path(write_area(room, name, frame(INSIDE)))
    data = bytearray(path.read_bytes())
    data[start:end] = bytes(255 for _ in data[start:end])
    path.write_bytes(data)
    return str(path)


def unreadable(room: Room) -> str:
    os.mkfifo(room / "aoi.geojson")
    return str(room / "aoi.geojson")


def dangling(room: Room) -> str:
    (room / "aoi.geojson").symlink_to(room / "none")
    return str(room / "aoi.geojson")


AREAS: dict[str, tuple[Any, str]] = {
    "a box of three": ([1, 2, 3], "expected a vector file, WKT or [west, south, east, north]"),
    "a box upside down": ([WEST, NORTH, EAST, SOUTH], "south < north"),
    "a box elsewhere": ([10, 50, 11, 51], "expected some of the mosaic's"),
    "a box swapped": ([SOUTH, WEST, NORTH, EAST], "is it in the order lat, lon?"),
    "a box with NaN": ([WEST, SOUTH, EAST, float("nan")], "found"),
    "a box between pixel centres": ([WEST + 0.6 * STEP, NORTH - 0.9 * STEP, WEST + 0.9 * STEP, NORTH - 0.6 * STEP], "centre"),
    "WKT cut": ("POLYGON((1 2, 3 4", "no WKT"),
    "WKT of a point": (f"POINT({WEST} {SOUTH})", "found a Point"),
    "WKT of nothing": ("POLYGON EMPTY", "found no geometry"),
    "WKT without area": (f"POLYGON(({WEST} {SOUTH}, {EAST} {NORTH}, {WEST} {SOUTH}))", "zero area"),
    "a file that is not there": ("none.geojson", "found no such file"),
    "a folder": (".", "found a directory"),
    "an address": ("https://host/aoi.geojson", "expected a local path"),
    "a virtual path of GDAL": ("/vsicurl/https://host/aoi.geojson", "GDAL virtual path"),
    "an empty file": (("aoi.geojson", b""), "found an empty file"),
    "noise": (("aoi.geojson", b"not a vector file"), "cannot be read"),
    "GeoJSON cut": (("aoi.geojson", feature_collection(shapely.geometry.mapping(INSIDE)).encode()[:-30]), "cannot be read"),
    "GeoJSON without features": (("aoi.geojson", feature_collection().encode()), "found no features"),
    "GeoJSON of a line": (
        ("aoi.geojson", feature_collection({"type": "LineString", "coordinates": [[WEST, SOUTH], [EAST, NORTH]]}).encode()),
        "found a LineString",
    ),
    "GeoJSON in metres": (
        ("aoi.geojson", feature_collection(shapely.geometry.mapping(shapely.box(4e5, 5e6, 5e5, 6e6))).encode()), "-90..90",
    ),
    "a GeoPackage without CRS": (("aoi.gpkg", frame(INSIDE, crs=None)), "found no CRS"),
    "a GeoPackage in another place": (("aoi.gpkg", frame(INSIDE, crs="EPSG:32633")), "expected some of the mosaic's"),
    "a shapefile without CRS": (("aoi.shp", frame(INSIDE, crs=None)), "found no CRS"),
    "a FlatGeobuf of points": (("aoi.fgb", frame(shapely.Point(WEST, SOUTH))), "found a Point"),
    "GeoParquet without CRS": (("aoi.parquet", frame(INSIDE, crs=None)), "found no CRS"),
    "Parquet without geometry": (("aoi.parquet", pa.table({"a": [1]})), "metadata 'geo'"),
    "Parquet cut": (("aoi.parquet", b"PAR1 and no more"), "cannot be read"),
    "a zip of nothing": (("aoi.zip", b"PK\x03\x04" + bytes(100)), "cut or damaged"),
    "a table": (("aoi.csv", b"a,b\n1,2\n"), "no layer with geometries"),
    "a file that points to others": (("aoi.vrt", b"<OGRVRTDataSource></OGRVRTDataSource>"), "points to others"),
    "WKT with NaN": (lambda r: wkt((WEST, SOUTH), (EAST, float("nan")), (EAST, NORTH), (WEST, SOUTH)), "aoi"),
    "WKT with infinity": (lambda r: wkt((WEST, SOUTH), (EAST, float("inf")), (EAST, NORTH), (WEST, SOUTH)), "aoi"),
    "WKT elsewhere": (lambda r: wkt((1, 1), (2, 1), (2, 2), (1, 1)), "expected some of the mosaic's"),
    "WKT swapped": (lambda r: wkt((SOUTH, WEST), (SOUTH, EAST), (NORTH, EAST), (SOUTH, WEST)), "are the two swapped?"),
    "WKT in metres": (lambda r: wkt((4e5, 5e6), (5e5, 5e6), (5e5, 6e6), (4e5, 5e6)), "metres?"),
    "WKT beyond the pole": (lambda r: wkt((WEST, 89), (EAST, 89), (EAST, 95), (WEST, 89)), "found latitude 95"),
    "WKT beyond a turn": (lambda r: wkt((400, 10), (401, 10), (401, 11), (400, 10)), "found longitude 40"),
    "WKT of a line": (lambda r: "LINESTRING(0 0, 1 1)", "found a LineString"),
    "WKT of a ring left open": (lambda r: "POLYGON((0 0, 1 0, 1 1))", "no WKT"),
    "WKT with an SRID": (lambda r: "SRID=4326;POLYGON((0 0, 1 0, 1 1, 0 0))", "aoi"),
    "a collection of points": (lambda r: f"GEOMETRYCOLLECTION(POINT({WEST} {SOUTH}))", "without polygons"),
    "a spike": (lambda r: wkt((WEST, SOUTH), (EAST, NORTH), (EAST, NORTH), (WEST, SOUTH)), "zero area"),
    "a box of a line": (lambda r: [WEST, SOUTH, EAST, SOUTH], "south < north"),
    "a box of a point": (lambda r: [WEST, SOUTH, WEST, NORTH], "two different longitudes"),
    "a box beyond the poles": (lambda r: [WEST, -95, EAST, 95], "-90 <= south < north <= 90"),
    "a box of longitudes beyond a turn": (lambda r: [-500, SOUTH, 500, NORTH], "longitudes"),
    "a box of 0 to 360 elsewhere": (lambda r: [200, SOUTH, 210, NORTH], "expected some of the mosaic's"),
    "a box of text": (lambda r: ["a", "b", "c", "d"], "aoi: found ['a', 'b', 'c', 'd']"),
    "a box of true": (lambda r: [True, False, True, True], "aoi: found"),
    "a box of five": (lambda r: [1, 2, 3, 4, 5], "aoi: found"),
    "a pole": (lambda r: write_area(r, "p.geojson", frame(shapely.box(-180, 85, 180, 90))), "expected some of the mosaic's"),
    "a place the CRS has not": (
        lambda r: write_area(r, "a.gpkg", frame(shapely.box(1e9, 1e9, 2e9, 2e9), crs="EPSG:32633")), "aoi: ",
    ),
    "an engineering CRS": (
        lambda r: write_area(r, "a.gpkg", frame(INSIDE, crs=ENGINEERING)),
        "aoi: ",
    ),
    "polygons and a point": (
        lambda r: write_area(r, "a.gpkg", frame(INSIDE, shapely.Point(WEST, SOUTH))), "zone 1: found a Point",
    ),
    "a feature without geometry": (
        lambda r: write_area(r, "a.geojson", feature_collection(shapely.geometry.mapping(INSIDE), None).encode()), "zone 1",
    ),
    "GeoJSON that is a number": (lambda r: write_area(r, "a.geojson", b"5"), "cannot be read"),
    "GeoJSON without a type": (lambda r: write_area(r, "a.geojson", b'{"features": []}'), "cannot be read"),
    "GeoJSON of null": (lambda r: write_area(r, "a.geojson", b'{"type": "FeatureCollection", "features": null}'), "aoi: "),
    "GeoJSON of text for numbers": (
        lambda r: write_area(r, "a.geojson", json.dumps({"type": "Polygon", "coordinates": [[["a", "b"]]]}).encode()), "aoi: ",
    ),
    "a web page": (lambda r: write_area(r, "a.geojson", b"<!doctype html><html><body>404</body></html>"), "cannot be read"),
    "an image": (lambda r: write_area(r, "a.png", b"\x89PNG\r\n\x1a\n" + bytes(100)), "cannot be read"),
    "a shapefile without its index": (lambda r: beside(r, ".shx"), "aoi: "),
    "a shapefile of nothing": (lambda r: write_area(r, "a.shp", b"\0\0\x27\x0a"), "cannot be read"),
    "a GeoPackage cut": (lambda r: write_area(r, "a.gpkg", b"SQLite format 3\0" + bytes(80)), "cannot be read"),
    "a GeoPackage overwritten": (lambda r: spoiled(r, "a.gpkg", 100, 9000), "aoi: "),
    "a FlatGeobuf overwritten": (lambda r: spoiled(r, "a.fgb", 60, 900), "aoi: "),
    "GeoParquet overwritten": (lambda r: spoiled(r, "a.parquet", 4, 900), "aoi: "),
    "a zip of text": (lambda r: zipped(r, "readme.txt", b"hello"), "aoi: "),
    "a zip that points to others": (lambda r: zipped(r, "a.vrt", b"<OGRVRTDataSource></OGRVRTDataSource>"), "points to others"),
    "a pipe": (unreadable, "no regular file"),
    "a link to nothing": (dangling, "no such file"),
    "a geodatabase of nothing": (lambda r: ((r / "a.gdb").mkdir(), str(r / "a.gdb"))[1], "aoi: "),
    "a name of 300 letters": (lambda r: "a" * 300 + ".geojson", "aoi: "),
}  # fmt: skip
"""What the run file says, a file to be written, or what a folder is made to hold."""


@pytest.mark.parametrize("name", list(AREAS))
def test_an_area_that_cannot_be(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    area, expected = AREAS[name]
    monkeypatch.chdir(room)
    spec = area(room) if callable(area) else write_area(room, *area) if isinstance(area, tuple) else area
    line = refused(capfd, room, ["plan", run_file(room, aoi=spec)])
    assert "aoi: " in line
    assert expected in line


@pytest.mark.whole
def test_an_area_of_five_million_corners(capfd: pytest.CaptureFixture[str], room: Room) -> None:
    angle = np.linspace(0, 2 * np.pi, 5_000_001)
    ring = np.stack([MIDDLE[0] + 10 * STEP * np.cos(angle), MIDDLE[1] + 10 * STEP * np.sin(angle)], axis=1)
    gpd.GeoDataFrame(geometry=[shapely.Polygon(ring)], crs="EPSG:4326").to_parquet(room / "a.parquet")
    line = refused(capfd, room, ["plan", run_file(room, aoi=str(room / "a.parquet"))])
    assert "vertices, expected at most 4000000" in line


# --- strata -------------------------------------------------------------------------------------------------------------

STRATA: dict[str, tuple[Callable[[Room], Any], str]] = {
    "a file that is not there": (lambda r: "none.gpkg", "change.strata"),
    "a raster that is not there": (lambda r: "none.tif", "cannot be read as a raster"),
    "a raster of text": (lambda r: write_area(r, "s.tif", b"not a raster"), "cannot be read as a raster"),
    "a raster that points to others": (lambda r: write_area(r, "s.vrt", b"<VRTDataset/>"), "change.strata"),
    "an address": (lambda r: "https://host/s.tif", "strata: found a URL"),
    "a word": (lambda r: True, "change.strata: found true"),
}


@pytest.mark.parametrize("name", list(STRATA))
def test_strata_that_cannot_be(
    capfd: pytest.CaptureFixture[str], room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_mosaic(room / "long.zarr", unit_codes(1, 5, 64, 64, bands=4))
    monkeypatch.chdir(room)
    strata, expected = STRATA[name]
    changes = {"mosaic": str(room / "long.zarr"), "change": {"strata": strata(room)}}
    assert expected in refused(capfd, room, ["plan", run_file(room, **changes)])
