"""R15: what a plan says a run will read is what it reads: objects and requests, counted by a server between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import terradrift as td
from mosaics import ORIGIN, STEP, unit_codes, write_mosaic
from proxy import Proxy
from servers import files_over_http
from terradrift.estimate import estimate
from terradrift.mosaic import ReadReport
from terradrift.params import params_from

HEIGHT, WIDTH, BANDS, YEARS = 128, 96, 4, 5

pytestmark = pytest.mark.row("R15")


@dataclass(frozen=True)
class Case:
    """How a mosaic is stored, and what of it is read."""

    tile_size: int
    chunk: Any = 32
    shard: Any = 64
    years: tuple[int, int] | None = None
    area: tuple[int, int, int, int] | None = None
    """Pixels: west, north, east, south."""


CASES = {
    "tiles of one chunk": Case(32),
    "tiles of a shard": Case(64),
    "tiles of several shards": Case(128),
    "not sharded": Case(64, shard=None),
    "not sharded, tiles of one chunk": Case(32, shard=None),
    "two years": Case(64, years=(2018, 2019)),
    "a part": Case(32, area=(10, 20, 50, 90)),
    "a part of shards": Case(64, area=(40, 40, 90, 50)),
    "years in one chunk": Case(32, chunk=(5, BANDS, 32, 32), shard=(5, BANDS, 64, 64)),
    "bands apart": Case(32, chunk=(1, 2, 32, 32), shard=(1, 2, 64, 64)),
}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Proxy]]:
    folder = tmp_path_factory.mktemp("planned")
    with files_over_http(folder) as url, Proxy(url) as proxy:
        yield folder, proxy


@pytest.mark.parametrize("name", list(CASES))
def test_objects_and_requests_are_as_planned(front: tuple[Path, Proxy], tmp_path: Path, name: str) -> None:
    """Requests are counted before near ranges are joined: the server sees no more than planned."""
    folder, proxy = front
    case, at = CASES[name], name.replace(" ", "_").replace(",", "")
    write_mosaic(folder / at, unit_codes(6, YEARS, HEIGHT, WIDTH, bands=BANDS), chunk=case.chunk, shard=case.shard)
    settings: dict[str, Any] = {"mosaic": f"{proxy.url}/{at}", "output": str(tmp_path), "tile_size": case.tile_size}
    if case.years:
        settings |= {
            "years": case.years,
            "change": {"detector": "bitemporal"},
            "scores": {"annual": ["difference"], "robust_z": False},
        }
    if case.area:
        west, north, east, south = case.area
        settings["aoi"] = [ORIGIN[0] + west * STEP, ORIGIN[1] - south * STEP, ORIGIN[0] + east * STEP, ORIGIN[1] - north * STEP]
    plan = td.plan(params_from(settings))
    expected, report = estimate(plan), ReadReport()
    proxy.reset()
    for k in range(plan.n_tiles):
        list(plan.mosaic.read_blocks(plan.tile_window(k), plan.years, report))
    gets = [request for request in proxy.seen if request.startswith("GET") and "/embeddings/c/" in request]
    assert len(set(gets)) == expected.input_objects
    assert report.requests == expected.input_requests
    assert len(set(gets)) <= len(gets) <= expected.input_requests
    assert len(gets) == len(proxy.seen)
