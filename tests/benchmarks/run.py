"""`make bench`: ours and its peers on the same input in one run; what counts is the ratio.

Every row is a process of its own that warms up (imports, compiled kernels) and then measures the CPU it takes itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA", "MKL", "GDAL")}


@dataclass(frozen=True)
class Row:
    """One measured program."""

    name: str
    cpu_s_per_mpx: float
    wall_s_per_mpx: float
    peak_mib: float


ROWS = {
    "floor: the same chunks through zstd alone": "score_floor.py",
    "terradrift, two annual scores": "score_ours.py bitemporal",
    "terradrift, calibrated": "score_ours.py trajectory",
    "xarray + dask": "score_xarray_dask.py",
}


def measure(script: str, scene: Path, out: Path) -> dict[str, float]:
    """Run one script; it prints its figures as its last line."""
    name, *arguments = script.split()
    done = subprocess.run(
        [sys.executable, str(HERE / name), str(scene), str(out), *arguments],
        env=os.environ | ONE_THREAD,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{script}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure the score stage and print Markdown; `--json FILE` keeps the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1024, help="pixels a side of the scene")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scene, out = Path(folder) / "scene", Path(folder) / "out"
        import terradrift as td

        td.write_scene(scene, kind="quiet", size=options.size, seed=0)
        rows = []
        # ours first: the floor compresses the very chunks that ours wrote
        for name in sorted(ROWS, key=lambda name: not ROWS[name].startswith("score_ours.py b")):
            figures = measure(ROWS[name], scene, out)
            rows.append(Row(name, figures["cpu_s"] / figures["mpx"], figures["wall_s"] / figures["mpx"], figures["peak_mib"]))
    floor, ours = (next(row for row in rows if row.name.startswith(start)) for start in ("floor", "terradrift, two"))
    print(f"score stage: 9 years x 64 bands, two annual scores with robust z, scene of {options.size} pixels a side")
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("\n| program | CPU s per Mpx | wall s per Mpx | peak MiB | CPU over floor | CPU over ours |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        ratios = f"{row.cpu_s_per_mpx / floor.cpu_s_per_mpx:.2f} | {row.cpu_s_per_mpx / ours.cpu_s_per_mpx:.2f}"
        print(f"| {row.name} | {row.cpu_s_per_mpx:.2f} | {row.wall_s_per_mpx:.2f} | {row.peak_mib:.0f} | {ratios} |")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
