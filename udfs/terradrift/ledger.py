"""Where a run lies, what it published, and the pointer to the last complete run.

A run's file is written after all its tables and maps, the pointer last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from terradrift.errors import DamagedError, InputError, StoreError
from terradrift.records import Ledger, ScoreLedger, TileRecord, is_there
from terradrift.sealed import Written, seal, unseal, written
from terradrift.store import Store, open_store

__all__ = [
    "POINTER",
    "Ledger",
    "RecordsDigest",
    "RunFolder",
    "ScoreLedger",
    "TileRecord",
    "code_version",
    "identity",
    "latest_run",
    "published",
    "read_manifest",
]


POINTER = "latest.json"

WORK = "_work"
"""Prefix of fragments, reports of stages and the like in a run: removed when it is published."""


@dataclass(frozen=True)
class RunFolder:
    """Where one run writes: `OUT/scores/<score_id>` and `OUT/runs/<run_id>`, in a folder or on S3."""

    root: str
    """OUT: a folder or a URL."""
    score_id: str
    run_id: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", str(self.root))

    @property
    def store(self) -> Store:
        return open_store(self.root)

    @property
    def scores_url(self) -> str:
        return f"{self.root}/scores/{self.score_id}"

    @property
    def url(self) -> str:
        return f"{self.root}/runs/{self.run_id}"

    @cached_property
    def ledger(self) -> ScoreLedger:
        """Records of the scores."""
        return ScoreLedger(self.scores_url)

    @cached_property
    def records(self) -> Ledger:
        """Records of the run's own objects."""
        return Ledger(self.url)

    @cached_property
    def work_records(self) -> Ledger:
        """Records of what is removed when the run is published."""
        return Ledger(f"{self.url}/{WORK}")

    # The same as paths, for what reads a folder with other libraries.

    @property
    def scores(self) -> Path:
        return self._local(self.scores_url)

    @property
    def path(self) -> Path:
        return self._local(self.url)

    @property
    def tables(self) -> Path:
        return self.path / "tables"

    @property
    def maps(self) -> Path:
        return self.path / "maps"

    @property
    def work(self) -> Path:
        """Fragments, tile pairs: removed when the run is published."""
        return self.path / WORK

    def _local(self, url: str) -> Path:
        path = open_store(url).local_path
        if path is None:
            raise InputError(f"output: found {self.root}; expected a folder; copy the run to one to use it here")
        return path

    def is_complete(self) -> bool:
        """Whether this run was published."""
        return self.records.store.size("run.json") is not None

    def publish(self, manifest: Mapping[str, Any]) -> None:
        """Write the list of the scores' files, then run.json with the hash of every published file, then the pointer.

        Each is on disk before the next. Raises StoreError where an object that a record names is not there as it was written.
        """
        for ledger in (self.ledger, self.records):
            ledger.store.settle()
        found, records = published(self.ledger, tiles_apart=True)
        scores = {key: value._asdict() for key, value in found.items()}
        told = {"score_id": self.score_id, "files": scores, "records": records.told()}
        if self.ledger.store.get("manifest.json") != (data := seal(told)):  # runs that share the scores leave it as it is
            self.ledger.store.put("manifest.json", data)
        found, records = published(self.records)
        files = {key: value.sha256 for key, value in found.items()}
        document = {**manifest, "run_id": self.run_id, "score_id": self.score_id, "files": files}
        self.ledger.store.settle(deep=False)
        self.records.store.put("run.json", seal(document | {"records": records.told()}, indent=1))
        self.records.store.settle(deep=False)
        self.point()

    def clean_work(self) -> None:
        """Remove fragments, reports of stages and other intermediate objects, and what killed writers left half written."""
        self.records.store.clear(WORK)
        for store in (self.ledger.store, self.records.store):
            store.sweep()

    def point(self) -> None:
        """Make this run the latest, atomically."""
        self.store.put(POINTER, self.pointer())
        self.store.settle(deep=False)

    def pointer(self) -> bytes:
        """What `latest.json` says while this run is the latest."""
        return json.dumps({"run_id": self.run_id, "path": f"runs/{self.run_id}"}).encode()


