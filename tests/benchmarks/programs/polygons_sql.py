"""The refine stage in a real Spark session: merged polygons to the published tables. CPU of the JVM and of this process."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil

from terradrift.refine import RefineSettings
from terradrift.spark.session import spark_session
from terradrift.spark.tables import refine_polygons

merged, out = Path(sys.argv[1]), Path(sys.argv[2])
PIXEL_M = 10.0
SETTINGS = RefineSettings(
    transform=(PIXEL_M, 0.0, 400_000.0, 0.0, -PIXEL_M, 5_900_000.0), source_crs="EPSG:32633", target_crs="EPSG:4326",
    simplify_m=7.5, precision_m=0.1, max_vertices=256, pixel_m=PIXEL_M, years=tuple(range(2017, 2026)), zones=1,
)  # fmt: skip


def cpu_s() -> float:
    """CPU seconds of this process and its children, those that ended too."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    own = sum(sum(process.cpu_times()[:2]) for process in family)
    return own + sum(sum(process.cpu_times()[2:4]) for process in family)


def memory_mib() -> float:
    """Largest memory that one of them held, in MiB."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    peaks = [line for process in family for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()]
    return max(int(line.split()[1]) for line in peaks if line.startswith("VmHWM")) / 1024


with spark_session("refine", "local[1]") as spark:
    frame = spark.read.parquet(str(merged))
    refine_polygons(spark, frame, out / "warm", SETTINGS)  # as in a long job: Java has compiled what it runs
    cpu, wall = cpu_s(), time.perf_counter()
    report = refine_polygons(spark, frame, out / "tables", SETTINGS)
    figures = {"cpu_s": cpu_s() - cpu, "wall_s": time.perf_counter() - wall, "peak_mib": memory_mib()}
    print(json.dumps(figures | {"polygons": report.rows_out, "vertices": report.vertices_out}))
