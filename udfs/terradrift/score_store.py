"""Rasters on disk: a GeoZarr template first, then whole shards. One tile is one shard object of every array.

The driver writes all metadata before any task starts; tasks only put shard objects. Metadata follow the published v0.1 tags
of the Zarr conventions `multiscales`, `proj` and `spatial`, and a CF grid mapping beside them for readers that know no other.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec

from terradrift.buffers import BUFFERS
from terradrift.errors import StoreError
from terradrift.geozarr import level_attributes, root_attributes, spatial_ref_attributes
from terradrift.grid import Grid, Tile, Window
from terradrift.kernels.score_block import Recipe
from terradrift.kernels.series import KIND_NODATA, KINDS, YEAR_NODATA
from terradrift.kernels.strata import STRATUM_NODATA
from terradrift.kernels.templates import DECOYS
from terradrift.store import Store, open_store
from terradrift.zarr_chunks import ABSENT, ArrayLayout, parse_layout

ZSTD_LEVEL = 3

MAX_CHUNK = 256
"""Pixels a side of an inner chunk: what a browser fetches at a time."""


@dataclass(frozen=True)
class RasterArray:
    """One array of a raster store."""

    name: str
    dtype: str
    fill_value: float
    dims: tuple[str, ...] = ("y", "x")
    attributes: Mapping[str, Any] = field(default_factory=dict)


def score_arrays(recipe: Recipe) -> tuple[RasterArray, ...]:
    """The arrays of `scores.zarr`: `scores` only where annual bands were asked for, `stratum` only with calibration."""
    flags = {"flag_values": list(range(len(KINDS))), "flag_meanings": " ".join(KINDS)}
    annual = RasterArray("scores", "float32", math.nan, ("time", "band", "y", "x"), {"long_name": "annual change score"})
    change = (
        RasterArray("change_score", "float32", math.nan, attributes={"long_name": "statistic of the change detector"}),
        RasterArray("change_effect", "float32", math.nan, attributes={"long_name": "size of the change in cosine distance"}),
        RasterArray(
            "change_year",
            "int16",
            YEAR_NODATA,
            attributes={"long_name": "first year of the new state", "comment": "0 = none, -1 = no data"},
        ),
        RasterArray("change_kind", "uint8", KIND_NODATA, attributes={"long_name": "kind of change", **flags}),
    )
    stratum = RasterArray("stratum", "uint8", STRATUM_NODATA, attributes={"long_name": "stratum of alike embeddings"})
    return (*((annual,) if recipe.annual else ()), *change, *((stratum,) if recipe.lattice else ()))


DECOY_DIMS = ("decoy", "y", "x")

DECOY_ARRAYS = (
    RasterArray("decoy_score", "float32", math.nan, DECOY_DIMS, {"long_name": "statistic of the years in another order"}),
    RasterArray("decoy_effect", "float32", math.nan, DECOY_DIMS, {"long_name": "size of change of the years in another order"}),
    RasterArray("decoy_kind", "uint8", KIND_NODATA, DECOY_DIMS, {"long_name": "kind of change of the years in another order"}),
)
"""The arrays of `decoys.zarr`, on the lattice: one pixel in the middle of each of its pixels was drawn."""

Q = RasterArray("q", "float32", math.nan, attributes={"long_name": "smallest false discovery rate at which it is mapped"})

CHANGED = RasterArray(
    "changed", "uint8", 255, attributes={"long_name": "mapped as change", "flag_values": [0, 1], "flag_meanings": "no yes"}
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

        The template is made in memory and its root is put last, so that a store with a root is complete and the same call
        after a crash gives the same bytes.
        """
        template: dict[str, Any] = {}
        target = zarr.storage.MemoryStore(template)
        group = zarr.Group.from_store(target, attributes={**attributes, **root_attributes(self.grid, self.window)})
        level = group.create_group("0", attributes=level_attributes(self.grid, self.window))
        for where in (group, level):
            self._coordinates(where, years, bands)
        sizes = {"time": len(years), "band": len(bands), "decoy": DECOYS, "y": self.window.height, "x": self.window.width}
        for array in arrays:
            depth = tuple(sizes[dim] for dim in array.dims[:-2])
            level.create_array(
                array.name,
                shape=tuple(sizes[dim] for dim in array.dims),
                chunks=(*(1,) * len(depth), self.chunk, self.chunk),
                shards=(*depth, self.tile_size, self.tile_size),
                dtype=array.dtype,
                fill_value=array.fill_value,
                compressors=ZstdCodec(level=ZSTD_LEVEL, checksum=True),
                dimension_names=array.dims,
                attributes={**array.attributes, "grid_mapping": "spatial_ref", **level_attributes(self.grid, self.window)},
            )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Consolidated metadata", zarr.errors.ZarrUserWarning)
            zarr.consolidate_metadata(target, zarr_format=3)
        for key in sorted(template, key=lambda key: (key == "zarr.json", key)):
            self.store.put(key, template[key].to_bytes())

    def _coordinates(self, group: zarr.Group, years: Sequence[int], bands: Sequence[str]) -> None:
        a, _, c, _, e, f = self.grid.window_transform(self.window)
        geographic = self.grid.is_geographic
        x_attributes = {"standard_name": "longitude" if geographic else "projection_x_coordinate"}
        y_attributes = {"standard_name": "latitude" if geographic else "projection_y_coordinate"}
        centres = {
            "x": (c + a * (np.arange(self.window.width) + 0.5), x_attributes),
            "y": (f + e * (np.arange(self.window.height) + 0.5), y_attributes),
        }
        for name, (values, attributes) in centres.items():
            _write_coordinate(group, name, values, attributes)
        if years:
            _write_coordinate(group, "time", np.asarray(years, np.int32), {"long_name": "year"})
        if bands:
            _write_coordinate(group, "band", np.asarray(bands, object), {"long_name": "annual score"})
        reference = group.create_array(
            "spatial_ref", shape=(), dtype="int32", attributes=spatial_ref_attributes(self.grid, self.window)
        )
        reference[...] = 0

    def tile(self, row: int, col: int) -> Tile:
        """Tile (row, col) of the mosaic's tile grid, clipped to this raster."""
        size = self.tile_size
        window = Window(row * size, col * size, size, size).intersection(self.window)
        if window is None:
            raise ValueError(f"tile r{row:06d}_c{col:06d} lies outside the raster {self.window}")
        return Tile(row, col, window)

    def layout(self, name: str) -> ArrayLayout:
        """Layout of an array of level 0, as its metadata say."""
        return _layout(self.url, f"0/{name}")

    def write_tile(self, tile: Tile, rasters: Mapping[str, npt.NDArray[Any]]) -> dict[str, str]:
        """Put one shard of every array; gives the sha256 of each object, or `absent` where all is the fill value."""
        written: dict[str, str] = {}
        for name, values in rasters.items():
            layout = self.layout(name)
            data = layout.encode_shard(values)
            key = layout.key(self._shard(layout, tile))
            if data is None:
                written[name] = "absent"
                continue
            self.store.put(key, data.data)
            written[name] = hashlib.sha256(data.data).hexdigest()
            BUFFERS.give(data)
        return written

    def read_tile(self, tile: Tile, name: str) -> npt.NDArray[Any]:
        """One tile of an array, (..., y, x); a missing shard is the fill value."""
        layout = self.layout(name)
        key = layout.key(self._shard(layout, tile))
        where = f"{self.url}/{key}"
        values = np.full((*layout.shape[:-2], *tile.window.shape), layout.fill_value, layout.dtype)
        data = self.store.get(key)
        if data is None:
            return values
        if len(data) < layout.index_bytes:
            raise StoreError(f"{where}: found {len(data)} bytes; expected a shard: the object is cut or empty")
        index = layout.parse_index(data[-layout.index_bytes :], where)
        chunk = np.empty(layout.chunk, layout.dtype)
        for position in np.ndindex(layout.chunks_per_shard):
            start, length = (int(n) for n in index[layout.slot(position)])
            if start == ABSENT:
                continue
            layout.decode(data[start : start + length], chunk, where)
            starts = [i * n for i, n in zip(position, layout.chunk, strict=True)]
            part = values[tuple(slice(at, at + n) for at, n in zip(starts, layout.chunk, strict=True))]
            part[...] = chunk[tuple(slice(0, n) for n in part.shape)]
        return values

    def _shard(self, layout: ArrayLayout, tile: Tile) -> tuple[int, ...]:
        y, x = tile.row - self.window.y0 // self.tile_size, tile.col - self.window.x0 // self.tile_size
        return (*(0,) * (len(layout.shape) - 2), y, x)


def raster_store(url: str, grid: Grid, window: Window, tile_size: int) -> RasterStore:
    """A raster store whose inner chunks are as near to 256 pixels as the tile allows."""
    chunk = tile_size
    while chunk > MAX_CHUNK and chunk % 2 == 0:
        chunk //= 2
    return RasterStore(url, grid, window, tile_size, chunk)


@lru_cache(maxsize=64)
def _layout(url: str, path: str) -> ArrayLayout:
    data = open_store(url).get(f"{path}/zarr.json")
    if data is None:
        raise StoreError(f"{url}: found no {path}/zarr.json; expected a raster store; was the output removed?")
    return parse_layout(path, data, f"{url}/{path}")[0]


def _write_coordinate(group: zarr.Group, name: str, values: npt.NDArray[Any], attributes: Mapping[str, Any]) -> None:
    dtype: Any = str if values.dtype == object else values.dtype
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=values.shape,
        dtype=dtype,
        compressors=ZstdCodec(level=ZSTD_LEVEL, checksum=True),
        dimension_names=(name,),
        attributes=dict(attributes),
    )
    array[...] = values
