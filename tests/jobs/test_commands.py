"""Every command and script on one small scene, most of them as the process a user starts."""

from __future__ import annotations

import io
import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import mapbox_vector_tile
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyspark
import pytest
import shapely
import yaml
from pmtiles.reader import MmapSource, Reader, all_tiles
from pyspark.sql import SparkSession

import terradrift as td
from terradrift.cli import main
from terradrift.mosaic import ReadReport
from terradrift.store import Store

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).with_name("terradrift")
EXAMPLES = sorted((ROOT / "sql" / "examples").glob("*.sql"))
STAGES = ["score_tiles", "polygonize_changes", "refine_polygons", "build_overviews", "export_maps"]
TABLES = ("raw_polygons", "change_polygons", "polygon_parts", "thresholds", "zones", "gaps")
CHUNK, TILE = 32, 64

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Workplace:
    """A scene and run files for it."""

    folder: Path

    @property
    def scene(self) -> Path:
        return self.folder / "scene"

    def out(self, name: str = "out") -> Path:
        return self.folder / name

    def run_file(self, name: str = "out") -> str:
        """The same run with its own output."""
        path = self.folder / f"{name}.yaml"
        settings = {
            "mosaic": str(self.scene / "mosaic.zarr"),
            "aoi": str(self.scene / "aoi.geojson"),
            "output": str(self.out(name)),
            "tile_size": TILE,
            "change": {"detector": "bitemporal", "threshold": {"score": 0.15}},
            "polygons": {"min_pixels": 3},
            "maps": {"min_zoom": 9, "max_zoom": 12},
        }
        path.write_text(yaml.safe_dump(settings))
        return str(path)


def process(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command as a user starts it; the tests' own Spark is none of its business."""
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False,
        timeout=400,
    )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("commands"))
    td.write_scene(place.scene, kind="tropical", size=160, years=9, seed=3, chunk=CHUNK, shard=TILE)
    return place


@pytest.fixture(scope="module")
def first(place: Workplace) -> subprocess.CompletedProcess[str]:
    """`terradrift run`, the first time."""
    return process(COMMAND, "run", place.run_file(), "--master", "local[2,4]")


@pytest.fixture(scope="module")
def done(place: Workplace, first: subprocess.CompletedProcess[str]) -> Any:
    assert first.returncode == 0, first.stderr
    return td.open_run(place.out())


def tables(result: Any) -> dict[str, pd.DataFrame]:
    """The published tables with geometries as WKB, sorted."""
    found = {}
    for name in TABLES:
        frame = ds.dataset(result.folder.tables / name, format="parquet", exclude_invalid_files=True).to_table().to_pandas()
        found[name] = frame.sort_values(list(frame.columns[:2]), ignore_index=True)
    return found


def shards(result: Any) -> dict[str, bytes]:
    """Every object of the rasters but their metadata."""
    roots = (result.folder.scores / "scores.zarr", result.folder.path / "change.zarr")
    files = [(root, path) for root in roots for path in sorted(root.rglob("*")) if path.is_file() and path.name != "zarr.json"]
    return {f"{root.name}/{path.relative_to(root)}": path.read_bytes() for root, path in files}


def assert_same_results(one: Any, other: Any) -> None:
    for name, frame in tables(one).items():
        pd.testing.assert_frame_equal(frame, tables(other)[name], obj=name)
    assert shards(one) == shards(other)
    maps = ("changes.pmtiles", "change_score.tif", "change_year.tif")
    assert all((one.folder.maps / name).read_bytes() == (other.folder.maps / name).read_bytes() for name in maps)


def ledger(result: Any) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (result.folder.scores / "_ledger").iterdir()}


# --- plan ---------------------------------------------------------------------------------------------------------------


