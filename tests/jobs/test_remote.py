"""The same mosaic behind HTTP and S3 on loopback: equal values bit for bit, absent is no data, and no failure ever is."""

from __future__ import annotations

import pickle
import re
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
import yaml
from moto.server import ThreadedMotoServer
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

import terradrift as td
from mosaics import ORIGIN, STEP, unit_codes, write_mosaic
from terradrift import store as stores
from terradrift.cli import main
from terradrift.errors import InputError, StoreError
from terradrift.estimate import estimate
from terradrift.mosaic import Mosaic, ReadReport
from terradrift.params import params_from
from terradrift.run import Run, check_norms, open_run
from terradrift.score_tile import ScoreRasters, score_tile
from terradrift.store import remote

YEARS = (2017, 2018, 2019)
BUCKET = "terradrift-test"
AREA = [ORIGIN[0] + 3 * STEP, ORIGIN[1] - 100 * STEP, ORIGIN[0] + 100 * STEP, ORIGIN[1] - 3 * STEP]


class Server:
    """Files over HTTP with ranges. The first part of a path chooses a fault: /500-chunks/mosaic.zarr/zarr.json."""

    def __init__(self, folder: Path) -> None:
        self.files = StaticFiles(directory=folder)
        self.requests: Counter[str] = Counter()
        self.seen: set[str] = set()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        config = uvicorn.Config(
            self, host="127.0.0.1", port=int(self.url.rsplit(":", 1)[1]), log_level="critical", lifespan="off"
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> Server:
        self.thread.start()
        deadline = time.monotonic() + 30
        while not self.server.started:
            assert self.thread.is_alive()
            assert time.monotonic() < deadline
            self.thread.join(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(30)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault, _, path = scope["path"].lstrip("/").partition("/")
        self.requests[f"{fault} {scope['method']}"] += 1
        answer = self.fault(fault, path, scope["path"])
        try:
            answer = answer or await self.files.get_response(path, scope)
        except HTTPException as absent:
            answer = Response(status_code=absent.status_code)
        await answer(scope, receive, send)

    def fault(self, fault: str, path: str, whole: str) -> Response | None:
        """The answer of a fault, or None where the file itself is the answer."""
        kind, _, where = fault.partition("-")
        is_first = whole not in self.seen
        self.seen.add(whole)
        if where == "first" and not is_first:
            return None
        if where == "chunks" and "/embeddings/c/" not in path:
            return None
        if where == "years" and "/time/" not in path:
            return None
        if kind == "redirect":
            return RedirectResponse(f"/403-all/{path}?X-Amz-Signature=canary&sig=canary")
        return Response("?sig=canary", int(kind)) if kind.isdigit() else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """128 x 128 pixels, three years; one shard of one year is not there."""
    codes = unit_codes(5, len(YEARS), 128, 128, bands=6)
    codes[1, :, 64:, 64:] = -128
    folder = tmp_path_factory.mktemp("remote")
    write_mosaic(folder / "mosaic.zarr", codes)
    assert not (folder / "mosaic.zarr/embeddings/c/1/0/1/1").exists()
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with Server(folder) as server:
        yield server


@pytest.fixture(autouse=True)
def _hasty_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tries a request twice, without waiting: the same path as six times over two minutes."""
    from datetime import timedelta

    backoff = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2), "base": 2}
    monkeypatch.setattr(remote, "RETRY", {"max_retries": 2, "retry_timeout": timedelta(seconds=20), "backoff": backoff})
    stores.store.open_store.cache_clear()
    yield
    stores.store.open_store.cache_clear()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any account."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def read(mosaic: Mosaic) -> tuple[np.ndarray, ReadReport]:
    report = ReadReport()
    values = np.full((len(YEARS), mosaic.n_bands, *mosaic.grid.window.shape), -128, np.int8)
    for block in mosaic.read_blocks(mosaic.grid.window, YEARS, report):
        y, x = block.window.slices(mosaic.grid.window)
        values[:, :, y, x] = block.codes
    return values, report


@pytest.fixture(scope="module")
def local(folder: Path) -> tuple[np.ndarray, ReadReport]:
    return read(td.open_mosaic(str(folder / "mosaic.zarr")))


def run_of(mosaic: str, out: Path) -> Run:
    change = {"detector": "bitemporal", "threshold": {"score": 0.2}}
    settings: dict[str, Any] = {"mosaic": mosaic, "output": str(out), "tile_size": 64, "aoi": AREA, "change": change}
    return open_run(td.plan(params_from(settings)))


def score(run: Run) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Records of all tiles without what a clock or a kernel says, and every object of the raster."""
    records, rasters = [], ScoreRasters(run.scores, None)
    for row, col in zip(run.plan.rows, run.plan.cols, strict=True):
        tile = run.scores.tile(int(row), int(col))
        record = asdict(score_tile(tile, run.plan.mosaic, run.plan.zones, run.plan.recipe, rasters, run.folder.ledger))
        records.append({name: value for name, value in record.items() if name not in ("seconds", "peak_rss")})
    root = run.folder.scores / "scores.zarr"
    files = sorted(path for path in root.rglob("*") if path.is_file() and "c" in path.relative_to(root).parts)
    return records, {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def scored(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    return score(run_of(str(folder / "mosaic.zarr"), tmp_path_factory.mktemp("scored")))


# --- HTTP ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["plain", "500-first", "503-first", "429-first", "404-first"])
def test_http_gives_the_local_values(server: Server, local: tuple[np.ndarray, ReadReport], fault: str) -> None:
    """A fault that passes is no fault; a 404 is believed only when it is given twice."""
    values, report = read(td.open_mosaic(f"{server.url}/{fault}/mosaic.zarr"))
    assert np.array_equal(values, local[0])
    assert report == local[1]
    assert report.missing_objects == 1


def test_scores_through_http_are_the_local_ones(
    server: Server, scored: tuple[list[dict[str, Any]], dict[str, bytes]], tmp_path: Path
) -> None:
    run = run_of(f"{server.url}/scores/mosaic.zarr", tmp_path / "out")
    before = server.requests["scores GET"]
    records, objects = score(run)
    assert records == scored[0]
    assert objects == scored[1]
    assert sum(record["missing_objects"] for record in records) == 1
    assert 0 < server.requests["scores GET"] - before <= estimate(run.plan).input_requests


def test_the_plan_counts_objects_and_requests(server: Server, tmp_path: Path) -> None:
    """Where nothing is missing the bounds are the figures."""
    full = write_mosaic(tmp_path / "full.zarr", unit_codes(6, 3, 128, 96, bands=4), shard=64)
    plan = td.plan(params_from({"mosaic": str(full), "output": str(tmp_path / "out"), "tile_size": 32}))
    report = ReadReport()
    for k in range(plan.n_tiles):
        list(plan.mosaic.read_blocks(plan.tile_window(k), plan.years, report))
    expected = estimate(plan)
    assert report.requests == expected.input_requests
    assert len([path for path in (full / "embeddings/c").rglob("*") if path.is_file()]) == expected.input_objects


def test_the_plan_asks_for_metadata_and_sizes_alone(server: Server, tmp_path: Path) -> None:
    plan = td.plan(params_from({"mosaic": f"{server.url}/figures/mosaic.zarr", "output": str(tmp_path), "tile_size": 64}))
    estimate(plan)
    assert server.requests["figures GET"] <= 6  # one of them for an object that cannot be there
    assert server.requests["figures HEAD"] <= 24 + 5


FAULTS = ["500-chunks", "503-chunks", "403-chunks", "401-chunks", "400-chunks", "redirect-chunks"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_server_is_an_error_never_a_hole(server: Server, tmp_path: Path, fault: str) -> None:
    mosaic = td.open_mosaic(f"{server.url}/{fault}/mosaic.zarr")
    with pytest.raises(StoreError, match=rf"cannot read http://[^ ]*/{fault}/mosaic\.zarr/embeddings/c/") as failure:
        read(mosaic)
    assert "canary" not in str(failure.value)
    assert "\n" not in str(failure.value)
    plan = td.plan(params_from({"mosaic": f"{server.url}/{fault}/mosaic.zarr", "output": str(tmp_path), "tile_size": 64}))
    with pytest.raises(StoreError):
        check_norms(plan)


@pytest.mark.parametrize("fault", ["500-all", "403-all", "redirect-all", "500-years", "403-years", "500-chunks", "403-chunks"])
def test_the_command_ends_with_4(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr("terradrift.spark.jobs.spark_session", lambda *_: pytest.fail("Spark was asked for"))
    settings = {"mosaic": f"{server.url}/{fault}/mosaic.zarr", "output": str(tmp_path / "out"), "tile_size": 64}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    assert main(["run", str(tmp_path / "run.yaml")]) == 4
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert f"{server.url}/{fault}/mosaic.zarr" in err
    assert "canary" not in err
    assert not (tmp_path / "out").exists()


def test_a_mosaic_that_is_not_there_is_bad_input(server: Server, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    settings = {"mosaic": f"{server.url}/plain/none.zarr", "output": str(tmp_path / "out")}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    assert main(["plan", str(tmp_path / "run.yaml")]) == 2
    assert "found no zarr.json" in capfd.readouterr().err


def test_nobody_listening_is_an_error_of_storage(server: Server) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(StoreError, match="cannot read"):
            td.open_mosaic(f"http://127.0.0.1:{probe.getsockname()[1]}/mosaic.zarr")


@pytest.mark.parametrize(
    "url",
    [
        "https://user:canary@127.0.0.1/mosaic.zarr",
        "{server}/plain/mosaic.zarr?X-Amz-Signature=canary",
        "{server}/plain/mosaic.zarr#canary",
        "s3://canary:canary@bucket/mosaic.zarr",
        "https://169.254.169.254/canary",
    ],
)
def test_an_address_with_a_secret_is_refused_and_never_repeated(server: Server, url: str) -> None:
    with pytest.raises(InputError, match=r"^mosaic: found") as refused:
        td.open_mosaic(url.format(server=server.url))
    assert "canary" not in str(refused.value)


def test_a_signature_in_an_error_of_the_client_is_cut(server: Server) -> None:
    error = stores.Store(f"{server.url}/plain")._error(
        "read",
        "a",
        RuntimeError("GET https://host/a?X-Amz-Credential=canary&X-Amz-Signature=canary: refused\n\nDebug source: canary"),
    )
    assert "canary" not in str(error)
    assert re.search(r"https://host/a\?…", str(error))


# --- S3 -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3(folder: Path) -> Iterator[str]:
    """An S3 with the mosaic in two buckets, one of them public; gives its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        _upload(url, folder)
        yield url
    finally:
        server.stop()


def _upload(url: str, folder: Path) -> None:
    import boto3

    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, **keys)
    for bucket, acl in ((BUCKET, "private"), (f"{BUCKET}-public", "public-read")):
        client.create_bucket(Bucket=bucket)
        for path in folder.rglob("*"):
            if path.is_file():
                client.put_object(Bucket=bucket, Key=str(path.relative_to(folder)), Body=path.read_bytes(), ACL=acl)


def sign_in(environment: pytest.MonkeyPatch, s3: str) -> None:
    environment.setenv("AWS_ENDPOINT_URL", s3)
    environment.setenv("AWS_ACCESS_KEY_ID", "key")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    environment.setenv("AWS_REGION", "us-east-1")


def test_s3_gives_the_local_values(s3: str, local: tuple[np.ndarray, ReadReport], credentials: pytest.MonkeyPatch) -> None:
    sign_in(credentials, s3)
    mosaic = td.open_mosaic(f"s3://{BUCKET}/mosaic.zarr")
    values, report = read(mosaic)
    assert np.array_equal(values, local[0])
    assert report == local[1]
    assert b"canary" not in pickle.dumps(mosaic)
    values, report = read(pickle.loads(pickle.dumps(mosaic)))
    assert np.array_equal(values, local[0])


def test_a_public_bucket_needs_no_account(s3: str, local: tuple[np.ndarray, ReadReport], credentials: pytest.MonkeyPatch) -> None:
    credentials.setenv("AWS_ENDPOINT_URL", s3)
    values, report = read(td.open_mosaic(f"s3://{BUCKET}-public/mosaic.zarr"))
    assert np.array_equal(values, local[0])
    assert report == local[1]


def test_a_private_bucket_without_an_account_is_an_error_of_storage(s3: str, credentials: pytest.MonkeyPatch) -> None:
    credentials.setenv("AWS_ENDPOINT_URL", s3)
    with pytest.raises(StoreError, match=rf"cannot read s3://{BUCKET}/mosaic\.zarr/zarr\.json"):
        td.open_mosaic(f"s3://{BUCKET}/mosaic.zarr")


def test_scores_through_s3_are_the_local_ones(
    s3: str,
    scored: tuple[list[dict[str, Any]], dict[str, bytes]],
    tmp_path: Path,
    credentials: pytest.MonkeyPatch,
) -> None:
    sign_in(credentials, s3)
    run = run_of(f"s3://{BUCKET}/mosaic.zarr", tmp_path / "out")
    assert score(run) == scored
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"canary" not in written


def test_a_run_is_the_same_run_wherever_its_mosaic_lies(
    s3: str, server: Server, folder: Path, tmp_path: Path, credentials: pytest.MonkeyPatch
) -> None:
    sign_in(credentials, s3)
    urls = [str(folder / "mosaic.zarr"), f"{server.url}/plain/mosaic.zarr", f"s3://{BUCKET}/mosaic.zarr"]
    assert len({run_of(url, tmp_path / str(k)).folder.run_id for k, url in enumerate(urls)}) == 1


def test_a_shard_that_vanishes_under_the_run_is_an_error(tmp_path: Path) -> None:
    path = write_mosaic(tmp_path / "mosaic.zarr", unit_codes(5, len(YEARS), 128, 128, bands=6), shard=128)
    mosaic = td.open_mosaic(str(path))
    blocks = mosaic.read_blocks(mosaic.grid.window, YEARS, ReadReport())
    next(blocks)
    shutil.rmtree(path / "embeddings/c")
    with pytest.raises(StoreError, match="changes under the run"):
        list(blocks)
