"""Overviews of a raster, block by block: whoever makes a block owns whole shards of up to three levels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from terradrift.buffers import BUFFERS
from terradrift.grid import Window
from terradrift.kernels.overview import halved
from terradrift.pyramid import BLOCK, SPAN, Level
from terradrift.raster_template import RasterArray
from terradrift.records import Ledger
from terradrift.score_store import RasterStore
from terradrift.sealed import Written, under
from terradrift.statistics import count_plane
from terradrift.zarr_planes import PlaneReader

Lead = tuple[slice, ...]
"""Where in the dimensions before y and x."""


class Slabs(Protocol):
    """A source of levels, read in slabs of bounded size."""

    def slabs(self, lead: Lead, block: Window) -> Iterator[tuple[Lead, Window, npt.NDArray[Any]]]:
        """Parts (lead, rows and columns, values) that cover `lead` x `block` once; rows begin at multiples of 2^SPAN."""


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


def write_overviews(
    raster: RasterStore,
    arrays: Sequence[RasterArray],
    made: Sequence[Level],
    row: int,
    col: int,
    ledger: Ledger | None = None,
) -> Iterator[pa.RecordBatch]:
    """Make block (row, col) of the levels of one pass (none: count alone) of every array that has overviews.

    With a ledger, a record of the block follows its shards.

    The same bytes for the same block, whoever does it and however often. Gives the counts of the values at full resolution
    (COUNT_SCHEMA). Memory is that of one plane and of the levels of one array. Raises StoreError where a level cannot be read
    or written.
    """
    base = made[0].source if made else 0
    written: dict[str, Written | str] = {}
    for array in arrays:
        if array.overview:
            slabs = CountedSlabs(array, PlaneReader(raster.store, raster.layout(array.name, base)))
            if made:
                written |= write_levels(raster, array, made, slabs, row, col)
            else:
                slabs.count_all(Window(row * BLOCK, col * BLOCK, BLOCK, BLOCK).intersection(raster.levels[0].window))
            if base == 0:
                yield from slabs.counts
    if ledger is not None and made:
        name = f"overviews_{raster.name}_{made[0].number}_r{row:06d}_c{col:06d}"
        ledger.write(name, under(raster.name, written), block=[row, col])


@dataclass
class CountedSlabs:
    """Planes of an array, counted as they are read."""

    array: RasterArray
    source: PlaneReader
    counts: list[pa.RecordBatch] = field(default_factory=list)

    def slabs(self, lead: Lead, block: Window) -> Iterator[tuple[Lead, Window, npt.NDArray[Any]]]:
        depth = self.source.layout.shape[:-2]
        for some, window, values in self.source.slabs(lead, block):
            plane = int(np.ravel_multi_index(tuple(part.start for part in some), depth)) if depth else 0
            self.counts.append(count_plane(self.array.name, plane, values, self.array.fill_value))
            yield some, window, values

    def count_all(self, block: Window | None) -> None:
        """Read all planes of a block for their counts."""
        lead = tuple(slice(0, n) for n in self.source.layout.shape[:-2])
        for _ in self.slabs(lead, block) if block else ():
            pass


def write_levels(
    raster: RasterStore, array: RasterArray, made: Sequence[Level], source: Slabs, row: int, col: int
) -> dict[str, Written | str]:
    """Make block (row, col) of the levels of one pass of one array; `made` may begin with level 0, a copy of its source."""
    written: dict[str, Written | str] = {}
    base = made[0].source
    block = Window(row * BLOCK, col * BLOCK, BLOCK, BLOCK).intersection(raster.levels[base].window)
    if block is None:
        raise ValueError(f"block {row}, {col} lies outside level {base} of {raster.url}")
    layouts = {level.number: raster.layout(array.name, level.number) for level in made}
    layout = layouts[made[0].number]
    depth, per_shard = layout.shape[:-2], layout.shard[:-2]
    for at in np.ndindex(*(math.ceil(n / k) for n, k in zip(depth, per_shard, strict=True))):
        lead = tuple(slice(i * k, min((i + 1) * k, n)) for i, k, n in zip(at, per_shard, depth, strict=True))
        lengths = [part.stop - part.start for part in lead]
        blocks = {number: block.coarser(1 << (number - base)) for number in layouts}
        shards = {number: BUFFERS.array((*lengths, *part.shape), layout.dtype) for number, part in blocks.items()}
        for some, window, values in source.slabs(lead, block):
            planes = [slice(a.start - b.start, a.stop - b.start) for a, b in zip(some, lead, strict=True)]
            for number in range(base, made[-1].number + 1):
                values = halved(values, str(array.overview), layout.fill_value) if number > base else values
                if number in shards:
                    rows, cols = window.coarser(1 << (number - base)).slices(blocks[number])
                    shards[number][(*planes, rows, cols)] = values
        for number, values in shards.items():
            key, found = raster.write_shard(array.name, number, (*at, row, col), values)
            written[key] = found
            BUFFERS.give(values)
    return written
