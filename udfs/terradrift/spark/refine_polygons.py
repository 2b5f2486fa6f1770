"""Stage 3: whole polygons to the published tables, by the SELECTs of `sql/`, and the checks on them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pyspark.sql import SparkSession

from terradrift.aoi.tables import gaps_frame, write_frame, zones_frame
from terradrift.run import Run
from terradrift.spark import tables
from terradrift.spark.arrow_tasks import describe
from terradrift.spark.polygonize_changes import merged_polygons
from terradrift.spark.score_tiles import unscored_tiles


def refine_polygons(spark: SparkSession, run: Run) -> dict[str, Any]:
    """Write the tables of polygons, zones and gaps; gives counts, and a warning for every loss and every failed check."""
    plan, out, settings = run.plan, run.folder.records, run.plan.refine_settings()
    describe(spark, "refine polygons")
    report = tables.refine_polygons(spark, merged_polygons(spark, run), out, settings)
    describe(spark, "check tables")
    checks = tables.run_checks(spark, out, settings)
    write_frame(out, "tables/zones", zones_frame(plan.zones, plan.grid, settings.target_crs))
    missing = gaps_frame(plan.zones, plan.grid, settings.target_crs, unscored_tiles(run))
    gaps = write_frame(out, "tables/gaps", missing)
    warnings = [f"check {check.name}: {check.n_rows} rows: {check.claim}" for check in checks if not check.passed]
    warnings += [f"{lost} polygons became empty in {step}" for step, lost in report.lost.items() if lost]
    return {"polygons": asdict(report), "gaps": gaps, "warnings": warnings}
