"""What an evaluation leaves on disk, only where asked: a long Parquet table and one HTML page."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from terradrift.evaluation.figures import Evaluation
from terradrift.evaluation.page import page
from terradrift.user_file import put_file

SCHEMA = pa.schema(
    [
        ("metric", pa.string()),
        ("group", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)


def write_table(evaluation: Evaluation, path: Path) -> None:
    """Parquet: metric, group, value, low, high (90 % interval). Raises StoreError."""
    table = pa.Table.from_pylist(list(evaluation.rows()), schema=SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    put_file(path, sink.getvalue().to_pybytes())


def write_page(evaluation: Evaluation, path: Path) -> None:
    """One HTML page that needs no other file. Raises StoreError."""
    put_file(path, page(evaluation).encode())
