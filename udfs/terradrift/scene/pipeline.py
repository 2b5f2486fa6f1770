"""Chunks of a scene, drawn in parallel and written in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numcodecs import Zstd

from terradrift.grid import Window
from terradrift.scene.changes import Blob
from terradrift.scene.draw import Scene, draw_patch
from terradrift.scene.store import ZSTD_LEVEL, Layout, ShardWriter, write_object

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class _Chunk:
    """A chunk as it goes to disk."""

    years: list[bytes | None]
    """Compressed codes; None for a year without a valid pixel."""
    rasters: dict[str, bytes]
    """Compressed truth rasters by name."""
    blobs: list[Blob]


def write_chunks(
    scene: Scene, layout: Layout, mosaic: Path, rasters: Path, threads: int, progress: Callable[[float], None] | None
) -> tuple[list[Blob], int]:
    """Writes the chunks of the mosaic and of the truth rasters; the planted blobs, and the bytes of the shards."""
    shards = [(row, col, layout.shard_chunks(row, col)) for row, col in np.ndindex(*layout.shards)]
    n_chunks, done, n_bytes = sum(len(chunks) for _, _, chunks in shards), 0, 0
    places = ((i, j) for _, _, chunks in shards for _, i, j in chunks)
    blobs: list[Blob] = []
    with ThreadPoolExecutor(threads) as pool:
        drawn = in_order(pool, lambda place: _draw_chunk(scene, layout, *place), places, threads + 1)
        for row, col, chunks in shards:
            with ShardWriter(mosaic / "embeddings", scene.n_years, row, col, layout.chunks_per_shard) as shard:
                for (number, i, j), chunk in zip(chunks, drawn, strict=False):
                    shard.append(number, chunk.years)
                    for name, data in chunk.rasters.items():
                        write_object(rasters / name / "c" / str(i) / str(j), data)
                    blobs += chunk.blobs
                    done += 1
                    if progress is not None:
                        progress(done / n_chunks)
            n_bytes += shard.bytes_written
    return blobs, n_bytes


def _draw_chunk(scene: Scene, layout: Layout, row: int, col: int) -> _Chunk:
    chunk, zstd = layout.chunk_window(row, col), Zstd(level=ZSTD_LEVEL)
    part = chunk.intersection(layout.window)
    if part is None:
        raise ValueError(f"chunk {row}, {col} does not touch the scene")
    patch = draw_patch(scene, Window(part.y0 - layout.window.y0, part.x0 - layout.window.x0, *part.shape))
    codes = patch.codes(layout.chunk, part.y0 - chunk.y0, part.x0 - chunk.x0)
    years = [None if year is None else zstd.encode(year) for year in codes]
    rasters = {}
    for name, values in patch.truth(layout.years[0]).items():
        raster = np.zeros(chunk.shape, values.dtype)
        raster[part.slices(chunk)] = values
        rasters[name] = zstd.encode(raster)
    return _Chunk(years, rasters, patch.blobs)


def in_order(
    pool: ThreadPoolExecutor, function: Callable[[_Argument], _Result], arguments: Iterable[_Argument], ahead: int
) -> Iterator[_Result]:
    """`function` of every argument, in order; at most `ahead` results are under way or waiting, which bounds memory."""
    pending: deque[Future[_Result]] = deque()
    for argument in arguments:
        pending.append(pool.submit(function, argument))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
