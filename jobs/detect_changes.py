"""The whole job on any Spark: spark-submit --properties-file conf/spark-defaults.conf jobs/detect_changes.py RUN.yaml"""

from __future__ import annotations

import sys

from terradrift.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
