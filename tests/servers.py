"""Servers on loopback that hold a mosaic: plain HTTP with ranges, and S3 by moto or by a real server."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from moto.server import ThreadedMotoServer
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

ROOT = Path(__file__).resolve().parents[1]
VERSITYGW = ROOT / ".venv" / "tools" / "go" / "versitygw"
KEY, SECRET, REGION = "terradrift-key", "terradrift-secret", "us-east-1"
START_SECONDS = 60


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def files_over_http(folder: Path) -> Iterator[str]:
    """The files of a folder over HTTP with ranges; gives the address."""
    port = free_port()
    app = Starlette(routes=[Mount("/", StaticFiles(directory=folder))])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@contextmanager
def moto() -> Iterator[str]:
    """An S3 that checks no signature; gives its address."""
    logging.getLogger("werkzeug").disabled = True  # a line a request, in every report of a failure
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def versitygw(folder: Path) -> Iterator[str]:
    """A real S3 server over a folder: signatures, policies, conditions; gives its address. Skips where it was not built."""
    if not VERSITYGW.exists():
        pytest.skip(f"no S3 server: {VERSITYGW.name} was not built; `make faults` builds it where there is Go")
    root, versions = folder / "objects", folder / "versions"
    root.mkdir(parents=True)
    versions.mkdir()
    url = f"http://127.0.0.1:{free_port()}"
    command = [VERSITYGW, "--port", url.removeprefix("http://"), "--quiet", "posix", "--versioning-dir", versions, root]
    environment = {"PATH": os.environ["PATH"], "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET, "HOME": str(folder)}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(list(map(str, command)), env=environment, stdout=log, stderr=log, cwd=folder)
        try:
            _wait(url, process, folder / "server.log")
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5)
        except urllib.error.HTTPError:
            return  # it speaks HTTP
        except OSError:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        else:
            return
    pytest.fail(log.read_text())


def client(url: str, key: str = KEY, secret: str = SECRET) -> Any:
    """A boto3 client: another program than the one under test."""
    import boto3

    return boto3.client("s3", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, region_name=REGION)


def upload(url: str, folder: Path, bucket: str, **options: Any) -> None:
    """All files of a folder into a new bucket."""
    s3 = client(url)
    s3.create_bucket(Bucket=bucket)
    for path in folder.rglob("*"):
        if path.is_file():
            s3.put_object(Bucket=bucket, Key=str(path.relative_to(folder)), Body=path.read_bytes(), **options)


def no_account(environment: pytest.MonkeyPatch) -> None:
    """Take every account of this machine out of the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        environment.delenv(name)


def sign_in(environment: pytest.MonkeyPatch, url: str, key: str = KEY, secret: str = SECRET) -> None:
    """An account for the S3 at `url`, and none else."""
    no_account(environment)
    for name, value in (("ENDPOINT_URL", url), ("ACCESS_KEY_ID", key), ("SECRET_ACCESS_KEY", secret), ("REGION", REGION)):
        environment.setenv(f"AWS_{name}", value)
