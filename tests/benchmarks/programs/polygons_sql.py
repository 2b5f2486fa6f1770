"""The refine stage in a real Spark session: merged polygons to the published tables. CPU of the JVM and of this process."""

from __future__ import annotations

import sys
from pathlib import Path

from tree_figures import report

from terradrift.records import Ledger
from terradrift.refine import RefineSettings
from terradrift.spark.session import spark_session
from terradrift.spark.tables import refine_polygons

merged, out = Path(sys.argv[1]), Path(sys.argv[2])
PIXEL_M = 10.0
SETTINGS = RefineSettings(
    transform=(PIXEL_M, 0.0, 400_000.0, 0.0, -PIXEL_M, 5_900_000.0), source_crs="EPSG:32633", target_crs="EPSG:4326",
    simplify_m=7.5, precision_m=0.1, max_vertices=256, pixel_m=PIXEL_M, years=tuple(range(2017, 2026)), zones=1,
)  # fmt: skip


with spark_session("refine", "local[1]") as spark:
    frame = spark.read.parquet(str(merged))
    refine_polygons(spark, frame, Ledger(str(out / "warm")), SETTINGS)  # as in a long job: Java has compiled what it runs

    def work() -> dict[str, float | str]:
        """The tables; rows and vertices of what came out."""
        told = refine_polygons(spark, frame, Ledger(str(out)), SETTINGS)
        return {"polygons": told.rows_out, "vertices": told.vertices_out}

    report(work)
