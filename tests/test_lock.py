"""One run at a time: a living owner is never robbed, a dead one never waited for longer than need be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from terradrift.errors import LockedError, StoreError
from terradrift.lock import LOCK, STALE_SECONDS, acquire, locked
from terradrift.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "out"))


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def held_by(store: Store, **changes: Any) -> dict[str, Any]:
    """A lock that another process left."""
    acquire(store, Clock())
    document = json.loads(store.get(LOCK) or b"") | {"id": "other"} | changes
    store.put(LOCK, json.dumps(document).encode())
    return document


def test_the_lock_is_there_while_it_is_held(store: Store) -> None:
    with locked(store) as lock:
        assert store.size(LOCK)
        lock.check()
    assert list(store.keys("")) == []


@pytest.mark.parametrize("ending", [KeyboardInterrupt, StoreError("disk full"), SystemExit(1)])
def test_the_lock_goes_however_the_run_ends(store: Store, ending: Any) -> None:
    with pytest.raises(ending if isinstance(ending, type) else type(ending)), locked(store):
        raise ending
    assert list(store.keys("")) == []


def test_a_run_that_is_told_to_end_leaves_no_lock(store: Store) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), locked(store):
        signal.raise_signal(signal.SIGTERM)
    assert list(store.keys("")) == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_loser_hears_who_holds_it_and_since_when(store: Store) -> None:
    clock = Clock()
    acquire(store, clock)
    clock.now += 240
    with pytest.raises(
        LockedError, match=rf"process {os.getpid()} on \S+, which began 4 min ago and was alive 4 min ago"
    ) as refused:
        acquire(store, clock)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 5


@pytest.mark.parametrize(("age", "taken"), [(STALE_SECONDS - 1, False), (STALE_SECONDS, True), (-3600, False)])
def test_a_lock_is_taken_over_only_without_a_sign_of_life(store: Store, age: float, taken: bool) -> None:
    clock = Clock()
    first = acquire(store, clock)
    clock.now += age
    if not taken:
        with pytest.raises(LockedError):
            acquire(store, clock)
        return
    second = acquire(store, clock)
    second.check()
    first.beat()
    with pytest.raises(LockedError, match="taken over"):
        first.check()
    first.release()
    assert store.size(LOCK)
    second.release()
    assert store.size(LOCK) is None


def test_a_heartbeat_keeps_it(store: Store) -> None:
    clock = Clock()
    lock = acquire(store, clock)
    for _ in range(5):
        clock.now += STALE_SECONDS / 2
        lock.beat()
        lock.check()
        with pytest.raises(LockedError):
            acquire(store, clock)


def test_a_lock_of_a_process_of_this_machine_that_has_ended_is_taken_over_at_once(store: Store) -> None:
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    held_by(store, pid=int(child.stdout), born="1")
    acquire(store, Clock())


def test_a_lock_of_another_machine_is_not(store: Store) -> None:
    held_by(store, pid=1 << 22, born="1", machine="another")
    with pytest.raises(LockedError):
        acquire(store, Clock())


@pytest.mark.parametrize("content", [b"{", b"[1]", b"null", b"\xff"])
def test_a_lock_that_cannot_be_read_is_nobodys(store: Store, content: bytes) -> None:
    store.put(LOCK, content)
    acquire(store, Clock()).release()
    assert list(store.keys("")) == []


def test_the_lock_holds_nothing_of_the_environment(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    acquire(store)
    assert set(json.loads(store.get(LOCK) or b"")) == {"id", "host", "pid", "machine", "born", "started", "heartbeat"}
