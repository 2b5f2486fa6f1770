"""The score stage as a task runs it: read, score, write, record; no Spark around it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas  # noqa: F401  (pyarrow loads it with its first array: an import, not work)
import pyarrow as pa
from figures import megapixels, report

import terradrift as td
from terradrift.kernels.score_block import score_pixels
from terradrift.kernels.strata import Strata
from terradrift.params import params_from
from terradrift.run import open_run
from terradrift.score_tile import ScoreRasters, score_tile
from terradrift.strata_sample import first_round, learn_strata, sample_chunk, sample_order

scene, out = Path(sys.argv[1]), Path(sys.argv[2])
settings = {
    "mosaic": str(scene / "mosaic.zarr"),
    "output": str(out / sys.argv[3]),
    "tile_size": 512,
    "change": {"detector": sys.argv[3]},
}
run = open_run(td.plan(params_from(settings)))
plan = run.plan
rasters = ScoreRasters(run.scores, run.decoys if plan.recipe.lattice else None)
score_pixels(
    np.full((9, 64, 8, 8), 16, np.int8), plan.recipe, strata=Strata(np.ones((12, 64), np.float32), np.ones(12, np.float32))
)
plan.zones.mask(plan.tile_window(0))


mpx = megapixels(scene)


def work() -> None:
    """Learn the strata where the detector is calibrated, then score every tile."""
    strata = None
    if plan.recipe.lattice:
        order = sample_order(plan)
        chosen = order[: first_round(len(order))].tolist()
        sample = pa.concat_tables([sample_chunk(plan.mosaic, plan.zones, plan.years, *at) for at in chosen])
        strata = learn_strata(sample, 12, plan.mosaic.n_bands)
    for row, col in zip(plan.rows.tolist(), plan.cols.tolist(), strict=True):
        score_tile(run.scores.tile(row, col), plan.mosaic, plan.zones, plan.recipe, rasters, run.folder.ledger, strata)


report(work, lambda: {"mpx": mpx})
