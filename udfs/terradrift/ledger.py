"""Where a run keeps what it did: one record a finished tile, one file a run, and the pointer to the last complete run.

State lives in the output folder, never in the driver: a record is written strictly after the tile's data, a run's file
after all its tables and maps, the pointer last.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from terradrift.errors import DamagedError, InputError, StoreError
from terradrift.store import Store, open_store


@dataclass(frozen=True)
class TileRecord:
    """What is known of one scored tile: a row of the `tiles` table."""

    tile_id: str
    row: int
    col: int
    y0: int
    x0: int
    height: int
    width: int
    state: str
    """done | empty (no valid pixel) | failed"""
    error: str | None
    n_valid: int
    n_bad_norm: int
    missing_objects: int
    absent_years: int
    attempts: int
    seconds: float
    bytes_read: int
    peak_rss: int
    """Peak resident memory of the worker, bytes."""
    objects: Mapping[str, str]
    """sha256 of the tile's shard of every array, or `absent`."""


@dataclass(frozen=True)
class ScoreLedger:
    """Records of the tiles of one set of scores."""

    url: str
    """`OUT/scores/<score_id>`"""

    @property
    def store(self) -> Store:
        return open_store(self.url)

    def record(self, tile: TileRecord) -> None:
        """Write a tile's record; call it after the tile's data are written."""
        self.store.put(f"_ledger/{tile.tile_id}.json", json.dumps(asdict(tile), sort_keys=True).encode())

    def finished(self) -> Iterator[str]:
        """Ids of the tiles with a record of success."""
        for key in self.store.keys("_ledger"):
            if key.endswith(".json") and (record := self.read(key)) is not None and record.get("state") != "failed":
                yield str(record["tile_id"])

    def read(self, key: str) -> dict[str, Any] | None:
        """One record, or None where it is cut or not a record."""
        try:
            record = json.loads(self.store.get(key) or b"")
        except (ValueError, DamagedError):
            return None
        return record if isinstance(record, dict) and "tile_id" in record else None


@dataclass(frozen=True)
class RunFolder:
    """The folders of one run: `OUT/scores/<score_id>` and `OUT/runs/<run_id>`."""

    root: Path
    score_id: str
    run_id: str

    @property
    def scores(self) -> Path:
        return self.root / "scores" / self.score_id

    @property
    def path(self) -> Path:
        return self.root / "runs" / self.run_id

    @property
    def tables(self) -> Path:
        return self.path / "tables"

    @property
    def maps(self) -> Path:
        return self.path / "maps"

    @property
    def work(self) -> Path:
        """Fragments, tile pairs: removed when the run is published."""
        return self.path / "_work"

    @cached_property
    def ledger(self) -> ScoreLedger:
        return ScoreLedger(str(self.scores))

    def is_complete(self) -> bool:
        """Whether this run was published."""
        return (self.path / "run.json").is_file()

    def publish(self, manifest: Mapping[str, Any]) -> None:
        """Write run.json with the hash of every published file, then switch the pointer."""
        files = {str(path.relative_to(self.path)): _sha256(path) for path in sorted(self.path.rglob("*")) if _is_published(path)}
        document = {"run_id": self.run_id, "score_id": self.score_id, **manifest, "files": files}
        store = open_store(str(self.root))
        store.put(f"runs/{self.run_id}/run.json", json.dumps(document, indent=1, sort_keys=True).encode())
        self.point()

    def point(self) -> None:
        """Make this run the latest, atomically."""
        pointer = {"run_id": self.run_id, "path": f"runs/{self.run_id}"}
        open_store(str(self.root)).put("latest.json", json.dumps(pointer).encode())


def latest_run(root: Path) -> RunFolder:
    """The last published run of an output folder. Raises InputError where there is none."""
    pointer = _read_json(root / "latest.json", f"output: found no finished run in {root}; expected the output folder of a run")
    run_id = pointer.get("run_id")
    if not isinstance(run_id, str) or not run_id.isalnum():
        raise InputError(f"output: {root / 'latest.json'}: found run_id {run_id!r}; expected the name of a run; run it again")
    manifest = _read_json(
        root / "runs" / run_id / "run.json", f"output: found no run.json of run {run_id} in {root}; run it again"
    )
    score_id = manifest.get("score_id")
    if not isinstance(score_id, str) or not score_id.isalnum():
        raise InputError(
            f"output: run {run_id} in {root}: found score_id {score_id!r}; expected the name of scores; run it again"
        )
    return RunFolder(root, score_id, run_id)


def read_manifest(run: RunFolder) -> dict[str, Any]:
    """run.json of a published run."""
    return _read_json(run.path / "run.json", f"output: found no run.json in {run.path}; expected a finished run")


def identity(*parts: Any) -> str:
    """16 hex digits that name parameters, input and code: equal parts, equal name."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_version() -> str:
    """The package's version and a hash of its modules: results of other code are never taken for ours."""
    from terradrift import __version__

    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"


def _is_published(path: Path) -> bool:
    return path.is_file() and "_work" not in path.parts and path.name != "run.json" and not path.name.startswith((".", "_"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path, otherwise: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as cause:
        if isinstance(cause, FileNotFoundError | NotADirectoryError | ValueError):
            raise InputError(otherwise) from cause
        raise StoreError(f"cannot read {path}: {os.strerror(cause.errno or 0)}") from cause
    if not isinstance(document, dict):
        raise InputError(otherwise)
    return document
