"""Overviews of a raster store, block by block: whoever makes a block owns whole shards of up to three levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.buffers import BUFFERS
from terradrift.grid import Window
from terradrift.kernels.overview import METHODS
from terradrift.pyramid import BLOCK, SPAN, Level
from terradrift.raster_template import RasterArray
from terradrift.score_store import RasterStore
from terradrift.zarr_planes import PlaneReader


def passes(raster: RasterStore) -> Iterator[tuple[Level, ...]]:
    """The levels of each pass, made from the last level of the pass before; the first ones from full resolution."""
    found = raster.levels[1:]
    for first in range(0, len(found), SPAN):
        yield found[first : first + SPAN]


def blocks_with(windows: npt.NDArray[np.int64], origin: Window) -> npt.NDArray[np.int64]:
    """Blocks (n, 2: row, col) of level 0 that windows (n, 4: y0, x0, height, width) of the mosaic touch."""
    offset = np.array([origin.y0, origin.x0])
    first = (windows[:, :2] - offset) // BLOCK
    last = (windows[:, :2] + windows[:, 2:] - 1 - offset) // BLOCK
    rows, cols = (last - first).max(axis=0, initial=0) + 1
    spread = [np.minimum(np.add(first, (row, col)), last) for row in range(rows) for col in range(cols)]
    return np.unique(np.concatenate(spread or [np.zeros((0, 2), np.int64)]), axis=0)


def coarser_blocks(blocks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Blocks of the next pass that the blocks of one touch."""
    return np.unique(blocks >> SPAN, axis=0)


def write_overviews(raster: RasterStore, arrays: Sequence[RasterArray], made: Sequence[Level], row: int, col: int) -> int:
    """Make block (row, col) of the levels of one pass, of every array that has overviews; gives the number of objects.

    The same bytes for the same block, whoever does it and however often. Memory is that of one plane and of the levels of one
    array. Raises StoreError where a level cannot be read or written.
    """
    return sum(_write_array(raster, array, made, row, col) for array in arrays if array.overview)


def _write_array(raster: RasterStore, array: RasterArray, made: Sequence[Level], row: int, col: int) -> int:
    source = made[0].source
    layout = raster.layout(array.name, source)
    reader, depth = PlaneReader(raster.store, layout), layout.shape[:-2]
    height, width = layout.shape[-2:]
    block = Window(row * BLOCK, col * BLOCK, BLOCK, BLOCK).intersection(Window(0, 0, height, width))
    if block is None:
        raise ValueError(f"block {row}, {col} lies outside level {source} of {raster.url}")
    method = METHODS[str(array.overview)]
    shards: dict[int, npt.NDArray[Any]] = {}
    for at in np.ndindex(depth):
        plane = reader.read(at, block)
        for level in made:
            plane = method(plane, layout.fill_value)
            if level.number not in shards:
                shards[level.number] = BUFFERS.array((*depth, *plane.shape), layout.dtype)
            shards[level.number][at] = plane
    written = [raster.write_shard(array.name, number, (row, col), values) for number, values in shards.items()]
    for values in shards.values():
        BUFFERS.give(values)
    return sum(digest != "absent" for digest in written)
