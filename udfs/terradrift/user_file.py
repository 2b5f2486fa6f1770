"""Files whose place the person at the keyboard names: checked before the work, written as a whole."""

from __future__ import annotations

import os
from pathlib import Path

from terradrift.errors import InputError, StoreError


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


def put_file(path: Path, data: bytes) -> None:
    """Write as a whole: a reader sees the old file or the new one. Raises StoreError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as cause:
        beside.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {os.strerror(cause.errno or 0)}") from cause
