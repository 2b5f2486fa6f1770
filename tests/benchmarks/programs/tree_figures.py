"""CPU and memory of a process and all its children, printed for run.py; the standard library alone, for peers' environments."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PARENT, USER_TIME, CHILD_TIME_END = 1, 11, 15  # of the fields of /proc/PID/stat after the name


def process_tree() -> dict[str, tuple[float, float]]:
    """Of this process ("python"), a Java below it ("java") and other children ("workers"): (CPU seconds, largest peak MiB).

    Seconds of children that have ended stand with the one that waited for them.
    """
    fields, peaks, names = {}, {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            head, _, rest = (folder / "stat").read_text().rpartition(")")
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        except (OSError, ValueError):
            continue  # not a process, or one that has ended
        pid = int(folder.name)
        fields[pid], names[pid] = rest.split(), head.partition("(")[2]
        peaks[pid] = int(status.get("VmHWM", "0").split()[0]) / 1024
    found: dict[str, tuple[float, float]] = {}
    for pid, stat in fields.items():
        above = pid
        while above not in (os.getpid(), 0):
            above = int(fields[above][PARENT]) if above in fields else 0
        if above:
            kind = "python" if pid == os.getpid() else "java" if names[pid] == "java" else "workers"
            cpu, peak = found.get(kind, (0.0, 0.0))
            found[kind] = (cpu + sum(map(int, stat[USER_TIME:CHILD_TIME_END])) / TICKS, max(peak, peaks[pid]))
    return found


def report(work: Callable[[], dict[str, float | str]]) -> None:
    """Run `work` and print what this process and its children took, and what it returns."""
    before, wall = process_tree(), time.perf_counter()
    notes = work()
    after = process_tree()
    spent = {kind: cpu - before.get(kind, (0.0, 0.0))[0] for kind, (cpu, _) in after.items()}
    figures = {
        "cpu_s": sum(spent.values()),
        "wall_s": time.perf_counter() - wall,
        "peak_mib": max(peak for _, peak in after.values()),
        **{f"{kind} CPU s": cpu for kind, cpu in spent.items() if len(spent) > 1},
        **{f"{kind} MiB": peak for kind, (_, peak) in after.items() if len(spent) > 1},
        **notes,
    }
    print(json.dumps(figures))
