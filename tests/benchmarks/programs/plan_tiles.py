"""Plan, describe and order the tiles of an area of the public mosaic's size; nothing is read but metadata."""

from __future__ import annotations

import sys
from pathlib import Path

from figures import report

from terradrift.params import params_from
from terradrift.plan_report import describe
from terradrift.planning import plan_run
from terradrift.run import Run, run_folder

mosaic, tiles, tile_size = Path(sys.argv[1]), int(sys.argv[2]), 1024
degrees = 8.983111749910169e-05 * tile_size
across = round(tiles**0.5)
west, north = -180 + 400.5 * degrees, 83.68570533713473 - 100.5 * degrees
area = [west, north - (tiles // across - 1) * degrees, west + (across - 1) * degrees, north]
settings = {"mosaic": str(mosaic), "output": str(mosaic.parent / "out"), "tile_size": tile_size, "aoi": area}


counts: dict[str, float] = {}


def work() -> None:
    """What the driver does before Spark starts."""
    plan = plan_run(params_from(settings))
    counts.update(tiles=describe(plan)["tiles"], unfinished=len(Run(plan, run_folder(plan)).unfinished()))


report(work, lambda: counts)
