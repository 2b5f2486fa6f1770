"""Planes (y, x) of a sharded array: chunks of a window, whatever shards they lie in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.grid import Window
from terradrift.shard_chunks import ShardIndex, fetch_chunks, give_back, read_index
from terradrift.store import Store
from terradrift.zarr_chunks import ABSENT, ArrayLayout


@dataclass
class PlaneReader:
    """Reads planes of one array with chunks (1, ..., y, x); keeps the indexes of the shards it has seen."""

    store: Store
    layout: ArrayLayout
    indexes: dict[str, ShardIndex | None] = field(default_factory=dict)
    """By key of the shard; None = the shard is absent."""

    def read(self, at: tuple[int, ...], window: Window) -> npt.NDArray[Any]:
        """Rows and columns `window` of plane `at` (time, band; () of an array without): the fill value where nothing is stored.

        Raises StoreError where an object cannot be read or is damaged.
        """
        layout = self.layout
        values = np.full(window.shape, layout.fill_value, layout.dtype)
        chunk = np.empty(layout.chunk, layout.dtype)
        for shard in _cells(window, layout.shard[-2:]):
            key = layout.key((*(i // n for i, n in zip(at, layout.shard, strict=False)), *_cell_index(shard)))
            known = self._index(key)
            part = shard.intersection(window)
            if known is None or part is None:
                continue
            index, tag = known
            cells = [cell for cell in _cells(part, layout.chunk[-2:]) if self._range(index, at, cell)[0] != ABSENT]
            ranges = [(start, start + length) for start, length in (self._range(index, at, cell) for cell in cells)]
            for cell, data in zip(cells, fetch_chunks(self.store, layout, key, ranges, tag) if ranges else (), strict=True):
                layout.decode(data, chunk, f"{self.store.url}/{key}")
                give_back(data)
                wanted = cell.intersection(window)
                if wanted is not None:
                    values[wanted.slices(window)] = chunk.reshape(chunk.shape[-2:])[wanted.slices(cell)]
        return values

    def slabs(self, lead: tuple[slice, ...], block: Window) -> Iterator[tuple[tuple[slice, ...], Window, npt.NDArray[Any]]]:
        """A window of the planes `lead`, one at a time: (its place before y and x, the window, values (1, ..., y, x))."""
        for at in itertools.product(*(range(part.start, part.stop) for part in lead)):
            values = self.read(at, block)
            yield tuple(slice(i, i + 1) for i in at), block, values.reshape(*(1,) * len(at), *values.shape)

    def _index(self, key: str) -> ShardIndex | None:
        if key not in self.indexes:
            self.indexes[key] = read_index(self.store, self.layout, key)
        return self.indexes[key]

    def _range(self, index: npt.NDArray[np.uint64], at: tuple[int, ...], cell: Window) -> tuple[int, int]:
        """Start and length of the chunk that covers a cell of the chunk grid."""
        start, length = index[self.layout.slot((*at, *_cell_index(cell)))]
        return int(start), int(length)


def _cells(window: Window, shape: tuple[int, ...]) -> list[Window]:
    """The cells of a grid of `shape` from (0, 0) on that a window touches, row by row."""
    height, width = shape
    rows = range(window.y0 // height, -(-window.y1 // height))
    cols = range(window.x0 // width, -(-window.x1 // width))
    return [Window(row * height, col * width, height, width) for row in rows for col in cols]


def _cell_index(cell: Window) -> tuple[int, int]:
    return cell.y0 // cell.height, cell.x0 // cell.width
