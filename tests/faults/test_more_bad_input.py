"""R7: more of what cannot be used, in the run file, areas and the other commands; every refusal is one clear line."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from test_bad_input import EAST, INSIDE, NORTH, SOUTH, WEST, feature_collection, frame, refused, run_file, write_area, write_run

from mosaics import STEP, unit_codes, write_mosaic

Room = Path

pytestmark = [pytest.mark.row("R7"), pytest.mark.usefixtures("no_spark")]

NEVER = ("<class", "object at 0x", "array(", "dtype(", "Traceback", "None;", "pydantic", "(type=", "ValueError", "KeyError")
"""What a reader of messages has no use for."""


def clear(line: str) -> str:
    """The line, which says what was found and what was expected, and is no program's inside."""
    assert any(word in line for word in ("found ", "unknown ", "twice", "--help")), line
    assert any(word in line for word in ("expected", "did you mean", "--help", "remove", "give another")), line
    assert not [word for word in NEVER if word in line], line
    assert len(line) < 600
    return line


# --- run files ----------------------------------------------------------------------------------------------------------

TEXTS: dict[str, tuple[str, str]] = {
    "a key twice in a section": ("scores:\n  annual: []\n  annual: []\n", "line 6: found the key 'annual' twice"),
    "an alias": ("aoi: &a [1, 2, 3, 4]\nyears: *a\n", "an alias, expected"),
    "a tab": ("scores:\n\tdistance: dot\n", "found text that is not YAML"),
    "an open quote": ("aoi: 'x\n", "found text that is not YAML"),
    "a tag": ("aoi: !env HOME\n", "found the tag '!env', expected a plain value"),
    "a key that is a number": ("1: 2\n", "expected a key of text"),
    "a key that is a list": ("[a, b]: 2\n", "expected a key of text"),
    "a NUL": ("aoi: a\0b\n", "found a control character"),
    "thirty levels": ("aoi: " + "[" * 30 + "]" * 30 + "\n", "more than 12 levels"),
    "a date for a year": ("years: [2017-01-01, 2019-01-01]\n", "years: found"),
    "two documents": ("---\naoi: x\n", "found"),
}


@pytest.mark.parametrize("name", list(TEXTS))
def test_yaml_that_cannot_be(capfd: pytest.CaptureFixture[str], room: Room, name: str) -> None:
    text, expected = TEXTS[name]
    path = room / "run.yaml"
    path.write_text(f"mosaic: {room / 'mosaic.zarr'}\noutput: {room / 'out'}\ntile_size: 32\n{text}")
    assert expected in clear(refused(capfd, room, ["run", str(path)]))


VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "a key in capitals": ({"Mosaic": "x"}, "Mosaic: unknown key; did you mean 'mosaic'?"),
    "a near miss in scores": ({"scores": {"distanse": "dot"}}, "scores.distanse: unknown key; did you mean 'distance'?"),
    "a near miss in change": ({"change": {"treshold": {"fdr": 0.1}}}, "did you mean 'threshold'?"),
    "a near miss in polygons": ({"polygons": {"min_pixel": 8}}, "did you mean 'min_pixels'?"),
    "a near miss in maps": ({"maps": {"pmtile": True}}, "did you mean 'pmtiles'?"),
    "a near miss in refine": ({"refine": {"simplify": 7.5}}, "did you mean 'simplify_m'?"),
    "Spark's memory": ({"spark.executor.memory": "4g"}, "conf/spark-defaults.conf"),
    "a mosaic of a number": ({"mosaic": 5}, "mosaic: found 5"),
    "a mosaic of nothing": ({"mosaic": ""}, "found an empty text"),
    "a list of mosaics": ({"mosaic": ["a", "b"]}, "mosaic: found ['a', 'b']"),
    "a mosaic over plain HTTP": ({"mosaic": "http://example.org/m.zarr"}, "found http://, expected https://"),
    "a bucket of one slash": ({"mosaic": "s3:/bucket/m.zarr"}, "with one slash"),
    "a bucket without a name": ({"mosaic": "s3:///m.zarr"}, "found bucket name ''"),
    "a bucket in capitals": ({"mosaic": "s3://Bucket/m.zarr"}, "found bucket name 'Bucket'"),
    "a URL without a host": ({"mosaic": "https:///m.zarr"}, "without a host"),
    "a URL that climbs": ({"mosaic": "s3://bucket/a/../../b"}, "found '..' in the URL"),
    "a file URL of another host": ({"mosaic": "file://host/m.zarr"}, "a file URL with a host"),
    "a port of text": ({"mosaic": "https://host:x/m.zarr"}, "cannot be parsed"),
    "a mosaic whose name turns round": ({"mosaic": "m\u202ezarr"}, "U+202E"),
    "a mosaic with a line break": ({"mosaic": "a\nb"}, "U+000A"),
    "an output of a number": ({"output": 7}, "output: found 7"),
    "an output of nothing": ({"output": " "}, "found an empty text"),
    "an output on another scheme": ({"output": "ftp://host/out"}, "output: found"),
    "an output with NUL": ({"output": "a\0b"}, "U+0000"),
    "an output of 5000 letters": ({"output": "a" * 5000}, "5000 characters"),
    "a tile of true": ({"tile_size": True}, "tile_size: found true"),
    "a tile and a half": ({"tile_size": 48.5}, "tile_size: found 48.5"),
    "a negative tile": ({"tile_size": -32}, "tile_size: found -32"),
    "a tile beyond all": ({"tile_size": 1 << 40}, "tile_size: found"),
    "one year in the list": ({"years": [2017]}, "years: found"),
    "three years": ({"years": [2017, 2018, 2019]}, "years: found"),
    "a year and a half": ({"years": [2017.5, 2019]}, "years"),
    "years of text": ({"years": ["2017", "2019"]}, "found '2017'"),
    "year 0": ({"years": [0, 2019]}, "found 0"),
    "years of words": ({"years": {"from": 2017}}, "years: found"),
    "scores as a list": ({"scores": []}, "scores: found"),
    "scores as a word": ({"scores": "difference"}, "scores: found 'difference'"),
    "annual as a word": ({"scores": {"annual": "difference"}}, "scores.annual: found 'difference'"),
    "annual twice": ({"scores": {"annual": ["difference", "difference"], "robust_z": False}}, "every name once"),
    "an unknown distance": ({"scores": {"distance": "cosin"}}, "did you mean 'cosine'?"),
    "robust_z of a word": ({"scores": {"robust_z": "yes"}}, "found 'yes'"),
    "a threshold of a number": ({"change": {"threshold": 0.1}}, "change.threshold: found 0.1"),
    "no threshold in it": ({"change": {"threshold": {}}}, "found none of them"),
    "an fdr of nothing": ({"change": {"threshold": {"fdr": 0}}}, "fdr: found 0"),
    "an fdr beyond 1": ({"change": {"threshold": {"fdr": 10}}}, "fdr: found 10"),
    "an fdr of text": ({"change": {"threshold": {"fdr": "10%"}}}, "fdr: found '10%'"),
    "a score of NaN": ({"change": {"detector": "bitemporal", "threshold": {"score": float("nan")}}}, "score: found nan"),
    "an infinite score": ({"change": {"detector": "bitemporal", "threshold": {"score": float("inf")}}}, "score: found inf"),
    "a quantile of 1": ({"change": {"detector": "bitemporal", "threshold": {"quantile": 1}}}, "quantile: found 1"),
    "fdr without calibration": ({"change": {"detector": "bitemporal", "threshold": {"fdr": 0.1}}}, "is not calibrated"),
    "kinds without kinds": ({"change": {"detector": "bitemporal", "kinds": ["step"]}}, "has no kinds"),
    "an effect without calibration": ({"change": {"detector": "bitemporal", "min_effect": 0.1}}, "change.min_effect"),
    "no kinds": ({"change": {"kinds": []}}, "change.kinds: found []"),
    "an unknown kind": ({"change": {"kinds": ["stepp"]}}, "did you mean 'step'?"),
    "a negative effect": ({"change": {"min_effect": -1}}, "min_effect: found -1"),
    "high with fdr": ({"change": {"threshold": {"fdr": 0.1, "high": 3}}}, "found high with fdr"),
    "high below score": ({"change": {"detector": "bitemporal", "threshold": {"score": 2, "high": 1}}}, "below score"),
    "no strata": ({"change": {"strata": 0}}, "strata: found 0"),
    "six neighbours": ({"polygons": {"connectivity": 6}}, "connectivity: found 6"),
    "polygons of no pixel": ({"polygons": {"min_pixels": 0}}, "min_pixels: found 0"),
    "holes below nothing": ({"polygons": {"fill_holes_pixels": -1}}, "fill_holes_pixels: found -1"),
    "an unknown group": ({"polygons": {"group_by": "yearly"}}, "group_by: found 'yearly'"),
    "a CRS nobody knows": ({"refine": {"crs": "EPSG:99999"}}, "which PROJ does not know"),
    "a CRS of text": ({"refine": {"crs": "+proj=utm +zone=33"}}, "refine.crs: found"),
    "a CRS of a number": ({"refine": {"crs": 4326}}, "refine.crs: found 4326"),
    "a precision of nothing": ({"refine": {"precision_m": 0}}, "precision_m: found 0"),
    "a negative tolerance": ({"refine": {"simplify_m": -1}}, "simplify_m: found -1"),
    "parts of three corners": ({"refine": {"max_vertices": 3}}, "max_vertices: found 3"),
    "zoom 25": ({"maps": {"max_zoom": 25}}, "max_zoom: found 25"),
    "zoom -1": ({"maps": {"min_zoom": -1}}, "min_zoom: found -1"),
    "maps of a word": ({"maps": {"cog": "yes"}}, "maps.cog: found 'yes'"),
    "an array elsewhere": ({"variable": "../secret"}, "variable: found '../secret'"),
    "an array of no name": ({"variable": ""}, "variable: found ''"),
    "an area of a number": ({"aoi": 5}, "aoi: found 5"),
    "an area of words": ({"aoi": {"west": 1}}, "aoi: found"),
    "an area of true": ({"aoi": True}, "aoi: found true"),
    "an area on S3": ({"aoi": "s3://bucket/aoi.geojson"}, "aoi: "),
}  # fmt: skip


