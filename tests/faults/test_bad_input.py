"""Bad input at the command's door: exit code 2, one line on stderr, nothing on stdout, nothing written, no Spark."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import yaml

from mosaics import ORIGIN, STEP, unit_codes, write_mosaic
from terradrift.cli import main
from terradrift.memory import TASK_MEMORY_VARIABLE
from terradrift.planning import plan_run
from test_mosaic import BAD_MOSAICS, edit_array, edit_group

WEST, NORTH = ORIGIN
EAST, SOUTH = WEST + 60 * STEP, NORTH - 60 * STEP
"""The mosaic is 64 x 64 pixels; this corner lies in it."""

Room = Path
"""A folder with mosaic.zarr, in which a case makes what it needs."""


def run_file(room: Room, **changes: Any) -> str:
    """A run file that would do, apart from the changes; a value of None takes the key away."""
    settings: dict[str, Any] = {
        "mosaic": str(room / "mosaic.zarr"),
        "output": str(room / "out"),
        "tile_size": 32,
        "scores": {"annual": ["difference"], "robust_z": False},
        **changes,
    }
    path = room / "run.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in settings.items() if value is not None}))
    return str(path)


def refused(capfd: pytest.CaptureFixture[str], room: Room, argv: list[str]) -> str:
    """The one line of a refusal that left everything as it was."""
    before = {path: path.lstat().st_mtime_ns for path in room.rglob("*")}
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        code = main(argv)
    out, err = capfd.readouterr()
    assert code == 2, err
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert err.strip().isprintable()
    assert "Traceback" not in err
    assert [str(warning.message) for warning in shown if not issubclass(warning.category, DeprecationWarning)] == []
    assert {path: path.lstat().st_mtime_ns for path in room.rglob("*")} == before
    return err.strip()


# --- run files ----------------------------------------------------------------------------------------------------------

TEXTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "found an empty file"),
    "not YAML": ("mosaic: [", "found"),
    "not text": (b"mosaic: \xff\xfe", "not UTF-8"),
    "a list": ("- mosaic\n", "expected a mapping"),
    "a key twice": ("mosaic: a\noutput: b\nmosaic: c\n", "twice"),
    "an object": ("mosaic: !!python/object/apply:os.system [ls]\noutput: o\n", "found"),
}


pytestmark = [pytest.mark.row("R7"), pytest.mark.usefixtures("no_spark")]


@pytest.mark.parametrize("name", list(TEXTS))
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_run_file_that_is_none(capfd: pytest.CaptureFixture[str], room: Room, command: str, name: str) -> None:
    content, expected = TEXTS[name]
    path = room / "run.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused(capfd, room, [command, str(path)])
    assert line.startswith(f"{path}: ")
    assert expected in line


VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"tilesize": 32}, "tilesize: unknown key; did you mean 'tile_size'?"),
    "no mosaic": ({"mosaic": None}, "mosaic: found nothing"),
    "no output": ({"output": None}, "output: found nothing"),
    "Spark in the run file": ({"spark": {"memory": "4g"}}, "spark: unknown key"),
    "a mosaic that is nowhere": ({"mosaic": "nowhere.zarr"}, "found no zarr.json"),
    "a mosaic on another scheme": ({"mosaic": "ftp://host/m.zarr"}, "scheme 'ftp'"),
    "a mosaic at the metadata service": ({"mosaic": "http://169.254.169.254/latest"}, "link-local"),
    "a signed address": ({"mosaic": "https://host/m?X-Amz-Signature=canary"}, "credentials come from the environment"),
    "an array that is not there": ({"variable": "embedding"}, "the array 'embedding'"),
    "quantisation of another dtype": ({"quantization": "linear"}, "expected one of signed_square, none"),
    "a year before the mosaic": ({"years": [2016, 2018]}, "years: found 2016"),
    "a year after the mosaic": ({"years": [2017, 2025]}, "years: found 2025"),
    "years in disorder": ({"years": [2019, 2017]}, "the first before the last"),
    "one year": ({"years": [2017, 2017]}, "two different years"),
    "years as text": ({"years": "2017-2019"}, "years: found '2017-2019'"),
    "a tile that splits chunks": ({"tile_size": 48}, "use 32, 64, 128"),
    "a tile of no size": ({"tile_size": 0}, "tile_size: found 0"),
    "a tile of text": ({"tile_size": "1024"}, "tile_size: found '1024'"),
    "an unknown score": ({"scores": {"annual": ["lomedoid"]}}, "did you mean 'loo_medoid'?"),
    "a score that three years cannot give": ({"scores": {"annual": ["loo_medoid"], "robust_z": False}}, "found 3 years"),
    "a scale that three years cannot give": ({"scores": {"annual": ["difference"], "robust_z": True}}, "robust_z: false"),
    "a detector that three years cannot feed": ({"change": {"detector": "max_loo_medoid"}}, "change.detector: max_loo_medoid"),
    "an unknown detector": ({"change": {"detector": "bitemporl"}}, "did you mean 'bitemporal'?"),
    "two thresholds": ({"change": {"threshold": {"score": 1, "quantile": 0.5}}}, "exactly one of"),
    "no map CRS": ({"refine": {"crs": "EPSG:5773"}}, "refine.crs: found 'EPSG:5773'"),
    "zooms in disorder": ({"maps": {"min_zoom": 9, "max_zoom": 8}}, "from min_zoom 9"),
}


@pytest.mark.parametrize("name", list(VALUES))
def test_a_value_that_cannot_be(capfd: pytest.CaptureFixture[str], room: Room, name: str) -> None:
    changes, expected = VALUES[name]
    line = refused(capfd, room, ["run", run_file(room, **changes)])
    assert expected in line
    assert "canary" not in line


# --- areas of interest --------------------------------------------------------------------------------------------------


def feature_collection(*geometries: Any) -> str:
    features = [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]
    return json.dumps({"type": "FeatureCollection", "features": features})


def frame(*geometries: Any, crs: str | None = "EPSG:4326") -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({"name": ["x"] * len(geometries)}, geometry=list(geometries), crs=crs)


INSIDE = shapely.box(WEST, SOUTH, EAST, NORTH)

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
}  # fmt: skip


def write_area(room: Room, name: str, content: Any) -> str:
    path = room / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, pa.Table):
        pq.write_table(content, path)
    elif path.suffix == ".parquet":
        content.to_parquet(path)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content.to_file(path)
    return str(path)


@pytest.mark.parametrize("name", list(AREAS))
def test_an_area_that_cannot_be(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    area, expected = AREAS[name]
    monkeypatch.chdir(room)
    line = refused(capfd, room, ["run", run_file(room, aoi=write_area(room, *area) if isinstance(area, tuple) else area)])
    assert "aoi: " in line
    assert expected in line


# --- mosaics ------------------------------------------------------------------------------------------------------------


def rewrite(path: Path, codes: np.ndarray, **options: Any) -> None:
    shutil.rmtree(path)
    write_mosaic(path, codes, **options)


def linear_codes(path: Path) -> None:
    """Codes of x = q / 127 declared as signed squares."""
    x = np.random.default_rng(2).normal(size=(3, 64, 64, 64))
    codes = np.rint(x / np.linalg.norm(x, axis=1, keepdims=True) * 127).astype(np.int8)
    rewrite(path, codes)


def edit_time(path: Path, values: Any, **attributes: Any) -> None:
    import zarr

    shutil.rmtree(path / "time")
    array = zarr.open_group(path, mode="a").create_array("time", data=np.asarray(values), dimension_names=("time",))
    array.attrs.update(attributes)


def cf_reference(path: Path, **attributes: Any) -> None:
    import zarr

    edit_group(proj__code=None, spatial__transform=None)(path)
    group = zarr.open_group(path, mode="a")
    group.create_array("spatial_ref", shape=(), dtype="int32").attrs.update({"crs_wkt": "EPSG:4326", **attributes})


def noise_in_time(path: Path) -> None:
    chunk = next(file for file in (path / "time/c").rglob("*") if file.is_file())
    chunk.write_bytes(b"\0" * 7)


MORE_MOSAICS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "linear codes declared as signed squares": (linear_codes, "median norm of 0."),
    "half of the bands": (lambda p: rewrite(p, unit_codes(1, 3, 64, 64, bands=8)[:, :4]), "bands are missing"),
    "degrees that are metres": (edit_group(spatial__transform=[10, 0, 5e5, 0, -10, 4e6]), "expected -180 to 180"),
    "latitudes beyond the pole": (edit_group(spatial__transform=[0.1, 0, 0, 0, -0.1, 4e6]), "expected -90 to 90"),
    "longitudes of 0 to 360": (edit_group(spatial__transform=[6, 0, 0, 0, -0.1, 40]), "shift the mosaic's columns"),
    "attributes that are a list": (lambda p: edit_metadata(p / "zarr.json", attributes=[1]), "attributes"),
    "array attributes that are text": (lambda p: edit_metadata(p / "embeddings/zarr.json", attributes="x"), "attributes"),
    "dimension names of a number": (edit_array(lambda d: d.update(dimension_names=5)), "dimension_names"),
    "a grid mapping of five numbers": (lambda p: cf_reference(p, GeoTransform="0 1 0 0 0"), "GeoTransform"),
    "a grid mapping of words": (lambda p: cf_reference(p, GeoTransform="a b c d e f"), "GeoTransform"),
    "years that are infinite": (lambda p: edit_time(p, [2017.0, np.inf, 2019.0]), "time: found"),
    "years that are NaN": (lambda p: edit_time(p, [2017.0, np.nan, 2019.0]), "time: found"),
    "years that repeat": (lambda p: edit_time(p, [2017, 2017, 2019]), "different years"),
    "years of another length": (lambda p: edit_time(p, [2017, 2018]), "time: found shape (2,)"),
    "years of text": (
        lambda p: edit_metadata(p / "time/zarr.json", data_type="string", fill_value="x"),
        "time: data_type: found",
    ),
    "dates of no calendar": (lambda p: edit_time(p, [1, 2, 3], units="days since yesterday"), "time: found"),
    "years that are damaged": (noise_in_time, "time: found"),
    "years of a codec nobody knows": (
        lambda p: edit_metadata(p / "time/zarr.json", codecs=[{"name": "nobody.knows", "configuration": {}}]),
        "time: codecs: found",
    ),
    "letters that move the cursor": (edit_group(proj__code="EPSG:\x1b[2J"), "CRS: found"),
}


def edit_metadata(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize("name", [*BAD_MOSAICS, *MORE_MOSAICS])
def test_a_mosaic_that_cannot_be(capfd: pytest.CaptureFixture[str], room: Room, name: str) -> None:
    spoil, expected = {**BAD_MOSAICS, **MORE_MOSAICS}[name]
    spoil(room / "mosaic.zarr")
    assert expected in refused(capfd, room, ["run", run_file(room)])


# --- output and memory --------------------------------------------------------------------------------------------------


def test_an_output_that_is_a_file(capfd: pytest.CaptureFixture[str], room: Room) -> None:
    (room / "out").write_text("mine")
    for output in (room / "out", room / "out" / "deeper" / "still"):
        line = refused(capfd, room, ["run", run_file(room, output=str(output))])
        assert f"output: found {output}" in line
        assert "is a file" in line


@pytest.mark.parametrize("link", [False, True])
def test_an_output_in_the_mosaic(capfd: pytest.CaptureFixture[str], room: Room, link: bool) -> None:
    if link:
        (room / "elsewhere").symlink_to(room / "mosaic.zarr")
    output = room / ("elsewhere" if link else "mosaic.zarr") / "results"
    assert "lies in the mosaic" in refused(capfd, room, ["run", run_file(room, output=str(output))])


def test_an_output_that_cannot_be_written(capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = room / "closed"
    closed.mkdir(mode=0o555)
    if os.geteuid() == 0:  # root may write everywhere
        allowed = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and allowed(path, mode))
    line = refused(capfd, room, ["run", run_file(room, output=str(closed / "a" / "b"))])
    assert f"{closed} cannot be written" in line


@pytest.mark.parametrize("text", ["4 GB", "-1", "0", "1e3", "99999999999"])
def test_a_memory_allowance_that_is_none(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(TASK_MEMORY_VARIABLE, text)
    assert refused(capfd, room, ["run", run_file(room)]).startswith(f"{TASK_MEMORY_VARIABLE}: found '{text}'")


def test_a_tile_beyond_the_memory_allowance_names_one_that_fits(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TASK_MEMORY_VARIABLE, "700")
    line = refused(capfd, room, ["run", run_file(room, tile_size=8192)])
    advised = int(line.split("use tile_size: ")[1].split(",")[0])
    assert 32 <= advised < 8192
    assert plan_run(run_file(room, tile_size=advised)).tile_size == advised
    enough = int(line.rsplit(f"{TASK_MEMORY_VARIABLE}=", 1)[1])
    monkeypatch.setenv(TASK_MEMORY_VARIABLE, str(enough - 1))
    refused(capfd, room, ["run", run_file(room, tile_size=8192)])
    monkeypatch.setenv(TASK_MEMORY_VARIABLE, str(enough))
    assert plan_run(run_file(room, tile_size=8192)).tile_size == 8192
    monkeypatch.setenv(TASK_MEMORY_VARIABLE, "3")
    assert "no smaller tile of this mosaic fits" in refused(capfd, room, ["run", run_file(room)])


# --- other commands, options --------------------------------------------------------------------------------------------


def write_run(room: Room, pointer: str | None, manifest: str | None = None) -> None:
    out = room / "out"
    (out / "runs" / "abc").mkdir(parents=True)
    if pointer is not None:
        (out / "latest.json").write_text(pointer)
    if manifest is not None:
        (out / "runs" / "abc" / "run.json").write_text(manifest)


def write_parquet(room: Room, geo: Any, name: str = "in.parquet") -> None:
    table = pa.table({"id": [1], "geometry": [shapely.to_wkb(INSIDE)]})
    text = geo if isinstance(geo, str) else json.dumps(geo)
    pq.write_table(table.replace_schema_metadata({"geo": text} if geo is not None else None), room / name)


def geo(**column: Any) -> dict[str, Any]:
    whole = {"encoding": "WKB", "geometry_types": ["Polygon"], **column}
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": whole}}


Prepare = Callable[[Room], Any]

TILES = ["tiles", "in.parquet", "o.pmtiles"]

ARGUMENTS: dict[str, tuple[Prepare, list[str], str]] = {
    "no run file": (lambda r: None, ["run"], "run_file"),
    "a run file that is not there": (lambda r: None, ["run", "none.yaml"], "found no such file"),
    "a folder for a run file": (lambda r: None, ["plan", "."], "found a directory"),
    "two run files": (run_file, ["plan", "run.yaml", "run.yaml"], "unexpected extra argument"),
    "an unknown command": (lambda r: None, ["rnu"], "rnu"),
    "an unknown option": (run_file, ["run", "run.yaml", "--mastr", "local"], "--mastr"),
    "an option without its value": (run_file, ["run", "run.yaml", "--master"], "--master"),
    "status of nothing": (lambda r: None, ["status", "none"], "found no scores or runs in none"),
    "status of a file": (run_file, ["status", "run.yaml"], "found no scores or runs"),
    "status of a mosaic": (lambda r: None, ["status", "mosaic.zarr"], "found no scores or runs"),
    "sql on nothing": (lambda r: None, ["sql", "none", "SELECT 1"], "found no finished run in none"),
    "sql on a file": (run_file, ["sql", "run.yaml", "SELECT 1"], "found no finished run"),
    "sql on an unfinished run": (lambda r: write_run(r, None), ["sql", "out", "SELECT 1"], "found no finished run"),
    "sql by a torn pointer": (lambda r: write_run(r, '{"run'), ["sql", "out"], "found no finished run"),
    "sql by a list": (lambda r: write_run(r, "[]"), ["sql", "out"], "found no finished run"),
    "sql by a path": (lambda r: write_run(r, '{"run_id": "../../x"}'), ["sql", "out"], "expected the name of a run"),
    "sql on a run that is gone": (lambda r: write_run(r, '{"run_id": "abc"}'), ["sql", "out"], "found no run.json"),
    "sql on a run without tables": (
        lambda r: write_run(r, '{"run_id": "abc"}', '{"score_id": "s"}'), ["sql", "out", "SELECT 1"], "found no tables",
    ),
    "tiles of nothing": (lambda r: None, ["tiles", "none", "o.pmtiles"], "found no Parquet file"),
    "tiles of a folder without tables": (lambda r: None, ["tiles", "mosaic.zarr", "o.pmtiles"], "found no Parquet file"),
    "tiles of text": (run_file, ["tiles", "run.yaml", "o.pmtiles"], "not Parquet"),
    "tiles of plain Parquet": (lambda r: write_parquet(r, None), TILES, "metadata 'geo'"),
    "tiles of broken metadata": (lambda r: write_parquet(r, "{"), TILES, "cannot be read"),
    "tiles of a list": (lambda r: write_parquet(r, []), TILES, "cannot be read"),
    "tiles of native geometries": (lambda r: write_parquet(r, geo(encoding="polygon")), TILES, "WKB"),
    "tiles of an unknown CRS": (lambda r: write_parquet(r, geo(crs=None)), TILES, "unknown CRS"),
    "tiles of a CRS nobody knows": (lambda r: write_parquet(r, geo(crs={"a": 1})), TILES, "CRS"),
    "tiles of points": (
        lambda r: write_parquet(r, geo(geometry_types=["Point"])), TILES, "found Point",
    ),
    "tiles to another name": (lambda r: write_parquet(r, geo()), ["tiles", "in.parquet", "o.mbtiles"], ".pmtiles"),
    "tiles to a folder that is not there": (
        lambda r: write_parquet(r, geo()), ["tiles", "in.parquet", "a/o.pmtiles"], "in a folder that exists",
    ),
    "tiles to a folder": (
        lambda r: (write_parquet(r, geo()), (r / "o.pmtiles").mkdir()), TILES, "found a folder",
    ),
    "tiles of zooms in disorder": (
        lambda r: write_parquet(r, geo()), [*TILES, "--min-zoom", "9", "--max-zoom", "8"], "min_zoom",
    ),
    "tiles of a zoom beyond all": (
        lambda r: write_parquet(r, geo()), [*TILES, "--max-zoom", "99"], "max_zoom: found 99",
    ),
    "tiles of a zoom of text": (lambda r: None, [*TILES, "--max-zoom", "x"], "--max-zoom"),
    "tiles of no resolution": (
        lambda r: write_parquet(r, geo()), [*TILES, "--tile-resolution", "0"], "tile_resolution: found 0",
    ),
    "tiles of a wide margin": (lambda r: write_parquet(r, geo()), [*TILES, "--buffer", "64"], "buffer: found 64"),
    "tiles without features": (
        lambda r: write_parquet(r, geo()), [*TILES, "--max-features-per-tile", "0"], "max_features_per_tile: found 0",
    ),
    "tiles without bytes": (lambda r: write_parquet(r, geo()), [*TILES, "--max-tile-bytes", "-1"], "max_tile_bytes: found -1"),
    "tiles simplified otherwise": (
        lambda r: write_parquet(r, geo()), [*TILES, "--simplify", "dpp"], "did you mean 'dp'?",
    ),
    "tiles snapped by a tolerance": (
        lambda r: write_parquet(r, geo()), [*TILES, "--simplify", "snap", "--tolerance", "2"], "tolerance: found 2",
    ),
    "tiles with a missing id": (
        lambda r: write_parquet(r, geo()), [*TILES, "--id-column", "nam"], "id_column: found 'nam'",
    ),
    "tiles with a missing attribute": (
        lambda r: write_parquet(r, geo()), [*TILES, "--thin", "score:8"], "thin: found 'score'",
    ),
    "a scene of no size": (lambda r: None, ["scene", "scene", "--size", "5"], "size: found 5"),
    "a scene of another kind": (lambda r: None, ["scene", "scene", "--kind", "qiet"], "did you mean 'quiet'?"),
    "a scene over other files": (lambda r: None, ["scene", "mosaic.zarr"], "found other files"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(ARGUMENTS))
def test_arguments_that_cannot_be(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    prepare, argv, expected = ARGUMENTS[name]
    prepare(room)
    monkeypatch.chdir(room)
    assert expected in refused(capfd, room, argv)


# --- as a process -------------------------------------------------------------------------------------------------------

PROGRAM = """
import atexit, sys
from terradrift.cli import main

