"""Plan a run: tiles, requests, bytes and memory; no Spark. python jobs/plan_tiles.py RUN.yaml [--json]"""

from __future__ import annotations

import sys

from terradrift.cli import main

if __name__ == "__main__":
    sys.exit(main(["plan", *sys.argv[1:]]))
