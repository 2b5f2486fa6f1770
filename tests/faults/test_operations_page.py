"""The commands of docs/operations.md, as they stand there: a job on a cluster, and one whose output is on S3."""

from __future__ import annotations

import ipaddress
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

import terradrift as td
from servers import KEY, SECRET, VERSITYGW, client, free_port, moto, sign_in, versitygw
from terradrift.spark.java import find_java
from terradrift.store import open_store

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
BUCKET, TABLES = "my-bucket", ("raw_polygons", "change_polygons", "polygon_parts", "thresholds", "zones", "gaps")
LIMIT_SECONDS = 900

pytestmark = [pytest.mark.whole, pytest.mark.slow]


def commands() -> str:
    """All shell blocks of the page, in their order."""
    return "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    with ExitStack() as stack:
        url = stack.enter_context(versitygw(tmp_path / "s3") if VERSITYGW.exists() else moto())
        client(url).create_bucket(Bucket=BUCKET)
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout in which nothing was run yet; the scene is small, by a command that stands before the real one."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("conf", "jobs", "sql", "udfs", ".venv"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def listening(process: subprocess.Popen[Any]) -> set[str]:
    """Addresses on which a process and all below it listen."""
    found: set[str] = set()
    for member in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):
            found |= {seen.laddr.ip for seen in member.net_connections("inet") if seen.status == psutil.CONN_LISTEN}
    return found


def is_loopback(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def run(script: str, folder: Path, log: Path) -> tuple[int, set[str]]:
    """Exit code of a script in a shell, and where it and its daemons listened meanwhile; they end with it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SPARK_", "PYSPARK_"))}
    environment |= {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC", "SPARK_DAEMON_MEMORY": "256m"}
    environment |= {"TMPDIR": str(folder.parent), "COLUMNS": "200"}
    if (home := find_java().home) is not None:
        environment["JAVA_HOME"] = str(home)
    script = f"set -euo pipefail\ntrap 'kill $(jobs -p)' EXIT\n{script}"
    heard: set[str] = set()
    deadline = time.monotonic() + LIMIT_SECONDS
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        while process.poll() is None and time.monotonic() < deadline:
            heard |= listening(process)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        if process.poll() is None:
            process.terminate()
        return process.wait(60), heard


def test_every_command_of_the_page_ends_well(
    s3: str, folder: Path, tmp_path: Path, tally: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = {port: str(free_port()) for port in ("7077", "8080", "8081", "18080")}
    script = re.sub(r"\b(7077|8080|8081|18080)\b", lambda port: ports[port[1]], commands())
    changes = {
        "=KEY ": f"={KEY} ",
        "=SECRET ": f"={SECRET} ",
        "http://127.0.0.1:9000": s3,
        "terradrift scene data/demo": "terradrift scene data/demo --size 256",
    }
    for word, instead in changes.items():
        assert word in script
        script = script.replace(word, instead)
    log = tmp_path / "said.log"
    history = f"http://127.0.0.1:{ports['18080']}/api/v1/applications"
    code, heard = run(f"{script}until curl -sf {history} | grep -q 'terradrift detect_changes'; do sleep 1; done\n", folder, log)
    said = log.read_text()
    assert code == 0, said[-4000:]
    assert "Traceback" not in said
    assert SECRET not in said

    outside = {ip for ip in heard if not is_loopback(ip)}
    tally("R13", len(heard - outside), len(outside))
    assert heard
    assert not outside

    assert len(list(tmp_path.glob("terradrift-events-*/*"))) >= 2
    sign_in(monkeypatch, s3)
    open_store.cache_clear()
    runs = [td.open_run(out) for out in (folder / "results/demo", f"s3://{BUCKET}/demo")]
    assert runs[0].folder.run_id == runs[1].folder.run_id
    for name in TABLES:
        frames = [run.table(name).to_pandas() for run in runs]
        one, other = (frame.sort_values(list(frame.columns[:2]), ignore_index=True) for frame in frames)
        pd.testing.assert_frame_equal(one, other, obj=name)
    assert list(open_store(f"s3://{BUCKET}/demo").keys("lock.json")) == []
