"""Both kinds of store keep the same promises: whole objects, one winner, nothing believed that is not so."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from terradrift.errors import ChangedError, DamagedError, StoreError
from terradrift.store import Store, open_store
from terradrift.store import folder as folders
from terradrift.store.answers import redacted

BUCKET = "terradrift-store"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        import boto3

        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket=BUCKET)
        yield url
    finally:
        server.stop()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    open_store.cache_clear()
    yield Store(str(tmp_path / "out") if request.param == "folder" else f"s3://{BUCKET}/{tmp_path.name}")
    open_store.cache_clear()


def end(store: Store, key: str, length: int, first: bool = False) -> bytes:
    found = store.get_end(key, length, first)
    assert found is not None
    return found.data


def test_what_is_put_is_read_in_every_way(store: Store, tmp_path: Path) -> None:
    data = bytes(range(256)) * 5
    store.put("a/b/c.bin", data)
    assert store.get("a/b/c.bin") == data
    assert store.size("a/b/c.bin") == len(data)
    assert [bytes(part) for part in store.get_ranges("a/b/c.bin", [0, 300], [3, 310]) or []] == [data[:3], data[300:310]]
    assert end(store, "a/b/c.bin", 7) == data[-7:]
    assert end(store, "a/b/c.bin", 7, first=True) == data[:7]
    store.put("a/b/c.bin", memoryview(data)[:10])
    assert store.get("a/b/c.bin") == data[:10]
    (tmp_path / "file").write_bytes(data * 5000)  # more than one part of an upload
    store.put_file("a/d", tmp_path / "file")
    assert store.size("a/d") == len(data) * 5000
    assert end(store, "a/d", 5) == data[-5:]
    assert sorted(store.entries("a")) == [("a/b/c.bin", 10), ("a/d", len(data) * 5000)]
    assert sorted(store.at("a").keys("")) == ["b/c.bin", "d"]
    assert list(store.keys("a/b/c")) == []


def test_what_is_absent_is_none_everywhere(store: Store) -> None:
    for _ in range(2):
        assert store.get("x/y") is None
        assert store.get_tagged("x/y") is None
        assert store.get_ranges("x/y", [0], [1]) is None
        assert store.get_end("x/y", 4) is None
        assert store.size("x/y") is None
        assert list(store.keys("x")) == []
        store.delete("x/y")
        assert store.clear("x") == (0, 0)
        store.put("other", b"1")


def test_a_new_object_is_written_once_and_an_old_one_replaced_by_who_saw_it(store: Store) -> None:
    assert store.put_new("lock", b"one")
    assert not store.put_new("lock", b"two")
    seen = store.get_tagged("lock")
    assert seen is not None
    assert store.put_if("lock", b"three", seen.tag)
    assert not store.put_if("lock", b"four", seen.tag)
    assert store.get("lock") == b"three"
    store.delete("lock")
    assert not store.put_if("lock", b"five", seen.tag)
    assert store.get("lock") is None
    assert list(store.keys("")) == []


def test_a_version_changes_with_the_object(store: Store) -> None:
    assert store.version("a") is None
    store.put("a", b"one")
    first = store.version("a")
    assert first == store.version("a")
    store.put("a", b"two")
    assert store.version("a") != first


def test_ranges_of_an_object_that_was_replaced_are_refused(store: Store) -> None:
    store.put("a", b"one and two")
    seen = store.get_end("a", 3)
    assert seen is not None
    assert [bytes(part) for part in store.get_ranges("a", [0], [3], bytearray, seen.tag) or []] == [b"one"]
    store.put("a", b"two and one")
    assert [bytes(part) for part in store.get_ranges("a", [0], [3]) or []] == [b"two"]
    with pytest.raises(ChangedError, match=r"/a: found version .*; expected .*the input changes under the run"):
        store.get_ranges("a", [0], [3], bytearray, seen.tag)


def test_clear_removes_what_lies_below_and_nothing_beside(store: Store) -> None:
    for key in ("a/1", "a/b/2", "ab/3", "c"):
        store.put(key, key.encode())
    assert store.clear("a") == (2, 8)
    assert sorted(store.keys("")) == ["ab/3", "c"]


def test_an_empty_object_is_damaged(store: Store) -> None:
    store.put("a", b"")
    for read in (store.get, store.get_tagged):
        with pytest.raises(DamagedError, match="empty object"):
            read("a")
    with pytest.raises(StoreError):
        store.get_end("a", 3)
    with pytest.raises(StoreError):
        store.get_ranges("a", [0], [2])


def test_a_moments_404_is_not_believed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("a", b"data")
    monkeypatch.setattr("terradrift.store.store.CONFIRM_SECONDS", 0.0)
    asked: list[str] = []
    objects: Any = store._objects
    get, head = objects.get, objects.head

    def absent_once(key: str, at_most: int | None = None) -> Any:
        asked.append("get")
        if len(asked) == 1:
            raise FileNotFoundError(key)
        return get(key)

    monkeypatch.setattr(objects, "get", absent_once)
    assert store.get("a") == b"data"
    if store.local_path is None:  # nor a second one, of the confirmation
        asked.clear()
        heads: list[str] = []

        def no_head_once(key: str) -> Any:
            heads.append(key)
            if len(heads) == 1:
                raise FileNotFoundError(key)
            return head(key)

        monkeypatch.setattr(objects, "head", no_head_once)
        assert store.get("a") == b"data"


def test_a_store_travels_without_its_credentials(store: Store) -> None:
    store.put("a", b"1")
    sent = pickle.dumps(store)
    assert b"canary" not in sent
    assert "canary" not in repr(store)
    assert pickle.loads(sent).get("a") == b"1"


@pytest.mark.parametrize(
    "text",
    [
        "GET https://host/a?X-Amz-Credential=canary&X-Amz-Signature=canary failed",
        "https://canary:canary@host/a",
        "headers: {Authorization: canary, x-amz-security-token: canary}",
        'signature="canary" sig=canary',
    ],
)
def test_an_error_keeps_no_secret(text: str) -> None:
    assert "canary" not in redacted(text)


# --- a folder ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["put", "put_new", "put_if", "put_file"])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_object_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, step: str
) -> None:
    store = Store(str(tmp_path / "out"))
    store.put("a/b", b"old")
    tag = store.get_tagged("a/b")
    (tmp_path / "file").write_bytes(b"new")
    calls = {
        "put": lambda: store.put("a/b", b"new"),
        "put_new": lambda: store.put_new("a/c", b"new"),
        "put_if": lambda: store.put_if("a/b", b"new", tag.tag if tag else ""),
        "put_file": lambda: store.put_file("a/b", tmp_path / "file"),
    }

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folders.os, step, full)
    monkeypatch.setattr(folders.os, "link", full)
    with pytest.raises(StoreError, match=r"^cannot write .*No space left"):
        calls[verb]()
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path / "out" / "a")) == ["b"]
    assert store.get("a/b") == b"old"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was forced to disk and renamed, in order."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        done.append(f"sync {path.name}" if path.is_dir() else "sync a file")
        fsync(handle)

    def renamed(old: Path, new: Path) -> None:
        done.append(f"name {new.name}")
        replace(old, new)

    monkeypatch.setattr(folders.os, "fsync", synced)
    monkeypatch.setattr(folders.os, "replace", renamed)
    return done


def test_data_are_on_disk_before_they_have_a_name_and_names_when_they_are_settled(tmp_path: Path, steps: list[str]) -> None:
    store = Store(str(tmp_path / "out"))
    store.put("a/b/c", b"1")
    assert steps == ["sync a file", "name c"]
    steps.clear()
    store.settle()
    assert steps[:3] == ["sync out", "sync a", "sync b"]
    assert f"sync {tmp_path.name}" in steps[3:], "the folder's own name"
    steps.clear()
    store.settle(deep=False)
    assert steps[0] == "sync out"
    assert "sync a" not in steps


def test_a_disk_that_fails_when_names_are_settled_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(code: int) -> None:
        raise OSError(code, os.strerror(code))

    store = Store(str(tmp_path))
    monkeypatch.setattr(folders.os, "fsync", lambda _: broken(errno.EINVAL))
    store.settle()  # a file system that has no way to
    monkeypatch.setattr(folders.os, "fsync", lambda _: broken(errno.EIO))
    with pytest.raises(StoreError, match=r"^cannot settle .*Input/output error"):
        store.settle()


def test_where_a_file_system_has_no_links_one_writer_still_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(folders.os, "link", no_links)
    store = Store(str(tmp_path))
    assert store.put_new("lock", b"one")
    assert not store.put_new("lock", b"two")
    assert store.get("lock") == b"one"
    assert os.listdir(tmp_path) == ["lock"]


def test_what_is_on_its_way_is_no_object(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.put("a/b", b"1")
    (tmp_path / "a" / ".b.12-34.partial").write_bytes(b"half")
    (tmp_path / "a" / ".b.guard").write_bytes(b"")
    assert list(store.keys("")) == ["a/b"]
    store.clear("a")
    assert not (tmp_path / "a").exists()
