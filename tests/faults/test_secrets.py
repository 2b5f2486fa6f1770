"""R12 and R13: a whole job on S3 with secrets all around it: none is written anywhere, and nothing listens off loopback."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import terradrift as td
from servers import moto, upload

COMMAND = Path(sys.executable).with_name("terradrift")
BUCKET = "secrets"

CANARIES = {
    "AWS_ACCESS_KEY_ID": "canary01",
    "AWS_SECRET_ACCESS_KEY": "canary02",
    "AWS_SESSION_TOKEN": "canary03",
    "GOOGLE_SERVICE_ACCOUNT_KEY": "canary04",
    "AZURE_STORAGE_ACCOUNT_KEY": "canary05",
    "DATABASE_URL": "postgresql://user:canary06@host/db",
    "GITHUB_TOKEN": "canary07",
    "MY_PASSWORD": "canary08",
    "SIGNED": "https://host/a?X-Amz-Credential=canary09&X-Amz-Signature=canary10&sig=canary11",
    "NETRC_LINE": "machine host login me password canary12",
}
"""What stands in the environment of every process; twelve secrets."""

SETTINGS = {
    "spark.hadoop.fs.s3a.secret.key": "canary13",
    "spark.executorEnv.SIGNED": "https://host/a?X-Amz-Credential=me&X-Amz-Signature=canary14",
    "spark.executorEnv.SHARED": "https://host/a?sv=1&sig=canary15",
    "spark.executorEnv.PROXY": "http://user:canary16@host:3128",
    "spark.hadoop.fs.azure.account.key.host": "canary17",
}
"""What stands in Spark's settings; five more."""

pytestmark = [pytest.mark.whole, pytest.mark.slow]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("scene")
    td.write_scene(folder / "scene", kind="tropical", size=96, years=5, seed=3, chunk=32, shard=64)
    with moto() as url:
        upload(url, folder / "scene", BUCKET)
        yield url


def run_file(folder: Path, **changes: Any) -> str:
    settings = {
        "mosaic": f"s3://{BUCKET}/mosaic.zarr",
        "output": str(folder / "out"),
        "tile_size": 64,
        "change": {"detector": "bitemporal", "threshold": {"score": 0.15}},
        "polygons": {"min_pixels": 2},
        "maps": {"min_zoom": 9, "max_zoom": 11},
        **changes,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    return str(folder / "run.yaml")


def environment(s3: str, folder: Path) -> dict[str, str]:
    """With Spark's event log on."""
    for name in ("conf", "events", "local"):
        (folder / name).mkdir(exist_ok=True)
    lines = [
        "spark.eventLog.enabled true",
        f"spark.eventLog.dir file://{folder / 'events'}",
        "spark.eventLog.compress false",
        "spark.eventLog.rolling.enabled false",
        *(f"{name} {value}" for name, value in SETTINGS.items()),
        f"spark.local.dir {folder / 'local'}",
    ]
    (folder / "conf" / "spark-defaults.conf").write_text("\n".join(lines))
    mine = {"SPARK_CONF_DIR": str(folder / "conf"), "AWS_ENDPOINT_URL": s3, "AWS_REGION": "us-east-1", "PYTHONWARNINGS": "ignore"}
    return os.environ | CANARIES | mine


def listening(process: subprocess.Popen[Any]) -> set[str]:
    """Addresses on which a process and its children listen."""
    found = set()
    for member in (psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)):
        try:
            connections = member.net_connections("inet")
        except psutil.Error:
            continue
        found |= {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}
    return found


def is_loopback(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def places_with_a_secret(*texts: bytes, folder: Path) -> list[str]:
    """Where a canary sings."""
    found = [f"text {number}" for number, text in enumerate(texts) if b"canary" in text]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return found + [str(path) for path in files if b"canary" in path.read_bytes()]


def jobs_without_a_name(log: Path) -> int:
    """Of a Spark event log."""
    events = [json.loads(line) for line in log.read_text().splitlines()]
    jobs = [event["Properties"] for event in events if event["Event"] == "SparkListenerJobStart"]
    names = {job.get("spark.job.description") for job in jobs}
    assert {"score tiles", "merge polygons across seams", "refine polygons", "write vector tiles", "summarize"} <= names
    return sum("spark.job.description" not in job for job in jobs)


def test_a_whole_job_writes_no_secret_and_listens_to_nobody(s3: str, tmp_path: Path, tally: Callable[..., None]) -> None:
    process = subprocess.Popen(
        [COMMAND, "run", run_file(tmp_path), "--master", "local[2,4]"],
        env=environment(s3, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    heard: set[str] = set()
    while process.poll() is None:
        heard |= listening(process)
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
    out, err = process.communicate()
    assert process.returncode == 0, err.decode()
    (tmp_path / "conf" / "spark-defaults.conf").unlink()  # where they came from
    (events,) = (tmp_path / "events").iterdir()
    assert jobs_without_a_name(events) == 0
    found = places_with_a_secret(out, err, folder=tmp_path)
    searched = 2 + len([path for path in tmp_path.rglob("*") if path.is_file()])
    tally("R12", searched - len(found), len(found))
    outside = {ip for ip in heard if not is_loopback(ip)}
    tally("R13", len(heard - outside), len(outside))
    assert found == []
    assert heard
    assert not outside


@pytest.mark.parametrize(
    "changes",
    [
        {"mosaic": "s3://none/mosaic.zarr"},
        {"mosaic": "https://user:canary@127.0.0.1/m.zarr"},
        {"mosaic": "https://127.0.0.1/m.zarr?X-Amz-Signature=canary"},
        {"aoi": "https://127.0.0.1/a.geojson?sig=canary"},
        {"output": "https://user:canary@host/out"},
    ],
)
def test_a_refusal_repeats_no_secret(s3: str, tmp_path: Path, tally: Callable[..., None], changes: dict[str, Any]) -> None:
    given = run_file(tmp_path, **changes)
    ran = subprocess.run([COMMAND, "plan", given], env=environment(s3, tmp_path), capture_output=True, check=False)
    found = places_with_a_secret(ran.stdout, ran.stderr, folder=tmp_path / "events")
    tally("R12", 2 - len(found), len(found))
    assert ran.returncode in (2, 4)
    assert found == []
