"""What verify looks at and says; clean leaves what is needed. What damage is found: tests/faults/test_damage.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from published import make_run
from terradrift.clean import clean
from terradrift.cli import main
from terradrift.errors import InputError, LockedError
from terradrift.lock import acquire
from terradrift.records import ScoreLedger
from terradrift.run import Run
from terradrift.sealed import written
from terradrift.store import Store
from terradrift.verify import verify


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
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert main(["verify", str(out)]) == 4
    said = capsys.readouterr()
    assert f"{shard.relative_to(out)}: found sha256" in said.out
    assert said.err.count("\n") == 1
    assert main(["verify", str(out), "--json"]) == 4
    assert len(json.loads(capsys.readouterr().out)["differences"]) == 1


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
