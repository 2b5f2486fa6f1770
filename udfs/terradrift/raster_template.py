"""The metadata of a raster store, all of it before any task starts: groups, arrays and coordinates of every level.

They follow the published v0.1 tags of the Zarr conventions `multiscales`, `proj` and `spatial`, and a CF grid mapping beside
them for readers that know no other. The root has no x and y: xarray refuses a tree whose levels differ from their parent's.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec

from terradrift.geozarr import level_attributes, root_attributes, spatial_ref_attributes
from terradrift.grid import Grid
from terradrift.kernels.overview import RESAMPLING
from terradrift.pyramid import MAX_CHUNK, Level
from terradrift.zarr_chunks import NAMED

ZSTD_LEVEL = 1
"""Float scores are noise below their first digits: level 3 takes twice the time of level 1 for two hundredths less."""


@dataclass(frozen=True)
class RasterArray:
    """One array of a raster store."""

    name: str
    dtype: str
    fill_value: float
    dims: tuple[str, ...] = ("y", "x")
    attributes: Mapping[str, Any] = field(default_factory=dict)
    overview: str | None = None
    """One of kernels.overview.RESAMPLING; None: at full resolution alone."""
    chunk_depth: tuple[int, ...] | None = None
    """Lengths of a chunk before y and x; None: one plane."""
    shard_depth: tuple[int, ...] | None = None
    """Lengths of a shard before y and x; None: all planes."""


@dataclass(frozen=True)
class Template:
    """What a raster store is made of."""

    levels: tuple[Level, ...]
    arrays: Sequence[RasterArray]
    chunk: int
    """Pixels a side of an inner chunk of level 0."""
    shard: int
    """Pixels a side of a shard of level 0."""
    coordinates: Mapping[str, tuple[npt.NDArray[Any], Mapping[str, Any]]]
    """Values and attributes, of the dimensions before y and x that have any."""
    depth: Mapping[str, int]
    """Lengths of the dimensions before y and x."""
    attributes: Mapping[str, Any]
    """Of the root."""

    def objects(self) -> dict[str, bytes]:
        """Bytes by key, consolidated at the root; the same bytes for the same template."""
        objects: dict[str, Any] = {}
        target = zarr.storage.MemoryStore(objects)
        method = next((array.overview for array in self.arrays if array.overview), "mean")
        root = zarr.Group.from_store(target, attributes={**self.attributes, **root_attributes(self.levels, RESAMPLING[method])})
        self._write_coordinates(root, self.levels[0].grid)
        for level in self.levels:
            group = root.create_group(level.name, attributes=level_attributes(level.grid))
            self._write_coordinates(group, level.grid)
            _write_pixel_centres(group, level.grid)
            for array in self.arrays:
                if not level.number or array.overview:
                    self._create_array(group, level, array)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Consolidated metadata", zarr.errors.ZarrUserWarning)
            for path in ("", *(level.name for level in self.levels)):  # a level opened by itself is found at once as well
                zarr.consolidate_metadata(target, path=path, zarr_format=3)
        return {key: value.to_bytes() for key, value in objects.items()}

    def _create_array(self, group: zarr.Group, level: Level, array: RasterArray) -> None:
        chunk, shard = (MAX_CHUNK, level.shard) if level.number else (self.chunk, self.shard)
        depth = tuple(self.depth[dim] for dim in array.dims[:-2])
        resampling = {"resampling_method": RESAMPLING[array.overview]} if array.overview else {}
        group.create_array(
            array.name,
            shape=(*depth, level.grid.height, level.grid.width),
            chunks=(*(array.chunk_depth or (1,) * len(depth)), chunk, chunk),
            shards=(*(array.shard_depth or depth), shard, shard),
            dtype=array.dtype,
            fill_value=array.fill_value,
            compressors=ZstdCodec(level=ZSTD_LEVEL, checksum=True),
            dimension_names=array.dims,
            attributes={**array.attributes, **resampling, **NAMED, "grid_mapping": "spatial_ref", **level_attributes(level.grid)},
        )

    def _write_coordinates(self, group: zarr.Group, grid: Grid) -> None:
        for name, (values, attributes) in self.coordinates.items():
            _write_coordinate(group, name, values, attributes)
        reference = group.create_array("spatial_ref", shape=(), dtype="int32", attributes=spatial_ref_attributes(grid))
        reference[...] = 0


def _write_pixel_centres(group: zarr.Group, grid: Grid) -> None:
    a, _, c, _, e, f = grid.transform
    x_name, y_name = ("longitude", "latitude") if grid.is_geographic else ("projection_x_coordinate", "projection_y_coordinate")
    _write_coordinate(group, "x", c + a * (np.arange(grid.width) + 0.5), {"standard_name": x_name})
    _write_coordinate(group, "y", f + e * (np.arange(grid.height) + 0.5), {"standard_name": y_name})


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
