"""The table that `make faults` ends with: what was tried, and how often the outcome was right."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mosaics import unit_codes, write_mosaic

ROWS = {
    "R1": "one fault at every storage operation, then a re-run",
    "R2": "SIGKILL of driver, executor, Python worker, then a re-run",
    "R3": "outputs identical whatever the executors, the order and the faults",
    "R4": "work redone after a kill, within what was in flight",
    "R5": "network faults while reading a mosaic: right values, an error, or absence confirmed",
    "R6": "damage to what we wrote, found",
    "R7": "bad input refused in one line and 10 s",
    "R8": "hostile input stopped",
    "R9": "peak memory within the plan's",
    "R10": "races for one output, one winner",
    "R11": "disk full, then a re-run",
    "R12": "places searched for secrets, none there",
    "R13": "sockets listening, none off loopback",
    "R15": "objects and requests as planned",
    "R16": "dependencies locked, above their floors, listed",
}

SECONDS = {"R7": 10.0}
"""What a case of a row may take; one that takes longer is wrong, and fails no test: other machines are slower."""


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`tally("R5", right=17, wrong=0)`: cases that one test counts by itself, before it asserts that none is wrong."""

    def count(row: str, right: int, wrong: int = 0) -> None:
        assert row in ROWS
        request.node.user_properties.append(("tally", (row, right, wrong)))

    return count


@pytest.fixture(scope="session")
def good_mosaic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 x 64 pixels, three years, four bands."""
    return write_mosaic(tmp_path_factory.mktemp("good") / "mosaic.zarr", unit_codes(1, 3, 64, 64, bands=4))


@pytest.fixture
def room(good_mosaic: Path, tmp_path: Path) -> Path:
    """A folder with mosaic.zarr, in which a case makes what it needs."""
    shutil.copytree(good_mosaic, tmp_path / "mosaic.zarr")
    return tmp_path


@pytest.fixture
def no_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for Spark fails the test."""

    def start(*_: object, **__: object) -> None:
        pytest.fail("Spark was asked for")

    for module in ("jobs", "sql_shell", "tiles_job"):
        monkeypatch.setattr(f"terradrift.spark.{module}.spark_session", start)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    slowest = dict.fromkeys(SECONDS, 0.0)
    for kind in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(kind, []):
            for name, found in getattr(report, "user_properties", ()):
                if name == "tally":
                    row, good, bad = found
                    if row in SECONDS:
                        slowest[row] = max(slowest[row], report.duration)
                        good, bad = (good, bad) if report.duration <= SECONDS[row] else (0, good + bad)
                    right[row] += good
                    wrong[row] += bad
    if not right and not wrong:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'':4} {'cases':>7} {'right':>7} {'wrong':>7}  what")
    for row, what in ROWS.items():
        if cases := right[row] + wrong[row]:
            after = f" (slowest {slowest[row]:.1f} s)" if row in SECONDS else ""
            terminalreporter.write_line(f"{row:4} {cases:7,} {right[row]:7,} {wrong[row]:7,}  {what}{after}")
