"""Pairs of tiles and polygons between the two halves of the work: files sorted by tile, read back by ranges of tiles.

A sort through files and not through a shuffle of rows: a task writes what its polygons leave in all tiles as a few sorted
files, and a later task reads its own tiles from those that have any. Files are mapped into memory: nothing is unpacked, and of a
file only the pages of the range are read; from elsewhere than a folder a whole file is fetched, so files are small.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from terradrift.kernels.rings import Array
from terradrift.maps.tile_columns import SORTED_BY, field_types, thinned
from terradrift.maps.tile_options import TileOptions
from terradrift.maps.tile_pairs import tile_pairs
from terradrift.maps.tile_parts import read_ipc, write_ipc
from terradrift.maps.tile_stats import LayerStats
from terradrift.store import Store

RUN_BYTES = 64 * 2**20
"""A task keeps about as much of pairs, and sorts them together."""
FILE_BYTES = 8 * 2**20
"""And writes them as files of about this size, one after the other along the tiles."""
RANGE_BYTES = 24 * 2**20
"""Pairs that are read and sorted together to encode their tiles."""
MARKS = 256
"""Tiles that tell how a file's bytes lie along the tile ids."""

RUN = pa.schema(
    [
        ("file", pa.string()),
        ("first", pa.int64()),
        ("last", pa.int64()),
        ("bytes", pa.int64()),
        ("marks", pa.list_(pa.int64())),
        ("stats", pa.string()),
    ]
)
"""One row a file: its name, first and last tile, size, the tile at every 256th of its bytes, and the tilestats of the layers of
the polygons whose first file it is, as JSON."""


class TileRange(NamedTuple):
    """Tiles first <= tile_id < end."""

    first: int
    end: int


def write_runs(store: Store, options: TileOptions, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cut polygons into tiles and write the pairs as files of `store`; rows of RUN. A repeated task leaves files nobody names."""
    held: list[pa.RecordBatch] = []
    stats: LayerStats | None = None
    for batch in batches:
        stats = stats or LayerStats(options.layer_names, field_types(batch.schema, options))
        for zoom, polygons, pairs in tile_pairs(batch, options):
            held.append(pairs)
            if zoom == options.max_zoom:
                attributes = pairs.column("attributes")
                stats.add(polygons, pairs.column("layer").to_numpy(), attributes)
                if options.thin:  # values that only low zooms give
                    stats.add(0 * polygons, pairs.column("layer").to_numpy(), thinned(attributes, options.min_zoom, options))
        if sum(pairs.nbytes for pairs in held) >= RUN_BYTES:
            yield _write_run(store, held, stats)
            held, stats = [], None
    if held and stats:
        yield _write_run(store, held, stats)


def tile_ranges(runs: pa.Table, least: int) -> list[TileRange]:
    """Ranges of tiles, in order and without gaps, of about equal size: as many as `RANGE_BYTES` asks for, `least` at least."""
    runs = runs.filter(pc.greater(pc.list_value_length(runs["marks"]), 0))
    weights = np.repeat(runs["bytes"].to_numpy() / MARKS, MARKS)
    marks = np.concatenate([np.zeros(0, np.int64), *(np.asarray(row, np.int64) for row in runs["marks"].to_pylist())])
    if marks.size == 0:
        return []
    order = np.argsort(marks, kind="stable")
    total = np.cumsum(weights[order])
    count = max(least, int(np.ceil(total[-1] / RANGE_BYTES)))
    cuts = np.unique(marks[order][np.searchsorted(total, total[-1] * np.arange(1, count) / count)])
    edges = [0, *cuts[cuts > 0].tolist(), np.iinfo(np.int64).max]
    return [TileRange(*pair) for pair in pairwise(edges)]


def read_range(runs: Sequence[pa.Table], tiles: TileRange) -> pa.RecordBatch | None:
    """The pairs of a range of tiles from all runs, in order; None where there are none."""
    found = []
    for run in runs:
        a, b = np.searchsorted(run.column("tile_id").to_numpy(), tiles)
        if b > a:
            found.append(run.slice(a, b - a))
    if not found:
        return None
    pairs = pa.concat_tables(found).combine_chunks()
    order = _order(pairs)
    return pairs.take(pa.array(order)).combine_chunks().to_batches()[0]


def open_runs(store: Store, runs: pa.Table, ranges: Iterable[TileRange]) -> list[pa.Table]:
    """The files (columns file, first, last) that have tiles of one of the ranges, as tables over mapped memory."""
    wanted = list(ranges)
    columns = (runs[name].to_pylist() for name in ("file", "first", "last"))
    return [
        read_ipc(store, file)
        for file, first, last in zip(*columns, strict=True)
        if any(first < tiles.end and last >= tiles.first for tiles in wanted)
    ]


def _write_run(store: Store, batches: list[pa.RecordBatch], stats: LayerStats) -> pa.RecordBatch:
    """Rows of RUN: of one that has no pair none but the tilestats."""
    pairs = pa.Table.from_batches(batches).combine_chunks()
    pairs = pairs.take(pa.array(np.argsort(pairs["tile_id"].to_numpy(), kind="stable"))).combine_chunks()
    size = np.cumsum(pc.binary_length(pairs["geometry"]).to_numpy() + 1)
    cuts = max(1, round(pairs.nbytes / FILE_BYTES))
    edges = [0, *np.searchsorted(size, size[-1] * np.arange(1, cuts) / cuts).tolist(), len(pairs)] if size.size else []
    rows = [_write_file(store, pairs.slice(a, b - a), size[a:b]) for a, b in pairwise(edges) if b > a]
    rows = rows or [{"file": "", "first": 0, "last": -1, "bytes": 0, "marks": []}]
    rows[0]["stats"] = json.dumps(stats.told())
    return pa.RecordBatch.from_pylist(rows, RUN)


def _write_file(store: Store, pairs: pa.Table, size: Array) -> dict[str, Any]:
    """A row of RUN. `size`: running bytes of the geometries, from any beginning."""
    file, tiles = uuid.uuid4().hex, pairs["tile_id"].to_numpy()
    write_ipc(pairs, store, file)
    begin = size[0] - 1
    at = np.searchsorted(size, begin + (size[-1] - begin) * (np.arange(MARKS) + 0.5) / MARKS)
    return {
        "file": file,
        "first": int(tiles[0]),
        "last": int(tiles[-1]),
        "bytes": pairs.nbytes,
        "marks": tiles[at].tolist(),
    }


def _order(pairs: pa.Table) -> Array:
    """Rows by tile, layer, feature and rank; equal ones, where ids repeat, by their geometry."""
    keys = [pairs[name].to_numpy() for name in reversed(SORTED_BY)]
    order = np.lexsort(keys)
    ranked = np.stack(keys)[:, order]
    equal = (ranked[:, 1:] == ranked[:, :-1]).all(axis=0)
    if equal.any():
        geometry = pairs["geometry"]
        begins = np.flatnonzero(np.diff(equal, prepend=False) & np.append(equal, False)[:-1])
        for a in begins.tolist():
            b = a + int(np.argmin(np.append(equal[a:], False))) + 1
            order[a:b] = sorted(order[a:b].tolist(), key=lambda row: geometry[row].as_py())
    return order
