"""The score stage through Spark: CPU of the whole process tree, and how busy its cores are from the first to the last tile."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from tree_figures import process_tree

import terradrift as td
from terradrift.params import params_from
from terradrift.run import open_run
from terradrift.spark.score_tiles import score_tiles
from terradrift.spark.session import spark_session

CORES = 2
mosaic, out = sys.argv[1], sys.argv[2]


def tree_cpu_s() -> float:
    """CPU seconds of this process and all below it, the ended ones too."""
    return sum(cpu for cpu, _ in process_tree().values())


class Watch(threading.Thread):
    """Notes time and CPU when the first and the latest record of a tile appear."""

    def __init__(self, records: Path) -> None:
        super().__init__(daemon=True)
        self.records, self.seen, self.marks, self.ended = records, 0, [], threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.2):
            found = len(list(self.records.glob("*.json"))) if self.records.is_dir() else 0
            if found > self.seen:
                self.seen = found
                self.marks.append((time.monotonic(), tree_cpu_s()))


run = open_run(td.plan(params_from({"mosaic": mosaic, "output": out, "tile_size": 1024, "scores": {"annual": []}})))
mpx = float(run.plan.tile_pixels.sum()) / 1e6
with spark_session("benchmark", f"local[{CORES},4]") as spark:
    spark.range(1).count()
    watch = Watch(run.folder.scores / "_ledger")
    watch.start()
    wall, cpu = time.monotonic(), tree_cpu_s()
    score_tiles(spark, run)
    wall, cpu = time.monotonic() - wall, tree_cpu_s() - cpu
    watch.ended.set()
    watch.join()
(first, cpu_first), (last, cpu_last) = watch.marks[0], watch.marks[-1]
peak = max(json.loads(path.read_text())["peak_rss"] for path in (run.folder.scores / "_ledger").glob("*.json"))
busy = (cpu_last - cpu_first) / (last - first) / CORES if last > first else float("nan")
print(json.dumps({"cpu_s": cpu, "wall_s": wall, "peak_mib": peak / 2**20, "mpx": mpx, "cpu_s_per_mpx": cpu / mpx, "busy": busy}))
