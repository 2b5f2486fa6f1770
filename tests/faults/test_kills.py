"""R2, R3, R4: processes of a run killed at any moment, then the run again: nothing lost, torn or double, and the same bytes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow.dataset as ds
import pytest
import yaml

import finished
import terradrift as td
from terradrift.params import params_from
from terradrift.run import open_run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COMMAND = Path(sys.executable).with_name("terradrift")
FAST_JAVA = {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
TABLES = ("raw_polygons", "change_polygons", "polygon_parts", "thresholds", "zones", "gaps")
CORES, TILES = 2, 33
RUN_SECONDS = 600
"""After which a run hangs."""

pytestmark = pytest.mark.slow

DRIVER = """
import sys
from terradrift.cli import guarded
from terradrift.spark.jobs import run_job
from terradrift.spark.session import spark_session

with spark_session("kills", sys.argv[1], {"spark.sql.shuffle.partitions": "2"}):
    print("ready", flush=True)
    for run_file in sys.stdin:
        code = guarded(lambda: run_job(run_file.strip()))
        print(f"ended {code}", flush=True)
"""
"""Runs one after another in one session, whose executors and workers are there to be killed."""


@dataclass(frozen=True)
class Place:
    """A scene of 33 tiles and run files for it."""

    folder: Path

    def run_file(self, name: str) -> str:
        settings = {
            "mosaic": str(self.folder / "scene" / "mosaic.zarr"),
            "aoi": str(self.folder / "scene" / "aoi.geojson"),
            "output": str(self.folder / name),
            "tile_size": 32,
            "change": {"detector": "bitemporal", "threshold": {"score": 0.15}},
            "polygons": {"min_pixels": 2},
            "maps": {"min_zoom": 10, "max_zoom": 11},
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(settings))
        return str(path)

    def records(self, name: str) -> dict[str, int]:
        """When the record of each finished tile was written."""
        return tile_records(self.folder / name)


def tile_records(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("scores/*/_ledger/**/r*_c*.json")}


def environment() -> dict[str, str]:
    return os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, **FAST_JAVA}


def results(out: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Tables, sorted, and all objects of rasters and maps."""
    run: Any = td.open_run(out).folder
    tables = {}
    for name in TABLES:
        rows = ds.dataset(str(run.path) + f"/tables/{name}", format="parquet", exclude_invalid_files=True).to_table().to_pandas()
        tables[name] = rows.sort_values(list(rows.columns[:2]), ignore_index=True).to_dict("list")
    kept = ("scores.zarr", "change.zarr", "maps")
    files = [path for path in out.rglob("*") if path.is_file() and any(name in path.parts for name in kept)]
    return tables, {str(path.relative_to(out)): path.read_bytes() for path in files}


def differences(one: Any, other: Any) -> list[str]:
    """Names of tables and objects that are not the same."""
    found = [name for name in TABLES if repr(one[0][name]) != repr(other[0][name])]
    keys = one[1].keys() | other[1].keys()
    return found + sorted(key for key in keys if one[1].get(key) != other[1].get(key))


def kill_one(driver: int, kind: str, rng: random.Random) -> bool:
    """SIGKILL one worker or executor of a driver, if there is one."""
    try:
        rng.choice(victims(driver, kind)).kill()
    except (IndexError, psutil.NoSuchProcess):
        return False
    return True


def victims(driver: int, kind: str) -> list[psutil.Process]:
    found = []
    for member in psutil.Process(driver).children(recursive=True):
        try:
            line, parent = " ".join(member.cmdline()), member.parent()
            if kind == "executor":
                chosen = "CoarseGrainedExecutorBackend" in line and "java" in member.name()
            else:  # a worker is the child of the daemon, which looks the same and is a child of Java
                is_python = "spark.daemon" in line and "java" not in member.name()
                chosen = is_python and parent is not None and "java" not in parent.name()
        except psutil.NoSuchProcess:
            continue
        if chosen:
            found.append(member)
    return found


# --- of `make test`: the session and the finished run that all tests share ------------------------------------------------


