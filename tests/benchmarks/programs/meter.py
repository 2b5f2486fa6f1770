"""What of a run's CPU goes into the protocol, by what it is for: every second counts once, where it is innermost."""

from __future__ import annotations

import functools
import gc
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import terradrift.aoi.tables
import terradrift.input_check
import terradrift.ledger
import terradrift.lock
import terradrift.records
import terradrift.run
import terradrift.score_store
import terradrift.spark.detect_changes
import terradrift.table_parts
from terradrift.ledger import RunFolder
from terradrift.lock import OutputLock
from terradrift.records import Ledger
from terradrift.run import Run

WRITERS = (terradrift.score_store, terradrift.aoi.tables, terradrift.ledger, terradrift.table_parts)

PARTS: dict[str, list[tuple[Any, str]]] = {
    "hashes": [
        *((module, "written") for module in WRITERS),
        *((module, "written_file") for module in (terradrift.table_parts, terradrift.records)),
    ],
    "to disk": [(os, "fsync")],
    "records": [
        *((Ledger, name) for name in ("write", "read", "remove", "names")),
        *((Run, name) for name in ("report", "write_report", "forget")),
    ],
    "looking back": [
        (terradrift.spark.detect_changes, "forget_damaged"),
        (Run, "unfinished"),
        (RunFolder, "publish"),
        (terradrift.run, "run_folder"),
        (terradrift.input_check, "look_up"),
    ],
    "lock": [(terradrift.lock, "acquire"), (OutputLock, "beat"), (OutputLock, "release")],
}


class Meter:
    """Wraps the functions of PARTS for as long as the process lives. Of one thread: the heartbeat's is too seldom to matter.

    Garbage collection counts for nobody: it goes through all objects of the process, whoever makes the one too many.
    """

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._inner: list[float] = []
        self._collecting = 0.0
        gc.callbacks.append(self._collects)
        for part, functions in PARTS.items():
            for owner, name in functions:
                setattr(owner, name, self._around(part, getattr(owner, name)))

    def clear(self) -> None:
        """Forget what the warm-up took."""
        self._taken.clear()

    def told(self) -> dict[str, float]:
        """CPU seconds by part."""
        return {f"{part}: CPU s": self._taken[part] for part in PARTS}

    def _collects(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.thread_time()
        elif self._inner:
            self._inner[-1] += time.thread_time() - self._collecting

    def _around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def measured(*args: Any, **facts: Any) -> Any:
            self._inner.append(0.0)
            begin = time.thread_time()
            try:
                return function(*args, **facts)
            finally:
                taken, inner = time.thread_time() - begin, self._inner.pop()
                self._taken[part] += taken - inner
                if self._inner:
                    self._inner[-1] += taken

        return measured
