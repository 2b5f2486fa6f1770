"""The levels of a raster store: level 0 is full resolution, each level after it has half of the one before.

Every level begins at the raster's upper left corner; heights and widths are halved and rounded up, so that a level may reach
beyond the raster by less than one of its own pixels. Who makes levels owns whole shards of three of them: a block of
BLOCK x BLOCK pixels of level 0 (3, 6, ...) is one shard of levels 1, 2 and 3 (4, 5 and 6, ...), whatever the tiles are.
"""

from __future__ import annotations

from dataclasses import dataclass

from terradrift.grid import Grid, Window

MAX_CHUNK = 256
"""Pixels a side of an inner chunk: what a browser fetches at a time. The last level fits one."""

SPAN = 3
"""Levels that are made from one read of the level before them."""

BLOCK = MAX_CHUNK << SPAN
"""Pixels a side of what is read for that: the coarsest of the levels has one chunk of it."""


@dataclass(frozen=True)
class Level:
    """One level of a raster."""

    number: int
    grid: Grid
    """Of the level alone: its pixel (0, 0) is the raster's upper left corner."""

    @property
    def name(self) -> str:
        return str(self.number)

    @property
    def window(self) -> Window:
        return self.grid.window

    @property
    def source(self) -> int:
        """The level that this one and its neighbours are made from in one task."""
        return max(0, self.number - 1) // SPAN * SPAN

    @property
    def shard(self) -> int:
        """Pixels a side of a shard (of level 0: where it is not a tile)."""
        return BLOCK >> (self.number - self.source)


def levels(grid: Grid, window: Window) -> tuple[Level, ...]:
    """All levels of a window of a grid; the last one fits one chunk."""
    a, b, c, d, e, f = grid.window_transform(window)
    found, (height, width) = [Level(0, Grid(grid.crs, (a, b, c, d, e, f), *window.shape))], window.shape
    while max(height, width) > MAX_CHUNK:
        height, width, step = -(-height // 2), -(-width // 2), 2 ** len(found)
        found.append(Level(len(found), Grid(grid.crs, (a * step, b, c, d, e * step, f), height, width)))
    return tuple(found)


def pyramid_share(grid: Grid, window: Window) -> float:
    """Pixels of all levels over those of level 0."""
    pixels = [level.grid.height * level.grid.width for level in levels(grid, window)]
    return sum(pixels) / pixels[0]
