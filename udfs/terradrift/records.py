"""Sealed records of what was written: strictly after the objects they name, trusted only while these are there.

State lives in the output, never in the driver.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from terradrift.errors import DamagedError
from terradrift.sealed import ABSENT, Objects, Written, objects_as_json, objects_from_json, seal, unseal, written_file
from terradrift.store import Store, open_store

TILE_RECORDS, OTHER_RECORDS = "_ledger", "_records"
"""Prefixes of the records of tiles, and of tables, maps and blocks of overviews."""

_TILE_ID = re.compile(r"r\d{6,7}_c\d{6,7}")


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
    forbidden_objects: int
    attempts: int
    seconds: float
    bytes_read: int
    peak_rss: int
    """Peak resident memory of the worker, bytes."""
    objects: Objects
    """The tile's shard of every array."""


@dataclass(frozen=True)
class Ledger:
    """The records of one set of scores or one run, beside what they tell of."""

    url: str
    """`OUT/scores/<score_id>` or `OUT/runs/<run_id>`; keys of objects are relative to it."""

    @property
    def store(self) -> Store:
        return open_store(self.url)

    def write(self, name: str, objects: Objects, **facts: Any) -> None:
        """Write a record; call it after the objects are written."""
        self.store.put(record_key(name), seal({**facts, "name": name, "objects": objects_as_json(objects)}))

    def put_file(self, key: str, path: Path) -> None:
        """Write an object from a file that was made beside, then its record."""
        self.store.put_file(key, path)
        self.write(key.replace("/", "."), {key: written_file(path)})

    def read(self, name: str) -> dict[str, Any] | None:
        """A record, or None where there is none, or one that is cut, altered, or of another name."""
        try:
            record = unseal(self.store.get(record_key(name)))
        except DamagedError:
            return None
        if record is None or record.get("name") != name:
            return None
        return record | {"objects": objects_from_json(record.get("objects"))}

    def remove(self, name: str) -> None:
        """Take a record back: what it tells of is about to change."""
        self.store.delete(record_key(name))

    def names(self) -> list[str]:
        """Names of all records."""
        return sorted(_name(key) for part in (TILE_RECORDS, OTHER_RECORDS) for key in self.store.keys(part) if _is_record(key))

    def records(self, names: Iterable[str] | None = None) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Records by name."""
        names = self.names() if names is None else list(names)
        yield from zip(names, self.store.each(self.read, names), strict=True)

    def trusted(self) -> Iterator[dict[str, Any]]:
        """Records whose objects are there, with the sizes they had: what of the work need not be done again."""
        sizes = dict(self.store.entries(""))
        names = [_name(key) for key in sizes if _is_record(key)]
        for _, record in self.records(sorted(names)):
            if record is not None and is_there(record["objects"], sizes):
                yield record


class ScoreLedger(Ledger):
    """Records of the tiles of one set of scores."""

    def record(self, tile: TileRecord) -> None:
        """Write a tile's record; call it after the tile's data are written."""
        facts = asdict(tile)
        del facts["objects"]
        self.write(tile.tile_id, tile.objects, **facts)


def is_finished(record: Mapping[str, Any]) -> bool:
    """Whether a record is that of a tile which need not be scored again."""
    return record.get("state") in ("done", "empty") and record.get("tile_id") == record["name"]


def is_there(objects: Objects, sizes: Mapping[str, int]) -> bool:
    """Whether a listing has all objects of a record, each as large as it was written."""
    return all(sizes.get(key) == (None if found == ABSENT else _bytes(found)) for key, found in objects.items())


def _bytes(found: Written | str) -> int | None:
    return found.bytes if isinstance(found, Written) else None


def record_key(name: str) -> str:
    """Key of a record."""
    return f"{TILE_RECORDS if _TILE_ID.fullmatch(name) else OTHER_RECORDS}/{name}.json"


def _is_record(key: str) -> bool:
    return record_key(_name(key)) == key


def _name(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")
