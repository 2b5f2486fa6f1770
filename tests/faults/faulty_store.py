"""A store that counts its operations and fails one of them, in one of four ways."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from terradrift.store import Store
from terradrift.store.folder import Folder

MODES = ("error before", "reply lost", "crash before", "crash after")
"""Of the N-th operation: refused; done, and an error told; the process gone before it; the process gone after it."""

VERBS = ("get", "get_tagged", "get_ranges", "get_end", "head", "put", "put_file", "put_new", "put_if", "delete", "entries")


class Crash(BaseException):
    """The process is gone: nothing it does after this reaches the store."""


class Fault:
    """What fails, and when; shared by all stores of a run."""

    def __init__(self, at: int = -1, mode: str = "") -> None:
        self.at, self.mode = at, mode
        self.count = 0
        self.names: list[str] = []
        self.crashed = False
        self._lock = threading.Lock()

    def around(self, verb: str, key: str, work: Callable[[], Any]) -> Any:
        with self._lock:
            number, self.count = self.count, self.count + 1
            self.names.append(f"{verb} {key}")
            if self.crashed:
                raise Crash
        if number != self.at:
            return work()
        if self.mode == "error before":
            raise OSError(f"injected: {verb} {key} was refused")
        if self.mode == "crash before":
            self.crashed = True
            raise Crash
        with suppress(Exception):
            work()
        if self.mode == "reply lost":
            raise OSError(f"injected: the reply to {verb} {key} was lost")
        self.crashed = True
        raise Crash


class Faulty:
    """The verbs of a folder below `root`, as those of a bucket: counted, and one of them failing."""

    client = None

    def __init__(self, root: Path, buckets: Buckets) -> None:
        self._folder, self._buckets = Folder(root), buckets

    def __getattr__(self, verb: str) -> Any:
        if verb not in VERBS:
            raise AttributeError(verb)
        work = getattr(self._folder, verb)
        if verb == "entries":
            return lambda prefix: self._buckets.fault.around(verb, prefix, lambda: list(work(prefix)))
        return lambda key, *rest: self._buckets.fault.around(verb, key, lambda: work(key, *rest))

    def settle(self, deep: bool) -> None:
        """An object of a bucket is durable when its request is answered."""

    def leftovers(self) -> list[tuple[str, int]]:
        return []

    def prune(self, prefix: str) -> None:
        """A bucket has no folders."""


class Buckets:
    """Opens `s3://faults/...` on folders below `root`, with the fault of the moment; everything else as it is."""

    SCHEME = "s3://faults/"

    def __init__(self, root: Path, otherwise: Callable[[Store], Any]) -> None:
        self.root, self.fault = root, Fault()
        self._otherwise = otherwise

    def __call__(self, store: Store) -> Any:
        if not store.url.startswith(self.SCHEME):
            return self._otherwise(store)
        return Faulty(self.root / store.url.removeprefix(self.SCHEME), self)

    def objects(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """All there is, past the faults."""
        folder = Folder(self.root / prefix)
        for key, _ in folder.entries(""):
            yield key, folder.get(key)