def test_a_python_worker_is_killed_and_the_run_goes_on(
    spark: SparkSession, finished_run: Path, tmp_path: Path, tally: Callable[..., None]
) -> None:
    from terradrift.spark.detect_changes import detect_changes

    settings = finished.settings(finished_run) | {"output": str(tmp_path / "out")}
    ended, killed = threading.Event(), [0]

    def kill() -> None:
        while not ended.wait(0.02):
            if killed[0] < min(2, len(tile_records(tmp_path / "out"))):
                killed[0] += kill_one(os.getpid(), "worker", random.Random(killed[0]))

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        detect_changes(spark, open_run(td.plan(params_from(settings))))
    finally:
        ended.set()
        thread.join()
    found = differences(results(finished_run / "out"), results(tmp_path / "out"))
    tally("R2", 0 if found else killed[0], killed[0] if found else 0)
    assert killed[0] > 0
    assert found == []


# --- a session in which runs come one after another ------------------------------------------------------------------------


@dataclass
class Session:
    """A driver that runs what it is told, and what can be killed of it."""

    process: subprocess.Popen[str]
    log: Path
    ended: threading.Event = field(default_factory=threading.Event)
    answers: list[str] = field(default_factory=list)

    def begin(self, run_file: str) -> None:
        assert self.process.stdin is not None
        self.ended.clear()
        self.process.stdin.write(f"{run_file}\n")
        self.process.stdin.flush()

    def run(self, run_file: str) -> None:
        """To its end, which is a good one."""
        self.begin(run_file)
        assert self.ended.wait(RUN_SECONDS)
        self.check()

    def check(self) -> None:
        assert self.answers[-1] == "ended 0", self.log.read_text()[-5000:]

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(("ready", "ended")):
                self.answers.append(line.strip())
                self.ended.set()
        self.answers.append("gone")
        self.ended.set()


@contextmanager
def session(master: str, log: Path) -> Iterator[Session]:
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, master],
            env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    held = Session(process, log)
    threading.Thread(target=held.listen, daemon=True).start()
    try:
        assert held.ended.wait(RUN_SECONDS)
        assert held.answers == ["ready"], log.read_text()[-5000:]
        yield held
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            kill_tree(process)


