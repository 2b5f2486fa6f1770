"""Records and pointers: what is torn or foreign counts for nothing, and a run is seen whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mosaics import unit_codes, write_mosaic
from terradrift.errors import InputError, StoreError
from terradrift.ledger import RunFolder, ScoreLedger, TileRecord, latest_run, read_manifest
from terradrift.params import params_from
from terradrift.planning import plan_run
from terradrift.records import is_finished
from terradrift.run import Run, open_run
from terradrift.sealed import seal
from terradrift.status import read_status
from terradrift.store import Store

NAME = "r000000_c000000"


def record(tile_id: str = NAME, state: str = "done") -> TileRecord:
    row, col = (int(part[1:]) for part in tile_id.split("_"))
    objects = {"scores.zarr/0/change_score/c/0/0": "absent"}
    return TileRecord(tile_id, row, col, 32 * row, 32 * col, 32, 32, state, None, 10, 0, 0, 0, 0, 1, 0.5, 1000, 1 << 20, objects)


def text(**changes: Any) -> bytes:
    return seal({**vars(record()), "name": NAME, **changes})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    mosaic = write_mosaic(tmp_path / "mosaic.zarr", unit_codes(1, 2, 64, 64, bands=4))
    return open_run(plan_run(params_from({"mosaic": str(mosaic), "output": str(tmp_path / "out"), "tile_size": 32})))


def unfinished(run: Run) -> set[tuple[int, int]]:
    run.look_again()
    tiles = run.unfinished()
    return set(zip(tiles["row"].to_pylist(), tiles["col"].to_pylist(), strict=True))


ALL = {(0, 0), (0, 1), (1, 0), (1, 1)}

STRAY: dict[str, tuple[str, bytes]] = {
    "empty": (f"{NAME}.json", b""),
    "cut": (f"{NAME}.json", text()[:40]),
    "not text": (f"{NAME}.json", b"\xff\xfe\x00"),
    "a list": (f"{NAME}.json", b"[1]"),
    "a number": (f"{NAME}.json", b"1"),
    "null": (f"{NAME}.json", b"null"),
    "another document": (f"{NAME}.json", b'{"a": 1}'),
    "an id that is a number": (f"{NAME}.json", text(tile_id=7)),
    "an id of another kind": (f"{NAME}.json", text(tile_id="tile 1")),
    "an id of letters": (f"{NAME}.json", text(tile_id="rx_cy")),
    "a tile of another run": ("r000009_c000009.json", text(tile_id="r000009_c000009")),
    "what a writer left": (f"{NAME}.json#1", text()),
    "a note": ("README.md", b"stray"),
    "a hidden file": (".DS_Store", b"\0"),
}


@pytest.mark.parametrize("name", list(STRAY))
def test_what_is_torn_or_foreign_counts_for_nothing(run: Run, name: str) -> None:
    run.folder.ledger.record(record("r000001_c000001"))
    file, content = STRAY[name]
    (run.folder.scores / "_ledger" / file).write_bytes(content)
    assert unfinished(run) == ALL - {(1, 1)}
    status = read_status(run.folder.root)
    assert status["scores"][0]["done"] >= 1


def test_a_finished_tile_is_not_done_again_and_a_failed_one_is(run: Run) -> None:
    assert unfinished(run) == ALL
    run.folder.ledger.record(record("r000000_c000000"))
    run.folder.ledger.record(record("r000000_c000001", "empty"))
    run.folder.ledger.record(record("r000001_c000000", "failed"))
    assert unfinished(run) == {(1, 0), (1, 1)}
    assert read_status(run.folder.root)["scores"][0] == {
        "score_id": run.folder.score_id, "done": 1, "empty": 1, "failed": 1, "seconds": 1.5, "bytes_read": 3000,
    }  # fmt: skip
    run.folder.ledger.record(record("r000001_c000000"))
    assert unfinished(run) == {(1, 1)}


def test_a_record_reads_back_as_it_was(tmp_path: Path) -> None:
    ledger = ScoreLedger(str(tmp_path))
    ledger.record(record())
    assert ledger.read(NAME) == {**vars(record()), "name": NAME}
    assert [found["name"] for found in ledger.trusted() if is_finished(found)] == [NAME]
    assert list(ScoreLedger(str(tmp_path / "nowhere")).trusted()) == []


def test_a_record_is_the_same_bytes_whoever_writes_it(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        ScoreLedger(str(tmp_path / folder)).record(record())
    assert (tmp_path / f"a/_ledger/{NAME}.json").read_bytes() == (tmp_path / f"b/_ledger/{NAME}.json").read_bytes()


# --- publishing ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path, "5c0e", "12ab")
    for name, content in {
        "tables/zones/part-0.parquet": b"zones",
        "tables/zones/_SUCCESS": b"",
        "tables/zones/.part-0.parquet.crc": b"crc",
        "maps/changes.pmtiles": b"tiles",
        "change.zarr/zarr.json": b"{}",
        "_work/fragments/part-0.parquet": b"work",
    }.items():
        (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / name).write_bytes(content)
    return folder


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys in the order they are written."""
    keys: list[str] = []
    put = Store.put

    def noted(self: Store, key: str, data: bytes) -> None:
        keys.append(key)
        put(self, key, data)

    monkeypatch.setattr(Store, "put", noted)
    return keys


