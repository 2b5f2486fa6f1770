"""R5: an object of the mosaic that is replaced between two requests of one reader is an error, never a mixture of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import terradrift as td
from mosaics import unit_codes, write_mosaic
from servers import client, files_over_http, moto, sign_in, upload
from terradrift.errors import ChangedError
from terradrift.mosaic import Mosaic, ReadReport
from terradrift.store import open_store
from terradrift.zarr_chunks import ArrayLayout

BUCKET, KEY = "mosaics", "mosaic.zarr/embeddings/c/0/0/0/0"

pytestmark = pytest.mark.row("R5")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_mosaic(tmp_path / "mosaic.zarr", unit_codes(5, 2, 64, 64, bands=4))
    return tmp_path


@pytest.fixture(params=["folder", "http", "s3"])
def place(
    request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Address of the mosaic, and what writes one of its shards anew."""
    data = (folder / KEY).read_bytes()
    open_store.cache_clear()
    with ExitStack() as stack:
        if request.param == "s3":
            url = stack.enter_context(moto())
            upload(url, folder, BUCKET)
            sign_in(monkeypatch, url)
            yield f"s3://{BUCKET}/mosaic.zarr", lambda: client(url).put_object(Bucket=BUCKET, Key=KEY, Body=data + b"\0")
        elif request.param == "http":
            url = stack.enter_context(files_over_http(folder))
            yield f"{url}/mosaic.zarr", lambda: (folder / KEY).write_bytes(data + b"\0")
        else:
            yield str(folder / "mosaic.zarr"), lambda: (folder / KEY).write_bytes(data)
    open_store.cache_clear()


def read(mosaic: Mosaic) -> np.ndarray:
    return np.concatenate(
        [block.codes.copy() for block in mosaic.read_blocks(mosaic.grid.window, (2017, 2018), ReadReport())], -1
    )


def test_a_shard_replaced_after_its_index_was_read(place: tuple[str, Callable[[], Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    url, replace = place
    mosaic = td.open_mosaic(url)
    before = read(mosaic)
    parse, replaced = ArrayLayout.parse_index, []

    def parse_and_replace(self: ArrayLayout, data: bytes, where: str) -> Any:
        if where.endswith("/c/0/0/0/0") and not replaced:
            replaced.append(replace())
        return parse(self, data, where)

    monkeypatch.setattr(ArrayLayout, "parse_index", parse_and_replace)
    with pytest.raises(ChangedError, match=r"c/0/0/0/0: found version .*the input changes under the run") as refused:
        read(mosaic)
    assert replaced
    assert refused.value.exit_code == 4
    assert "\n" not in str(refused.value)
    if not url.startswith(("http", "s3")):  # the same bytes again
        assert np.array_equal(read(mosaic), before)