def kill_tree(process: subprocess.Popen[Any]) -> None:
    """SIGKILL a process and its Java at once: the driver is both."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        with suppress(psutil.NoSuchProcess):
            if member.pid == process.pid or "java" in member.name():
                member.kill()
    process.wait(60)
    psutil.wait_procs(family, timeout=60)  # workers end by themselves when their driver is gone


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("kills"))
    td.write_scene(place.folder / "scene", kind="tropical", size=160, years=5, seed=3, chunk=32, shard=64)
    return place


@pytest.fixture(scope="module")
def local(place: Place) -> Iterator[Session]:
    with session(f"local[{CORES},8]", place.folder / "local.log") as held:
        yield held


@pytest.fixture(scope="module")
def clean(place: Place, local: Session) -> Any:
    """What a run that nobody disturbs gives."""
    local.run(place.run_file("clean"))
    found = results(place.folder / "clean")
    assert len(found[0]["change_polygons"]["change_id"]) > 20
    assert len(place.records("clean")) == TILES
    return found


# --- drivers ------------------------------------------------------------------------------------------------------------

Moment = Callable[[Path], bool]
"""Whether a run has come so far, from its output."""


def tiles_done(count: int) -> Moment:
    return lambda out: len(tile_records(out)) >= count


def is_there(pattern: str) -> Moment:
    return lambda out: next(out.glob(pattern), None) is not None


MOMENTS: dict[str, Moment] = {
    **{f"{count} tiles": tiles_done(count) for count in (1, 7, 13, 19, 25, 32)},
    "scored": is_there("runs/*/_work/score_tiles.json"),
    "some fragments": is_there("runs/*/_work/fragments/*.parquet"),
    "merged": is_there("runs/*/_work/_records/merged_polygons.json"),
    "polygons": is_there("runs/*/_work/polygonize_changes.json"),
    "a raw table": is_there("runs/*/tables/raw_polygons/*.parquet"),
    "a table": is_there("runs/*/tables/change_polygons/*.parquet"),
    "tables": is_there("runs/*/_work/refine_polygons.json"),
    "overviews": is_there("runs/*/_work/build_overviews.json"),
    "some map": is_there("runs/*/maps/*"),
    "maps": is_there("runs/*/_work/export_maps.json"),
}
"""In their order. Each run goes on where the one before was killed, and is killed at the next."""


def killed_run(place: Place, name: str, moment: Moment) -> bool:
    """Start a run and kill its driver at a moment; whether it was killed before it ended."""
    process = subprocess.Popen(
        [COMMAND, "run", place.run_file(name), "--master", f"local[{CORES},4]"],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not moment(place.folder / name):
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    if process.poll() is not None:
        return False
    kill_tree(process)
    return True


@pytest.mark.whole
def test_drivers_are_killed_one_after_another(place: Place, clean: Any, local: Session, tally: Callable[..., None]) -> None:
    """What has a record when a driver dies is never done again; what was in flight has none."""
    killed, kept = 0, {}
    for reached in MOMENTS.values():
        if reached(place.folder / "drivers"):  # two moments were one
            continue
        killed += killed_run(place, "drivers", reached)
        assert not (place.folder / "drivers" / "latest.json").exists()
        now = place.records("drivers")
        redone = sum(now.get(tile) != kept[tile] for tile in kept)
        tally("R4", redone == 0, redone != 0)
        assert redone == 0
        kept = now
    local.run(place.run_file("drivers"))
    found = differences(clean, results(place.folder / "drivers"))
    tally("R2", 0 if found else killed, killed if found else 0)
    tally("R3", not found, bool(found))
    assert found == []
    assert killed >= len(MOMENTS) - 4


# --- workers and executors ----------------------------------------------------------------------------------------------


def run_with_kills(held: Session, place: Place, name: str, kind: str, moments: Sequence[Moment], rng: random.Random) -> int:
    """A run of which one process is killed at every moment; how many were."""
    held.begin(place.run_file(name))
    killed, deadline = 0, time.monotonic() + RUN_SECONDS
    while not held.ended.wait(0.02):
        assert time.monotonic() < deadline, held.log.read_text()[-5000:]
        if killed < len(moments) and moments[killed](place.folder / name):
            killed += kill_one(held.process.pid, kind, rng)
    held.check()
    return killed


def check_runs(held: Session, place: Place, clean: Any, tally: Callable[..., None], kind: str, runs: int, kills: int) -> int:
    """Runs, each with so many kills: all but one while tiles are scored, one later; gives how many landed."""
    total = 0
    for number in range(runs):
        name, rng = f"{kind}{number}", random.Random(number)
        moments = [tiles_done(count) for count in sorted(rng.sample(range(1, TILES), kills - 1))]
        later = rng.choice(["scored", "some fragments", "polygons", "a table"])
        killed = run_with_kills(held, place, name, kind, [*moments, MOMENTS[later]], rng)
        total += killed
        found = differences(clean, results(place.folder / name))
        tally("R2", 0 if found else killed, killed if found else 0)
        tally("R3", not found, bool(found))
        records = (place.folder / name).glob("scores/*/_ledger/**/r*_c*.json")
        again = sum(json.loads(path.read_text())["attempts"] for path in records) - TILES
        tally("R4", again <= CORES * killed, again > CORES * killed)
        assert found == []
        assert again <= CORES * killed
    return total


@pytest.mark.whole
def test_python_workers_are_killed(place: Place, clean: Any, local: Session, tally: Callable[..., None]) -> None:
    assert check_runs(local, place, clean, tally, "worker", runs=12, kills=4) >= 44


@pytest.mark.whole
def test_executors_are_killed(place: Place, clean: Any, tally: Callable[..., None]) -> None:
    with session(f"local-cluster[{CORES},1,1024]", place.folder / "cluster.log") as held:
        assert check_runs(held, place, clean, tally, "executor", runs=6, kills=3) >= 14