NOT_PUBLISHED = ("run.json", "manifest.json")


class RecordsDigest:
    """How many records there are, and a hash of them all in the order of their names: none may be lost."""

    def __init__(self) -> None:
        self.count, self._digest = 0, hashlib.sha256()

    def add(self, name: str, record: Mapping[str, Any]) -> None:
        """Count the next record."""
        self.count += 1
        self._digest.update(f"{name} {record['objects']}\n".encode())

    def told(self) -> dict[str, Any]:
        """For a manifest."""
        return {"count": self.count, "sha256": self._digest.hexdigest()}


def published(ledger: Ledger, tiles_apart: bool = False) -> tuple[dict[str, Written], RecordsDigest]:
    """Every object of a run or of scores that is for others to read, with its hash: as recorded, else read back. And its records.

    tiles_apart: leave out what the records of tiles and blocks of overviews tell, which may be millions.
    """
    store = ledger.store
    sizes = {key: size for key, size in store.entries("") if is_published(key)}
    found: dict[str, Written] = {}
    records = RecordsDigest()
    for name, record in ledger.records():
        if record is None:
            continue
        records.add(name, record)
        objects = {key: value for key, value in record["objects"].items() if is_published(key)}
        if not is_there(objects, sizes):
            raise StoreError(f"{store.url}: found objects missing or changed that record {name} names; run again with --fresh")
        is_tile = tiles_apart and ("tile_id" in record or "block" in record)
        for key, value in objects.items():
            sizes.pop(key, None)
            if isinstance(value, Written) and not is_tile:
                found[key] = value
    for key in sizes:
        found[key] = written(store.get(key) or b"")
    return dict(sorted(found.items())), records


def is_published(key: str) -> bool:
    """Whether an object of a run or of scores is for others to read."""
    return key not in NOT_PUBLISHED and not any(part.startswith((".", "_")) for part in key.split("/"))


def latest_run(root: Path | str) -> RunFolder:
    """The last published run of an output. Raises InputError where there is none, DamagedError where its run.json is."""
    store, expected = open_store(str(root)), f"output: found no finished run in {root}; expected the output folder of a run"
    try:
        pointer = json.loads(store.get(POINTER) or b"")
    except (ValueError, DamagedError) as cause:
        raise InputError(expected) from cause
    if not isinstance(pointer, dict):
        raise InputError(expected)
    run_id = pointer.get("run_id")
    if not isinstance(run_id, str) or not run_id.isalnum():
        raise InputError(f"output: {root}/{POINTER}: found run_id {run_id!r}; expected the name of a run; run it again")
    manifest = read_manifest(RunFolder(str(root), "", run_id))
    score_id = manifest.get("score_id")
    if not isinstance(score_id, str) or not score_id.isalnum():
        raise InputError(
            f"output: run {run_id} in {root}: found score_id {score_id!r}; expected the name of scores; run it again"
        )
    return RunFolder(str(root), score_id, run_id)


def read_manifest(run: RunFolder) -> dict[str, Any]:
    """run.json of a published run. Raises InputError where there is none, DamagedError where it is not what was published."""
    data = run.records.store.get("run.json")
    if data is None:
        raise InputError(f"output: found no run.json of run {run.run_id} in {run.root}; expected a finished run; run it again")
    document = unseal(data)
    if document is None:
        raise DamagedError(f"{run.url}/run.json: found a document that was cut or altered; expected its seal; run with --fresh")
    return document


def identity(*parts: Any) -> str:
    """16 hex digits that name parameters, input and code: equal parts, equal name."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def code_version() -> str:
    """The package's version and a hash of its modules: results of other code are never taken for ours."""
    from terradrift import __version__

    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"
