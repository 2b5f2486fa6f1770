"""The Zarr stores of a scene, written byte by byte: the layout of the public AlphaEarth mosaic, and rasters of the truth.

A shard's chunks are appended as they come and its index follows them, so no shard is ever in memory. Chunks without a valid
pixel are left out, and shards without chunks are not written. Nothing here is shared with the code that reads mosaics, so that
a misreading of the format cannot hide in both.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import google_crc32c
import numpy as np
import numpy.typing as npt

from terradrift.grid import Grid, Window
from terradrift.scene.embeddings import BANDS

STEP = 8.983111749910169e-05
"""Degrees of a pixel: 10 / 111320."""

GLOBAL_X, GLOBAL_Y = -180.0, 83.68570533713473
"""Upper left corner of the global mosaic."""

GLOBAL_ROW, GLOBAL_COL = 1898 * 256, 3249 * 256
"""Row and column of the global mosaic where a scene's array begins: whole chunks, just north-west of Boulder, Colorado."""

ZSTD_LEVEL = 3

_MISSING = 2**64 - 1
"""Offset and length of a chunk that a shard does not hold."""

_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_ZSTD = {"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": False}}

_CONVENTIONS = [
    {
        "schema_url": f"https://raw.githubusercontent.com/{repository}/refs/tags/v1/schema.json",
        "spec_url": f"https://github.com/{repository}/blob/v1/README.md",
        "uuid": uuid,
        "name": name,
        "description": description,
    }
    for repository, uuid, name, description in (
        (
            "zarr-experimental/geo-proj",
            "f17cb550-5864-4468-aeb7-f3180cfb622f",
            "proj:",
            "Coordinate reference system information for geospatial data",
        ),
        (
            "zarr-conventions/spatial",
            "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
            "spatial:",
            "Spatial coordinate information",
        ),
        (
            "geo-embeddings/embeddings-zarr-convention",
            "61c12cc5-0e28-4056-999a-480cf3fb7e4c",
            "geoemb:",
            "Geoembeddings convention for geospatial embedding arrays with model provenance",
        ),
    )
]


