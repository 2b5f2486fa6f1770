"""R7: arguments that cannot be used, of every command and script, and as the process a user starts."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from refusals import INSIDE, Room, frame, geo, refused, run_file, write_parquet, write_run

pytestmark = [pytest.mark.row("R7"), pytest.mark.usefixtures("no_spark")]

Prepare = Callable[[Room], Any]

TILES = ["tiles", "in.parquet", "o.pmtiles"]


def truth(room: Room) -> None:
    frame(INSIDE).assign(year=2018).to_file(room / "truth.gpkg")


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
        lambda r: write_run(r, '{"run_id": "abc"}', {"score_id": "s"}), ["sql", "out", "SELECT 1"], "found no tables",
    ),
    "tiles of nothing": (lambda r: None, ["tiles", "none", "o.pmtiles"], "found no Parquet file"),
    "tiles of a folder without tables": (lambda r: None, ["tiles", "mosaic.zarr", "o.pmtiles"], "found no Parquet file"),
    "tiles of a folder with other files": (
        lambda r: (write_parquet(r, geo()), run_file(r)), ["tiles", ".", "o.pmtiles"], "in it; expected the files of one",
    ),
    "tiles of a folder of tables": (
        lambda r: (write_parquet(r, geo()), (r / "t/a").mkdir(parents=True), (r / "in.parquet").rename(r / "t/a/in.parquet")),
        ["tiles", "t", "o.pmtiles"], "found a/in.parquet in it",
    ),
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


PROCESSES = [
    (["run", "run.yaml"], "tile_size: 48 is not"),
    (["plan", "run.yaml", "--json"], "tile_size: 48 is not"),
    (["run", "none.yaml"], "found no such file"),
    (["sql", "out", "SELECT 1"], "found no finished run"),
    (["tiles", "run.yaml", "o.pmtiles"], "not Parquet"),
    (["run", "run.yaml", "--fast"], "--fast"),
]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [case if number == 0 else pytest.param(*case, marks=pytest.mark.whole) for number, case in enumerate(PROCESSES)],
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
