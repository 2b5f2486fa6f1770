"""A job without the protocol of runs: the same writes to the same places, and nothing that could tell whether they are whole.

No lock; no record: what a record tells is kept in memory, as a job would pass it from stage to stage; no hash, no temporary
name, nothing forced to disk, nothing listed or read again to see whether it is there, no look at the mosaic before and after.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import plain_job
import terradrift.aoi.tables
import terradrift.records
import terradrift.run
import terradrift.score_store
import terradrift.spark.detect_changes
import terradrift.store.store
import terradrift.table_parts
from terradrift.ledger import RunFolder
from terradrift.planning import Plan
from terradrift.records import Ledger
from terradrift.run import Run
from terradrift.sealed import Objects, Written
from terradrift.store import Store
from terradrift.store.folder import Folder

Record = dict[str, Any]

KNOWN: dict[tuple[str, str], Record] = {}
"""What the records of a ledger (its URL) and the reports of a run would tell, by name."""


class PlainFolder(Folder):
    """Files written where they belong."""

    def _place(self, key: str, write: Callable[[Any], Any], move: Any) -> None:
        file = self.root / key
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as out:
            write(out)


def written(data: Any) -> Written:
    return Written(len(data), "")


def written_file(path: Path) -> Written:
    return Written(path.stat().st_size, "")


def wipe(store: Store, prefix: str) -> tuple[int, int]:
    """A folder of intermediate files goes without being listed."""
    store._objects.prune(prefix)
    return 0, 0


def write(ledger: Ledger, name: str, objects: Objects, **facts: Any) -> None:
    KNOWN[ledger.url, name] = {**facts, "name": name, "objects": dict(objects)}


def read(ledger: Ledger, name: str) -> Record | None:
    return KNOWN.get((ledger.url, name))


def remove(ledger: Ledger, name: str) -> None:
    KNOWN.pop((ledger.url, name), None)


def names(ledger: Ledger) -> list[str]:
    return sorted(name for url, name in KNOWN if url == ledger.url)


def records(ledger: Ledger, some: Iterable[str] | None = None) -> Iterator[tuple[str, Record | None]]:
    return ((name, read(ledger, name)) for name in (names(ledger) if some is None else some))


def trusted(ledger: Ledger) -> Iterator[Record]:
    return (KNOWN[ledger.url, name] for name in names(ledger))


def report(run: Run, stage: str) -> Record | None:
    return KNOWN.get((run.folder.url, stage))


def write_report(run: Run, stage: str, found: Mapping[str, Any]) -> None:
    KNOWN[run.folder.url, stage] = dict(found)


def forget(run: Run, stage: str) -> None:
    KNOWN.pop((run.folder.url, stage), None)


def run_folder(plan: Plan) -> RunFolder:
    """Any names."""
    return RunFolder(plan.params.output, "scores", "run")


def publish(folder: RunFolder, manifest: Mapping[str, Any]) -> None:
    folder.records.store.put("run.json", json.dumps(manifest, indent=1, sort_keys=True).encode())
    folder.point()


@contextmanager
def no_protocol() -> Iterator[None]:
    """All of it out of the way for as long as the block."""
    unlocked = SimpleNamespace(check=lambda: None)
    changes: list[tuple[Any, dict[str, Any]]] = [
        (terradrift.store.store, {"open_objects": lambda store: PlainFolder(store.local_path)}),
        (Store, {"clear": wipe}),
        (plain_job, {"locked": lambda _: nullcontext(unlocked), "unchanged_input": lambda *_, **__: nullcontext()}),
        (terradrift.spark.detect_changes, {"forget_damaged": lambda _: None}),
        (terradrift.run, {"run_folder": run_folder}),
        (RunFolder, {"publish": publish, "is_complete": lambda _: False}),
        (Ledger, {function.__name__: function for function in (write, read, remove, names, records, trusted)}),
        (Run, {function.__name__: function for function in (report, write_report, forget)}),
        *((module, {"written": written}) for module in (terradrift.score_store, terradrift.aoi.tables, terradrift.table_parts)),
        *((module, {"written_file": written_file}) for module in (terradrift.table_parts, terradrift.records)),
    ]
    with ExitStack() as stack:
        for owner, functions in changes:
            stack.enter_context(mock.patch.multiple(owner, **functions))
        yield
