"""The whole job: every stage in order, those that are done left out, published at the end."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from pyspark.sql import SparkSession

from terradrift.ledger import code_version
from terradrift.run import Run
from terradrift.spark.build_overviews import STATISTICS, build_overviews
from terradrift.spark.export_maps import export_maps
from terradrift.spark.polygonize_changes import polygonize_changes
from terradrift.spark.refine_polygons import refine_polygons
from terradrift.spark.score_tiles import score_tiles
from terradrift.spark.summary import summarize

Stage = Callable[[SparkSession, Run], dict[str, Any]]

STAGES: dict[str, Stage] = {
    "score_tiles": score_tiles,
    "polygonize_changes": polygonize_changes,
    "refine_polygons": refine_polygons,
    "build_overviews": build_overviews,
    "export_maps": export_maps,
}
"""In their order; each reads what the ones before wrote and gives counts for run.json."""

BY_ITSELF = "build_overviews"
"""No stage reads the overviews; whoever publishes builds them where they are missing."""

TILE_STAGE = "polygonize_changes"

WRITERS = (
    ("maps.", "export_maps"),
    ("overviews", "build_overviews"),
    ("tables.thresholds", TILE_STAGE),
    ("tables.", "refine_polygons"),
)
"""Who writes what, by the first beginning of a record's name that fits; all else is TILE_STAGE's."""

PACKAGES = ("pyspark", "apache-sedona", "numpy", "numba", "zarr", "numcodecs", "obstore", "shapely", "pyproj", "pyarrow")


def detect_changes(
    spark: SparkSession, run: Run, say: Callable[[str], None] = lambda name: None, check: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Run every stage that has no report yet and publish; gives run.json.

    `say` is told the name of each stage; `check` raises where the run must not go on, as when it lost its lock.
    """
    forget_damaged(run)
    for name in STAGES:
        if run.report(name) is None:
            say(name)
            check()
            run_stage(spark, run, name)
    check()
    return publish(spark, run)


def forget_damaged(run: Run) -> None:
    """Take back the reports of stages whose objects are not there as they were written."""
    if run.report("score_tiles") is not None and len(run.unfinished()):
        _forget_from(run, "score_tiles")
    for ledger in (run.folder.ledger, run.folder.records, run.folder.work_records):
        trusted = run.sound if ledger is run.folder.ledger else {record["name"] for record in ledger.trusted()}
        for name in ledger.names():
            if name in trusted:
                continue
            if ledger is run.folder.ledger:
                ledger.store.delete(STATISTICS)
                _forget_from(run, "build_overviews")
            else:
                _forget_from(run, next((stage for prefix, stage in WRITERS if name.startswith(prefix)), TILE_STAGE))


def _forget_from(run: Run, stage: str) -> None:
    for later in list(STAGES)[list(STAGES).index(stage) :]:
        run.forget(later)


def run_stage(spark: SparkSession, run: Run, name: str) -> None:
    """Run one stage on what the stages before wrote, then write its report; reports of later stages are void."""
    started = time.monotonic()
    _forget_from(run, name)
    report = STAGES[name](spark, run)
    run.write_report(name, {**report, "seconds": round(time.monotonic() - started, 2)})


def publish(spark: SparkSession, run: Run) -> dict[str, Any]:
    """Write run.json from the reports of all stages, switch `latest.json`, remove what is no longer needed."""
    plan = run.plan
    reports = {name: run.report(name) or {} for name in STAGES}
    counts: dict[str, Any] = {}
    warnings = list(plan.warnings)
    for report in reports.values():
        warnings += report.get("warnings", [])
        counts |= {name: value for name, value in report.items() if name not in ("warnings", "seconds")}
    document = {
        "parameters": plan.params.model_dump(mode="json"),
        "run_file": plan.params.model_dump(mode="json", exclude_unset=True),
        "input": {"mosaic": plan.mosaic.url.split("?")[0], "metadata_sha256": plan.mosaic.metadata_sha256, "crs": plan.grid.crs},
        "years": list(plan.years),
        "bands": list(plan.recipe.bands),
        "window": asdict(plan.window),
        "versions": versions(),
        "seconds": {name: report.get("seconds") for name, report in reports.items()},
        "counts": counts,
        "summary": asdict(summarize(spark, run.folder.records, plan.params.refine.crs)),
        "warnings": warnings,
        "attribution": plan.mosaic.attribution,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    run.folder.publish(document)
    run.folder.clean_work()
    return document


def versions() -> dict[str, str]:
    """What the run was made with."""
    return {
        "terradrift": code_version(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
    }
