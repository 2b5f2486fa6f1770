"""A real S3 server, where there is one: who may read, and who wins. moto, which `make test` uses, checks no signature."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import terradrift as td
from mosaics import unit_codes, write_mosaic
from servers import client, no_account, sign_in, upload, versitygw
from terradrift.errors import InputError, StoreError
from terradrift.store import Store, open_store

PRIVATE, PUBLIC = "private", "public"

pytestmark = [pytest.mark.whole, pytest.mark.row("R5")]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One mosaic in two buckets, one of which anybody may read; gives the address."""
    folder = tmp_path_factory.mktemp("real")
    write_mosaic(folder / "data" / "mosaic.zarr", unit_codes(3, 2, 64, 64, bands=4))
    with versitygw(folder) as url:
        for bucket in (PRIVATE, PUBLIC):
            upload(url, folder / "data", bucket)
        allowed = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{PUBLIC}/*"]}
        policy = {"Version": "2012-10-17", "Statement": [allowed]}
        client(url).put_bucket_policy(Bucket=PUBLIC, Policy=json.dumps(policy))
        yield url


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    open_store.cache_clear()
    yield
    open_store.cache_clear()


def test_the_account_reads(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(monkeypatch, s3)
    assert td.open_mosaic(f"s3://{PRIVATE}/mosaic.zarr").years == (2017, 2018)


def test_a_wrong_secret_is_refused(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(monkeypatch, s3, secret="canary")
    with pytest.raises(StoreError, match="403") as refused:
        td.open_mosaic(f"s3://{PRIVATE}/mosaic.zarr")
    assert "canary" not in str(refused.value)


def test_an_account_nobody_knows_is_refused(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This server answers 404 then, which is not about the object."""
    sign_in(monkeypatch, s3, key="nobody")
    with pytest.raises(StoreError, match="XAdminUserNotFound"):
        td.open_mosaic(f"s3://{PRIVATE}/mosaic.zarr")


def test_without_an_account_a_public_bucket_is_read_and_a_private_one_is_not(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    no_account(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    assert td.open_mosaic(f"s3://{PUBLIC}/mosaic.zarr").years == (2017, 2018)
    with pytest.raises(StoreError, match="403"):
        td.open_mosaic(f"s3://{PRIVATE}/mosaic.zarr")


def test_what_is_absent_of_a_public_bucket_is_absent(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS says 403 where listing is not allowed, which is an error; this server says 404."""
    no_account(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    assert open_store(f"s3://{PUBLIC}/mosaic.zarr").get("embeddings/c/9/0/0/0") is None


def test_a_bucket_that_is_not_there(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(monkeypatch, s3)
    with pytest.raises(InputError, match="found no bucket for s3://nowhere"):
        td.open_mosaic("s3://nowhere/mosaic.zarr")


@pytest.mark.parametrize("round_", range(5))
def test_of_sixteen_writers_of_a_new_object_one_wins(s3: str, monkeypatch: pytest.MonkeyPatch, round_: int) -> None:
    sign_in(monkeypatch, s3)
    stores = [Store(f"s3://{PRIVATE}/race") for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda k: stores[k].put_new(f"{round_}.json", f"{k}".encode()), range(16)))
    assert won.count(True) == 1
    assert stores[0].get(f"{round_}.json") == str(won.index(True)).encode()


def test_of_sixteen_that_replace_an_object_one_wins(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(monkeypatch, s3)
    stores = [Store(f"s3://{PRIVATE}/swap") for _ in range(16)]
    stores[0].put("latest.json", b"first")
    seen = stores[0].get_tagged("latest.json")
    assert seen is not None
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda k: stores[k].put_if("latest.json", f"{k}".encode(), seen.tag), range(16)))
    assert won.count(True) == 1
    assert stores[0].get("latest.json") == str(won.index(True)).encode()


def test_what_was_put_is_listed_and_removed(s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sign_in(monkeypatch, s3)
    store = Store(f"s3://{PRIVATE}/some")
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * (40 << 10))  # sent in parts
    store.put_file("a/large", large)
    store.put("a/small", b"x")
    assert dict(store.entries("a")) == {"a/large": 10 << 20, "a/small": 1}
    end = store.get_end("a/large", 256)
    assert end is not None
    assert end.data == bytes(range(256))
    assert store.clear("a") == (2, (10 << 20) + 1)
    assert store.version("a/small") is None