@atexit.register
def no_java():
    context = getattr(sys.modules.get("pyspark"), "SparkContext", None)
    assert context is None or context._gateway is None, "Java was started"

sys.exit(main())
"""


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["run", "run.yaml"], "tile_size: 48 is not"),
        (["plan", "run.yaml", "--json"], "tile_size: 48 is not"),
        (["run", "none.yaml"], "found no such file"),
        (["sql", "out", "SELECT 1"], "found no finished run"),
        (["tiles", "run.yaml", "o.pmtiles"], "not Parquet"),
        (["run", "run.yaml", "--fast"], "--fast"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_process_says_one_line_and_starts_no_java(room: Room, argv: list[str], expected: str) -> None:
    run_file(room, tile_size=48)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *argv], cwd=room, capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert expected in ran.stderr
    assert not (room / "out").exists()


SCRIPTS = Path(__file__).parents[2] / "jobs"


def run_script(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
    return int(ended.value.code or 0)


@pytest.mark.parametrize("script", ["score_tiles", "polygonize_changes", "refine_polygons", "export_maps"])
def test_a_stage_before_its_time_or_without_a_run_file(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    assert run_script(monkeypatch, script, "a", "b") == 2
    # two arguments are `terradrift tiles`
    table_to_tiles = "table: found no Parquet file at a; expected a GeoParquet file or folder"
    one_file = f"{script}: found 2 arguments; expected one: the run file"
    assert capfd.readouterr().err == (table_to_tiles if script == "export_maps" else one_file) + "\n"
    assert run_script(monkeypatch, script, run_file(room, tile_size=48)) == 2
    assert capfd.readouterr().err.startswith("tile_size: 48 is not")
    if script != "score_tiles":
        assert run_script(monkeypatch, script, run_file(room)) == 2
        err = capfd.readouterr().err
        assert err.count("\n") == 1
        assert err.endswith("run score_tiles first\n")
    assert not (room / "out").exists()
