"""The whole job: every stage in order, those that are done left out, published at the end."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from typing import Any

from pyspark.sql import SparkSession

from terradrift.ledger import code_version
from terradrift.run import Run
from terradrift.spark.build_overviews import build_overviews
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

PACKAGES = ("pyspark", "apache-sedona", "numpy", "numba", "zarr", "numcodecs", "obstore", "shapely", "pyproj", "pyarrow")


def detect_changes(spark: SparkSession, run: Run, say: Callable[[str], None] = lambda name: None) -> dict[str, Any]:
    """Run every stage that has no report yet and publish; gives run.json. `say` is told the name of each stage."""
    for name in STAGES:
        if run.report(name) is None:
            say(name)
            run_stage(spark, run, name)
    return publish(spark, run)


def run_stage(spark: SparkSession, run: Run, name: str) -> None:
    """Run one stage on what the stages before wrote, then write its report; reports of later stages are void."""
    started = time.monotonic()
    for later in list(STAGES)[list(STAGES).index(name) :]:
        run.forget(later)
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
        "input": {"mosaic": plan.mosaic.url.split("?")[0], "metadata_sha256": plan.mosaic.metadata_sha256, "crs": plan.grid.crs},
        "years": list(plan.years),
        "bands": list(plan.recipe.bands),
        "window": asdict(plan.window),
        "versions": versions(),
        "seconds": {name: report.get("seconds") for name, report in reports.items()},
        "counts": counts,
        "summary": asdict(summarize(spark, run.folder.tables, plan.params.refine.crs)),
        "warnings": warnings,
        "attribution": plan.mosaic.attribution,
    }
    run.folder.publish(document)
    run.clean_work()
    return document


def versions() -> dict[str, str]:
    """What the run was made with."""
    return {
        "terradrift": code_version(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
    }
