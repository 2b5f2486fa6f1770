"""Compressed chunks of a mosaic, fetched row by row, and decompressed into one buffer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.buffers import BUFFERS
from terradrift.shard_chunks import ShardIndex, fetch_chunks, give_back, read_index
from terradrift.store import Store
from terradrift.zarr_chunks import ABSENT, ArrayLayout


@dataclass
class ReadReport:
    """What reading a window cost; added to by the reader."""

    requests: int = 0
    bytes_read: int = 0
    missing_objects: int = 0
    """Objects confirmed absent: no data."""
    absent_years: int = 0
    """Of these, objects that the same ground has in other years."""
    forbidden_objects: int = 0
    """Of these, objects that were answered with 403, which the run file takes for absent."""


Chunks = dict[tuple[int, int, int], Any]
"""Compressed chunks of one chunk row by (time, band, column) of the chunk grid."""


@dataclass
class ChunkReader:
    """Reads chunks of one array; keeps the indexes of the shards it has seen."""

    store: Store
    layout: ArrayLayout
    plain: bool
    """Values are vectors as they are, not codes."""
    times: tuple[int, ...]
    report: ReadReport
    indexes: dict[tuple[int, ...], ShardIndex | None] = field(default_factory=dict)
    """Indexes of shards read so far; None = the shard is absent."""
    is_there: dict[tuple[int, ...], bool] = field(default_factory=dict)
    """Objects asked for so far."""
    locks: dict[tuple[int, ...], Lock] = field(default_factory=dict)
    """One a shard: rows that are fetched at the same time read its index once."""
    buffer: npt.NDArray[Any] | None = None

    def fetch(self, pool: ThreadPoolExecutor, row: int, cols: list[int]) -> list[Future[tuple[Chunks, ReadReport]]]:
        """One task for every shard that the chunk row touches."""
        layout = self.layout
        times = sorted({time // layout.chunk[0] for time in self.times})
        bands = range(math.ceil(layout.shape[1] / layout.chunk[1]))
        members: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for chunk in ((time, band, row, col) for time in times for band in bands for col in cols):
            shard = tuple(i // n for i, n in zip(chunk, layout.chunks_per_shard, strict=True))
            members.setdefault(shard, []).append(chunk)
            self.locks.setdefault(shard, Lock())
        return [pool.submit(self._fetch_shard, shard, chunks) for shard, chunks in members.items()]

    def collect(self, pending: list[Future[tuple[Chunks, ReadReport]]]) -> Chunks:
        row: Chunks = {}
        for future in pending:
            chunks, report = future.result()
            row |= chunks
            self.report.requests += report.requests
            self.report.bytes_read += report.bytes_read
            self.report.missing_objects += report.missing_objects
            self.report.forbidden_objects += report.forbidden_objects
        return row

    def _fetch_shard(self, shard: tuple[int, ...], chunks: list[tuple[int, ...]]) -> tuple[Chunks, ReadReport]:
        layout, store, key = self.layout, self.store, self.layout.key(shard)
        report = ReadReport()
        if not layout.sharded:
            data = store.get(key, layout.most_chunk_bytes)
            self.is_there[shard] = data is not None
            self._count(report, key, None if data is None else len(data))
            return {} if data is None else {_position(chunks[0]): data}, report
        with self.locks[shard]:
            if shard not in self.indexes:
                self.indexes[shard] = read_index(store, layout, key)
                self.is_there[shard] = self.indexes[shard] is not None
                self._count(report, key, layout.index_bytes if self.is_there[shard] else None)
            index = self.indexes[shard]
        if index is None:
            return {}, report
        wanted = {chunk: index.ranges[layout.slot(chunk)] for chunk in chunks}
        present = {chunk: (int(start), int(start) + int(length)) for chunk, (start, length) in wanted.items() if start != ABSENT}
        if not present:
            return {}, report
        parts = fetch_chunks(store, layout, key, list(present.values()), index.tag)
        report.requests += len(present)
        report.bytes_read += sum(end - start for start, end in present.values())
        return {_position(chunk): part for chunk, part in zip(present, parts, strict=True)}, report

    def _count(self, report: ReadReport, key: str, length: int | None) -> None:
        """Add one request for `length` bytes, or for an object that is absent (None)."""
        report.requests += 1
        report.bytes_read += length or 0
        report.missing_objects += length is None
        report.forbidden_objects += length is None and self.store.was_forbidden(key)

    def _buffer(self, present: Mapping[tuple[int, int], Any]) -> npt.NDArray[Any]:
        """(time, band, y, x) of one chunk of ground, no data where no chunk will be decompressed into it."""
        layout = self.layout
        if self.buffer is None:
            self.buffer = BUFFERS.array((len(self.times), layout.shape[1], *layout.chunk[2:]), layout.dtype)
        whole_years = layout.chunk[0] == 1 and layout.chunk[1] == layout.shape[1]
        for k, time in enumerate(self.times):
            if not whole_years or (time, 0) not in present:
                self.buffer[k] = layout.fill_value
        return self.buffer

    def decode(self, chunks: Chunks, row: int, col: int) -> npt.NDArray[Any] | None:
        """(time, band, y, x) of one chunk column, or None where no year has anything."""
        present = {(time, band): data for (time, band, c), data in chunks.items() if c == col}
        if not present:
            return None
        layout = self.layout
        depth, bands = layout.chunk[:2]
        codes = self._buffer(present)
        for (time, band), data in present.items():
            shard = tuple(i // n for i, n in zip((time, band, row, col), layout.chunks_per_shard, strict=True))
            where = f"{self.store.url}/{layout.key(shard)}"
            if depth == 1 and bands == layout.shape[1]:
                layout.decode(data, codes[self.times.index(time)], where)
                give_back(data)
                continue
            chunk = BUFFERS.array(layout.chunk, layout.dtype)
            layout.decode(data, chunk, where)
            give_back(data)
            some = slice(band * bands, min((band + 1) * bands, layout.shape[1]))
            for k, year in enumerate(self.times):
                if year // depth == time:
                    codes[k, some] = chunk[year % depth, : some.stop - some.start]
            BUFFERS.give(chunk)
        return _as_vectors(codes, layout) if self.plain else codes

    def close(self) -> None:
        """Count what is absent in some years alone; give the memory of the blocks back."""
        grounds = {shard[1:] for shard, is_there in self.is_there.items() if is_there}
        self.report.absent_years += sum(not there and shard[1:] in grounds for shard, there in self.is_there.items())
        if self.buffer is not None:
            BUFFERS.give(self.buffer)
            self.buffer = None


def _position(chunk: tuple[int, ...]) -> tuple[int, int, int]:
    return chunk[0], chunk[1], chunk[3]


def _as_vectors(values: npt.NDArray[Any], layout: ArrayLayout) -> npt.NDArray[Any]:
    """Values as they are: float32 (float64 stays), NaN where no data."""
    vectors = values.copy() if values.dtype == np.float64 else values.astype(np.float32)
    if not math.isnan(layout.fill_value):
        vectors[values == np.asarray(layout.fill_value, values.dtype)] = np.nan
    return vectors
