"""Sorted files between the halves of the tiler: every pair comes back once, in order, however the work was cut."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_vector_tiles import sorted_pairs, stars, table

from terradrift.maps import pair_runs as module
from terradrift.maps.pair_runs import RUN, open_runs, read_range, tile_ranges, write_runs
from terradrift.maps.tile_columns import SORTED_BY, field_types
from terradrift.maps.tile_options import TileOptions
from terradrift.maps.tile_stats import TileStats
from terradrift.maps.vector_tiles import encode_tiles
from terradrift.store import Store

OPTIONS = TileOptions(min_zoom=4, max_zoom=8)


def polygons() -> pa.RecordBatch:
    shapes = stars(400, 1, (5, 5, 7, 7), (0.001, 0.2))
    return table(shapes, name=pa.array([f"n{k % 30}" for k in range(400)]), score=np.arange(400) / 8)


@pytest.mark.parametrize(
    ("rows", "run_bytes", "file_bytes"), [(400, 2**30, 2**30), (57, 2**30, 2**30), (57, 1, 2**30), (400, 2**30, 10_000)]
)
def test_pairs_come_back_in_order(
    rows: int, run_bytes: int, file_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RUN_BYTES", run_bytes)
    monkeypatch.setattr(module, "FILE_BYTES", file_bytes)
    whole = polygons()
    batches = [whole.slice(start, rows) for start in range(0, 400, rows)]
    told = pa.Table.from_batches(list(write_runs(Store(str(tmp_path)), OPTIONS, batches)), RUN)
    assert told.num_rows > 8 if file_bytes < 2**30 else told.num_rows == (1 if run_bytes > 1 else len(batches))
    assert told["stats"].drop_null().length() == (1 if run_bytes > 1 else len(batches))
    ranges = tile_ranges(told, 16)
    assert [a.end for a in ranges[:-1]] == [b.first for b in ranges[1:]]
    assert (ranges[0].first, ranges[-1].end) == (0, 2**63 - 1)
    assert 8 <= len(ranges) <= 16
    store = Store(str(tmp_path))
    opened = [open_runs(store, told, [tiles]) for tiles in ranges]
    back = pa.Table.from_batches(
        [found for runs, tiles in zip(opened, ranges, strict=True) if (found := read_range(runs, tiles)) is not None]
    )
    if file_bytes < 2**30:
        assert max(map(len, opened)) < told.num_rows / 2, "no range needs most files"
    runs = open_runs(store, told, ranges)
    assert len(runs) == told.num_rows
    assert list(encode_tiles(back.to_batches(), OPTIONS)) == list(
        encode_tiles(sorted_pairs(whole, OPTIONS).to_batches(), OPTIONS)
    )
    keys = np.stack([back[name].to_numpy() for name in reversed(SORTED_BY)])
    np.testing.assert_array_equal(np.lexsort(keys), np.arange(back.num_rows))
    sizes = [found.num_rows for tiles in ranges if (found := read_range(runs, tiles)) is not None]
    assert max(sizes) < back.num_rows / 4, "no range holds much more than its share"


def test_rows_of_one_id_in_one_tile_are_in_an_order_of_their_own(tmp_path: Path) -> None:
    """Which task cut them, and when, must not show."""
    whole = table(stars(60, 2, (5, 5, 5.2, 5.2), (0.01, 0.1))).set_column(0, "id", pa.array(np.arange(60) // 20))
    found = []
    for name, parts in {"a": [whole], "b": [whole.slice(31), whole.slice(0, 31)]}.items():
        folder = tmp_path / name
        folder.mkdir()
        files = pa.Table.from_batches([run for part in parts for run in write_runs(Store(str(folder)), OPTIONS, [part])])
        (tiles,) = tile_ranges(pa.table({"bytes": [1], "marks": [[5]]}), 1)
        found.append(read_range(open_runs(Store(str(folder)), files, [tiles]), tiles))
    tiles_of_each = [list(encode_tiles([rows], OPTIONS)) for rows in found if rows is not None]
    assert len(tiles_of_each[0]) == 5
    assert tiles_of_each[0] == tiles_of_each[1]


def test_no_polygons_leave_no_ranges(tmp_path: Path) -> None:
    told = pa.Table.from_batches(list(write_runs(Store(str(tmp_path)), OPTIONS, [polygons().slice(0, 0)])), RUN)
    assert tile_ranges(told, 4) == []
    some = pa.table({"bytes": [0, 1 << 20], "marks": [[], list(range(256))]})
    assert len(tile_ranges(some, 4)) == 4, "what has no pairs does not count"
    assert tile_ranges(RUN.empty_table(), 4) == []


@given(st.lists(st.integers(1, 3000), max_size=4))
def test_tilestats_are_the_same_for_any_cut(cuts: list[int]) -> None:
    rng = np.random.default_rng(3)
    count = 3000
    batch = pa.RecordBatch.from_pydict(
        {
            "id": np.arange(count),
            "geometry": pa.array([b""] * count),
            "kind": pa.array([None if k % 7 == 0 else f"k{k % 130}" for k in range(count)]),
            "score": pa.array(np.where(np.arange(count) % 5, rng.random(count), np.nan), pa.float32()),
            "huge": pa.array(np.where(np.arange(count) == 9, np.inf, np.arange(count) % 3)),
            "none": pa.array([None] * count, pa.int32()),
            "sure": rng.random(count) < 0.5,
        }
    )
    fields = field_types(batch.schema, OPTIONS)
    columns = [name for name in batch.schema.names if name != "geometry"]
    attributes = pa.StructArray.from_arrays([batch[name] for name in columns], columns)
    edges = [0, *sorted(set(cuts)), count]
    merged = TileStats(fields)
    for a, b in pairwise(edges):
        part = TileStats(fields)
        part.add(b - a, attributes.slice(a, b - a))
        merged.merge([json.loads(json.dumps(part.told()))])
    told = merged.tilestats()
    by_name = {attribute["attribute"]: attribute for attribute in told["attributes"]}
    score = batch["score"].to_numpy()
    assert told["count"] == count
    assert (by_name["id"]["count"], by_name["id"]["min"], by_name["id"]["max"]) == (1000, 0, 2999)
    assert by_name["kind"]["count"] == 130
    assert by_name["kind"]["values"] == sorted(f"k{k}" for k in range(130))[:100]
    assert by_name["score"]["min"] == np.nanmin(score)
    assert by_name["score"]["max"] == np.nanmax(score)
    assert (by_name["huge"]["count"], by_name["huge"]["max"]) == (3, 2.0)
    assert by_name["none"] == {"attribute": "none", "count": 0, "type": "number", "values": []}
    assert by_name["sure"]["values"] == [False, True]
