"""The score stage through Spark: CPU of the whole process tree, and how busy its cores are from the first to the last tile."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import terradrift as td
from terradrift.params import params_from
from terradrift.run import open_run
from terradrift.spark.score_tiles import score_tiles
from terradrift.spark.session import spark_session

CORES = 2
TICKS = os.sysconf("SC_CLK_TCK")
mosaic, out = sys.argv[1], sys.argv[2]


def tree_cpu_s() -> float:
    """CPU seconds of this process and all below it, the ended ones too."""
    stats = {}
    for folder in Path("/proc").iterdir():
        try:
            rest = (folder / "stat").read_text().rpartition(")")[2]
        except (OSError, ValueError):
            continue
        if folder.name.isdigit():
            fields = rest.split()
            stats[int(folder.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    wanted, total = [os.getpid()], 0
    while wanted:
        parent = wanted.pop()
        total += stats.get(parent, (0, 0))[1]
        wanted += [pid for pid, (above, _) in stats.items() if above == parent]
    return total / TICKS


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
