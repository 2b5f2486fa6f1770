"""What every test may ask for: a Spark session, the shared real data, and the same hypothesis examples every time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parents[1]
NEED_SPARK = tuple(ROOT / "tests" / room for room in ("spark", "jobs", "sql", "report"))

settings.register_profile("same_every_time", derandomize=True, deadline=None, database=None)
settings.load_profile("same_every_time")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="the whole set of faults too, as `make faults` does")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The rooms that run on Spark carry its marker: `pytest -m 'not spark'` leaves them out."""
    for item in items:
        if any(item.path.is_relative_to(room) for room in NEED_SPARK):
            item.add_marker(pytest.mark.spark)
    if not config.getoption("--whole"):
        long = [item for item in items if item.get_closest_marker("whole")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in set(long)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> object:
    """A test of the marker `row` is one case."""
    report = yield
    if (marker := item.get_closest_marker("row")) and (report.failed or (report.when == "call" and report.passed)):
        report.user_properties.append(("tally", (marker.args[0], int(report.passed), int(report.failed))))
    return report


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """One Spark for the whole run: two tasks at a time, each tried up to four times."""
    from terradrift.spark.session import FAST_START, spark_session

    conf = {**FAST_START, "spark.sql.shuffle.partitions": "2", "spark.eventLog.enabled": "false"}
    with spark_session("terradrift tests", "local[2,4]", conf) as session:
        yield session


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the source tree."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not here")
    return folder


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Folder of a finished calibrated run, made once for all workers: `scene/` and `out/`; copy it before you change it."""
    import finished

    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # each worker has a folder of its own in it
    folder = shared / "finished_run"
    with (shared / "finished_run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "out" / "latest.json").is_file():
            finished.make(request.getfixturevalue("spark"), folder)
    return folder
