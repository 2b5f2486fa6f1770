"""Rows of a benchmark: a program measured in a process of its own, and the table of ours and its peers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
WORKER = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA", "MKL", "GDAL")} | {
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
}
"""The environment of a worker, as `conf/spark-defaults.conf` makes it: for ours and for its peers."""


@dataclass(frozen=True)
class Row:
    """What one program took."""

    name: str
    cpu_s: float
    """CPU seconds of the process and its children, start and warm-up aside."""
    wall_s: float
    peak_mib: float
    notes: dict[str, float | str] = field(default_factory=dict)
    """Further figures the program told: sizes, counts."""


@dataclass(frozen=True)
class Section:
    """Programs measured on the same input, and which two ratios matter."""

    title: str
    rows: tuple[Row, ...]
    ours: str
    """Name of the row that every other is divided by."""
    unit: str
    """What one unit of `amount` is: Mpx, thousand polygons."""
    amount: float
    """Units of work every program did."""


def run_program(name: str, program: str, *arguments: object, python: str = sys.executable) -> Row:
    """Run `programs/<program>` with the arguments; its last line is its figures, as `figures.report` prints them."""
    done = subprocess.run(
        [python, str(PROGRAMS / program), *map(str, arguments)],
        env=os.environ | WORKER,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{program}: {done.stderr.strip()[-2000:]}")
    figures = json.loads(done.stdout.splitlines()[-1])
    cpu_s, wall_s, peak_mib = (figures.pop(key) for key in ("cpu_s", "wall_s", "peak_mib"))
    return Row(name, cpu_s, wall_s, peak_mib, figures)


def median(rows: Sequence[Row]) -> Row:
    """The row of middle CPU time of an odd number of runs of one program: a shared machine is never the same twice."""
    return sorted(rows, key=lambda row: row.cpu_s)[len(rows) // 2]


def markdown(section: Section) -> str:
    """The section as a Markdown table."""
    ours = next(row for row in section.rows if row.name == section.ours)
    notes = list(dict.fromkeys(key for row in section.rows for key in row.notes))
    head = ["program", f"CPU s per {section.unit}", f"wall s per {section.unit}", "peak MiB", "CPU over ours", *notes]
    lines = [section.title, "", _line(head), _line(["---"] * len(head))]
    for row in section.rows:
        figures = [f"{row.cpu_s / section.amount:.3g}", f"{row.wall_s / section.amount:.3g}", f"{row.peak_mib:.0f}"]
        told = [_number(row.notes.get(key, "")) for key in notes]
        lines.append(_line([row.name, *figures, f"{row.cpu_s / ours.cpu_s:.2f}", *told]))
    return "\n".join(lines)


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.6g}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
