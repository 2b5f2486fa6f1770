"""C3 of R5: a bucket that answers 403 of absent objects is refused, unless the run file says that this is what 403 means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import plain_job
import terradrift as td
from mosaics import unit_codes, write_mosaic
from proxy import Answer, Proxy, Rule, say
from servers import VERSITYGW, moto, sign_in, upload, versitygw
from terradrift.cli import main
from terradrift.errors import InputError, StoreError
from terradrift.mosaic import ReadReport
from terradrift.params import params_from
from terradrift.planning import Plan
from terradrift.run import open_run, run_folder
from terradrift.spark.score_tiles import _gaps
from terradrift.store import open_store

BUCKET, YEARS = "mosaics", (2017, 2018)

pytestmark = pytest.mark.row("R5")


def hide(answer: Answer) -> Answer:
    """What S3 does where listing is not allowed."""
    return say(403, "AccessDenied")(answer) if answer.status == 404 else answer


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    """The second shard of one year is not there."""
    codes = unit_codes(5, 2, 64, 128, bands=4)
    codes[1, :, :, 64:] = -128
    return codes


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, codes: np.ndarray) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("hidden")
    write_mosaic(folder / "data/mosaic.zarr", codes)
    with ExitStack() as stack:
        s3 = stack.enter_context(versitygw(folder / "s3") if VERSITYGW.exists() else moto())
        upload(s3, folder / "data", BUCKET)
        front = stack.enter_context(Proxy(s3))
        sign_in(stack.enter_context(pytest.MonkeyPatch.context()), front.url)
        yield front


@pytest.fixture(autouse=True)
def _hidden(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("terradrift.store.store.CONFIRM_SECONDS", 0.0)
    open_store.cache_clear()
    proxy.reset(Rule("/mosaic.zarr/", hide))
    yield
    open_store.cache_clear()


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    rule = {"detector": "bitemporal", "threshold": {"score": 0.1}}
    return {"mosaic": f"s3://{BUCKET}/mosaic.zarr", "output": str(folder / "out"), "tile_size": 64, "change": rule, **changes}


def plan(folder: Path, **changes: Any) -> Plan:
    return td.plan(params_from(settings(folder, forbidden_means_missing=True, **changes)))


def read(plan: Plan) -> tuple[np.ndarray, ReadReport]:
    found, report = np.full((2, 4, 64, 128), -128, np.int8), ReadReport()
    for block in plan.mosaic.read_blocks(plan.grid.window, YEARS, report):
        y, x = block.window.slices(plan.grid.window)
        found[:, :, y, x] = block.codes
    return found, report


def test_it_is_refused_in_one_line_that_names_the_way_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(settings(tmp_path)))
    assert main(["plan", str(file)]) == 2
    said = capfd.readouterr()
    assert said.err.count("\n") == 1
    assert "found 403" in said.err
    assert "forbidden_means_missing: true" in said.err
    assert said.out == ""


def test_a_bucket_that_says_404_is_not_asked_for_more(tmp_path: Path, proxy: Proxy) -> None:
    proxy.reset()
    assert td.plan(params_from(settings(tmp_path))).n_tiles == 2
    assert len([request for request in proxy.seen if "no-such-object" in request]) == 1


def test_what_is_forbidden_is_no_data_counted_and_said(tmp_path: Path, codes: np.ndarray) -> None:
    planned = plan(tmp_path)
    found, report = read(planned)
    assert np.array_equal(found, codes)
    assert (report.missing_objects, report.forbidden_objects, report.absent_years) == (1, 1, 1)
    counts = plain_job.score(None, open_run(planned))["tiles"]
    assert counts["forbidden_objects"] == 1
    assert any("1 objects were answered with 403" in line for line in _gaps(counts))


def test_what_is_absent_by_404_is_not_counted_as_forbidden(tmp_path: Path, codes: np.ndarray, proxy: Proxy) -> None:
    proxy.reset()
    found, report = read(plan(tmp_path))
    assert np.array_equal(found, codes)
    assert (report.missing_objects, report.forbidden_objects) == (1, 0)


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "RequestExpired", "InvalidAccessKeyId"])
def test_a_403_that_says_why_is_an_error_all_the_same(tmp_path: Path, proxy: Proxy, code: str) -> None:
    planned = plan(tmp_path)
    proxy.reset(Rule("GET .*/embeddings/c/1/", say(403, code)))
    with pytest.raises(StoreError, match="403"):
        read(planned)


def test_metadata_must_be_allowed(tmp_path: Path, proxy: Proxy) -> None:
    proxy.reset(Rule("zarr.json", say(403, "AccessDenied")))
    with pytest.raises(StoreError, match=r"zarr\.json: 403"):
        plan(tmp_path)


def test_it_names_another_run(tmp_path: Path, proxy: Proxy) -> None:
    proxy.reset()
    one, other = run_folder(plan(tmp_path)), run_folder(td.plan(params_from(settings(tmp_path))))
    assert one.score_id != other.score_id
    assert one.run_id != other.run_id


def test_without_it_a_forbidden_chunk_is_an_error(tmp_path: Path, proxy: Proxy) -> None:
    proxy.reset()
    planned = td.plan(params_from(settings(tmp_path)))
    proxy.reset(Rule("/embeddings/c/1/", say(403, "AccessDenied")))
    with pytest.raises(StoreError, match="s3:ListBucket"):
        read(planned)


def test_the_refusal_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^mosaic: s3://mosaics/mosaic\.zarr: found 403"):
        td.plan(params_from(settings(tmp_path)))
