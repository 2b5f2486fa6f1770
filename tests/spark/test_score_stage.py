"""The score stage through Spark, where the mosaic is written to meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import terradrift as td
from mosaics import unit_codes, write_mosaic
from proxy import Answer, Proxy, Rule
from servers import files_over_http
from terradrift.errors import ChangedError
from terradrift.params import params_from
from terradrift.run import Run, open_run
from terradrift.spark.score_tiles import score_tiles

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEY = "embeddings/c/0/0/0/0"


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Proxy]:
    write_mosaic(tmp_path / "mosaic.zarr", unit_codes(5, 2, 64, 128, bands=4))
    with files_over_http(tmp_path) as url, Proxy(url) as proxy:
        yield proxy


@pytest.fixture
def run(tmp_path: Path, front: Proxy) -> Run:
    rule = {"detector": "bitemporal", "threshold": {"score": 0.1}}
    settings = {"mosaic": f"{front.url}/mosaic.zarr", "output": str(tmp_path / "out"), "tile_size": 64, "change": rule}
    return open_run(td.plan(params_from(settings)), allow_partial=True)


def test_a_tile_whose_input_changed_is_not_tried_again(
    spark: SparkSession, run: Run, front: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a sample of a million objects it need not be one: no look at the mosaic before and after finds it."""

    def rewrite(answer: Answer) -> Answer:
        path = tmp_path / "mosaic.zarr" / KEY
        path.write_bytes(path.read_bytes())
        return answer

    monkeypatch.setattr("terradrift.spark.score_tiles.unchanged_input", lambda *_, **__: nullcontext())
    front.reset(Rule(f"GET .*/{KEY}", rewrite, times=1))
    with pytest.raises(
        ChangedError, match=rf"{KEY}: found version .*input changes under the run; run again with --fresh"
    ) as ended:
        score_tiles(spark, run)
    assert ended.value.exit_code == 4
    records = {name: record for name, record in run.folder.ledger.records() if record is not None}
    assert {name: record["state"] for name, record in records.items() if "_c" in name} == {
        "r000000_c000000": "failed",
        "r000000_c000001": "done",
    }
    assert records["r000000_c000000"]["attempts"] == 1
