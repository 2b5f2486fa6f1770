"""Compressed chunks out of a shard, once its index is known: for readers of mosaics and of our own rasters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from terradrift.buffers import BUFFERS
from terradrift.errors import StoreError
from terradrift.store import Store
from terradrift.zarr_chunks import ArrayLayout


def fetch_chunks(store: Store, layout: ArrayLayout, key: str, ranges: Sequence[tuple[int, int]]) -> list[Any]:
    """Chunks of the shard `key` by (start, end), each in memory of BUFFERS where the store fills it: see `give_back`.

    Raises StoreError where the index that gave the ranges cannot be true, and where the shard is gone.
    """
    most = layout.most_chunk_bytes
    if any(end - start > most for start, end in ranges):
        raise StoreError(f"{store.url}/{key}: found a chunk of more than {most} bytes in its index: the object is damaged")
    starts, ends = [start for start, _ in ranges], [end for _, end in ranges]
    parts = store.get_ranges(key, starts, ends, lambda size: BUFFERS.array((size,), np.uint8))
    if parts is None:
        raise StoreError(f"{store.url}/{key}: was there a moment ago and is now absent: the input changes under the run")
    return parts


def give_back(data: Any) -> None:
    """A compressed chunk is decompressed."""
    if isinstance(data, np.ndarray):
        BUFFERS.give(data)
