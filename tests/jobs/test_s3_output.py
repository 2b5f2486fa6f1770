"""A run whose output is on S3, as the process a user starts: the same results as in a folder, and every door opens them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import terradrift as td
from servers import KEY, REGION, SECRET, client, moto
from terradrift.cli import main
from terradrift.store import open_store

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).with_name("terradrift")
BUCKET = "results"
TABLES = ("raw_polygons", "change_polygons", "polygon_parts", "thresholds", "zones", "gaps")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with moto() as endpoint:
        keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}
        client(endpoint).create_bucket(Bucket=BUCKET)
        yield {"AWS_ENDPOINT_URL": endpoint, **keys}


@pytest.fixture
def signed_in(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    open_store.cache_clear()
    yield
    open_store.cache_clear()


def process(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=500
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> dict[str, Any]:
    """The same run file with its output in a folder and on S3; what the commands said."""
    folder = tmp_path_factory.mktemp("s3")
    td.write_scene(folder / "scene", kind="tropical", size=160, years=9, seed=3, chunk=32, shard=64)
    done = {}
    for output in (str(folder / "out"), f"s3://{BUCKET}/some/place"):
        settings = {
            "mosaic": str(folder / "scene/mosaic.zarr"),
            "aoi": str(folder / "scene/aoi.geojson"),
            "output": output,
            "tile_size": 64,
            "change": {"detector": "bitemporal", "threshold": {"score": 0.15}},
            "polygons": {"min_pixels": 3},
            "maps": {"min_zoom": 9, "max_zoom": 12},
        }
        file = folder / "run.yaml"
        file.write_text(yaml.safe_dump(settings))
        done[output] = process(COMMAND, "run", file, "--master", "local[2,4]", **environment)
        assert done[output].returncode == 0, done[output].stderr
    return done


def test_results_are_those_of_a_folder(runs: dict[str, Any], signed_in: None) -> None:
    local, remote = (td.open_run(out) for out in runs)
    assert (local.folder.run_id, local.folder.score_id) == (remote.folder.run_id, remote.folder.score_id)
    for name in TABLES:
        frames = [run.table(name).to_pandas() for run in (local, remote)]
        one, other = (frame.sort_values(list(frame.columns[:2]), ignore_index=True) for frame in frames)
        pd.testing.assert_frame_equal(one, other, obj=name)
    assert len(remote.polygons) > 3
    assert remote.polygons.crs == local.polygons.crs
    for ledger, ledger_s3 in ((local.folder.ledger, remote.folder.ledger), (local.folder.records, remote.folder.records)):
        keys = sorted(key for key in ledger.store.keys("") if ".zarr/" in key or key.startswith("maps/"))
        assert keys == sorted(key for key in ledger_s3.store.keys("") if ".zarr/" in key or key.startswith("maps/"))
        assert [key for key in keys if ledger.store.get(key) != ledger_s3.store.get(key)] == []
    assert remote.scores.change_score.equals(local.scores.change_score)
    assert remote.changed.equals(local.changed)
    assert list(open_store(f"s3://{BUCKET}/some/place").keys("lock.json")) == []


def test_doors_open_on_s3(runs: dict[str, Any], environment: dict[str, str], signed_in: None, capsys: Any) -> None:
    out = list(runs)[1]
    assert main(["status", out, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["runs"][0]["state"], status["lock"]) == ("latest", None)
    assert main(["verify", out, "--recompute", "2"]) == 0
    assert main(["clean", out]) == 0
    assert "0 bytes removed" in capsys.readouterr().out
    query = "SELECT count(*) AS n, round(sum(ST_Area(geometry)) * 1e6) > 0 AS some FROM change_polygons"
    answered = process(COMMAND, "sql", out, query, **environment)
    assert answered.returncode == 0, answered.stderr
    assert f"│ {len(td.open_run(out).polygons)} │ True │" in " ".join(answered.stdout.split())
    shard = next(key for key in open_store(out).keys("scores") if "change_score/c/" in key)
    store = open_store(out)
    whole = store.get(shard) or b""
    store.put(shard, whole[:-1] + b"\0")
    try:
        assert main(["verify", out]) == 4
        assert f"{shard}: found sha256" in capsys.readouterr().out
    finally:
        store.put(shard, whole)


def test_no_secret_is_written_or_said(runs: dict[str, Any], signed_in: None) -> None:
    said = "".join(done.stdout + done.stderr for done in runs.values())
    assert SECRET not in said
    store = open_store(list(runs)[1])
    assert not [key for key in store.keys("") if SECRET.encode() in (store.get(key) or b"")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot write"),
        ({"output": "s3://no-such-bucket/x"}, "cannot write"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line_before_spark_starts(
    runs: dict[str, Any], environment: dict[str, str], tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    folder = Path(next(iter(runs))).parent
    settings = yaml.safe_load((folder / "run.yaml").read_text())
    settings["output"] = changes.get("output", f"s3://{BUCKET}/elsewhere")
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(settings))
    refused = process(COMMAND, "run", file, **{**environment, **{k: v for k, v in changes.items() if k.startswith("AWS")}})
    assert refused.returncode == 4
    assert refused.stderr.count("\n") == 1
    assert words in refused.stderr
