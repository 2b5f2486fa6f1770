"""Whatever happens to an object that was written is found, by verify and by who reads it; clean leaves what is needed."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mosaics import unit_codes, write_mosaic
from terradrift.aoi.tables import write_frame, zones_frame
from terradrift.clean import clean
from terradrift.cli import main
from terradrift.errors import InputError, LockedError, StoreError
from terradrift.ledger import code_version
from terradrift.lock import acquire
from terradrift.params import params_from
from terradrift.planning import plan_run
from terradrift.records import ScoreLedger
from terradrift.run import Run, open_run
from terradrift.score_store import raster_store
from terradrift.score_tile import ScoreRasters, score_tile
from terradrift.sealed import under, written
from terradrift.store import Store
from terradrift.table_parts import TableFormat, write_table
from terradrift.verify import verify


def make_run(folder: Path, threshold: float = 0.2) -> Run:
    """A published run of nine tiles, its decision and tables made here; no Spark."""
    mosaic = folder / "mosaic.zarr"
    if not mosaic.exists():
        write_mosaic(mosaic, unit_codes(1, 3, 96, 96, bands=4))
    change = {"detector": "bitemporal", "threshold": {"score": threshold}}
    settings = {"mosaic": str(mosaic), "output": str(folder / "out"), "tile_size": 32, "change": change}
    run = open_run(plan_run(params_from(settings)))
    rasters, plan = ScoreRasters(run.scores, None), run.plan
    for row, col in zip(plan.rows.tolist(), plan.cols.tolist(), strict=True):
        tile = run.scores.tile(row, col)
        score_tile(tile, plan.mosaic, plan.zones, plan.recipe, rasters, run.folder.ledger)
        changed = (run.scores.read_tile(tile, "change_score") >= threshold).astype(np.uint8)
        run.folder.records.write(tile.id, under("change.zarr", run.decision.write_tile(tile, {"changed": changed})))
    write_frame(run.folder.records, "tables/zones", zones_frame(plan.zones, plan.grid, "EPSG:4326"))
    rows = pa.table({"stratum": pa.array([0], pa.int32()), "threshold": [threshold]})
    write_table(run.folder.records, "tables/thresholds", rows, TableFormat(rows.schema))
    write_table(run.folder.ledger, "tiles", pa.table({"row": [0]}), TableFormat(pa.schema([("row", pa.int64())])))
    run.folder.records.store.put("maps/map.bin", bytes(range(200)))
    given = plan.params.model_dump(mode="json", exclude_unset=True)
    run.folder.publish({"run_file": given, "versions": {"terradrift": code_version()}, "finished": str(threshold)})
    run.folder.clean_work()
    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("made"))


@pytest.fixture
def out(made: Run, tmp_path: Path) -> Path:
    """A copy of the output to do harm to."""
    return Path(shutil.copytree(made.folder.root, tmp_path / "out"))


def files(out: Path) -> list[Path]:
    return sorted(path for path in out.rglob("*") if path.is_file() and path.name != "latest.json")


def test_what_was_written_is_found_whole(made: Run) -> None:
    found = verify(made.folder.root, recompute=4)
    assert found.differences == []
    assert (found.runs, found.recomputed) == (1, 4)
    hashed = [path for path in files(Path(made.folder.root)) if not {"_ledger", "_records"} & set(path.parts)]
    assert found.bytes == sum(path.stat().st_size for path in hashed)


def flip(path: Path, at: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[at.randrange(len(data))] ^= 1 << at.randrange(8)
    path.write_bytes(data)


def cut(path: Path, at: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: at.randrange(1, path.stat().st_size)])


HARM: dict[str, Callable[[Path, random.Random], None]] = {
    "flipped": flip,
    "cut": cut,
    "emptied": lambda path, at: path.write_bytes(b""),
    "removed": lambda path, at: path.unlink(),
    "longer": lambda path, at: path.write_bytes(path.read_bytes() + b"\0"),
}


@pytest.mark.parametrize("harm", list(HARM))
def test_harm_to_any_file_is_found(out: Path, harm: str) -> None:
    """Every file once: shards, metadata, coordinates, tables, maps, records, documents."""
    at = random.Random(harm)
    missed = []
    for path in files(out):
        whole = path.read_bytes()
        HARM[harm](path, at)
        try:
            if not verify(str(out)).differences:
                missed.append(path)
        except (InputError, StoreError):
            pass  # run.json of the only run: nothing is published
        path.write_bytes(whole)
    assert not missed
    assert verify(str(out)).differences == []


def test_shards_that_changed_places_are_found(out: Path) -> None:
    shards = sorted(path for path in (out / "scores").rglob("c/*/*") if path.is_file())
    assert len(shards) >= 9
    for one, other in pairwise(shards):
        if one.read_bytes() != other.read_bytes():
            first, second = one.read_bytes(), other.read_bytes()
            one.write_bytes(second)
            other.write_bytes(first)
            assert len(verify(str(out)).differences) >= 2
            one.write_bytes(first)
            other.write_bytes(second)


def test_an_object_nobody_recorded_is_found(out: Path) -> None:
    raster = next((out / "runs").glob("*/change.zarr"))
    (raster / "0/changed/c/7").mkdir()
    (raster / "0/changed/c/7/7").write_bytes(b"stray")
    (out / "notes.txt").write_text("mine")
    (found,) = verify(str(out)).differences
    assert "0/changed/c/7/7: found an object that no record names" in found


def test_other_scores_than_the_mosaic_gives_are_found(made: Run, out: Path, tmp_path: Path) -> None:
    """A record and its shard that agree with each other, and with nothing else."""
    ledger = next((out / "scores").glob("*/_ledger"))
    names = sorted(path.name for path in ledger.iterdir() if path.name.startswith("r0"))
    shard = next(ledger.parent.rglob("change_score/c/0/0"))
    records = ScoreLedger(str(ledger.parent))
    record = records.read(names[0].removesuffix(".json"))
    assert record is not None
    data = shard.read_bytes()
    shard.write_bytes(data[:-8] + bytes(8))
    key = next(key for key in record["objects"] if "change_score" in key)
    objects = record.pop("objects") | {key: written(shard.read_bytes())}
    records.write(record.pop("name"), objects, **record)
    found = verify(str(out), recompute=9)
    assert any("found other values than scoring" in line for line in found.differences)


def test_the_command_says_what_differs_and_ends_with_4(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(out)]) == 0
    assert capsys.readouterr().err == ""
    shard = min(path for path in (out / "scores").rglob("c/*/*") if path.is_file())
    flip(shard, random.Random(1))
    assert main(["verify", str(out)]) == 4
    said = capsys.readouterr()
    assert f"{shard.relative_to(out)}: found sha256" in said.out
    assert said.err.count("\n") == 1
    assert main(["verify", str(out), "--json"]) == 4
    assert len(json.loads(capsys.readouterr().out)["differences"]) == 1


# --- reading, without verify ----------------------------------------------------------------------------------------------


def test_a_damaged_shard_is_never_read_as_values(made: Run, out: Path) -> None:
    """Flips, cuts and emptied shards of every array: an error, or the values that were there."""
    plan, at = made.plan, random.Random(3)
    silent = 0
    for url, names in ((f"{out}/scores/{made.folder.score_id}/scores.zarr", ("change_score", "change_year", "scores")),):
        raster = raster_store(url, plan.grid, plan.window, plan.tile_size)
        for row, col in zip(plan.rows.tolist(), plan.cols.tolist(), strict=True):
            tile = raster.tile(row, col)
            for name in names:
                shards = [path for path in Path(url).glob(f"0/{name}/c/**/{row}/{col}") if path.is_file()]
                for shard in shards:
                    whole, values = shard.read_bytes(), raster.read_tile(tile, name)
                    for harm in ("flipped", "cut", "emptied"):
                        HARM[harm](shard, at)
                        with suppress(StoreError):
                            silent += not np.array_equal(raster.read_tile(tile, name), values, equal_nan=True)
                        shard.write_bytes(whole)
    assert silent == 0


# --- clean ---------------------------------------------------------------------------------------------------------------


def test_clean_leaves_what_the_latest_run_needs(tmp_path: Path) -> None:
    first, second = make_run(tmp_path, 0.2), make_run(tmp_path, 0.3)
    assert first.folder.score_id == second.folder.score_id
    out = Path(second.folder.root)
    (out / "scores/feed").mkdir()
    (out / "scores/feed/a").write_bytes(b"12345")
    (out / f"runs/{second.folder.run_id}/maps/.a.1-2.partial").write_bytes(b"123")
    before = {path: path.read_bytes() for path in files(out)}
    told = clean(str(out), dry_run=True)
    assert {path: path.read_bytes() for path in files(out)} == before
    assert clean(str(out)) == told
    assert {item[0].split("/")[1] for item in told.items} == {first.folder.run_id, "feed", second.folder.run_id}
    assert told.bytes == sum(len(data) for data in before.values()) - sum(path.stat().st_size for path in files(out))
    assert sorted(path.name for path in (out / "runs").iterdir()) == [second.folder.run_id]
    assert sorted(path.name for path in (out / "scores").iterdir()) == [second.folder.score_id]
    assert verify(str(out)).differences == []
    assert clean(str(out)).items == []


def test_clean_keeps_the_runs_published_last(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, threshold) for threshold in (0.2, 0.3, 0.4)]
    out = Path(runs[0].folder.root)
    clean(str(out), keep=2)
    assert sorted(path.name for path in (out / "runs").iterdir()) == sorted(run.folder.run_id for run in runs[1:])


def test_clean_waits_for_no_run_and_removes_none_that_is_not_finished(out: Path, tmp_path: Path) -> None:
    held = acquire(Store(str(out)))
    before = files(out)
    with pytest.raises(LockedError):
        clean(str(out))
    assert files(out) == before
    held.release()
    (out / "latest.json").unlink()
    with pytest.raises(InputError, match="no finished run"):
        clean(str(out))
    assert main(["clean", str(tmp_path / "nowhere")]) == 2


def test_the_command_says_what_it_removes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs: list[Any] = [make_run(tmp_path, threshold) for threshold in (0.2, 0.3)]
    assert main(["clean", runs[0].folder.root, "--dry-run"]) == 0
    assert f"runs/{runs[0].folder.run_id}: " in capsys.readouterr().out
    assert main(["clean", runs[0].folder.root]) == 0
    assert capsys.readouterr().out.strip().endswith("bytes removed")