def test_plan_says_what_the_run_then_reads(place: Workplace, done: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = process(COMMAND, "plan", place.run_file(), "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    planned = json.loads(ran.stdout)
    keys: set[str] = set()
    for name in ("get", "get_end", "get_ranges"):
        real: Callable[..., Any] = getattr(Store, name)

        def noted(self: Store, key: str, *arguments: Any, real: Callable[..., Any] = real) -> Any:
            keys.add(key)
            return real(self, key, *arguments)

        monkeypatch.setattr(Store, name, noted)
    plan = td.plan(place.run_file())
    keys.clear()
    report = ReadReport()
    for k in range(plan.n_tiles):
        list(plan.mosaic.read_blocks(plan.tile_window(k), plan.years, report))
    assert planned["input_requests"] == report.requests + _absent_chunks(plan)
    monkeypatch.undo()  # the run's own tables are read through stores too
    assert planned["input_objects"] == len(keys)

    tiles = done.tiles
    assert planned["tiles"] == len(tiles)
    assert planned["pixels"] == int((tiles.height * tiles.width).sum())
    assert int(tiles.bytes_read.sum()) <= report.bytes_read <= planned["input_bytes"]
    assert int(tiles.peak_rss.max()) <= planned["task_memory_bytes"]
    assert sum(map(len, shards(done).values())) <= planned["output_bytes"]
    stored = sum((place.scene / "mosaic.zarr" / key).stat().st_size for key in keys)
    assert planned["input_bytes_stored_estimate"] == pytest.approx(stored, rel=0.5)
    assert planned["years"] == list(range(2017, 2026)) == done.manifest["years"]
    assert planned["annual_bands"] == done.manifest["bands"]
    assert planned["window"] == done.manifest["window"]


def _absent_chunks(plan: Any) -> int:
    """Chunks without data, which no request asks for."""
    import zarr

    window, absent = plan.window, 0
    codes = zarr.open_group(plan.mosaic.url, mode="r")["embeddings"]
    for y in range(window.y0, window.y1, CHUNK):
        part = codes[:, :, y : min(y + CHUNK, window.y1), window.x0 : window.x1]
        for x in range(0, window.width, CHUNK):
            absent += int((part[..., x : x + CHUNK] == -128).all(axis=(1, 2, 3)).sum())
    return absent


def test_plan_in_words(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", place.run_file()]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    plan = td.plan(place.run_file())
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert f"{plan.n_tiles} of {TILE} pixels" in lines["tiles"]
    assert "2017 to 2025, 9 of them" in lines["years"]
    assert "difference_cosine_robust_z" in out
    assert "a task" in lines["memory"]


def test_the_script_plans_too(place: Workplace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, "plan_tiles", place.run_file(), "--json")
    assert json.loads(capsys.readouterr().out)["tiles"] == td.plan(place.run_file()).n_tiles


# --- run ----------------------------------------------------------------------------------------------------------------


def test_run_says_what_it_found_and_how_far_it_is(place: Workplace, first: subprocess.CompletedProcess[str], done: Any) -> None:
    lines = [json.loads(line) for line in first.stderr.splitlines()]
    assert list(dict.fromkeys(line["stage"] for line in lines)) == STAGES
    assert all(0 <= line["done"] <= line["total"] for line in lines)
    assert f"results: {done.folder.path}" in first.stdout
    assert f"{len(done.polygons):,} changes" in first.stdout
    assert "area changed by year" in first.stdout
    assert len(done.polygons) > 10
    assert done.manifest["counts"]["tiles"]["done"] > 0


def test_a_second_run_has_nothing_to_do(
    place: Workplace, done: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in place.out().rglob("*") if path.name != "latest.json"}
    monkeypatch.setattr("terradrift.spark.jobs.spark_session", lambda *_: pytest.fail("Spark was asked for"))
    assert main(["run", place.run_file()]) == 0
    out, err = capsys.readouterr()
    assert "nothing to do" in out
    assert f"{len(done.polygons):,} changes" in out
    assert err == ""
    after = {path: path.stat().st_mtime_ns for path in place.out().rglob("*") if path.name != "latest.json"}
    assert after.keys() == before.keys()
    assert {path for path in before if before[path] != after[path]} <= {place.out()}


def test_resume_does_what_is_not_done_and_fresh_does_all(
    spark: SparkSession, place: Workplace, done: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if the driver had died while tiles were scored: some records are not there, one is cut, nothing is published."""
    shutil.copytree(place.out(), place.out("again"))
    again = td.open_run(place.out("again"))
    assert again.folder.run_id == done.folder.run_id
    shutil.rmtree(again.folder.path)
    (place.out("again") / "latest.json").unlink()
    before = ledger(again)
    lost, cut = sorted(before)[:2], sorted(before)[2]
    for name in lost:
        (again.folder.scores / "_ledger" / name).unlink()
    (again.folder.scores / "_ledger" / cut).write_bytes(b'{"tile_id": "r0')
    shutil.rmtree(again.folder.scores / "tiles")

    assert main(["status", str(place.out("again"))]) == 0
    assert main(["run", place.run_file("again")]) == 0
    again = td.open_run(place.out("again"))
    resumed = ledger(again)
    assert {name for name in resumed if resumed[name] != before[name]} == {*lost, cut}
    assert_same_results(done, again)

    assert main(["run", place.run_file("again"), "--fresh"]) == 0
    again = td.open_run(place.out("again"))
    fresh = ledger(again)
    assert fresh.keys() == before.keys()
    assert all(fresh[name] > resumed[name] for name in fresh)
    assert_same_results(done, again)
    assert "nothing to do" not in capsys.readouterr().out


def script(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "jobs" / f"{name}.py"), run_name="__main__")
    assert not ended.value.code


def test_spark_submit_gives_the_same(place: Workplace, done: Any) -> None:
    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    ran = process(
        submit, "--properties-file", "conf/spark-defaults.conf", "--master", "local[2,4]",
        "--driver-java-options", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "jobs/detect_changes.py", place.run_file("submitted"),
        PYSPARK_PYTHON=sys.executable, PYSPARK_DRIVER_PYTHON=sys.executable,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "results: " in ran.stdout
    assert "Traceback" not in ran.stderr
    submitted = td.open_run(place.out("submitted"))
    assert submitted.folder.run_id == done.folder.run_id
    assert_same_results(done, submitted)


def test_the_stages_one_after_another_give_the_same(
    spark: SparkSession, place: Workplace, done: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in STAGES:
        script(monkeypatch, stage, place.run_file("staged"))
    assert_same_results(done, td.open_run(place.out("staged")))


# --- status, sql, tiles -------------------------------------------------------------------------------------------------


def test_status_counts_tiles_and_runs(place: Workplace, done: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(place.out()), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["latest"] == done.folder.run_id
    assert [row["score_id"] for row in status["scores"]] == [done.folder.score_id]
    states = done.tiles.state.value_counts().to_dict()
    assert {state: status["scores"][0][state] for state in ("done", "empty", "failed")} == {
        "done": 0,
        "empty": 0,
        "failed": 0,
    } | states
    assert status["scores"][0]["bytes_read"] == int(done.tiles.bytes_read.sum())
    row = status["runs"][0]
    assert (row["run_id"], row["state"], row["polygons"]) == (done.folder.run_id, "latest", len(done.polygons))
    assert row["seconds"] > 0

    assert main(["status", str(place.out())]) == 0
    assert done.folder.run_id in capsys.readouterr().out


def test_sql_answers_one_query(spark: SparkSession, place: Workplace, done: Any, capsys: pytest.CaptureFixture[str]) -> None:
    query = "SELECT count(*) AS n, sum(n_pixels) AS pixels, count_if(ST_IsValid(geometry)) AS valid FROM change_polygons"
    assert main(["sql", str(place.out()), query]) == 0
    out = capsys.readouterr().out
    n = len(done.polygons)
    assert [word for word in out.split() if word.isdigit()] == [str(n), str(int(done.polygons.n_pixels.sum())), str(n)]
    for name in ("polygon_parts", "raw_polygons", "zones", "gaps", "thresholds", "tiles"):
        assert main(["sql", str(place.out()), f"SELECT count(*) AS n FROM {name}"]) == 0
    assert main(["sql", str(place.out()), "SELECT geometry FROM change_polygons LIMIT 1"]) == 0
    assert "POLYGON" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT nothing FROM change_polygons", "nothing"),
        ("SELEC 1", "SELEC"),
        ("SELECT 1; SELECT 2", ""),
        ("", ""),
        ("SELECT 1 / (n_pixels - n_pixels) FROM change_polygons", "DIVIDE_BY_ZERO"),
        ("SELECT CAST(ST_AsText(geometry) AS INT) FROM change_polygons", "CAST_INVALID_INPUT"),
        ("SELECT raise_error('stop here') FROM change_polygons", "stop here"),
        ("SELECT ST_GeomFromText('POLYGON ((' || n_pixels) FROM change_polygons", "POLYGON"),
    ],
)
def test_sql_that_spark_cannot_read_or_answer_is_one_line(
    spark: SparkSession, place: Workplace, done: Any, capsys: pytest.CaptureFixture[str], query: str, expected: str
) -> None:
    assert main(["sql", str(place.out()), query]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sql: ")
    assert expected in err
    assert err.count("\n") == 1


def test_the_examples_run_in_the_shell(
    spark: SparkSession, place: Workplace, done: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each example as it stands, ended with a semicolon; an error does not end the shell."""
    lon, lat = (float(value) for value in shapely.get_coordinates(done.polygons.geometry.iloc[0].representative_point())[0])
    statements = ["SELECT nothing_at_all", f"SET VAR lon = {lon}", f"SET VAR lat = {lat}", "SET VAR largest = 3"]
    statements += [path.read_text().strip() for path in EXAMPLES]
    text = "".join(f"{statement};\n" for statement in statements) + "quit;\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert main(["sql", str(place.out())]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "nothing_at_all" in out
    assert "tables: change_polygons, gaps, " in out
    for heading in ("n_polygons", "area_ha", "distance_m", "score_max"):
        assert heading in out, out
    largest = done.polygons.sort_values("area_m2", ascending=False).change_id.head(3)
    assert all(str(change_id) in out for change_id in largest)
    inside = str(done.polygons.change_id.iloc[0])
    assert any(inside in line and " 0 " in line.replace("│", " ").replace("0.0", "0") for line in out.splitlines())


def features(archive: Path, zoom: int, layer: str) -> list[dict[str, Any]]:
    import gzip

    with archive.open("rb") as file:
        found = []
        for (z, _, _), data in all_tiles(Reader(MmapSource(file)).get_bytes):
            if z == zoom:
                found += mapbox_vector_tile.decode(gzip.decompress(data))[layer]["features"]
        return found


def test_tiles_of_our_own_table(
    spark: SparkSession, place: Workplace, done: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "mine.pmtiles"
    table = done.folder.tables / "change_polygons"
    assert main(["tiles", str(table), str(archive), "--layer", "mine", "--min-zoom", "9", "--max-zoom", "12"]) == 0
    assert f"{len(done.polygons):,} polygons" in capsys.readouterr().out
    assert {feature["id"] for feature in features(archive, 12, "mine")} == set(done.polygons.change_id)
    with archive.open("rb") as file:
        header = Reader(MmapSource(file)).header()
    assert (header["min_zoom"], header["max_zoom"]) == (9, 12)
    west, south, east, north = done.polygons.total_bounds
    bounds = np.array([header["min_lon_e7"], header["min_lat_e7"], header["max_lon_e7"], header["max_lat_e7"]]) / 1e7
    assert np.allclose(bounds, [west, south, east, north], atol=1e-4)
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("name", ["it_1__iti1_2023", "jp__jp_field_polygons_2024"])
def test_tiles_of_a_foreign_table(spark: SparkSession, shared_data: Path, tmp_path: Path, name: str) -> None:
    """Fields in ETRS89 LAEA and in JGD2011, with columns of their own."""
    table, archive = shared_data / "polygons-fields" / f"{name}.parquet", tmp_path / "fields.pmtiles"
    frame = gpd.read_parquet(table)
    assert frame.crs.to_epsg() != 4326
    assert main(["tiles", str(table), str(archive), "--min-zoom", "7", "--max-zoom", "12"]) == 0
    found = features(archive, 12, name)
    assert len({feature["id"] for feature in found}) == len(frame)
    west, south, east, north = frame.to_crs(4326).total_bounds
    with archive.open("rb") as file:
        header = Reader(MmapSource(file)).header()
    bounds = np.array([header["min_lon_e7"], header["min_lat_e7"], header["max_lon_e7"], header["max_lat_e7"]]) / 1e7
    assert np.allclose(bounds, [west, south, east, north], atol=1e-3)
    column = "original_code" if "original_code" in frame else "polygon_uuid"
    assert {feature["properties"][column] for feature in found} == set(frame[column])
