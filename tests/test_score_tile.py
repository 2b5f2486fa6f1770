"""One tile: what is asked of the mosaic for it, and nothing more."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

import terradrift as td
from mosaics import ORIGIN, STEP, unit_codes, write_mosaic
from terradrift.mosaic import open_mosaic, rows_ahead
from terradrift.params import params_from
from terradrift.run import Run, open_run
from terradrift.score_tile import ScoreRasters, score_tile
from terradrift.store import Store
from terradrift.zarr_chunks import ABSENT

CHUNK, SHARD = 16, 64
WEST, NORTH = ORIGIN


@pytest.fixture
def mosaic(tmp_path: Path) -> Path:
    """Two years, four shards of 4 x 4 chunks; a row of chunks without data, and a shard that is not there."""
    codes = unit_codes(1, 2, 128, 128, bands=4)
    codes[1, :, 32:48, :64] = -128
    codes[0, :, :64, 64:] = -128
    return write_mosaic(tmp_path / "m.zarr", codes, chunk=CHUNK, shard=SHARD)


@pytest.fixture
def requests(mosaic: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(key, first byte) of every range asked of the mosaic; of an index first byte -1."""
    asked: list[tuple[str, int]] = []
    get_ranges, get_end = Store.get_ranges, Store.get_end

    def ranges(self: Store, key: str, starts: list[int], *rest: Any) -> Any:
        asked.extend((key, start) for start in starts if self.url == str(mosaic))
        return get_ranges(self, key, starts, *rest)

    def end(self: Store, key: str, *rest: Any) -> Any:
        asked.extend([(key, -1)] if self.url == str(mosaic) else [])
        return get_end(self, key, *rest)

    monkeypatch.setattr(Store, "get_ranges", ranges)
    monkeypatch.setattr(Store, "get_end", end)
    return asked


def run_on(mosaic: Path, area: shapely.Polygon) -> Run:
    settings = {"mosaic": str(mosaic), "output": str(mosaic.parent / "out"), "aoi": area.wkt, "tile_size": SHARD}
    return open_run(td.plan(params_from({**settings, "change": {"detector": "bitemporal"}})))


def needed(mosaic: Path, inside: np.ndarray, row: int, col: int) -> set[tuple[str, int]]:
    """What tile (row, col) needs, by the definition: a chunk of every year that holds a pixel inside, where it is stored."""
    layout = open_mosaic(str(mosaic)).layout
    found = set()
    for year in range(2):
        key = layout.key((year, 0, row, col))
        data = Store(str(mosaic)).get(key)
        found.add((key, -1))
        for slot in range(16 if data else 0):
            y, x = row * SHARD + slot // 4 * CHUNK, col * SHARD + slot % 4 * CHUNK
            start = int(layout.parse_index(data[-layout.index_bytes :], key)[slot][0])
            if start != ABSENT and inside[y : y + CHUNK, x : x + CHUNK].any():
                found.add((key, start))
    return found


def test_chunks_without_data_or_outside_the_area_are_never_asked_for(mosaic: Path, requests: list[tuple[str, int]]) -> None:
    triangle = shapely.Polygon([(WEST + x * STEP, NORTH - y * STEP) for x, y in ((3.2, 2.1), (126.7, 9.4), (20.3, 124.8))])
    run = run_on(mosaic, triangle)
    plan = run.plan
    inside = plan.zones.mask(plan.grid.window) >= 0
    assert 0 < inside.mean() < 1
    for row, col in zip(plan.rows.tolist(), plan.cols.tolist(), strict=True):
        requests.clear()
        score_tile(
            run.scores.tile(row, col), plan.mosaic, plan.zones, plan.recipe, ScoreRasters(run.scores, None), run.folder.ledger
        )
        assert sorted(requests) == sorted(needed(mosaic, inside, row, col))


def test_rows_that_are_fetched_together_read_an_index_once(
    mosaic: Path, requests: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rows_ahead(is_local=False) > 1
    monkeypatch.setattr("terradrift.mosaic.rows_ahead", lambda _: 4)
    monkeypatch.setattr("terradrift.mosaic.LOCAL_READ_THREADS", 8)
    run = run_on(mosaic, shapely.box(WEST + STEP, NORTH - 60 * STEP, WEST + 60 * STEP, NORTH - STEP))
    plan = run.plan
    requests.clear()
    get_end, again = Store.get_end, {year: threading.Event() for year in range(2)}

    def slow_end(self: Store, key: str, *rest: Any) -> Any:
        """The first that reads an index waits a moment for another that wants it, too."""
        year = int(key.split("/")[2])
        if (key, -1) in requests:
            again[year].set()
        data = get_end(self, key, *rest)
        again[year].wait(0.2)
        return data

    monkeypatch.setattr(Store, "get_end", slow_end)
    score_tile(run.scores.tile(0, 0), plan.mosaic, plan.zones, plan.recipe, ScoreRasters(run.scores, None), run.folder.ledger)
    assert len(set(requests)) == len(requests)
