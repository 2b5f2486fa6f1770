"""A tile that kills whoever scores it: the others are scored, it is recorded as failed, and a later run does it alone."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from tests.faults.poison import Poisoned

import terradrift as td
from terradrift.errors import IncompleteError
from terradrift.params import params_from
from terradrift.run import open_run
from terradrift.spark.score_tiles import score_tiles

pytestmark = pytest.mark.slow


def test_a_tile_that_kills_its_worker_fails_alone(spark: SparkSession, tmp_path: Path) -> None:
    td.write_scene(tmp_path / "scene", kind="tropical", size=64, years=3, seed=3, chunk=32, shard=32)
    settings = {
        "mosaic": str(tmp_path / "scene" / "mosaic.zarr"),
        "output": str(tmp_path / "out"),
        "tile_size": 32,
        "scores": {"annual": []},
        "change": {"detector": "bitemporal", "threshold": {"score": 0.15}},
    }
    plan = td.plan(params_from(settings))
    assert plan.n_tiles >= 4
    found = {field.name: getattr(plan.mosaic, field.name) for field in fields(plan.mosaic)}
    poisoned = Poisoned(**found, poison=plan.tile_window(1))
    run = open_run(replace(plan, mosaic=poisoned))
    with pytest.raises(IncompleteError, match=r"1 of .* KilledError: whoever scores this tile is killed"):
        score_tiles(spark, run)
    before = {record["name"]: record for _, record in run.folder.ledger.records() if record is not None}
    names = list(plan.tile_ids())
    assert [before[name]["state"] == "failed" for name in names] == [name == names[1] for name in names]
    assert before[names[1]]["attempts"] == 4

    run = open_run(plan)
    assert len(run.unfinished()) == 1
    assert score_tiles(spark, run)["tiles"]["failed"] == 0
    after = {record["name"]: record for _, record in run.folder.ledger.records() if record is not None}
    assert [before[name] == after[name] for name in names] == [name != names[1] for name in names]
