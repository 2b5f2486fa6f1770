"""R2, R3, R4: processes of a run killed at any moment, then the run again: nothing lost, torn or double, and the same bytes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset as ds
import pytest
import yaml

import terradrift as td

COMMAND = Path(sys.executable).with_name("terradrift")
FAST_JAVA = {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
TABLES = ("raw_polygons", "change_polygons", "polygon_parts", "thresholds", "zones", "gaps")
CORES = 2

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
    """A scene of 25 tiles and run files for it."""

    folder: Path

    def run_file(self, name: str) -> str:
        settings = {
            "mosaic": str(self.folder / "scene" / "mosaic.zarr"),
            "aoi": str(self.folder / "scene" / "aoi.geojson"),
            "output": str(self.folder / name),
            "tile_size": 32,
            "change": {"detector": "bitemporal", "threshold": {"score": 0.15}},
            "polygons": {"min_pixels": 2},
            "maps": {"pmtiles": False, "cog": False},
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(settings))
        return str(path)

    def records(self, name: str) -> dict[str, int]:
        """When the record of each finished tile was written."""
        return {path.name: path.stat().st_mtime_ns for path in (self.folder / name).glob("scores/*/_ledger/**/r*_c*.json")}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("kills"))
    td.write_scene(place.folder / "scene", kind="tropical", size=160, years=5, seed=3, chunk=32, shard=64)
    return place


def environment() -> dict[str, str]:
    return os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, **FAST_JAVA}


def results(out: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Tables, sorted, and all objects of the rasters."""
    run: Any = td.open_run(out).folder
    tables = {}
    for name in TABLES:
        rows = ds.dataset(str(run.path) + f"/tables/{name}", format="parquet", exclude_invalid_files=True).to_table().to_pandas()
        tables[name] = rows.sort_values(list(rows.columns[:2]), ignore_index=True).to_dict("list")
    kept = ("scores.zarr", "change.zarr")
    files = [path for path in out.rglob("*") if path.is_file() and any(name in path.parts for name in kept)]
    return tables, {str(path.relative_to(out)): path.read_bytes() for path in files}


def differences(one: Any, other: Any) -> list[str]:
    """Names of tables and objects that are not the same."""
    found = [name for name in TABLES if repr(one[0][name]) != repr(other[0][name])]
    keys = one[1].keys() | other[1].keys()
    return found + sorted(key for key in keys if one[1].get(key) != other[1].get(key))


