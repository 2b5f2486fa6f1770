"""Overviews of the rasters.

spark-submit --properties-file conf/spark-defaults.conf jobs/build_overviews.py RUN.yaml
"""

from __future__ import annotations

import sys
from pathlib import Path

from terradrift.cli import guarded, one_argument
from terradrift.spark.detect_changes import run_stage
from terradrift.spark.jobs import open_stage

STAGE = "build_overviews"


def main() -> None:
    """Run the stage on what the stages before wrote."""
    with open_stage(STAGE, Path(one_argument(STAGE, sys.argv))) as (spark, run):
        run_stage(spark, run, STAGE)


if __name__ == "__main__":
    sys.exit(guarded(main))
