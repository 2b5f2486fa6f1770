"""The score stage as a task runs it: read, score, write, record; no Spark around it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from figures import megapixels, report

import terradrift as td
from terradrift.kernels.score_block import score_pixels
from terradrift.params import params_from
from terradrift.run import open_run
from terradrift.score_tile import score_tile

scene, out = Path(sys.argv[1]), Path(sys.argv[2])
run = open_run(td.plan(params_from({"mosaic": str(scene / "mosaic.zarr"), "output": str(out), "tile_size": 512})))
plan = run.plan
score_pixels(np.zeros((9, 64, 8, 8), np.int8), plan.recipe)  # compiles
plan.zones.mask(plan.tile_window(0))


def work() -> None:
    """Score every tile."""
    for row, col in zip(plan.rows.tolist(), plan.cols.tolist(), strict=True):
        score_tile(run.scores.tile(row, col), plan.mosaic, plan.zones, plan.recipe, run.scores, run.folder.ledger)


report(work, megapixels(scene))