@pytest.fixture(scope="module")
def clean(place: Place) -> Any:
    """What a run that nobody disturbs gives."""
    ran = subprocess.run(
        [COMMAND, "run", place.run_file("clean"), "--master", "local[2,4]"],
        env=environment(), capture_output=True, text=True, check=False, timeout=1500,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = results(place.folder / "clean")
    assert len(found[0]["change_polygons"]["change_id"]) > 20
    return found


# --- drivers ------------------------------------------------------------------------------------------------------------


def kill_tree(process: subprocess.Popen[Any]) -> None:
    """SIGKILL a process and its Java at once: the driver is both."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        if member.pid == process.pid or "java" in member.name():
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
    process.wait(60)
    psutil.wait_procs(family, timeout=60)  # workers end by themselves when their driver is gone


def killed_run(place: Place, name: str, moment: Callable[[], bool]) -> bool:
    """Start a run and kill its driver at a moment; whether it was killed before it ended."""
    process = subprocess.Popen(
        [COMMAND, "run", place.run_file(name), "--master", f"local[{CORES},4]"],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not moment():
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    if process.poll() is not None:
        return False
    kill_tree(process)
    return True


def finish(place: Place, name: str, workers: int = 0) -> int:
    """Run to the end, killing so many Python workers as tiles are done; how many were."""
    already, killed = len(place.records(name)), 0
    process = subprocess.Popen(
        [COMMAND, "run", place.run_file(name), "--master", f"local[{CORES},4]"],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None:
        if killed < workers and len(place.records(name)) > already + killed:
            killed += kill_one(process.pid, "worker", random.Random(killed))
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    assert process.stderr is not None
    assert process.returncode == 0, process.stderr.read()
    return killed


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
            else:  # a worker is the child of the daemon, which looks the same
                chosen = "spark.daemon" in line and parent is not None and "spark.daemon" in " ".join(parent.cmdline())
        except psutil.NoSuchProcess:
            continue
        if chosen:
            found.append(member)
    return found


def check_after_driver_kill(
    place: Place, clean: Any, tally: Callable[..., None], name: str, tiles: int, workers: int = 0
) -> None:
    """Kill when so many tiles are done; the next run, workers of which are killed, keeps all that were and ends with the same."""
    assert killed_run(place, name, lambda: len(place.records(name)) >= tiles)
    kept = place.records(name)
    assert not (place.folder / name / "latest.json").exists()
    killed = 1 + finish(place, name, workers)
    after = place.records(name)
    redone = sum(after[tile] != kept[tile] for tile in kept)
    found = differences(clean, results(place.folder / name))
    tally("R2", 0 if found else killed, killed if found else 0)
    tally("R3", not found, bool(found))
    tally("R4", redone == 0, redone != 0)  # what is recorded is kept; what was in flight is not recorded
    assert (found, redone) == ([], 0)


def test_a_driver_is_killed_then_a_worker_and_the_run_goes_on(place: Place, clean: Any, tally: Callable[..., None]) -> None:
    check_after_driver_kill(place, clean, tally, "driver", 9, 1)


@pytest.mark.whole
@pytest.mark.parametrize("tiles", [1, 5, 9, 16, 20, 24])
def test_a_driver_is_killed_when_so_many_tiles_are_done(place: Place, clean: Any, tally: Callable[..., None], tiles: int) -> None:
    check_after_driver_kill(place, clean, tally, f"driver{tiles}", tiles)


@pytest.mark.whole
@pytest.mark.parametrize("seed", range(6))
def test_a_driver_is_killed_after_its_scores(place: Place, clean: Any, tally: Callable[..., None], seed: int) -> None:
    """At a random moment of the stages after: polygons, tables, maps, publication."""
    name, rng = f"late{seed}", random.Random(seed)
    begun: list[float] = []
    wait = threading.Event()

    def moment() -> bool:
        if len(place.records(name)) < 25:
            return False
        begun.append(0)
        return wait.wait(rng.uniform(0, 12)) or True

    was_killed = killed_run(place, name, moment)
    finish(place, name)
    found = differences(clean, results(place.folder / name))
    tally("R2", was_killed and not found, bool(found))
    tally("R3", not found, bool(found))
    assert found == []


# --- workers and executors ----------------------------------------------------------------------------------------------


@dataclass
class Session:
    """A driver that runs what it is told, and what can be killed of it."""

    process: subprocess.Popen[str]
    ended: threading.Event = field(default_factory=threading.Event)
    answers: list[str] = field(default_factory=list)

    def run(self, run_file: str) -> None:
        assert self.process.stdin is not None
        self.ended.clear()
        self.process.stdin.write(f"{run_file}\n")
        self.process.stdin.flush()

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(("ready", "ended")):
                self.answers.append(line.strip())
                self.ended.set()
        self.ended.set()


@contextmanager
def session(master: str) -> Iterator[Session]:
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, master],
        env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    held = Session(process)
    threading.Thread(target=held.listen, daemon=True).start()
    try:
        assert held.ended.wait(900)
        assert held.answers == ["ready"]
        yield held
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            kill_tree(process)


def run_with_kills(held: Session, place: Place, name: str, kind: str, kills: int, rng: random.Random) -> int:
    """A run of which `kills` processes are killed, each after some more tiles are done; how many were."""
    held.run(place.run_file(name))
    killed, marks = 0, sorted(rng.sample(range(1, 24), kills))
    while not held.ended.wait(0.02):
        if killed < kills and len(place.records(name)) >= marks[killed]:
            killed += kill_one(held.process.pid, kind, rng)
    return killed


def check_runs(held: Session, place: Place, clean: Any, tally: Callable[..., None], kind: str, runs: int, kills: int) -> None:
    total = 0
    for number in range(runs):
        name = f"{kind}{number}"
        killed = run_with_kills(held, place, name, kind, kills, random.Random(number))
        total += killed
        assert held.answers[-1] == "ended 0"
        found = differences(clean, results(place.folder / name))
        tally("R2", 0 if found else killed, killed if found else 0)
        tally("R3", not found, bool(found))
        attempts = sum(
            json.loads(path.read_text()).get("attempts", 1)
            for path in (place.folder / name).glob("scores/*/_ledger/**/r*_c*.json")
        )
        again = attempts - len(place.records(name))
        tally("R4", again <= CORES * killed, again > CORES * killed)
        assert found == []
        assert again <= CORES * killed
    assert total >= runs * kills / 2  # most of them landed


@pytest.mark.whole
def test_many_python_workers_are_killed(place: Place, clean: Any, tally: Callable[..., None]) -> None:
    with session(f"local[{CORES},8]") as held:
        check_runs(held, place, clean, tally, "workers", 8, 4)


@pytest.mark.whole
def test_executors_are_killed(place: Place, clean: Any, tally: Callable[..., None]) -> None:
    with session(f"local-cluster[{CORES},1,1024]") as held:
        check_runs(held, place, clean, tally, "executor", 6, 3)
