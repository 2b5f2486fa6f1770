"""Progress of a job: tiles done, rate and time left; a bar on a terminal, one JSON line at a time elsewhere."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from pyspark.sql import SparkSession
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

POLL_SECONDS = 0.5
LINE_SECONDS = 10.0
"""Between two JSON lines of the same stage."""


class StageProgress:
    """Told the name of each stage; watches Spark's tasks until the stage ends."""

    def __init__(self, out: TextIO) -> None:
        self.stage = "start"
        self._out = out
        self._started = time.monotonic()

    def __call__(self, stage: str) -> None:
        self.stage, self._started = stage, time.monotonic()
        self._line(0, 0)

    def update(self, done: int, total: int) -> None:
        self._line(done, total)

    def _line(self, done: int, total: int) -> None:
        seconds = time.monotonic() - self._started
        line: dict[str, Any] = {"stage": self.stage, "done": done, "total": total, "seconds": round(seconds, 1)}
        if done:
            line |= {"per_second": round(done / seconds, 2), "seconds_left": round(seconds / done * (total - done), 1)}
        print(json.dumps(line), file=self._out, flush=True)


class BarProgress(StageProgress):
    """The same as a bar."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        columns = (
            SpinnerColumn(), TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        self._bars = Progress(*columns, console=Console(file=out))
        self._bar: Any = None
        self._bars.start()

    def __call__(self, stage: str) -> None:
        self.finish()
        self.stage = stage
        self._bar = self._bars.add_task(stage.replace("_", " "), total=None)

    def update(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bars.update(self._bar, completed=done, total=total)

    def finish(self) -> None:
        """Fill the bar of the stage that ended."""
        if self._bar is not None:
            task = self._bars.tasks[self._bar]
            self._bars.update(self._bar, total=max(task.total or 1, 1), completed=max(task.total or 1, 1))

    def close(self) -> None:
        self.finish()
        self._bars.stop()


@contextmanager
def watch(spark: SparkSession, out: TextIO | None = None) -> Iterator[StageProgress]:
    """A callback for the names of stages that shows how far Spark is, on stderr unless told otherwise."""
    out = out or sys.stderr
    progress = BarProgress(out) if out.isatty() else StageProgress(out)
    ended = threading.Event()
    thread = threading.Thread(target=_poll, args=(spark, progress, ended), daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        ended.set()
        thread.join()
        if isinstance(progress, BarProgress):
            progress.close()


def _poll(spark: SparkSession, progress: StageProgress, ended: threading.Event) -> None:
    tracker = spark.sparkContext.statusTracker()
    pause = POLL_SECONDS if isinstance(progress, BarProgress) else LINE_SECONDS
    while not ended.wait(pause):
        try:
            active = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        except Exception:  # the session is going away; the job's own error is the one to show
            return
        known = [info for info in active if info is not None]
        if known:
            progress.update(sum(info.numCompletedTasks for info in known), sum(info.numTasks for info in known))
