"""One run at a time on an output: a lock with a heartbeat, which may be taken over when its owner is gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from terradrift.errors import LockedError, StoreError
from terradrift.store import Store, Tagged

LOCK = "lock.json"

HEARTBEAT_SECONDS = 20.0

STALE_SECONDS = 600.0
"""Without a heartbeat for so long, the owner is taken for dead."""

Clock = Callable[[], float]
"""Seconds since 1970."""


class OutputLock:
    """A lock that is held. `check` raises LockedError once another run has taken it over."""

    def __init__(self, store: Store, document: dict[str, Any], tag: str, clock: Clock) -> None:
        self._store, self._document, self._tag, self._clock = store, document, tag, clock
        self._lost = False

    def check(self) -> None:
        """Call before what must not be done by two."""
        if self._lost:
            raise LockedError(f"{self._store.url}: the lock was taken over while this run made no progress; run again to resume")

    def beat(self) -> None:
        """Say that the owner lives."""
        self._document["heartbeat"] = round(self._clock(), 3)
        data = _bytes(self._document)
        if not self._store.put_if(LOCK, data, self._tag):
            self._lost = True
            return
        held = self._store.get_tagged(LOCK)
        if held is None or held.data != data:
            self._lost = True
            return
        self._tag = held.tag

    def release(self) -> None:
        """Remove the lock if it is still this run's."""
        held = self._store.get_tagged(LOCK)
        if held is not None and _document(held).get("id") == self._document["id"]:
            self._store.delete(LOCK)


@contextmanager
def locked(store: Store, clock: Clock = time.time, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> Iterator[OutputLock]:
    """Hold the lock of an output. Raises LockedError where another run holds it, StoreError where it cannot be written.

    A lock is taken over when its owner has given no sign of life for STALE_SECONDS, or was a process of this machine that has
    ended: whoever restarts a killed run need not wait.
    """
    lock = acquire(store, clock)
    ended = threading.Event()
    thread = threading.Thread(target=_beat, args=(lock, ended, heartbeat_seconds), daemon=True)
    thread.start()
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_main else None  # ends like Ctrl-C: tidily
    try:
        yield lock
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)
        ended.set()
        thread.join()
        if sys.exc_info()[0] is None:
            lock.release()
        else:
            with suppress(StoreError):  # what ended the run is the error to show
                lock.release()


def acquire(store: Store, clock: Clock = time.time) -> OutputLock:
    """Take the lock, without a heartbeat of its own."""
    now = round(clock(), 3)
    document = {"id": uuid.uuid4().hex, "host": socket.gethostname(), **_process(), "started": now, "heartbeat": now}
    data = _bytes(document)
    if not store.put_new(LOCK, data):
        held = store.get_tagged(LOCK)
        if held is None:
            return acquire(store, clock)  # released this moment
        _refuse_living(store, held, now)
        if not store.put_if(LOCK, data, held.tag):
            raise LockedError(f"{store.url}: another run has just taken over the lock of one that was gone; wait for it to end")
    mine = store.get_tagged(LOCK)
    if mine is None or mine.data != data:
        raise LockedError(f"{store.url}: another run has just taken the lock; wait for it to end")
    return OutputLock(store, document, mine.tag, clock)


def _refuse_living(store: Store, held: Tagged, now: float) -> None:
    owner = _document(held)
    beat, started = (float(owner.get(name) or 0) for name in ("heartbeat", "started"))
    if now - beat >= STALE_SECONDS or _has_ended(owner):
        return
    raise LockedError(
        f"{store.url}: found the lock of process {owner.get('pid')} on {owner.get('host')}, "
        f"which began {_age(now - started)} ago and was alive {_age(now - beat)} ago; expected no other run; "
        f"wait for it to end (a lock without a sign of life for {_age(STALE_SECONDS)} is taken over)"
    )


def _age(seconds: float) -> str:
    seconds = max(0, round(seconds))
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


def _process() -> dict[str, Any]:
    """This process, so that others on the machine can tell whether it lives."""
    return {"pid": os.getpid(), "machine": _machine(), "born": _born(os.getpid())}


def _machine() -> str | None:
    """This start of this machine, and the space its process numbers are from; None where the system does not say."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return None


def _born(pid: int) -> str | None:
    """When a process started, in the kernel's own count; None where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _has_ended(owner: dict[str, Any]) -> bool:
    machine, pid = owner.get("machine"), owner.get("pid")
    return machine is not None and machine == _machine() and isinstance(pid, int) and _born(pid) != owner.get("born")


def _beat(lock: OutputLock, ended: threading.Event, seconds: float) -> None:
    while not ended.wait(seconds):
        with suppress(StoreError):  # the next beat tries again; a store that stays away ends the run by itself
            lock.beat()


def _bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _document(held: Tagged) -> dict[str, Any]:
    try:
        document = json.loads(held.data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
