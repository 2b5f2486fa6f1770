"""What an evaluation leaves on disk, only where asked: a long Parquet table and one HTML page."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from terradrift.errors import InputError, StoreError
from terradrift.evaluation.figures import Evaluation
from terradrift.evaluation.page import page

SCHEMA = pa.schema(
    [
        ("metric", pa.string()),
        ("group", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)


def check_target(path: str | Path | None) -> None:
    """InputError where a file cannot be written there; nothing is written."""
    if path is None:
        return
    path = Path(path)
    if path.is_dir():
        raise InputError(f"output: found a directory, {path}; expected the name of a file; add one")
    if not path.parent.is_dir():
        raise InputError(f"output: found no directory {path.parent} for {path.name}; expected one; make it")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"output: found {path.parent}, which cannot be written; expected a directory of yours; give another")


def write_table(evaluation: Evaluation, path: Path) -> None:
    """Parquet: metric, group, value, low, high (90 % interval). Raises StoreError."""
    table = pa.Table.from_pylist(list(evaluation.rows()), schema=SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    _put(path, sink.getvalue().to_pybytes())


def write_page(evaluation: Evaluation, path: Path) -> None:
    """One HTML page that needs no other file. Raises StoreError."""
    _put(path, page(evaluation).encode())


def _put(path: Path, data: bytes) -> None:
    """Write as a whole: a reader sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as cause:
        beside.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {os.strerror(cause.errno or 0)}") from cause
