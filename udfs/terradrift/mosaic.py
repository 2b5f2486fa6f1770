"""An embedding mosaic: open its metadata, read the codes of a window block by block."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.errors import DamagedError, InputError, StoreError
from terradrift.grid import Grid, Window
from terradrift.mosaic_chunks import ChunkReader, ReadReport
from terradrift.mosaic_metadata import MAX_METADATA_BYTES, georeference, quantization_of, years_of
from terradrift.params.locations import mosaic_location
from terradrift.store import Store, open_store
from terradrift.store.remote import NO_BUCKET
from terradrift.zarr_chunks import ArrayLayout
from terradrift.zarr_layout import parse_json, parse_layout

__all__ = ["Block", "Mosaic", "ReadReport", "open_mosaic"]

MAX_CHUNK_BYTES = 256 << 20
"""Largest decompressed chunk accepted: a plan must bound memory before anything is read."""

MAX_INDEX_BYTES = 16 << 20

READ_THREADS = 8
"""Objects of one chunk row fetched at the same time from an object store."""

LOCAL_READ_THREADS = 1
"""The same from a folder, for one chunk column at a time: bytes that wait take fresh memory, which costs as much as reading."""

_ROWS_AHEAD = 2


def rows_ahead(is_local: bool) -> int:
    """Chunk rows that are fetched while one is used: from elsewhere two, so that a slow answer finds work to go on with."""
    return 1 if is_local else _ROWS_AHEAD


_AXES = ("time", "band", "y", "x")


@dataclass(frozen=True)
class Block:
    """One chunk of ground, all years: the unit of computing."""

    window: Window
    codes: npt.NDArray[Any]
    """(time, band, y, x) of the window: int8 codes, or float32/float64 vectors with NaN for no data.

    Valid until the next block is asked for, the last one until there is none."""


@dataclass(frozen=True)
class Mosaic:
    """Metadata of an embedding mosaic: a value, cheap to ship; connections are made where it is read."""

    url: str
    grid: Grid
    years: tuple[int, ...]
    """Calendar years along the time axis."""
    layout: ArrayLayout
    quantization: str
    """`signed_square` or `none`."""
    metadata_sha256: str
    """Identity of the input: hash of the group's and the array's metadata and of the years."""
    attribution: str | None = None
    forbidden_means_missing: bool = False
    """An object that is answered with 403 is absent."""

    @property
    def store(self) -> Store:
        return open_store(self.url, self.forbidden_means_missing)

    @property
    def n_bands(self) -> int:
        return self.layout.shape[1]

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """Height and width of a chunk in pixels."""
        return self.layout.chunk[2], self.layout.chunk[3]

    def check_tile_size(self, tile_size: int) -> None:
        """Refuse a tile size that would split chunks."""
        height, width = self.chunk_shape
        if all(tile_size % n == 0 and (tile_size // n).bit_count() == 1 for n in (height, width)):
            return
        fitting = [n for n in (max(height, width) << k for k in range(6)) if n <= 4096]
        name, n = ("height", height) if tile_size % height or (tile_size // height).bit_count() != 1 else ("width", width)
        raise InputError(
            f"tile_size: {tile_size} is not the mosaic's chunk {name} {n} times a power of two; use {_list(fitting)}"
        )

    def select_years(self, years: Sequence[int] | None) -> tuple[int, ...]:
        """The mosaic's years from the first to the last wanted, by value, in calendar order."""
        known = sorted(self.years)
        wanted = tuple(years) if years else (known[0], known[-1])
        for year in wanted:
            if year not in known:
                raise InputError(f"years: found {year}; expected years of the mosaic ({known[0]} to {known[-1]}: {_list(known)})")
        selected = tuple(year for year in known if wanted[0] <= year <= wanted[-1])
        if len(selected) < 2:
            raise InputError(f"years: found {list(wanted)}; expected two different years of the mosaic ({_list(known)})")
        return selected

    def read_blocks(
        self, window: Window, years: Sequence[int], report: ReadReport, wanted: npt.NDArray[np.bool_] | None = None
    ) -> Iterator[Block]:
        """The chunks of a chunk-aligned window, row by row, with all `years`; what comes next is fetched while one is used.

        `wanted` (chunk rows, chunk columns): chunks not wanted are neither fetched nor given. Chunks without any data are not
        given either. A missing object is no data; any other failure raises StoreError.
        """
        times = tuple(self.years.index(year) for year in years)
        reader = ChunkReader(self.store, self.layout, self.quantization == "none", times, report)
        height, width = self.chunk_shape
        rows = range(window.y0 // height, math.ceil(window.y1 / height))
        cols = range(window.x0 // width, math.ceil(window.x1 / width))
        fetches = [(row, _columns(cols, wanted, k)) for k, row in enumerate(rows)]
        if is_local := self.store.local_path is not None:
            fetches = [(row, [col]) for row, some in fetches for col in some]
        ahead = rows_ahead(is_local)
        with closing(reader), ThreadPoolExecutor(LOCAL_READ_THREADS if is_local else READ_THREADS) as pool:
            coming = deque(reader.fetch(pool, *fetch) for fetch in fetches[:ahead])
            for (row, some), after in zip_longest(fetches, fetches[ahead:]):
                chunks = reader.collect(coming.popleft())
                if after is not None:
                    coming.append(reader.fetch(pool, *after))
                for col in some:
                    codes = reader.decode(chunks, row, col)
                    part = Window(row * height, col * width, height, width).intersection(window)
                    if codes is not None and part is not None:
                        yield Block(part, codes[:, :, : part.height, : part.width])


def _columns(cols: range, wanted: npt.NDArray[np.bool_] | None, row: int) -> list[int]:
    return [col for k, col in enumerate(cols) if wanted is None or wanted[row, k]]


def _list(years: Sequence[int]) -> str:
    return ", ".join(map(str, years))


def open_mosaic(
    url: str, variable: str = "embeddings", quantization: str | None = None, forbidden_means_missing: bool = False
) -> Mosaic:
    """Open the metadata of a Zarr v3 embedding mosaic; nothing else is read. Raises InputError in one line.

    forbidden_means_missing: objects of the mosaic, but not its metadata, that are answered with 403 are absent.
    """
    try:
        store = open_store(mosaic_location(str(url)))
    except ValueError as cause:
        raise InputError(f"mosaic: {cause}") from None
    try:
        return _open(store, variable, quantization, forbidden_means_missing)
    except InputError:
        if store.local_path is not None:
            raise
    return _open(store, variable, quantization, forbidden_means_missing)  # what was damaged on its way is whole the second time


def _open(store: Store, variable: str, quantization: str | None, forbidden_means_missing: bool) -> Mosaic:
    group_bytes = _metadata(store, "zarr.json", "a Zarr v3 group")
    where = f"mosaic {store.url}"
    group = parse_json(group_bytes, f"{where}/zarr.json")
    if group.get("node_type") != "group":
        raise InputError(f"{where}: found node_type {group.get('node_type')!r}; expected a group with the array {variable!r}")
    array_bytes = _metadata(store, f"{variable}/zarr.json", f"the array {variable!r}")
    layout, document = parse_layout(variable, array_bytes, f"{where}/{variable}")
    _check_layout(layout, document, where)
    attributes = {**_attributes(group, where), **_attributes(document, f"{where}/{variable}")}
    optional = open_store(store.url, forbidden_means_missing)
    grid = georeference(attributes, layout.shape[2:], optional, where)
    years = years_of(store, layout.shape[0], where)
    method = quantization or quantization_of(attributes, layout, where)
    if method == "signed_square" and layout.dtype != np.int8:
        raise InputError(
            f"{where}: quantization: found signed_square with {layout.dtype}; expected int8 codes, or quantization: none"
        )
    digest = hashlib.sha256(group_bytes + array_bytes + repr(years).encode()).hexdigest()
    return Mosaic(store.url, grid, years, layout, method, digest, attributes.get("attribution"), forbidden_means_missing)


def _metadata(store: Store, key: str, what: str) -> bytes:
    try:
        data = store.get(key, MAX_METADATA_BYTES)
    except DamagedError as cause:
        raise InputError(f"mosaic {cause}; expected {what}") from cause
    except StoreError as cause:
        if store.local_path is not None:
            raise InputError(f"mosaic: cannot read {store.url}/{key} ({cause}); expected {what}; check the path") from cause
        if NO_BUCKET in str(cause):
            raise InputError(f"mosaic: found no bucket for {store.url}; expected {what}; check the bucket's name") from cause
        raise
    if data is None:
        hint = "a Zarr v2 store is not read, convert it" if store.size(".zgroup") is not None else "check mosaic and variable"
        raise InputError(f"mosaic: found no {key} in {store.url}; expected {what}; {hint}")
    return data


def _attributes(document: dict[str, Any], where: str) -> dict[str, Any]:
    attributes = document.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise InputError(f"{where}: attributes: found {type(attributes).__name__}; expected a JSON object")
    return attributes


def _check_layout(layout: ArrayLayout, document: dict[str, Any], where: str) -> None:
    names = document.get("dimension_names")
    if len(layout.shape) != 4:
        raise InputError(f"{where}/{layout.path}: found {len(layout.shape)} dimensions; expected 4: (time, band, y, x)")
    if names is not None and names != list(_AXES):
        raise InputError(f"{where}/{layout.path}: dimension_names: found {names}; expected {list(_AXES)} in this order")
    if layout.chunk_bytes > MAX_CHUNK_BYTES:
        raise InputError(
            f"{where}/{layout.path}: found chunks of {layout.chunk_bytes >> 20} MiB decompressed ({layout.chunk}); "
            f"expected at most {MAX_CHUNK_BYTES >> 20} MiB; rechunk the mosaic"
        )
    if layout.sharded and layout.index_bytes > MAX_INDEX_BYTES:
        raise InputError(
            f"{where}/{layout.path}: found {layout.index_bytes // 16} chunks a shard; expected at most {MAX_INDEX_BYTES // 16}"
        )
