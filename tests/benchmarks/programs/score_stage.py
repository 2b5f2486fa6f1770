"""The score stage through Spark: CPU of the whole process tree, apart for the start and for the tiles.

The tiles' part is what the tree takes from the record of the first tile to that of the last, over the tiles in between: Java,
the workers and the records are in it. The rest is the start: planning the tasks, starting workers, loading kernels, sampling
the strata, and the end of the last tasks.
"""

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

mosaic, out, cores = sys.argv[1], sys.argv[2], int(sys.argv[3])


def tree_cpu_s() -> float:
    """CPU seconds of this process and all below it, the ended ones too."""
    return sum(cpu for cpu, _ in process_tree().values())


class Watch(threading.Thread):
    """Notes the number of records of tiles whenever there are more, with the time and the CPU taken by then."""

    def __init__(self, records: Path) -> None:
        super().__init__(daemon=True)
        self.records, self.seen, self.marks, self.ended = records, 0, [], threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.2):
            found = len(list(self.records.glob("*.json"))) if self.records.is_dir() else 0
            if found > self.seen:
                self.seen = found
                self.marks.append((found, time.monotonic(), tree_cpu_s()))


run = open_run(td.plan(params_from({"mosaic": mosaic, "output": out, "tile_size": 1024, "scores": {"annual": []}})))
mpx = float(run.plan.tile_pixels.sum()) / 1e6
with spark_session("benchmark", f"local[{cores},4]") as spark:
    spark.range(1).count()
    watch = Watch(run.folder.scores / "_ledger")
    watch.start()
    wall, cpu = time.monotonic(), tree_cpu_s()
    score_tiles(spark, run)
    wall, cpu = time.monotonic() - wall, tree_cpu_s() - cpu
    watch.ended.set()
    watch.join()
(n_first, first, cpu_first), (n_last, last, cpu_last) = watch.marks[0], watch.marks[-1]
if n_last == n_first:
    raise SystemExit("all tiles were done within one look at their records: take a larger area")
peak = max(json.loads(path.read_text())["peak_rss"] for path in watch.records.glob("*.json"))
tiles_cpu = (cpu_last - cpu_first) / (n_last - n_first) * run.plan.n_tiles
figures = {
    "cpu_s": cpu,
    "wall_s": wall,
    "peak_mib": peak / 2**20,
    "tiles": run.plan.n_tiles,
    "tiles: CPU s per Mpx": tiles_cpu / mpx,
    "start: CPU s": cpu - tiles_cpu,
    "cores busy": (cpu_last - cpu_first) / (last - first) / cores,
    "tiles a second": (n_last - n_first) / (last - first),
}
print(json.dumps(figures))