@dataclass(frozen=True)
class Layout:
    """Where the window of a scene lies in its array; pixels."""

    size: int
    years: tuple[int, ...]
    shard: int
    chunk: int

    @property
    def window(self) -> Window:
        """Never aligned to chunks: 37 rows and 91 columns in, less where chunks are small."""
        y0, x0 = (max(1, offset * min(self.chunk, 256) // 256) for offset in (37, 91))
        return Window(y0, x0, self.size, self.size)

    @property
    def shards(self) -> tuple[int, int]:
        """Rows and columns of shards: those of the window and a column more, which no object is written for."""
        return -(-self.window.y1 // self.shard), -(-self.window.x1 // self.shard) + 1

    def chunk_window(self, row: int, col: int) -> Window:
        """Pixels of the array in one chunk."""
        return Window(row * self.chunk, col * self.chunk, self.chunk, self.chunk)

    @property
    def chunks_per_shard(self) -> int:
        return int((self.shard // self.chunk) ** 2)

    def shard_chunks(self, row: int, col: int) -> list[tuple[int, int, int]]:
        """(number in the shard, row, col) of a shard's chunks that touch the window, row by row."""
        n = self.shard // self.chunk
        chunks = [(i * n + j, row * n + i, col * n + j) for i, j in np.ndindex(n, n)]
        return [c for c in chunks if self.chunk_window(*c[1:]).intersection(self.window) is not None]

    @property
    def grid(self) -> Grid:
        rows, cols = self.shards
        transform = (STEP, 0.0, GLOBAL_X + GLOBAL_COL * STEP, 0.0, -STEP, GLOBAL_Y - GLOBAL_ROW * STEP)
        return Grid("EPSG:4326", transform, rows * self.shard, cols * self.shard)


def write_mosaic_metadata(root: Path, layout: Layout) -> None:
    """Groups, arrays and coordinates of the mosaic, and the stray objects that lie in the public one."""
    grid = layout.grid
    _write_json(root / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": _mosaic_attributes(layout)})
    index = {"name": "crc32c"}
    sharding = {
        "chunk_shape": [1, BANDS, layout.chunk, layout.chunk],
        "codecs": [{"name": "bytes"}, _ZSTD],
        "index_codecs": [_BYTES, index],
        "index_location": "end",
    }
    _write_array(
        root / "embeddings",
        shape=(len(layout.years), BANDS, grid.height, grid.width),
        chunk=(1, BANDS, layout.shard, layout.shard),
        dtype="int8",
        fill=-128,
        codecs=[{"name": "sharding_indexed", "configuration": sharding}],
        dims=("time", "band", "y", "x"),
    )
    _write_pixel_centres(root, grid)
    _write_coordinate(root, "time", np.array(layout.years, np.int32))
    bands = [f"A{band:02d}" for band in range(BANDS)]
    codecs = [{"name": "vlen-utf8", "configuration": {}}]
    _write_array(root / "band", shape=(BANDS,), chunk=(BANDS,), dtype="string", fill="", codecs=codecs, dims=("band",))
    packed = b"".join(struct.pack("<I", len(name)) + name.encode() for name in bands)
    write_object(root / "band" / "c" / "0", struct.pack("<I", len(bands)) + packed)
    write_object(root / "README.md", b"# Synthetic embedding mosaic\n\nMade by `terradrift scene`; not measured anywhere.\n")
    write_object(root / ".checkpoint", b"{}\n")


def write_raster_metadata(root: Path, layout: Layout, rasters: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """A group of (y, x) rasters on the mosaic's grid, {name: (dtype, attributes)}; fill 0, a file a chunk."""
    grid = layout.grid
    _write_json(root / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": _georeference(layout)})
    _write_pixel_centres(root, grid)
    for name, (dtype, attributes) in rasters.items():
        _write_array(
            root / name,
            shape=(grid.height, grid.width),
            chunk=(layout.chunk, layout.chunk),
            dtype=dtype,
            fill=0,
            codecs=[_BYTES if np.dtype(dtype).itemsize > 1 else {"name": "bytes"}, _ZSTD],
            dims=("y", "x"),
            attributes=attributes,
        )


def _write_pixel_centres(root: Path, grid: Grid) -> None:
    # from whole pixels of the global mosaic, so that a scene's centres are the global mosaic's, bit for bit
    _write_coordinate(root, "x", GLOBAL_X + (GLOBAL_COL + np.arange(grid.width) + 0.5) * STEP)
    _write_coordinate(root, "y", GLOBAL_Y - (GLOBAL_ROW + np.arange(grid.height) + 0.5) * STEP)


def _write_coordinate(root: Path, name: str, values: npt.NDArray[Any]) -> None:
    """A root coordinate: one uncompressed chunk."""
    _write_array(
        root / name,
        shape=values.shape,
        chunk=values.shape,
        dtype=values.dtype.name,
        fill=0,
        codecs=[_BYTES],
        dims=(name,),
    )
    write_object(root / name / "c" / "0", values.astype(values.dtype.newbyteorder("<")).tobytes())


def write_object(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


class ShardWriter:
    """The objects of one shard position, one a year, filled chunk by chunk; the indexes follow when it is closed."""

    def __init__(self, array: Path, years: int, row: int, col: int, chunks: int) -> None:
        """chunks: how many a shard has room for."""
        self._paths = [array / "c" / str(t) / "0" / str(row) / str(col) for t in range(years)]
        self._files: dict[int, BinaryIO] = {}
        self._index = np.full((years, chunks, 2), _MISSING, "<u8")
        self.bytes_written = 0

    def __enter__(self) -> Self:
        return self

    def append(self, number: int, years: Sequence[bytes | None]) -> None:
        """Adds chunk `number`, counted row by row in the shard; None for a year that has nothing in it."""
        for t, data in enumerate(years):
            if data is None:
                continue
            if t not in self._files:
                self._paths[t].parent.mkdir(parents=True, exist_ok=True)
                self._files[t] = self._paths[t].open("wb")
            self._index[t, number] = self._files[t].tell(), len(data)
            self._files[t].write(data)

    def __exit__(self, *_: object) -> None:
        for t, file in self._files.items():
            with file:
                index = self._index[t].tobytes()
                file.write(index + struct.pack("<I", google_crc32c.value(index)))
                self.bytes_written += file.tell()


def _mosaic_attributes(layout: Layout) -> dict[str, Any]:
    # as the public mosaic has them, down to a source that is no list and a gsd in degrees
    return {
        **_georeference(layout),
        "geoemb:type": "pixel",
        "geoemb:dimensions": BANDS,
        "geoemb:model": "urn:terradrift:scene",
        "geoemb:source_data": "urn:terradrift:scene",
        "geoemb:data_type": "int8",
        "geoemb:gsd": STEP,
        "geoemb:quantization": {
            "method": "signed_square",
            "original_dtype": "float32",
            "quantized_dtype": "int8",
            "formula": "(x / 127.5) ** 2 * sign(x)",
            "valid_range": [-127, 127],
            "nodata": -128,
        },
        "zarr_conventions": _CONVENTIONS,
    }


def _georeference(layout: Layout) -> dict[str, Any]:
    grid = layout.grid
    return {
        "proj:code": grid.crs,
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": list(grid.transform),
        "spatial:transform_type": "affine",
        "spatial:bbox": list(grid.window_bounds(grid.window)),
        "spatial:shape": [grid.height, grid.width],
        "spatial:registration": "pixel",
    }


def _write_array(
    path: Path,
    *,
    shape: Sequence[int],
    chunk: Sequence[int],
    dtype: str,
    fill: int | str,
    codecs: list[dict[str, Any]],
    dims: Sequence[str],
    attributes: dict[str, Any] | None = None,
) -> None:
    _write_json(
        path / "zarr.json",
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(shape),
            "data_type": dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": fill,
            "codecs": codecs,
            "attributes": attributes or {},
            "dimension_names": list(dims),
            "storage_transformers": [],
        },
    )


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_object(path, json.dumps(value, indent=2).encode())
