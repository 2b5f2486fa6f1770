"""Files of one folder over HTTP: GET and HEAD with ranges and validators; no listing, nothing hidden, nothing outside."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Scope

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".geojson": "application/geo+json",
    ".gpkg": "application/geopackage+sqlite3",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
    ".pmtiles": "application/vnd.pmtiles",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tif": "image/tiff; application=geotiff",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".yaml": "application/yaml",
}
BINARY = "application/octet-stream"
"""Of everything else: chunks of a Zarr store have no suffix."""

ABSENT_AS_EMPTY = "absent=204"
"""Preference (RFC 7240) of the page: a shard without data is no object, and browsers write every 404 into their console."""


def media_type(path: PathLike) -> str:
    """Content type by suffix alone, the same on every machine."""
    return TYPES.get(PurePosixPath(os.fspath(path)).suffix.lower(), BINARY)


def absent(scope: Scope) -> Response:
    """The answer where nothing is: 404, or 204 to who prefers it. Raises HTTPException."""
    if ABSENT_AS_EMPTY not in Headers(scope=scope).get("prefer", ""):
        raise HTTPException(404)
    return Response(status_code=204, headers={"Cache-Control": "no-cache", "Preference-Applied": ABSENT_AS_EMPTY})


class FolderFiles(StaticFiles):
    """The files below one folder, for reading. A link out of it is not followed."""

    def __init__(self, folder: Path, *, only: tuple[str, ...] | None = None) -> None:
        super().__init__(directory=folder, html=False)
        self.root = Path(os.path.realpath(folder))
        self.only = only
        """First parts of the paths that may be read, beside files at the top; None: all."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The answer to a request; a folder has none."""
        if scope["method"] in ("GET", "HEAD") and scope["path"].endswith("/"):
            return absent(scope)
        try:
            return await super().get_response(path, scope)
        except HTTPException as cause:
            if cause.status_code != 404:
                raise
            return absent(scope)

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Where a requested path lies and what it is; ("", None) for what may not be read or is not there."""
        if self._is_refused(PurePosixPath(path)):
            return "", None
        try:
            full, found = super().lookup_path(path)
        except (OSError, ValueError):  # too long, a loop of links, not allowed, a null byte: to a reader, not there
            return "", None
        if found is None or self._is_refused(PurePosixPath(os.path.relpath(full, self.root))):
            return "", None
        return full, found

    def file_response(self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200) -> Response:
        """The file, a part of it, or 304."""
        if not os.access(full_path, os.R_OK):
            raise HTTPException(404)
        headers = {"Cache-Control": "no-cache"}  # a new run shows at once; what did not change costs a 304
        response = FileResponse(full_path, status_code, headers, media_type(full_path), stat_result=stat_result)
        if self.is_not_modified(response.headers, Headers(scope=scope)):
            return NotModifiedResponse(response.headers)
        return response

    def _is_refused(self, path: PurePosixPath) -> bool:
        parts = [part for part in path.parts if part != "."]
        if any(part.startswith(".") for part in parts):
            return True
        return self.only is not None and len(parts) > 1 and parts[0] not in self.only
