"""Records whose every byte is accounted for: JSON with a hash of itself, and hashes of the objects it tells of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

SEAL = "seal"

ABSENT = "absent"
"""What a record says of an object that is not there because all its values are no data."""


class Written(NamedTuple):
    """What an object holds that was written."""

    bytes: int
    sha256: str


Objects = Mapping[str, Written | str]
"""Keys with what was written there, or ABSENT."""


def written(data: bytes | memoryview) -> Written:
    """Size and hash of an object's data."""
    return Written(len(data), hashlib.sha256(data).hexdigest())


def written_file(path: Path) -> Written:
    """Size and hash of a file."""
    with path.open("rb") as file:
        return Written(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def under(prefix: str, objects: Objects) -> dict[str, Written | str]:
    """The same objects, seen from the folder above."""
    return {f"{prefix}/{key}": value for key, value in objects.items()}


def objects_as_json(objects: Objects) -> dict[str, Any]:
    """For a record."""
    return {key: value._asdict() if isinstance(value, Written) else value for key, value in objects.items()}


def objects_from_json(found: Any) -> dict[str, Written | str]:
    """From a record."""
    return {key: Written(**value) if isinstance(value, dict) else str(value) for key, value in dict(found or {}).items()}


def seal(document: Mapping[str, Any], indent: int | None = None) -> bytes:
    """A JSON document whose first member is the hash of the text of the others; equal documents are equal bytes.

    indent: of what people read; without, it is written and read in a tenth of the time.
    """
    plain = json.loads(json.dumps(document, default=str))  # as it will be read: numbers that are names sort as text
    body = {name: value for name, value in plain.items() if name != SEAL}
    return _sealed(json.dumps(body, indent=indent, sort_keys=True).encode())


def unseal(data: bytes | None) -> dict[str, Any] | None:
    """The document, or None where it is not, byte by byte, what was sealed."""
    head = _HEAD.match(data or b"")
    if data is None or head is None:
        return None
    body = b"{" + data[head.end() :]
    if _sealed(body) != data:
        return None
    document: dict[str, Any] = json.loads(body)
    return document


_HEAD = re.compile(rb'\{(?:"seal": "[0-9a-f]{64}"(?:, )?|\n "seal": "[0-9a-f]{64}",)')


def _sealed(body: bytes) -> bytes:
    """The text of an object with its seal as the first member, set like the others."""
    start, comma = (b"{\n ", b",") if body.startswith(b"{\n") else (b"{", b", " if body != b"{}" else b"")
    return start + b'"%b": "%b"' % (SEAL.encode(), hashlib.sha256(body).hexdigest().encode()) + comma + body[1:]
