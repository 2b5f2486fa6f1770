"""One function a job: read the run file, refuse what must be refused, start Spark, run stages."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession
from rich.console import Console

from terradrift.errors import InputError
from terradrift.ledger import RunFolder, read_manifest
from terradrift.lock import locked
from terradrift.params import load_params
from terradrift.planning import Plan, plan_run
from terradrift.preflight import check_room
from terradrift.records import OTHER_RECORDS, TILE_RECORDS
from terradrift.run import Run, check_norms, open_run, run_folder, write_templates
from terradrift.spark.detect_changes import BY_ITSELF, STAGES, detect_changes
from terradrift.spark.progress import watch
from terradrift.spark.session import FAST_START, explained, is_local, spark_session
from terradrift.spark.summary import print_summary

SMALL_RUN_TILES = 64
"""Up to so many tiles Java is better off starting fast than compiling well."""


def prepare(run_file: Path) -> Plan:
    """Read and check everything that can be checked before Spark starts. Raises InputError in one line."""
    plan = plan_run(load_params(run_file))
    check_norms(plan)
    return plan


def run_job(run_file: Path, *, master: str | None = None, resume: bool = True, allow_partial: bool = False) -> None:
    """The whole job, or what of it is not done yet; prints a summary. Raises LockedError where another run is at work."""
    started = time.monotonic()
    plan = prepare(run_file)
    planned = time.monotonic()
    folder, console = run_folder(plan), Console(file=sys.stdout)
    with locked(folder.store) as lock:
        if not resume:
            start_again(folder)
        if folder.is_complete():
            folder.point()
            folder.clean_work()
            print_summary(read_manifest(folder), folder.url, console)
            console.print("nothing to do: this run was finished before; --fresh does it again")
            return
        run = Run(plan, folder, allow_partial)
        check_room(run)
        write_templates(run)
        conf = FAST_START if plan.n_tiles <= SMALL_RUN_TILES and is_local(master) else {}
        with spark_session("terradrift detect_changes", master, conf) as spark, watch(spark) as progress, explained():
            waited = {"plan": planned - started, "Spark's start": time.monotonic() - planned}
            manifest = detect_changes(spark, run, progress, lock.check)
        print_summary(manifest, run.folder.url, console, waited)


def start_again(folder: RunFolder) -> None:
    """Remove a run's own results, the record of success first."""
    for store, document in ((folder.records.store, "run.json"), (folder.ledger.store, "manifest.json")):
        store.delete(document)
        for records in (TILE_RECORDS, OTHER_RECORDS):
            store.clear(records)
        store.clear("")


@contextmanager
def open_stage(name: str, run_file: Path) -> Iterator[tuple[SparkSession, Run]]:
    """Spark and the run of a run file, for one stage by itself. Raises InputError where the stage before has not run."""
    plan = prepare(run_file)
    run = Run(plan, run_folder(plan))
    _check_stage_before(run, name)
    with locked(run.folder.store), spark_session(f"terradrift {name}") as spark, watch(spark) as progress:
        run = open_run(plan)
        progress(name)
        with explained():
            yield spark, run


def _check_stage_before(run: Run, name: str) -> None:
    for before in list(STAGES)[: list(STAGES).index(name)]:
        if before != BY_ITSELF and run.report(before) is None:
            where = run.folder.url
            raise InputError(f"{name}: found no report of {before} in {where}; expected it finished; run {before} first")
