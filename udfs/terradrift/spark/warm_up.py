"""Compile the kernels once: `python -m terradrift.spark.warm_up` runs the whole job on a tiny scene, one task at a time.

numba keeps machine code beside the modules (or in NUMBA_CACHE_DIR), where every later process finds it. Left to the first run,
each of its workers would compile the same kernels at the same time.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from terradrift.params import params_from
from terradrift.planning import plan_run
from terradrift.run import open_run
from terradrift.scene import write_scene
from terradrift.spark.detect_changes import detect_changes
from terradrift.spark.session import FAST_START, spark_session

RULES: tuple[dict[str, Any], ...] = (
    {},
    {"threshold": {"quantile": 0.9}, "min_effect": 0.0, "kinds": ["step", "ramp", "blip", "unconfirmed"]},
)
"""The default, which maps next to nothing on so little ground, and one that maps a tenth: the same scores, many polygons."""


def warm_up() -> None:
    """Run the job on a scene of 96 pixels in a folder that is removed."""
    with tempfile.TemporaryDirectory() as name, spark_session("terradrift warm-up", "local[1]", FAST_START) as spark:
        folder = Path(name)
        write_scene(folder, kind="tropical", size=96, seed=5, chunk=32, shard=64)
        for change in RULES:
            settings = {
                "mosaic": str(folder / "mosaic.zarr"),
                "aoi": str(folder / "aoi.geojson"),
                "output": str(folder / "out"),
                "tile_size": 64,
                "change": change,
                "polygons": {"min_pixels": 2},
            }
            detect_changes(spark, open_run(plan_run(params_from(settings))))


if __name__ == "__main__":
    warm_up()
    sys.exit(0)
