"""tippecanoe on the same polygons, as FlatGeobuf; drops the densest features of tiles over its limit."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

from tree_figures import report

program = Path(sysconfig.get_path("scripts")) / "tippecanoe"
options = ["-q", "-f", "-l", "changes", "-Z4", "-z13", "--drop-densest-as-needed"]


def work() -> dict[str, float | str]:
    """One run."""
    subprocess.run([program, *options, "-o", sys.argv[2], sys.argv[1]], check=True)
    return {}


report(work)
