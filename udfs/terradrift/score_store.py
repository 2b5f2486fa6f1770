"""Rasters on disk: a GeoZarr template first, then whole shards. One tile is one shard object of every array.

The driver writes all metadata before any task starts; tasks only put shard objects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.buffers import BUFFERS
from terradrift.errors import StoreError
from terradrift.grid import Grid, Tile, Window
from terradrift.kernels.score_block import Recipe
from terradrift.kernels.series import KIND_NODATA, KINDS, YEAR_NODATA
from terradrift.kernels.strata import STRATUM_NODATA
from terradrift.kernels.templates import DECOYS
from terradrift.pyramid import MAX_CHUNK, Level, levels
from terradrift.raster_template import RasterArray, Template
from terradrift.sealed import ABSENT as ABSENT_OBJECT
from terradrift.sealed import Written, written
from terradrift.store import Store, open_store
from terradrift.zarr_chunks import ABSENT, ArrayLayout
from terradrift.zarr_layout import own_layout


def score_arrays(recipe: Recipe, overview: str = "mean") -> tuple[RasterArray, ...]:
    """The arrays of `scores.zarr`: `scores` only where annual bands were asked for, `stratum` only with calibration.

    overview: what coarser levels show of scores and effects, mean or max.
    """
    flags = {"flag_values": list(range(len(KINDS))), "flag_meanings": " ".join(KINDS)}
    annual = RasterArray(
        "scores", "float32", math.nan, ("time", "band", "y", "x"), {"long_name": "annual change score"}, overview
    )
    change = (
        RasterArray(
            "change_score", "float32", math.nan, attributes={"long_name": "statistic of the change detector"}, overview=overview
        ),
        RasterArray(
            "change_effect",
            "float32",
            math.nan,
            attributes={"long_name": "size of the change in cosine distance"},
            overview=overview,
        ),
        RasterArray(
            "change_year",
            "int16",
            YEAR_NODATA,
            attributes={"long_name": "first year of the new state", "comment": "0 = none, -1 = no data"},
            overview="mode",
        ),
        RasterArray("change_kind", "uint8", KIND_NODATA, attributes={"long_name": "kind of change", **flags}, overview="mode"),
    )
    stratum = RasterArray(
        "stratum", "uint8", STRATUM_NODATA, attributes={"long_name": "stratum of alike embeddings"}, overview="mode"
    )
    return (*((annual,) if recipe.annual else ()), *change, *((stratum,) if recipe.lattice else ()))


DECOY_DIMS = ("decoy", "y", "x")

DECOY_ARRAYS = (
    RasterArray("decoy_score", "float32", math.nan, DECOY_DIMS, {"long_name": "statistic of the years in another order"}),
    RasterArray("decoy_effect", "float32", math.nan, DECOY_DIMS, {"long_name": "size of change of the years in another order"}),
    RasterArray("decoy_kind", "uint8", KIND_NODATA, DECOY_DIMS, {"long_name": "kind of change of the years in another order"}),
)
"""The arrays of `decoys.zarr`, on the lattice: one pixel in the middle of each of its pixels was drawn."""

Q = RasterArray(
    "q", "float32", math.nan, attributes={"long_name": "smallest false discovery rate at which it is mapped"}, overview="mean"
)

CHANGED = RasterArray(
    "changed",
    "uint8",
    255,
    attributes={"long_name": "mapped as change", "flag_values": [0, 1], "flag_meanings": "no yes"},
    overview="mode",
)


@dataclass(frozen=True)
class RasterStore:
    """A raster of whole tiles on the mosaic's grid."""

    url: str
    grid: Grid
    """The mosaic's grid."""
    window: Window
    """The raster: whole tiles of the mosaic's grid, clipped to the array."""
    tile_size: int
    chunk: int
    """Pixels a side of an inner chunk."""

    @property
    def store(self) -> Store:
        return open_store(self.url)

    def create(
        self,
        arrays: Sequence[RasterArray],
        years: Sequence[int] = (),
        bands: Sequence[str] = (),
        attributes: Mapping[str, Any] = {},
    ) -> None:
        """Write the whole template: groups, arrays, coordinates, consolidated metadata. Shards that exist stay.

        Its root is put last, so that a store with a root is complete and the same call after a crash gives the same bytes.
        """
        overviews = any(array.overview for array in arrays)
        coordinates = {
            "time": (np.asarray(years, np.int32), {"long_name": "year"}),
            "band": (np.asarray(bands, object), {"long_name": "annual score"}),
        }
        template = Template(
            self.levels if overviews else self.levels[:1],
            arrays,
            self.chunk,
            self.tile_size,
            {name: found for name, found in coordinates.items() if len(found[0])},
            {"time": len(years), "band": len(bands), "decoy": DECOYS},
            attributes,
        )
        objects = template.objects()
        for key in sorted(objects, key=lambda key: (key == "zarr.json", key)):
            self.store.put(key, objects[key])

    @property
    def levels(self) -> tuple[Level, ...]:
        """Full resolution and the overviews after it, of the arrays that have any."""
        return levels(self.grid, self.window)

    def tile(self, row: int, col: int) -> Tile:
        """Tile (row, col) of the mosaic's tile grid, clipped to this raster."""
        size = self.tile_size
        window = Window(row * size, col * size, size, size).intersection(self.window)
        if window is None:
            raise ValueError(f"tile r{row:06d}_c{col:06d} lies outside the raster {self.window}")
        return Tile(row, col, window)

    def layout(self, name: str, level: int = 0) -> ArrayLayout:
        """Layout of an array, as its metadata say."""
        return _layout(self.url, f"{level}/{name}")

    def write_tile(self, tile: Tile, rasters: Mapping[str, npt.NDArray[Any]]) -> dict[str, Written | str]:
        """Put one shard of every array; gives what was written by key, or ABSENT where all is the fill value."""
        return dict(self.write_shard(name, 0, self._shard(self.layout(name), tile), values) for name, values in rasters.items())

    def write_shard(self, name: str, level: int, at: tuple[int, ...], values: npt.NDArray[Any]) -> tuple[str, Written | str]:
        """Put shard (..., row, col) of a level; gives its key and what was written, or ABSENT where all is the fill value."""
        layout = self.layout(name, level)
        key = layout.key(at)
        data = layout.encode_shard(values, key)
        if data is None:
            return key, ABSENT_OBJECT
        self.store.put(key, data.data)
        found = written(data.data)
        BUFFERS.give(data)
        return key, found

    @property
    def name(self) -> str:
        """The store's own name: what its keys begin with in records."""
        return self.url.rpartition("/")[2]

    def read_tile(self, tile: Tile, name: str) -> npt.NDArray[Any]:
        """One tile of an array, (..., y, x); a missing shard is the fill value."""
        return self.read_window(tile.window, name)

    def read_window(self, window: Window, name: str) -> npt.NDArray[Any]:
        """A window of an array, (..., y, x), inside the raster; a missing shard is the fill value."""
        layout, size = self.layout(name), self.tile_size
        values = np.full((*layout.shape[:-2], *window.shape), layout.fill_value, layout.dtype)
        for row in range(window.y0 // size, -(-window.y1 // size)):
            for col in range(window.x0 // size, -(-window.x1 // size)):
                self._read_shard(layout, self.tile(row, col), window, values)
        return values

    def _read_shard(self, layout: ArrayLayout, tile: Tile, window: Window, values: npt.NDArray[Any]) -> None:
        """What a window has of one tile, into its values."""
        key = layout.key(self._shard(layout, tile))
        where = f"{self.url}/{key}"
        data = self.store.get(key)
        if data is None:
            return
        index = layout.parse_tail(data[-layout.tail_bytes :], key, where)
        chunk = np.empty(layout.chunk, layout.dtype)
        height, width = layout.chunk[-2:]
        for position in np.ndindex(layout.chunks_per_shard):
            start, length = (int(n) for n in index[layout.slot(position)])
            place = Window(tile.window.y0 + position[-2] * height, tile.window.x0 + position[-1] * width, height, width)
            part = place.intersection(window)
            if start == ABSENT or part is None:
                continue
            layout.decode(data[start : start + length], chunk, where)
            depth = tuple(slice(i * n, (i + 1) * n) for i, n in zip(position[:-2], layout.chunk[:-2], strict=True))
            values[(*depth, *part.slices(window))] = chunk[(..., *part.slices(place))]

    def _shard(self, layout: ArrayLayout, tile: Tile) -> tuple[int, ...]:
        """Index of a tile's shard, which holds all years and bands."""
        row, col = tile.row - self.window.y0 // self.tile_size, tile.col - self.window.x0 // self.tile_size
        return (*(0,) * (len(layout.shape) - 2), row, col)


def raster_store(url: str, grid: Grid, window: Window, tile_size: int) -> RasterStore:
    """A raster store whose inner chunks are as near to 256 pixels as the tile allows."""
    chunk = tile_size
    while chunk > MAX_CHUNK and chunk % 2 == 0:
        chunk //= 2
    return RasterStore(url, grid, window, tile_size, chunk)


@lru_cache(maxsize=256)
def _layout(url: str, path: str) -> ArrayLayout:
    data = open_store(url).get(f"{path}/zarr.json")
    if data is None:
        raise StoreError(f"{url}: found no {path}/zarr.json; expected a raster store; was the output removed?")
    return own_layout(path, data, f"{url}/{path}")
