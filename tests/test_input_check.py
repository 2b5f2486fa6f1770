"""A mosaic that changes under a run ends it; one that only lies elsewhere does not."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mosaics import unit_codes, write_mosaic
from terradrift.errors import StoreError
from terradrift.input_check import input_keys, look_up, unchanged_input
from terradrift.params import params_from
from terradrift.planning import Plan, plan_run
from terradrift.preflight import check_room
from terradrift.run import Run, open_run
from terradrift.store import open_store

CHANGE = {"detector": "bitemporal", "threshold": {"score": 0.2}}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    mosaic = write_mosaic(tmp_path / "mosaic.zarr", unit_codes(1, 2, 128, 128, bands=4))
    return open_run(
        plan_run(params_from({"mosaic": str(mosaic), "output": str(tmp_path / "out"), "tile_size": 32, "change": CHANGE}))
    )


def shards(plan: Plan) -> list[Path]:
    return sorted(path for path in Path(plan.mosaic.url).glob("embeddings/c/**/*") if path.is_file())


def test_every_object_of_the_tiles_is_looked_up_once(run: Run) -> None:
    root = Path(run.plan.mosaic.url)
    known = {"zarr.json", "embeddings/zarr.json", *(str(path.relative_to(root)) for path in shards(run.plan))}
    keys = input_keys(run.plan)
    assert len(keys) == len(set(keys))
    assert set(keys) == known
    assert len(input_keys(run.plan, most=3)) == 2 + 3
    assert look_up(run.plan)["zarr.json"] == list(open_store(str(root)).version("zarr.json") or ())


def test_nothing_is_said_where_nothing_changes(run: Run) -> None:
    for is_first in (True, False, False):
        with unchanged_input(run.plan, run.folder.ledger, is_first):
            pass


HARM = {
    "another object": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\1"),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("harm", list(HARM))
def test_a_change_under_the_run_ends_it(run: Run, harm: str) -> None:
    path = shards(run.plan)[3]
    os.utime(path, ns=(0, 0))
    with (
        pytest.raises(StoreError, match=r"c/\d.*the mosaic changes under the run") as ended,
        unchanged_input(run.plan, run.folder.ledger, True),
    ):
        HARM[harm](path)
    assert ended.value.exit_code == 4
    assert "\n" not in str(ended.value)
    with pytest.raises(StoreError, match="as when these scores were begun"), unchanged_input(run.plan, run.folder.ledger, False):
        pytest.fail("it went on")
    with unchanged_input(run.plan, run.folder.ledger, True):  # --fresh
        pass


def test_a_copy_elsewhere_is_the_same_mosaic(run: Run, tmp_path: Path) -> None:
    with unchanged_input(run.plan, run.folder.ledger, True):
        pass
    shutil.copytree(run.plan.mosaic.url, tmp_path / "copy.zarr", copy_function=shutil.copyfile)
    moved = replace(run.plan, mosaic=replace(run.plan.mosaic, url=str(tmp_path / "copy.zarr")))
    with unchanged_input(moved, run.folder.ledger, False):
        pass
    path = shards(moved)[0]
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(StoreError, match="changes under"), unchanged_input(moved, run.folder.ledger, False):
        pass


def test_a_disk_without_room_is_refused_before_anything_runs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    check_room(run)
    monkeypatch.setattr("terradrift.preflight.shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(StoreError, match=r"^output: found 0\.0 GiB free at .*; expected about") as refused:
        check_room(run)
    assert refused.value.exit_code == 4
