"""Areas of interest: every format, every way to be wrong, the antimeridian and the poles, windows, tiles and masks."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from terradrift.aoi import Zones, read, read_aoi, usable_bounds, usable_width
from terradrift.aoi.longitudes import on_globe
from terradrift.errors import InputError
from terradrift.grid import Grid, Window

DATA = Path(__file__).parents[2] / "shared" / "data"
PIXEL = 0.01
GRID = Grid("EPSG:4326", (PIXEL, 0.0, 10.0, 0.0, -PIXEL, 50.0), 500, 800)  # 10..18 E, 45..50 N
UTM = Grid("EPSG:32633", (100.0, 0.0, 400_000.0, 0.0, -100.0, 5_500_000.0), 2000, 2000)
AEF = Grid(
    "EPSG:4326",
    (8.983111749910169e-05, 0.0, -180.0, 0.0, -8.983111749910169e-05, 83.68570533713473),
    1859584,
    4009984,
)
WORLD = Grid("EPSG:4326", (0.5, 0.0, -180.0, 0.0, -0.5, 90.0), 360, 720)
INSIDE = shapely.box(11, 46, 12, 47)
BOW_TIE = "POLYGON((11 46, 12 47, 12 46, 11 47, 11 46))"


def geojson(*geometries: Any) -> str:
    features = [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]
    return json.dumps({"type": "FeatureCollection", "features": features})


def polygon(*points: tuple[float, float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[*points, points[0]]]}


def frame(*geometries: Any, crs: Any = "EPSG:4326", **columns: Any) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(columns, geometry=list(geometries), crs=crs)


def write(path: Path, content: Any) -> str:
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, pandas.DataFrame) and path.suffix == ".parquet":
        content.to_parquet(path)
    else:
        content.to_file(path)
    return str(path)


def refusal(spec: Any, grid: Grid = GRID) -> str:
    with pytest.raises(InputError) as caught:
        read_aoi(spec, grid)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith("aoi: ")
    assert "found" in message
    assert "expected" in message
    return message


BAD_TEXTS: list[tuple[Any, list[str]]] = [
    ([10, 46, 12], ["[10, 46, 12]", "[west, south, east, north] in degrees (EPSG:4326)"]),
    ((11, 46, 12, "47"), ["[11, 46, 12, '47']", "[west, south, east, north]"]),
    ([11, 46, 12, math.nan], ["nan", "[west, south, east, north]"]),
    ([11, 46, math.inf, 47], ["inf", "[west, south, east, north]"]),
    ({"west": 1}, ["{'west': 1}", "[west, south, east, north]"]),
    ([11, 47, 12, 46], ["south < north"]),
    ([11, 46, 12, 46], ["south < north"]),
    ([11, 46, 11, 47], ["two different longitudes"]),
    ([46, 110, 47, 120], ["is it in the order lat, lon?"]),
    ([11, 46, 400, 47], ["two different longitudes in -180..180 or 0..360"]),
    ([-350, 46, 350, 47], ["at most 360 degrees wide"]),
    ([46, 11, 47, 12], ["bounds [46, 11, 47, 12]", "mosaic's [10, 45, 18, 50]", "longitude and latitude look swapped"]),
    ([-60, -10, -59, -9], ["bounds [-60, -10, -59, -9]", "mosaic's [10, 45, 18, 50] (EPSG:4326)"]),
    ([18, 46, 19, 47], ["bounds [18, 46, 19, 47]"]),  # touches the mosaic's edge
    ([11.0051, 46.0051, 11.0052, 46.0052], ["between pixel centres"]),
    ("POLYGON((11 46, 12 46, 12 47", ["'POLYGON((11 46, 12 46, 12 47'", "no WKT", "WKT in EPSG:4326"]),
    ("SRID=4326;POLYGON((11 46, 12 46, 12 47, 11 46))", ["no WKT"]),
    ("POLYGON EMPTY", ["zone 0: found no geometry", "Polygon or MultiPolygon"]),
    ("POINT(11 46)", ["zone 0: found a Point", "Polygon or MultiPolygon"]),
    ("LINESTRING(11 46, 12 47)", ["zone 0: found a LineString"]),
    ("GEOMETRYCOLLECTION(POINT(11 46), LINESTRING(11 46, 12 47))", ["GeometryCollection without polygons"]),
    ("POLYGON((11 46, 12 47, 11 46, 11 46))", ["zone 0: found a polygon of zero area"]),
    ("POLYGON((11 46, nan 46, 12 47, 11 46))", ["zone 0: found a NaN or infinite coordinate", "numbers"]),
    ("POLYGON((11 46, inf 46, 12 47, 11 46))", ["NaN or infinite coordinate"]),
    ("POLYGON((11 46, 12 46, 12 97, 11 46))", ["zone 0: found latitude 97", "-90..90", "swapped?"]),
    ("POLYGON((11 46, 500000 46, 12 47, 11 46))", ["zone 0: found longitude 500000", "is the CRS right?"]),
    ("POLYGON((46 11, 46 12, 47 12, 46 11))", ["longitude and latitude look swapped"]),
    ("/no/such/file.geojson", ["found no such file", "a vector file, WKT or [west, south, east, north]"]),
    ("a\0b", ["found no such file"]),
    ("x" * 5000, ["cannot be read"]),
]


@pytest.mark.parametrize(("spec", "fragments"), BAD_TEXTS, ids=lambda value: str(value)[:40])
def test_a_bad_box_or_wkt_is_one_line(spec: Any, fragments: list[str]) -> None:
    message = refusal(spec)
    for fragment in fragments:
        assert fragment in message


BAD_FILES: list[tuple[str, Any, list[str]]] = [
    ("empty.geojson", "", ["found an empty file"]),
    ("noise.geojson", "not a vector file at all", ["cannot be read"]),
    ("cut.geojson", geojson(polygon((11, 46), (12, 46), (12, 47)))[:-30], ["cannot be read"]),
    ("none.geojson", geojson(), ["found no features"]),
    ("null.geojson", geojson(polygon((11, 46), (12, 46), (12, 47)), None), ["zone 1: found no geometry", "remove it"]),
    ("point.geojson", geojson({"type": "Point", "coordinates": [11, 46]}), ["zone 0: found a Point"]),
    (
        "lines.gpkg",
        frame(shapely.LineString(INSIDE.exterior)),
        ["zone 0: found a LineString", "Polygon or MultiPolygon"],
    ),
    ("lat.geojson", geojson(polygon((46, 111), (47, 111), (47, 112))), ["zone 0: found latitude 112", "swapped?"]),
    ("swapped.geojson", geojson(polygon((46, 11), (46, 12), (47, 12))), ["longitude and latitude look swapped"]),
    ("outside.geojson", geojson(polygon((1, 1), (2, 1), (2, 2))), ["bounds [1, 1, 2, 2]", "mosaic's [10, 45, 18, 50]"]),
    ("flat.geojson", geojson(polygon((11, 46), (12, 47), (11.5, 46.5))), ["zone 0: found a polygon of zero area"]),
    ("metres.geojson", geojson(polygon((4e5, 5e6), (5e5, 5e6), (5e5, 6e6))), ["latitude 6e+06", "-90..90"]),
    ("no_crs.gpkg", frame(INSIDE, crs=None), ["found no CRS", "ogr2ogr -a_srs EPSG:4326", "GeoJSON"]),
    ("no_crs.shp", frame(INSIDE, crs=None), ["found no CRS"]),
    ("no_crs.parquet", frame(INSIDE, crs=None), ["found no CRS"]),
    ("wrong_crs.gpkg", frame(INSIDE, crs="EPSG:32633"), ["expected some of the mosaic's"]),
    ("huge.gpkg", frame(shapely.box(0, 0, 1e300, 1e300), crs="EPSG:32633"), ["outlines too long"]),
    ("far.gpkg", frame(shapely.box(1e9, 1e9, 2e9, 2e9), crs="EPSG:3035"), ["no coordinates in EPSG:4326"]),
    ("plain.parquet", pandas.DataFrame({"a": [1]}), ["without the metadata 'geo'", "write it with geopandas"]),
    ("cut.parquet", b"PAR1 and nothing else", ["cannot be read"]),
    ("table.csv", "a,b\n1,2\n", ["no layer with geometries"]),
    ("image.png", b"\x89PNG\r\n\x1a\n" + bytes(64), ["cannot be read"]),
    ("vrt.vrt", "<OGRVRTDataSource><OGRVRTLayer name='a'/></OGRVRTDataSource>", ["points to others"]),
    ("broken.zip", b"PK\x03\x04" + bytes(100), ["cut or damaged", "pack it again"]),
]


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize(("name", "content", "fragments"), BAD_FILES, ids=[case[0] for case in BAD_FILES])
def test_a_bad_file_is_one_line(
    tmp_path: Path, name: str, content: Any, fragments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / name, content)
    message = refusal(path)
    assert message.startswith(f"aoi: {path}: ")
    for fragment in fragments:
        assert fragment in message
    assert capfd.readouterr().err == ""


def test_a_directory_and_a_zip_of_pointers(tmp_path: Path) -> None:
    assert "found a directory" in refusal(str(tmp_path))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.vrt", "<OGRVRTDataSource/>")
    assert "points to others" in refusal(str(tmp_path / "a.zip"))


@pytest.mark.parametrize(("limit", "value", "fragment"), [("MAX_BYTES", 10, "bytes"), ("MAX_ZONES", 1, "2 features")])
def test_what_is_too_large_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, fragment: str
) -> None:
    path = write(tmp_path / "a.gpkg", frame(INSIDE, INSIDE))
    monkeypatch.setattr(f"terradrift.aoi.files.{limit}", value)
    assert fragment in refusal(path)
    assert "expected at most" in refusal(path)


def test_more_vertices_than_a_broadcast_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_VERTICES", 100)
    circle = shapely.Point(12, 47).buffer(1, quad_segs=100)
    assert "found 401 vertices, expected at most 100" in refusal(circle.wkt)


def test_a_million_vertices_are_read_and_filled() -> None:
    angle = np.linspace(0, 2 * np.pi, 1_000_001)[:-1]
    radius = 1 + 0.3 * np.sin(50 * angle)
    zones = read_aoi(
        shapely.to_wkt(shapely.Polygon(np.column_stack([13 + radius * np.cos(angle), 47.5 + radius * np.sin(angle)]))),
        GRID,
    )
    assert (zones.mask(GRID.window) == 0).sum() == pytest.approx(zones.geometries[0].area / PIXEL**2, rel=1e-3)


WRITERS: dict[str, Callable[[geopandas.GeoDataFrame, Path], None]] = {
    "a.geojson": lambda table, path: table.to_file(path),
    "a.gpkg": lambda table, path: table.to_file(path),
    "a.fgb": lambda table, path: table.to_file(path),
    "a.shp": lambda table, path: table.to_file(path),
    "a.parquet": lambda table, path: table.to_parquet(path),
    "a.gml": lambda table, path: table.to_file(path, driver="GML"),
    "a.shp.zip": lambda table, path: table.to_file(path, driver="ESRI Shapefile"),
}


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3035", "EPSG:32633"])
@pytest.mark.parametrize("name", WRITERS)
def test_every_format_and_crs_gives_the_same_zones(tmp_path: Path, name: str, crs: str) -> None:
    shapes = [
        shapely.box(11.3, 46.2, 12.1, 47.3),
        shapely.box(13.1, 45.4, 13.9, 46.6) - shapely.box(13.3, 45.6, 13.6, 46),
    ]
    shapes = [shape.segmentize(0.001) for shape in shapes]
    table = frame(*shapes, name=["a", "b"], size=[1, 2]).to_crs(crs)
    if name.endswith(".geojson") and crs != "EPSG:4326":
        pytest.skip("GeoJSON is EPSG:4326")
    WRITERS[name](table, tmp_path / name)
    zones = read_aoi(str(tmp_path / name), GRID)
    if name == "a.fgb":  # its writer orders features in space
        zones = replace(zones, geometries=zones.geometries[::-1], attributes=zones.attributes[::-1])
    assert [(row["name"], row["size"]) for row in zones.attributes] == [("a", 1), ("b", 2)]
    for found, shape in zip(zones.geometries, shapes, strict=True):
        assert found.symmetric_difference(shape).area < (1e-12 if crs == "EPSG:4326" else 1e-6)
    assert zones.source == str(tmp_path / name)
    assert zones.outside.is_empty


def test_a_reprojected_edge_is_followed_to_a_hundredth_of_a_pixel(tmp_path: Path) -> None:
    corners = shapely.box(420_000, 5_320_000, 580_000, 5_480_000)
    table = frame(corners, crs="EPSG:32633")
    grid = Grid("EPSG:4326", (0.001, 0.0, 12.0, 0.0, -0.001, 51.0), 4000, 5000)
    found = read_aoi(write(tmp_path / "a.gpkg", table), grid).geometries[0]
    exact = frame(corners.segmentize(100), crs="EPSG:32633").to_crs(4326).geometry[0]
    assert shapely.hausdorff_distance(found.exterior, exact.exterior) < 0.01 * 0.001
    straight = table.to_crs(4326).geometry[0]
    assert shapely.hausdorff_distance(straight.exterior, exact.exterior) > 0.001


def test_a_box_on_a_projected_mosaic() -> None:
    zones = read_aoi([14, 48.5, 15, 49], UTM)
    window = zones.window(UTM, 1)
    rows, cols = np.mgrid[window.y0 - 5 : window.y1 + 5, window.x0 - 5 : window.x1 + 5]
    mask = zones.mask(Window(window.y0 - 5, window.x0 - 5, *rows.shape))
    transformer = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    lon, lat = transformer.transform(UTM.x(cols + 0.5), UTM.y(rows + 0.5))
    hundredth = 1 / 70_000  # degrees of longitude or latitude: at least a hundredth of a 100 m pixel
    inside = (lon > 14) & (lon < 15) & (lat > 48.5) & (lat < 49)
    near = np.minimum(np.minimum(abs(lon - 14), abs(lon - 15)), np.minimum(abs(lat - 48.5), abs(lat - 49))) < hundredth
    np.testing.assert_array_equal((mask == 0)[~near], inside[~near])
    assert inside.sum() > 400_000
    assert near.mean() < 0.01


def test_attributes_become_plain_values(tmp_path: Path) -> None:
    table = frame(
        INSIDE,
        INSIDE,
        number=[1.5, math.nan],
        whole=[1, 2],
        text=["ä", None],
        truth=[True, False],
        day=pandas.to_datetime(["2024-03-01", None]),
    )
    zones = read_aoi(write(tmp_path / "a.parquet", table), GRID)
    assert zones.attributes == (
        {"number": 1.5, "whole": 1, "text": "ä", "truth": True, "day": "2024-03-01T00:00:00"},
        {"number": None, "whole": 2, "text": None, "truth": False, "day": None},
    )
    assert {type(value) for row in zones.attributes for value in row.values()} <= {float, int, str, bool, type(None)}


def test_a_file_of_several_layers_gives_the_first_with_polygons(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    frame(shapely.Point(11, 46)).to_file(path, layer="points")
    frame(INSIDE, name=["b"]).to_file(path, layer="fields")
    frame(INSIDE, name=["c"]).to_file(path, layer="towns")
    zones = read_aoi(str(path), GRID)
    assert zones.attributes[0]["name"] == "b"
    assert zones.warnings == (f"aoi: {path}: has the layers points, fields, towns; read fields",)


def test_3d_and_collections_become_flat_polygons() -> None:
    zones = read_aoi(
        "GEOMETRYCOLLECTION(POINT(0 0), POLYGON Z((11 46 1, 12 46 2, 12 47 3, 11 46 1)), LINESTRING(0 0, 1 1))", GRID
    )
    assert zones.geometries[0].equals(shapely.Polygon([(11, 46), (12, 46), (12, 47)]))
    assert not zones.geometries[0].has_z


def test_a_crossed_outline_is_repaired_and_said() -> None:
    zones = read_aoi(BOW_TIE, GRID)
    assert zones.geometries[0].is_valid
    assert zones.geometries[0].area == pytest.approx(0.5)
    assert zones.warnings == ("aoi: repaired 1 of 1 zones, whose outlines cross",)


@pytest.mark.parametrize(
    ("wkt", "area"),
    [
        ("MULTIPOLYGON(((11 46, 13 46, 13 48, 11 48, 11 46)), ((12 47, 14 47, 14 49, 12 49, 12 47)))", 7.0),
        ("POLYGON((11 46, 15 46, 15 50, 13 50, 13 47, 12 47, 12 49, 14 49, 14 51, 11 51, 11 46))", 17.0),
    ],
)
def test_what_is_covered_twice_stays_covered(wkt: str, area: float) -> None:
    assert read_aoi(wkt, GRID).geometries[0].area == pytest.approx(area)


def test_the_part_outside_is_kept_for_the_gaps() -> None:
    zones = read_aoi([17, 46, 19, 47], GRID)
    assert zones.geometries[0].equals(shapely.box(17, 46, 19, 47))
    assert zones.outside.equals(shapely.box(18, 46, 19, 47))
    assert zones.window(GRID, 100) == Window(300, 700, 100, 100)


def test_a_zone_wholly_outside_keeps_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", frame(shapely.box(30, 30, 31, 31), INSIDE))
    zones = read_aoi(path, GRID)
    assert np.unique(zones.mask(GRID.window)).tolist() == [-1, 1]
    assert zones.outside.equals(shapely.box(30, 30, 31, 31))
    assert zones.warnings == (f"aoi: {path}: 1 zones lie wholly outside the mosaic (0)",)
    assert zones.window(GRID, 100) == Window(300, 100, 100, 100)


def test_padding_columns_are_not_used() -> None:
    assert usable_width(AEF) == 4_007_520
    assert usable_bounds(AEF)[2] == pytest.approx(180, abs=1e-9)
    assert usable_width(GRID) == 800
    assert usable_width(UTM) == 2000
    assert usable_width(Grid("EPSG:4326", (1.0, 0.0, 178.6, 0.0, -1.0, 10.0), 10, 9)) == 1  # centres 179.1, 180.1, ...
    whole = read_aoi(None, AEF)
    assert whole.window(AEF, 4096) == Window(0, 0, 1859584, 4_007_520)
    assert (whole.source, whole.attributes, whole.outside.is_empty) == ("whole mosaic", ({},), True)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ([170, -20, -170, 10], [(-180, -20, -170, 10), (170, -20, 180, 10)]),
        ([170, -20, 190, 10], [(-180, -20, -170, 10), (170, -20, 180, 10)]),
        ([190, -20, 200, 10], [(-170, -20, -160, 10)]),
        ([-190, -20, -170, 10], [(-180, -20, -170, 10), (170, -20, 180, 10)]),
        ([0, -20, 360, 10], [(-180, -20, 180, 10)]),
        ([-180, -90, 180, 90], [(-180, -90, 180, 90)]),
        ([-170, -20, 170, 10], [(-170, -20, 170, 10)]),
        ("POLYGON((170 -20, -170 -20, -170 10, 170 10, 170 -20))", [(-180, -20, -170, 10), (170, -20, 180, 10)]),
        ("POLYGON((170 -20, 190 -20, 190 10, 170 10, 170 -20))", [(-180, -20, -170, 10), (170, -20, 180, 10)]),
        ("POLYGON((-180 -90, 180 -90, 180 90, -180 90, -180 -90))", [(-180, -90, 180, 90)]),
        ("POLYGON((0 60, 90 60, 180 60, -90 60, 0 60))", [(-180, 60, 180, 90)]),
        ("POLYGON((0 -60, -90 -60, 180 -60, 90 -60, 0 -60))", [(-180, -90, 180, -60)]),
    ],
    ids=str,
)
def test_the_antimeridian_and_the_poles(spec: Any, parts: list[tuple[float, float, float, float]]) -> None:
    zones = read_aoi(spec, WORLD)
    assert zones.geometries[0].is_valid
    assert zones.geometries[0].equals(shapely.union_all([shapely.box(*bounds) for bounds in parts]))
    lon, lat = np.meshgrid(np.arange(-180 + 0.25, 180, 0.5), np.arange(90 - 0.25, -90, -0.5))
    inside = np.any([(w < lon) & (lon < e) & (s < lat) & (lat < n) for w, s, e, n in parts], axis=0)
    np.testing.assert_array_equal(zones.mask(WORLD.window) == 0, inside)


def test_an_outline_that_jumps_is_said() -> None:
    zones = read_aoi("POLYGON((170 -20, -170 -20, -170 10, 170 10, 170 -20))", WORLD)
    assert zones.warnings == (
        "aoi: 1 zones have edges over more than 180 degrees of longitude; read as crossing the antimeridian",
    )
    assert read_aoi("POLYGON((-180 -90, 180 -90, 180 90, -180 90, -180 -90))", WORLD).warnings == ()


def test_a_hole_that_crosses_the_antimeridian_too() -> None:
    ring = "POLYGON((170 -20, -170 -20, -170 20, 170 20, 170 -20), (175 -5, -175 -5, -175 5, 175 5, 175 -5))"
    zones = read_aoi(ring, WORLD)
    assert zones.geometries[0].area == pytest.approx(20 * 40 - 10 * 10)


def test_a_projected_file_across_the_antimeridian(tmp_path: Path) -> None:
    table = frame(shapely.box(2_800_000, -2_000_000, 3_600_000, -1_000_000), crs="EPSG:3832")  # Pacific, centred on 150 E
    zones = read_aoi(write(tmp_path / "a.gpkg", table), WORLD)
    parts = sorted(part.bounds for part in shapely.get_parts(zones.geometries[0]))
    assert [round(bound, 1) for bound in parts[0]] == [-180.0, -17.8, -177.7, -9.0]
    assert [round(bound, 1) for bound in parts[1]] == [175.2, -17.8, 180.0, -9.0]


@given(
    shift=st.integers(-360, 360),
    corners=st.tuples(st.integers(-40, 40), st.integers(-40, 40), st.integers(1, 80), st.integers(1, 40)),
)
@settings(max_examples=60, deadline=None)
def test_longitudes_count_modulo_a_turn(shift: int, corners: tuple[int, int, int, int]) -> None:
    west, south, width, height = corners
    box = shapely.box(west + shift, south, west + shift + width, south + height)
    moved = on_globe(box, jumping=False)
    wrapped = shapely.transform(box, lambda xy: np.column_stack([(xy[:, 0] + 180) % 360 - 180, xy[:, 1]]))
    jumped = on_globe(wrapped, jumping=True)
    assert moved.area == pytest.approx(box.area)
    assert -180 <= moved.bounds[0] <= moved.bounds[2] <= 180
    assert jumped.symmetric_difference(moved).area == pytest.approx(0, abs=1e-9)


@given(st.lists(st.tuples(st.integers(-360, 360), st.integers(-90, 90)), min_size=3, max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_outline_is_refused_or_becomes_valid_ground(points: list[tuple[int, int]]) -> None:
    try:
        zones = read_aoi(shapely.Polygon(points).wkt, WORLD)
    except InputError as error:
        message = str(error)
        assert message.isprintable()
        return
    (geometry,) = zones.geometries
    assert geometry.is_valid
    assert geometry.area > 0
    west, south, east, north = geometry.bounds
    assert -180 <= west < east <= 180
    assert -90 <= south < north <= 90
    assert zones.outside.is_empty


def test_the_window_is_snapped_to_tiles() -> None:
    assert read_aoi([11.234, 46.5, 12.5, 47.77], GRID).window(GRID, 64) == Window(192, 64, 192, 192)
    assert read_aoi([11.28, 45.6, 12.56, 47.44], GRID).window(GRID, 64) == Window(256, 128, 192, 128)
    assert read_aoi([9, 44, 19, 51], GRID).window(GRID, 64) == GRID.window


def test_tiles_hold_every_pixel_once_and_masks_agree() -> None:
    zones = read_aoi("MULTIPOLYGON(((10.5 45.5, 13 46, 12 48.7, 10.5 45.5)), ((15 47, 17.9 47.1, 16 49.9, 15 47)))", GRID)
    whole = zones.mask(GRID.window)
    rows, cols = zones.tiles(GRID, 64)
    assert (rows.dtype, cols.dtype) == (np.int64, np.int64)
    assert sorted(zip(rows, cols, strict=True)) == list(zip(rows, cols, strict=True))
    seen = np.full(whole.shape, -1, np.int32)
    for row, col in zip(rows, cols, strict=True):
        window = Window(int(row) * 64, int(col) * 64, 64, 64).intersection(GRID.window)
        assert window is not None
        seen[window.slices(GRID.window)] = zones.mask(window)
    np.testing.assert_array_equal(seen, whole)
    window = zones.window(GRID, 64)
    assert len(rows) * 64 * 64 < 0.6 * window.height * window.width


def test_neighbours_that_share_a_border_share_no_pixel(tmp_path: Path) -> None:
    points = np.random.default_rng(3).uniform((10, 45), (18, 50), (60, 2))
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(points), extend_to=shapely.box(10, 45, 18, 50)))
    zones = read_aoi(write(tmp_path / "a.parquet", frame(*cells)), GRID)
    single = [read_aoi(shapely.to_wkt(cell, rounding_precision=-1), GRID).mask(GRID.window) == 0 for cell in cells]
    assert (np.sum(single, axis=0) == 1).all()
    np.testing.assert_array_equal(zones.mask(GRID.window), np.argmax(single, axis=0))


def test_zones_travel_as_bytes(tmp_path: Path) -> None:
    table = frame(INSIDE, shapely.box(17, 46, 19, 47), name=["ä\n", None], n=[1, 2])
    zones = read_aoi(write(tmp_path / "a.parquet", table), GRID)
    again = Zones.from_bytes(zones.to_bytes())
    assert again == zones
    assert again.to_bytes() == zones.to_bytes()
    np.testing.assert_array_equal(again.mask(GRID.window), zones.mask(GRID.window))


def test_seven_million_tiles_take_seconds() -> None:
    rows, cols = read_aoi(None, AEF).tiles(AEF, 1024)
    assert len(rows) == 1816 * 3914
    assert (rows[-1], cols[-1]) == (1815, 3913)


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no real data at shared/data/{name}")
    return path


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("polygons-fields/ai4sf__1_vietnam_areas.gpkg", 100),
        ("polygons-fields/at__inspire_schlaege_2025-1_polygon.gpkg.zip", 100),
        ("polygons-fields/br_ba_lem__LEM_dataset.zip", 100),
        ("polygons-fields/ch__lwb_nutzungsflaechen_v2_0_lv95.gpkg", 100),
        ("polygons-fields/fi__LandUse.ExistingLandUse.GSAAAgriculturalParcel.gpkg", 100),
        ("polygons-fields/hr__land_parcels.gpkg", 100),
        ("polygons-fields/it_1__iti1_2023.parquet", 100),
        ("polygons-fields/jp__jp_field_polygons_2024.parquet", 100),
        ("polygons-fields/nl__brpgewaspercelen_definitief_2023.gpkg", 100),
        ("polygons-fields/us_ca_scm__i15_crop_mapping_2023_provisional_20241127.gdb.zip", 100),
        ("polygons-large/aef_feedlots_germany_priors_scored.gpkg", 1457),
        ("polygons-large/boulder_buildings.zip", 13491),
    ],
)
def test_real_files_on_the_real_grid(name: str, count: int) -> None:
    zones = read_aoi(str(real(name)), AEF)
    assert len(zones.geometries) == len(zones.attributes) == count
    assert shapely.is_valid(zones.geometries).all()
    first = zones.geometries[0]
    window = AEF.snap(first.bounds, 256)
    assert window is not None
    inside = (zones.mask(window) == 0).sum() * AEF.transform[0] ** 2
    assert inside == pytest.approx(first.area, abs=first.length * AEF.transform[0])
    rows, cols = zones.tiles(AEF, 1024)
    assert (window.y0 // 1024, window.x0 // 1024) in set(zip(rows.tolist(), cols.tolist(), strict=True))


def test_a_file_without_a_crs_says_what_to_do() -> None:
    assert "found no CRS" in refusal(str(real("polygons-large/us-atlas_counties-10m.topojson")), AEF)


def test_the_countries_of_the_world(tmp_path: Path) -> None:
    countries = geopandas.read_file(real("polygons-large/world-atlas_countries-50m.topojson"), layer="countries")
    path = write(tmp_path / "world.gpkg", countries[["name", "geometry"]].set_crs(4326))
    zones = read_aoi(path, WORLD)
    names = [row["name"] for row in zones.attributes]
    mask = zones.mask(WORLD.window)
    for name, lon, lat in [
        ("Fiji", 178.25, -17.75),
        ("Fiji", 179.75, -16.25),
        ("Russia", 177.25, 68.25),
        ("Russia", -175.25, 66.75),
        ("Russia", 100.25, 60.25),
        ("United States of America", -155.25, 19.75),
        ("New Zealand", 175.75, -38.75),
        ("Antarctica", 0.25, -85.25),
        ("Antarctica", 179.75, -89.75),
        ("Germany", 10.25, 51.25),
    ]:
        assert names[mask[int(WORLD.row(lat)), int(WORLD.col(lon))]] == name
    assert mask[int(WORLD.row(0.25)), int(WORLD.col(-140.25))] == -1
    areas = {"Fiji": 18_300, "Russia": 17_000_000, "Antarctica": 12_500_000, "New Zealand": 268_000}  # km2
    geod = pyproj.Geod(ellps="WGS84")
    for name, area in areas.items():
        geometry = shapely.segmentize(zones.geometries[names.index(name)], 0.5)
        assert abs(geod.geometry_area_perimeter(geometry)[0]) / 1e6 == pytest.approx(area, rel=0.06)
    assert "3 zones have edges over more than 180 degrees" in " ".join(zones.warnings)
