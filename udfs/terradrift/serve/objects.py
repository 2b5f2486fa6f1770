"""Objects of a store over HTTP, as files.py gives those of a folder: GET and HEAD with ranges and validators, nothing listed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from terradrift.errors import StoreError
from terradrift.serve.files import absent, media_type
from terradrift.store import Store, Version

PIECE = 4 << 20
"""Bytes fetched at a time."""

LONGEST_KEY = 1024
"""Of an object on S3."""

PUBLISHED = ("runs/", "scores/")
"""Keys of what does not change any more; the rest is looked up for every request."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class StoreObjects:
    """The objects of one store, for reading."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._published: dict[str, Version | None] = {}

    async def respond(self, request: Request) -> Response:
        """The answer to GET or HEAD of the path parameter `key`."""
        key = request.path_params["key"]
        if any(part == "" or part.startswith(".") for part in key.split("/")) or not key.isprintable() or len(key) > LONGEST_KEY:
            return absent(request.scope)
        try:
            version = await run_in_threadpool(self._version, key)
        except StoreError as cause:
            raise HTTPException(502, str(cause)) from cause
        return absent(request.scope) if version is None else self._object(request, key, version)

    def _version(self, key: str) -> Version | None:
        if not key.startswith(PUBLISHED):
            return self.store.version(key)
        if key not in self._published:
            self._published[key] = self.store.version(key)
        return self._published[key]

    def _object(self, request: Request, key: str, version: Version) -> Response:
        tag = version.tag if version.tag.startswith('"') else f'"{version.tag}"'
        headers = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        asked = request.headers.get("range", "") if request.headers.get("if-range", tag) == tag else ""
        part = asked_part(asked, version.size)
        if part is not None:
            headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{version.size}"
        status, part = (200, range(version.size)) if part is None else (206, part)
        headers["Content-Length"] = str(len(part))
        pieces = self._pieces(key, part) if request.method == "GET" else ()
        return StreamingResponse(pieces, status, headers, media_type(key))

    def _pieces(self, key: str, part: range) -> Iterator[bytes]:
        for start in range(part.start, part.stop, PIECE):
            found = self.store.get_ranges(key, [start], [min(start + PIECE, part.stop)])
            yield bytes(found[0]) if found else b""


def asked_part(asked: str, size: int) -> range | None:
    """Bytes of a range of RFC 9110, section 14; None where all are asked for, several ranges or none that is valid.

    Raises HTTPException where it lies beyond the end.
    """
    found = _RANGE.fullmatch(asked)
    first, last = found.groups() if found else ("", "")
    if not first + last or (first and last and int(last) < int(first)):
        return None
    part = range(int(first), min(int(last or size), size - 1) + 1) if first else range(max(0, size - int(last)), size)
    if not part:
        raise HTTPException(416, headers={"Content-Range": f"bytes */{size}"})
    return part
