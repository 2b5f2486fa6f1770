"""The job on a standalone cluster of two workers on loopback: the results of one core, value for value and byte for byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pyarrow.dataset as ds
import pyspark
import pytest
import yaml

import terradrift as td
from servers import free_port
from terradrift.spark.java import find_java

COMMAND = Path(sys.executable).with_name("terradrift")
SPARK_HOME = Path(pyspark.__file__).parent
TABLES = ("raw_polygons", "change_polygons", "polygon_parts", "thresholds", "zones", "gaps")
WORKERS = 2
START_SECONDS = 120

FAST_JAVA = {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
"""For every Java of this test, executors too: six of them share the machine for a minute."""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Cluster:
    """A master and its workers."""

    url: str
    folder: Path
    processes: list[subprocess.Popen[bytes]]

    def executors(self) -> set[str]:
        """Numbers of the executors that ran, from the folders they leave: worker/app/number."""
        return {path.name for path in self.folder.glob("worker*/app-*/*") if path.is_dir()}

    def listening(self) -> set[str]:
        """Addresses on which the cluster listens."""
        family = [member for process in self.processes for member in (psutil.Process(process.pid), *_children(process.pid))]
        found = (connection for member in family for connection in member.net_connections("inet"))
        return {connection.laddr.ip for connection in found if connection.status == psutil.CONN_LISTEN}


def _children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@contextmanager
def daemon(folder: Path, name: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Spark's, with all that it starts, for as long as the block."""
    environment = os.environ | {
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        **FAST_JAVA,
    }
    if (home := find_java().home) is not None:
        environment["JAVA_HOME"] = str(home)
    command = [SPARK_HOME / "bin" / "spark-class", f"org.apache.spark.deploy.{name}", *arguments]
    with (folder / f"{name}-{free_port()}.log").open("wb") as log:
        process = subprocess.Popen(
            list(map(str, command)), env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield process
        finally:
            for stop in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, stop)
                    process.wait(15)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    port, page = free_port(), free_port()
    url = f"spark://127.0.0.1:{port}"
    with ExitStack() as stack:
        loopback = ("--host", "127.0.0.1")
        processes = [stack.enter_context(daemon(folder, "master.Master", *loopback, "--port", port, "--webui-port", page))]
        for number in range(WORKERS):
            room = ("-c", 1, "-m", "1g", "-d", folder / f"worker{number}", "--webui-port", free_port())
            processes.append(stack.enter_context(daemon(folder, "worker.Worker", *loopback, *room, url)))
        _wait_for_workers(f"http://127.0.0.1:{page}/json/", processes, folder)
        yield Cluster(url, folder, processes)


def _wait_for_workers(page: str, processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if any(process.poll() is not None for process in processes):
            break
        try:
            with urllib.request.urlopen(page, timeout=5) as answer:
                if json.load(answer)["aliveworkers"] == WORKERS:
                    return
        except (OSError, ValueError):
            pass
        _pause(processes[0])
    pytest.fail("\n".join(path.read_text() for path in folder.glob("*.log")))


def _pause(process: subprocess.Popen[bytes]) -> None:
    """Up to half a second, less where the process ends."""
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        return


def results(out: Path) -> tuple[dict[str, pd.DataFrame], dict[str, bytes], str]:
    """Tables with geometries as WKB, sorted; every object of the rasters; the name of the run."""
    run: Any = td.open_run(out).folder
    tables = {}
    for name in TABLES:
        frame = ds.dataset(run.tables / name, format="parquet", exclude_invalid_files=True).to_table().to_pandas()
        tables[name] = frame.sort_values(list(frame.columns[:2]), ignore_index=True)
    roots = (run.scores / "scores.zarr", run.scores / "decoys.zarr", run.path / "change.zarr")
    objects = {
        f"{root.name}/{path.relative_to(root)}": path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file()
    }
    return tables, objects | {"strata.json": (run.scores / "strata.json").read_bytes()}, run.run_id


RULE = {"threshold": {"quantile": 0.9}, "min_effect": 0, "kinds": ["step", "ramp", "blip", "unconfirmed"]}
"""Many polygons on a small scene; decoys and strata are there whatever the threshold."""


def test_a_cluster_gives_what_one_core_gives(cluster: Cluster, tmp_path: Path) -> None:
    td.write_scene(tmp_path / "scene", kind="tropical", size=96, years=9, seed=5, chunk=32, shard=64)

    def run_file(name: str) -> str:
        settings = {
            "mosaic": str(tmp_path / "scene" / "mosaic.zarr"),
            "aoi": str(tmp_path / "scene" / "aoi.geojson"),
            "output": str(tmp_path / name),
            "tile_size": 32,
            "change": RULE,
            "polygons": {"min_pixels": 2, "connectivity": 8, "fill_holes_pixels": 3},
            "maps": {"pmtiles": False, "cog": False},
        }
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(settings))
        return str(tmp_path / f"{name}.yaml")

    def command(name: str, master: str) -> None:
        ran = subprocess.run(
            [str(COMMAND), "run", run_file(name), "--master", master],
            env=os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, **FAST_JAVA},
            capture_output=True, text=True, check=False, timeout=400,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr

    command("many", cluster.url)
    assert cluster.executors() == {str(number) for number in range(WORKERS)}
    assert all(ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1") for ip in cluster.listening()), cluster.listening()
    command("one", "local[1]")

    expected_tables, expected_objects, run_id = results(tmp_path / "one")
    assert len(expected_tables["change_polygons"]) > 20
    tables, objects, other_id = results(tmp_path / "many")
    assert other_id == run_id
    for table, frame in expected_tables.items():
        pd.testing.assert_frame_equal(frame, tables[table], obj=table)
    assert objects.keys() == expected_objects.keys()
    assert [key for key in objects if objects[key] != expected_objects[key]] == []