def test_the_pointer_is_written_last(folder: RunFolder, puts: list[str]) -> None:
    assert not folder.is_complete()
    folder.publish({"counts": {}})
    assert puts == ["manifest.json", "run.json", "latest.json"]
    assert folder.is_complete()
    assert latest_run(folder.root) == folder
    assert json.loads((Path(folder.root) / "latest.json").read_text()) == {"run_id": "12ab", "path": "runs/12ab"}


def test_what_a_run_tells_of_is_on_disk_before_it_is_told(
    folder: RunFolder, puts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = Store.settle

    def noted(self: Store, deep: bool = True) -> None:
        puts.append(f"{Path(self.url).relative_to(folder.root)}{'/**' if deep else ''}")
        settle(self, deep)

    monkeypatch.setattr(Store, "settle", noted)
    folder.publish({"counts": {}})
    everything = ["scores/5c0e/**", "runs/12ab/**"]
    assert puts == [*everything, "manifest.json", "scores/5c0e", "run.json", "runs/12ab", "latest.json", "."]


def test_the_manifest_names_every_published_file_by_its_hash(folder: RunFolder) -> None:
    folder.publish({"counts": {}})
    files = read_manifest(folder)["files"]
    assert set(files) == {"tables/zones/part-0.parquet", "maps/changes.pmtiles", "change.zarr/zarr.json"}
    assert all(digest == hashlib.sha256((folder.path / name).read_bytes()).hexdigest() for name, digest in files.items())


@pytest.mark.parametrize("broken", ["run.json", "latest.json"])
def test_a_run_that_could_not_be_published_leaves_the_pointer(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    earlier = RunFolder(folder.root, "5c0e", "0000")
    earlier.publish({"counts": {}})
    put = Store.put

    def fail(self: Store, key: str, data: bytes) -> None:
        if key == broken:
            raise StoreError(f"cannot write {key}: No space left on device")
        put(self, key, data)

    monkeypatch.setattr(Store, "put", fail)
    with pytest.raises(StoreError, match="No space left"):
        folder.publish({"counts": {}})
    monkeypatch.undo()
    assert latest_run(folder.root) == earlier
    folder.publish({"counts": {}})
    assert latest_run(folder.root) == folder


def test_what_killed_writers_left_goes_with_the_work(folder: RunFolder) -> None:
    folder.publish({"counts": {}})
    left = [folder.path / "maps" / ".a.tif.12-34.partial", folder.scores / "scores.zarr" / "0" / ".7.56-78.partial"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")

    def files() -> set[Path]:
        return {path for path in Path(folder.root).rglob("*") if path.is_file() and folder.work not in path.parents}

    kept = files() - set(left)
    folder.clean_work()
    assert files() == kept


def test_a_pointer_goes_back_to_an_earlier_run(folder: RunFolder) -> None:
    earlier = RunFolder(folder.root, "5c0e", "0000")
    earlier.publish({})
    folder.publish({})
    earlier.point()
    assert latest_run(folder.root) == earlier
    states = {row["run_id"]: row["state"] for row in read_status(folder.root)["runs"]}
    assert states == {"0000": "latest", "12ab": "finished"}


POINTERS = [None, "", "{", "[]", '"12ab"', "{}", '{"run_id": 7}', '{"run_id": "../12ab"}', '{"run_id": "ff"}']


@pytest.mark.parametrize("pointer", POINTERS)
def test_a_pointer_that_points_nowhere_is_one_line(folder: RunFolder, pointer: str | None) -> None:
    folder.publish({"counts": {}})
    (Path(folder.root) / "latest.json").unlink()
    if pointer is not None:
        (Path(folder.root) / "latest.json").write_text(pointer)
    with pytest.raises(InputError, match=r"^output: ") as refused:
        latest_run(folder.root)
    assert "\n" not in str(refused.value)
    assert read_status(folder.root)["runs"][0]["state"] == "finished"