@pytest.mark.parametrize("name", list(VALUES))
def test_a_value_that_cannot_be(capfd: pytest.CaptureFixture[str], room: Room, name: str) -> None:
    changes, expected = VALUES[name]
    assert expected in clear(refused(capfd, room, ["run", run_file(room, **changes)]))


# --- areas --------------------------------------------------------------------------------------------------------------

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


AREAS: dict[str, tuple[Callable[[Room], Any], str]] = {
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


@pytest.mark.parametrize("name", list(AREAS))
def test_an_area_that_cannot_be(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    area, expected = AREAS[name]
    monkeypatch.chdir(room)
    found = area(room)
    line = clear(refused(capfd, room, ["plan", run_file(room, aoi=found)]))
    assert "aoi: " in line
    assert expected in line


@pytest.mark.whole
def test_an_area_of_five_million_corners(capfd: pytest.CaptureFixture[str], room: Room) -> None:
    angle = np.linspace(0, 2 * np.pi, 5_000_001)
    ring = np.stack([MIDDLE[0] + 10 * STEP * np.cos(angle), MIDDLE[1] + 10 * STEP * np.sin(angle)], axis=1)
    gpd.GeoDataFrame(geometry=[shapely.Polygon(ring)], crs="EPSG:4326").to_parquet(room / "a.parquet")
    line = clear(refused(capfd, room, ["plan", run_file(room, aoi=str(room / "a.parquet"))]))
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
    assert expected in clear(refused(capfd, room, ["plan", run_file(room, **changes)]))


# --- other commands -----------------------------------------------------------------------------------------------------

Prepare = Callable[[Room], Any]


def truth(room: Room) -> None:
    frame(INSIDE).assign(year=2018).to_file(room / "truth.gpkg")


ARGUMENTS: dict[str, tuple[Prepare, list[str], str]] = {
    "evaluate without truth": (truth, ["evaluate", "out"], "--truth"),
    "evaluate nothing": (truth, ["evaluate", "none", "--truth", "truth.gpkg"], "found no finished run"),
    "evaluate an unfinished run": (
        lambda r: (write_run(r, None), truth(r)), ["evaluate", "out", "--truth", "truth.gpkg"], "found no finished run",
    ),
    "sample without a size": (lambda r: None, ["sample", "out"], "--size"),
    "sample of no size": (lambda r: None, ["sample", "out", "--size", "0"], "--size: found 0"),
    "sample of a word": (lambda r: None, ["sample", "out", "--size", "many"], "--size"),
    "sample of a negative seed": (lambda r: None, ["sample", "out", "--size", "9", "--seed", "-1"], "--seed: found -1"),
    "sample of nothing": (lambda r: None, ["sample", "none", "--size", "9"], "found no finished run"),
    "a scene of one year": (lambda r: None, ["scene", "s", "--years", "1"], "years: found 1"),
    "a scene of a negative seed": (lambda r: None, ["scene", "s", "--seed", "-1"], "seed: found -1"),
    "a scene beyond all": (lambda r: None, ["scene", "s", "--size", "1000000"], "size: found 1000000"),
    "a scene in a file": (run_file, ["scene", "run.yaml"], "found a file, run.yaml"),
    "a scene of a size in words": (lambda r: None, ["scene", "s", "--size", "big"], "--size"),
    "status of two": (lambda r: None, ["status", "a", "b"], "unexpected extra argument"),
    "status of an unknown option": (lambda r: None, ["status", "a", "--jsn"], "--jsn"),
    "plan of an unknown option": (run_file, ["plan", "run.yaml", "--jason"], "--jason"),
    "a command in capitals": (lambda r: None, ["RUN"], "RUN"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(ARGUMENTS))
def test_arguments_that_cannot_be(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    prepare, argv, expected = ARGUMENTS[name]
    prepare(room)
    monkeypatch.chdir(room)
    assert expected in clear(refused(capfd, room, argv))
