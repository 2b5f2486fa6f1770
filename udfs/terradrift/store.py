"""Objects by key: one small door to a folder, S3, GCS or HTTPS, with strict rules about what "not there" means."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore import exceptions
from obstore import store as object_stores

from terradrift.errors import InputError, StoreError

_CLIENT = {"timeout": timedelta(seconds=60), "connect_timeout": timedelta(seconds=10)}
_RETRY = {"max_retries": 6, "retry_timeout": timedelta(seconds=120)}
_S3_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
_REGION_IN_BUCKET = re.compile(r"^([a-z]{2}(?:-[a-z]+)+-\d)\.")


class Store:
    """The objects under one folder or URL prefix. Opened lazily, so that a value made on the driver opens in the worker."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.url,)  # never a connection or a credential

    @property
    def local_path(self) -> Path | None:
        """The folder, where the store is one."""
        parts = urlsplit(self.url)
        if parts.scheme == "file":
            return Path(parts.path)
        return None if len(parts.scheme) > 1 else Path(self.url)

    @cached_property
    def _objects(self) -> Any:
        if self.local_path is not None:
            return object_stores.LocalStore(self.local_path, mkdir=False)
        parts = urlsplit(self.url)
        options: dict[str, Any] = {"client_options": dict(_CLIENT), "retry_config": _RETRY}
        if parts.scheme == "http":
            options["client_options"]["allow_http"] = True
        if parts.scheme == "s3":
            options |= _s3_options(parts.netloc)
            if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
                options["client_options"]["allow_http"] = True
        if parts.scheme == "gs" and not os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
            options["skip_signature"] = True
        return object_stores.from_url(self.url, **options)

    def get(self, key: str) -> bytes | None:
        """A whole object, or None where it is confirmed absent."""
        return self._read(key, lambda: bytes(obstore.get(self._objects, key).bytes()))

    def get_ranges(self, key: str, starts: Sequence[int], ends: Sequence[int]) -> list[Any] | None:
        """Byte ranges of an object as buffers, or None where the object is confirmed absent."""
        return self._read(key, lambda: list(obstore.get_ranges(self._objects, key, starts=starts, ends=ends, coalesce=1 << 16)))

    def read_ranges(self, key: str, starts: Sequence[int], into: Sequence[Any]) -> bool:
        """Byte ranges of a file in a folder, each filling a buffer; whether the file is there.

        The object client takes several times the processor time, most of it for memory that is new every time.
        """
        folder = self.local_path
        if folder is None:
            raise ValueError(f"{self.url} is not a folder")
        return bool(self._read(key, lambda: _read_file(folder / key, starts, into)))

    def get_tail(self, key: str, length: int) -> bytes | None:
        """The last `length` bytes of an object, or None where it is confirmed absent."""
        return self._read(key, lambda: bytes(obstore.get(self._objects, key, options={"range": {"suffix": length}}).bytes()))

    def size(self, key: str) -> int | None:
        """Bytes of an object, or None where it is absent."""
        if self._is_no_folder:
            return None
        try:
            return int(obstore.head(self._objects, key)["size"])
        except (exceptions.NotFoundError, FileNotFoundError):
            return None
        except Exception as cause:
            raise self._error("look up", key, cause) from cause

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write a whole object atomically: a reader sees the old one or the new one."""
        try:
            if self.local_path is not None:
                _write_file(self.local_path / key, data)
            else:
                obstore.put(self._objects, key, bytes(data) if isinstance(data, memoryview) else data)
        except Exception as cause:
            raise self._error("write", key, cause) from cause

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys under a prefix, in no order."""
        if self.local_path is not None and not (self.local_path / prefix).is_dir():
            return  # listing a folder that is not there is an error to the client
        try:
            for page in obstore.list(self._objects, prefix=prefix):
                for item in page:
                    yield item["path"]
        except Exception as cause:
            raise self._error("list", prefix, cause) from cause

    @property
    def _is_no_folder(self) -> bool:
        return self.local_path is not None and not self.local_path.is_dir()

    def _read(self, key: str, read: Any) -> Any:
        if self._is_no_folder:
            return None
        try:
            return read()
        except (exceptions.NotFoundError, FileNotFoundError) as absent:
            # a spurious 404 would be a hole in the map: believe it only when another request agrees
            if self.size(key) is None:
                return None
            try:
                return read()
            except Exception as cause:
                raise self._error("read", key, cause) from absent
        except Exception as cause:
            raise self._error("read", key, cause) from cause

    def _error(self, verb: str, key: str, cause: Exception) -> StoreError:
        """What a client's error becomes: one line without a signature."""
        text = re.sub(r"\?[^\s\"']*", "?…", str(cause).split("\n\nDebug source")[0])  # signed URLs carry secrets
        return StoreError(f"cannot {verb} {self.url}/{key}: {' '.join(text.split())[:300]}")


def _read_file(file: Path, starts: Sequence[int], into: Sequence[Any]) -> bool:
    handle = os.open(file, os.O_RDONLY)
    try:
        for start, buffer in zip(starts, into, strict=True):
            if os.preadv(handle, [buffer], start) != len(buffer):
                raise OSError(f"ends before byte {start + len(buffer)}: the object is cut")
    finally:
        os.close(handle)
    return True


def _write_file(file: Path, data: bytes | memoryview) -> None:
    """Beside its place first, under a name that no key has, then moved there in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        part.write_bytes(data)
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def _s3_options(bucket: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if not any(os.environ.get(name) for name in _S3_CREDENTIALS):
        options["skip_signature"] = True  # public buckets need no account
    region = _REGION_IN_BUCKET.match(bucket)
    if not os.environ.get("AWS_REGION") and not os.environ.get("AWS_DEFAULT_REGION"):
        options["region"] = region.group(1) if region else "us-east-1"
    return options


@lru_cache(maxsize=32)
def open_store(url: str) -> Store:
    """The store of a URL or folder; one connection pool a process."""
    if urlsplit(url).scheme not in ("", "file", "s3", "gs", "https", "http") and len(urlsplit(url).scheme) > 1:
        raise InputError(f"found {url!r}; expected a folder, s3://, gs:// or https://")
    return Store(url)
