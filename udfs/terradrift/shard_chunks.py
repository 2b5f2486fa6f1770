"""Compressed chunks out of a shard, once its index is known: for readers of mosaics and of our own rasters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from terradrift.buffers import BUFFERS
from terradrift.errors import ChangedError, StoreError
from terradrift.store import Store
from terradrift.zarr_chunks import ArrayLayout


class ShardIndex(NamedTuple):
    """Where the chunks of a shard lie."""

    ranges: npt.NDArray[np.uint64]
    """(chunk, 2) offsets and lengths."""
    tag: str
    """Of the object that holds them, which `fetch_chunks` expects to find again."""


def read_index(store: Store, layout: ArrayLayout, key: str) -> ShardIndex | None:
    """The index of a shard; None where the shard is absent. Raises DamagedError where it is not whole."""
    found = store.get_end(key, layout.tail_bytes, not layout.index_at_end)
    return None if found is None else ShardIndex(layout.parse_tail(found.data, key, f"{store.url}/{key}"), found.tag)


def fetch_chunks(store: Store, layout: ArrayLayout, key: str, ranges: Sequence[tuple[int, int]], tag: str) -> list[Any]:
    """Chunks of the shard `key` by (start, end), each in memory of BUFFERS where the store fills it: see `give_back`.

    tag: of the shard whose index gave the ranges. Raises StoreError where the index cannot be true, ChangedError where the shard
    is another one by now, or gone.
    """
    most = layout.most_chunk_bytes
    if any(end - start > most for start, end in ranges):
        raise StoreError(f"{store.url}/{key}: found a chunk of more than {most} bytes in its index: the object is damaged")
    starts, ends = [start for start, _ in ranges], [end for _, end in ranges]
    parts = store.get_ranges(key, starts, ends, lambda size: BUFFERS.array((size,), np.uint8), tag)
    if parts is None:
        raise ChangedError(f"{store.url}/{key}: was there a moment ago and is now absent: the input changes under the run")
    return parts


def give_back(data: Any) -> None:
    """A compressed chunk is decompressed."""
    if isinstance(data, np.ndarray):
        BUFFERS.give(data)
