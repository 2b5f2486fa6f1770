"""`make bench`: ours and its peers on the same input in one run; what counts is the ratio.

Every row is a process of its own that warms up (imports, compiled kernels) and then measures the CPU it takes itself.
`python tests/benchmarks/run.py score --scale 0.25 --json FILE` measures one section on a smaller input.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from dataclasses import asdict
from pathlib import Path

from rows import markdown
from sections import planning, polygons, protocol, scaling, score, tiles

SECTIONS = {
    "score": score.measure,
    "codecs": score.codecs,
    "scaling": scaling.measure,
    "trace": polygons.trace,
    "polygonize": polygons.polygonize,
    "refine": polygons.refine,
    "giants": polygons.giants,
    "tiles": tiles.measure,
    "planning": planning.measure,
    "protocol": protocol.measure,
}


def main() -> None:
    """Measure the sections asked for and print them as Markdown; `--json FILE` keeps the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], help="all, unless named")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the inputs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"machine: {machine}")
    kept = {}
    for name in options.sections or SECTIONS:
        with tempfile.TemporaryDirectory() as folder:
            section = SECTIONS[name](Path(folder), options.scale)
        print(f"\n{markdown(section)}", flush=True)
        kept[name] = asdict(section)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "sections": kept}, indent=1))


if __name__ == "__main__":
    main()
