"""Tables and rasters to maps; then the run is published.

spark-submit --properties-file conf/spark-defaults.conf jobs/export_maps.py RUN.yaml

Or any GeoParquet to vector tiles, with the options of `terradrift tiles`:

spark-submit --properties-file conf/spark-defaults.conf jobs/export_maps.py IN.parquet OUT.pmtiles --max-zoom 12
"""

from __future__ import annotations

import sys
from pathlib import Path

from terradrift.cli import guarded, one_argument
from terradrift.cli import main as command
from terradrift.spark.detect_changes import BY_ITSELF, publish, run_stage
from terradrift.spark.jobs import open_stage

STAGE = "export_maps"


def main() -> None:
    """Run the stage on what the stages before wrote."""
    with open_stage(STAGE, Path(one_argument(STAGE, sys.argv))) as (spark, run):
        if run.report(BY_ITSELF) is None:
            run_stage(spark, run, BY_ITSELF)
        run_stage(spark, run, STAGE)
        publish(spark, run)


if __name__ == "__main__":
    sys.exit(guarded(main) if len(sys.argv) < 3 else command(["tiles", *sys.argv[1:]]))
