"""A sample after a person labelled it: the GeoPackage, or the same rows saved as GeoJSON or CSV."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terradrift.errors import InputError, near_miss
from terradrift.params.messages import one_line, show

LABELS = ("change", "stable", "unsure")

COLUMNS = {"sample_id", "label"}

HEAD = 1 << 16
"""Bytes in which a text file shows its columns."""

MAX_BYTES = 1 << 28

_SQLITE = b"SQLite format 3\x00"

Row = dict[str, Any]


@dataclass(frozen=True)
class Label:
    """What a person said of one pixel."""

    label: str
    """change | stable | unsure"""
    year: int | None
    """First year of the new state, where it was given."""


def is_labelled_sample(path: str | Path) -> bool:
    """Whether a file is a sample to be labelled: GeoPackage, GeoJSON or CSV with the columns sample_id and label."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD)
        if head.startswith(_SQLITE):
            return _layer(Path(path)) is not None
    except (OSError, ValueError, sqlite3.Error):
        return False
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    if text.startswith("{"):
        return all(f'"{name}"' in text for name in COLUMNS)
    return set(_fields(text)) >= COLUMNS


def read_rows(path: Path) -> list[Row]:
    """All rows of a sample file. InputError where it is none."""
    wanted = "a GeoPackage, GeoJSON or CSV with the columns sample_id and label"
    if not is_labelled_sample(path):
        what = "found a file that is no labelled sample" if path.is_file() else "found no such file"
        raise InputError(f"{path}: {what}, expected {wanted}")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: found {path.stat().st_size} bytes, expected at most {MAX_BYTES}: the sample alone")
    try:
        rows = _parse(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error, sqlite3.Error) as cause:
        raise InputError(f"{path}: found a file that cannot be read ({one_line(cause)}), expected {wanted}") from cause
    if not rows or not rows[0].keys() >= COLUMNS:
        raise InputError(f"{path}: found no rows with sample_id and label, expected {wanted}")
    return rows


def read_table(path: Path, name: str) -> list[Row]:
    """Rows of a table of a GeoPackage; none where the file or the table is missing."""
    try:
        with path.open("rb") as file:
            return _select(path, name) if file.read(len(_SQLITE)) == _SQLITE else []
    except (OSError, sqlite3.Error):
        return []


def read_labels(rows: list[Row], path: Path, years: tuple[int, int]) -> Mapping[str, Label]:
    """The labels by sample_id, rows without one left out. `years`: the first and the last that a change may have."""
    found: dict[str, Label] = {}
    seen: set[str] = set()
    for row in rows:
        name = str(row.get("sample_id") or "").strip()
        if name in seen:
            raise InputError(f"{path}: sample_id {name[:40]!r} stands in two rows, expected one; delete the wrong one")
        seen.add(name)
        label = str(row.get("label") or "").strip().lower()
        if not label:
            continue
        if label not in LABELS:
            raise InputError(f"{path}: {name[:40]}: label: found {show(label)}{near_miss(label[:40], LABELS)}")
        found[name] = Label(label, _year(row.get("year"), f"{path}: {name[:40]}", years))
    return found


def _parse(path: Path) -> list[Row]:
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(_SQLITE):
        return _select(path, _layer(path) or "")
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("{"):
        return [dict(feature["properties"]) for feature in json.loads(text)["features"]]
    rows = csv.DictReader(text.splitlines(keepends=True), delimiter=_delimiter(text))
    return [{(name or "").strip(): value for name, value in row.items()} for row in rows]


def _layer(path: Path) -> str | None:
    """The first table of a GeoPackage that has the columns; a layer saved under another name is found too."""
    with closing(_connect(path)) as database:
        query = "SELECT table_name FROM gpkg_contents ORDER BY table_name != 'sample'"
        for (name,) in database.execute(query).fetchall():
            columns = {column for (column,) in database.execute("SELECT name FROM pragma_table_info(?)", (name,))}
            if columns >= COLUMNS:
                return str(name)
    return None


def _select(path: Path, table: str) -> list[Row]:
    quoted = table.replace('"', '""')
    with closing(_connect(path)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(f'SELECT * FROM "{quoted}"')]  # noqa: S608


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _delimiter(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return max(",;\t", key=line.count)


def _fields(text: str) -> list[str]:
    lines = text.splitlines()
    try:
        return [name.strip() for name in next(csv.reader(lines[:1], delimiter=_delimiter(text)), [])]
    except csv.Error:
        return []


def _year(value: Any, where: str, years: tuple[int, int]) -> int | None:
    text = "" if value is None else str(value).strip()
    if text in ("", "0", "nan", "NULL"):
        return None
    try:
        year = float(text)
    except ValueError:
        year = 0.5
    if not year.is_integer() or not years[0] <= year <= years[1]:
        raise InputError(f"{where}: year: found {show(value)}, expected a year from {years[0]} to {years[1]}, or nothing")
    return int(year)
