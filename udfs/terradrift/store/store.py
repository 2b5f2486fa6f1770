"""One small door to objects, with strict rules: what "not there" means, what an empty object is, what an error may say."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from terradrift.errors import ChangedError, DamagedError, InputError, StoreError
from terradrift.store.answers import Tagged, Version, redacted
from terradrift.store.folder import Folder
from terradrift.store.remote import ABSENT, Remote, advice, is_forbidden, patiently

SCHEMES = ("", "file", "s3", "gs", "https", "http")

CONFIRM_SECONDS = 0.1
"""Pause before an absent object is asked for once more: a moment's 404 would be a hole in the map."""

REQUESTS = 16
"""Objects asked for at a time by what goes through many of them, where every one is a request."""

_Result = TypeVar("_Result")


class Store:
    """The objects under one folder or URL prefix. Opened lazily, so that a value made on the driver opens in the worker."""

    def __init__(self, url: str, forbidden_means_missing: bool = False) -> None:
        self.url = url.rstrip("/")
        self.forbidden_means_missing = forbidden_means_missing
        self._forbidden: set[str] = set()

    def __reduce__(self) -> tuple[type[Store], tuple[str, bool]]:
        return Store, (self.url, self.forbidden_means_missing)  # never a connection or a credential

    def __repr__(self) -> str:
        return f"Store({redacted(self.url)!r})"

    @property
    def local_path(self) -> Path | None:
        """The folder, where the store is one."""
        parts = urlsplit(self.url)
        if parts.scheme == "file":
            return Path(parts.path)
        return None if len(parts.scheme) > 1 else Path(self.url)

    @cached_property
    def _objects(self) -> Folder | Remote:
        return open_objects(self)

    def at(self, prefix: str) -> Store:
        """The store of what lies under a prefix."""
        return open_store(f"{self.url}/{prefix}", self.forbidden_means_missing)

    def each(self, work: Callable[[str], _Result], keys: Iterable[str]) -> Iterator[_Result]:
        """What `work` gives for every key, in their order; from elsewhere than a folder for some at a time."""
        if self.local_path is not None:
            yield from map(work, keys)
            return
        with ThreadPoolExecutor(REQUESTS) as pool:
            yield from pool.map(work, keys)

    # --- reading: None where the object is confirmed absent; an object without a byte is damaged ---

    def get(self, key: str, at_most: int | None = None) -> bytes | None:
        """A whole object; one of more than `at_most` bytes is damaged and not read."""
        return self._read(key, lambda: self._objects.get(key, at_most))

    def get_tagged(self, key: str) -> Tagged | None:
        """A whole object and the tag that `put_if` needs to replace exactly it."""
        return self._read(key, lambda: Tagged(*self._objects.get_tagged(key)))

    def get_ranges(
        self,
        key: str,
        starts: Sequence[int],
        ends: Sequence[int],
        memory: Callable[[int], Any] = bytearray,
        tag: str | None = None,
    ) -> list[Any] | None:
        """Byte ranges of an object as buffers: of a file in what `memory(size)` lends, else in the object client's own.

        With the tag of `get_end`: raises ChangedError where the object is not the one it was then.
        """
        return self._read(key, lambda: self._objects.get_ranges(key, starts, ends, memory, tag))

    def get_end(self, key: str, length: int, first: bool = False) -> Tagged | None:
        """The last (or first) `length` bytes of an object and its tag."""
        return self._read(key, lambda: Tagged(*self._objects.get_end(key, length, first)))

    def hides_what_is_absent(self, key: str) -> bool:
        """Whether an object that cannot be there is answered with 403, so that absent and forbidden ones look alike."""
        if self.local_path is not None:
            return False
        try:
            patiently(lambda: self._objects.get(key))
        except Exception as cause:  # other failures are for those to tell who need what they ask for
            return is_forbidden(cause)
        return False

    def was_forbidden(self, key: str) -> bool:
        """Whether an object just taken for absent was answered with 403; tells it once."""
        found = key in self._forbidden
        self._forbidden.discard(key)
        return found

    def version(self, key: str) -> Version | None:
        """Size and tag of an object."""
        try:
            found = self._head(key)
            if found is None and self.local_path is None:
                time.sleep(CONFIRM_SECONDS)
                found = self._head_if_readable(key)
        except Exception as cause:
            raise self._error("look up", key, cause) from cause
        return found

    def size(self, key: str) -> int | None:
        """Bytes of an object."""
        found = self.version(key)
        return None if found is None else found.size

    def entries(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys under a prefix with their sizes, in no order; the prefix is a whole part of a path."""
        try:
            yield from self._objects.entries(prefix)
        except Exception as cause:
            raise self._error("list", prefix, cause) from cause

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys under a prefix, in no order."""
        return (key for key, _ in self.entries(prefix))

    # --- writing: a reader sees the old object or the new one, whole ---

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write a whole object."""
        self._write(key, lambda: self._objects.put(key, data))

    def put_file(self, key: str, path: Path) -> None:
        """Write a whole object from a file, however large."""
        self._write(key, lambda: self._objects.put_file(key, path))

    @contextmanager
    def scratch_file(self, key: str) -> Iterator[Path]:
        """A path to write an intermediate file to, which has a name that nobody else uses: not forced to disk in a folder."""
        folder = self.local_path
        if folder is not None:
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            yield folder / key
            return
        with tempfile.TemporaryDirectory(prefix="terradrift-") as name:
            yield Path(name) / "file"
            self.put_file(key, Path(name) / "file")

    def copy_to(self, key: str, path: Path) -> Path:
        """An object as a local file: where it lies in a folder, else a copy at `path`. Raises StoreError where it is absent."""
        folder = self.local_path
        if folder is not None:
            return folder / key
        data = self.get(key)
        if data is None:
            raise StoreError(f"{redacted(self.url)}/{key}: found no such object; expected what the run wrote; run it again")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def put_new(self, key: str, data: bytes) -> bool:
        """Write an object that is not there yet; whether it was ours to write. Of several writers one hears True."""
        return self._write(key, lambda: self._objects.put_new(key, data))

    def put_if(self, key: str, data: bytes, tag: str) -> bool:
        """Replace exactly the object that `get_tagged` gave; whether it was still that one."""
        return self._write(key, lambda: self._objects.put_if(key, data, tag))

    def settle(self, deep: bool = True) -> None:
        """Force to disk the names of what was written here (deep: and in folders below), before anybody counts on them."""
        try:
            self._objects.settle(deep)
        except OSError as cause:
            raise self._error("settle", "", cause) from cause

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is removed."""
        try:
            self._objects.delete(key)
        except ABSENT:
            return
        except Exception as cause:
            raise self._error("delete", key, cause) from cause

    def clear(self, prefix: str) -> tuple[int, int]:
        """Remove all under a prefix; objects and bytes removed."""
        found = dict(self.entries(prefix))
        self._objects.prune(prefix)
        list(self.each(self.delete, found if self.local_path is None else list(self.keys(prefix))))
        return len(found), sum(found.values())

    def leftovers(self) -> list[tuple[str, int]]:
        """Keys and sizes of what writers that were killed left of objects on their way; a bucket shows none."""
        return self._objects.leftovers()

    def sweep(self) -> None:
        """Remove the leftovers; only where nobody writes."""
        for key, _ in self.leftovers():
            self.delete(key)

    def _ask(self, key: str, request: Callable[[], _Result]) -> _Result:
        """What a request to read gives; of a forbidden object what an absent one gives, where that was asked for."""
        try:
            return patiently(request)
        except Exception as cause:
            if not self.forbidden_means_missing or not is_forbidden(cause):
                raise
            self._forbidden.add(key)
            raise FileNotFoundError(key) from cause

    def _head(self, key: str) -> Version | None:
        try:
            return Version(*self._ask(key, lambda: self._objects.head(key)))
        except ABSENT:
            return None

    def _head_if_readable(self, key: str) -> Version | None:
        """What a look-up gives where another kind of request finds the object."""
        try:
            self._ask(key, lambda: self._objects.get_ranges(key, [0], [1]))
        except ABSENT:
            return None
        return Version(*self._ask(key, lambda: self._objects.head(key)))  # two answers that disagree are an error

    def zarr(self) -> Any:
        """This store for zarr-python and xarray, read-only: the folder's path, or an object store."""
        if self.local_path is not None:
            return str(self.local_path)
        from zarr.storage import ObjectStore

        return ObjectStore(self._objects.client, read_only=True)

    def _read(self, key: str, read: Callable[[], _Result]) -> _Result | None:
        try:
            found = self._believed(key, lambda: self._ask(key, read))
        except (DamagedError, ChangedError) as cause:
            raise type(cause)(f"{redacted(self.url)}/{key}: {cause}") from cause
        except StoreError:
            raise
        except Exception as cause:
            raise self._error("read", key, cause) from cause
        data = found.data if isinstance(found, Tagged) else found
        if isinstance(data, bytes) and not data:
            raise DamagedError(f"{redacted(self.url)}/{key}: found an empty object; expected data: the object is damaged")
        return found

    def _believed(self, key: str, read: Callable[[], _Result]) -> _Result | None:
        """The object, or None where two more requests agree that it is not there."""
        try:
            return read()
        except ABSENT:
            if self._head(key) is None:
                if self.local_path is not None:
                    return None
                time.sleep(CONFIRM_SECONDS)
                if self._head(key) is None:
                    return None
        return read()

    def _write(self, key: str, write: Callable[[], _Result]) -> _Result:
        try:
            return patiently(write)
        except Exception as cause:
            raise self._error("write", key, cause) from cause

    def _error(self, verb: str, key: str, cause: Exception) -> StoreError:
        """What a client's error becomes: one line without a secret."""
        text = redacted(str(cause).split("\n\nDebug source")[0])
        return StoreError(f"cannot {verb} {redacted(self.url)}/{key}: {advice(cause)}{' '.join(text.split())[:300]}")


def open_objects(store: Store) -> Folder | Remote:
    """What does the work of a store."""
    return Remote(store.url) if store.local_path is None else Folder(store.local_path)


@lru_cache(maxsize=64)
def open_store(url: str, forbidden_means_missing: bool = False) -> Store:
    """The store of a URL or folder; one connection pool a process.

    forbidden_means_missing: an object answered with 403 is absent. For a mosaic whose bucket may not be listed, where S3 answers
    so of absent ones.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES and len(scheme) > 1:
        raise InputError(f"found {redacted(url)!r}; expected a folder, s3://, gs:// or https://")
    return Store(url, forbidden_means_missing)
