"""PMTiles version 3: tile ids, and one archive of tiles that lie in many files, written in one pass and put in place whole.

Layout: header (127 bytes), root directory (both within 16 KiB), metadata, leaf directories, tile data. Specification:
github.com/protomaps/PMTiles, spec/v3.
"""

from __future__ import annotations

import json
import os
import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import deflate
import numba
import numpy as np

from terradrift.errors import StoreError
from terradrift.kernels.mvt import varints
from terradrift.kernels.rings import Array

MAX_ZOOM = 31
HEADER_BYTES = 127
ROOT_BYTES = 16384 - HEADER_BYTES
"""Largest root directory: readers fetch it together with the header in their first 16 KiB."""
LEAF_ENTRIES = 4096
"""Entries of a leaf directory to begin with; half as many more are tried until the root fits."""
GZIP_LEVEL = 6
BLOCK_BYTES = 8 * 2**20
VERSION, CLUSTERED = 3, 1
NO_COMPRESSION, GZIP = 1, 2
MVT, PNG = 1, 2


@dataclass(frozen=True)
class TileIndex:
    """Where the tiles lie, in any order; every tile once."""

    tile_id: Array
    """(tile) int64."""
    part: Array
    """(tile) integer: position of its file in the list of part files."""
    offset: Array
    """(tile) int64: first byte in that file."""
    length: Array
    """(tile) int64, bytes."""
    digest: Array
    """(tile, 2) uint64: 128-bit hash of the bytes; equal tiles are stored once."""


@dataclass(frozen=True)
class Archive:
    """What was written."""

    size: int
    """Bytes."""
    tiles: int
    contents: int
    """Different tiles."""


def gzip_bytes(data: bytes) -> bytes:
    """Gzip without time or name: equal input, equal output."""
    return bytes(deflate.gzip_compress(data, GZIP_LEVEL))


def zoom_start(zoom: int) -> int:
    """The first tile id of a zoom."""
    return int((4**zoom - 1) // 3)


def tile_ids(zoom: int, x: Array, y: Array) -> Array:
    """Tile ids (int64): the tiles of all smaller zooms first, then the place on the Hilbert curve of the zoom."""
    ids: Array = _tile_ids(zoom, x.astype(np.int64), y.astype(np.int64)) + zoom_start(zoom)
    return ids


def tile_xyz(ids: Array) -> tuple[Array, Array, Array]:
    """(x, y, zoom), int64, of tile ids."""
    zoom = np.searchsorted([zoom_start(z) for z in range(MAX_ZOOM + 1)], ids, side="right") - 1
    x, y = _tile_xy(ids - (4**zoom - 1) // 3, zoom)
    return x, y, zoom


def write_archive(
    path: Path,
    index: TileIndex,
    parts: Sequence[Path],
    bounds: tuple[float, float, float, float],
    metadata: Mapping[str, Any],
    tile_type: int = MVT,
) -> Archive:
    """Write gzipped vector tiles (MVT), or pictures (PNG), as a PMTiles archive; `path` appears complete or not at all.

    `parts`: the files the tiles lie in. `bounds`: west, south, east, north in degrees. The header's zooms are those of the
    tiles present. Raises StoreError where a file cannot be written or is shorter than the index says.
    """
    order = np.argsort(index.tile_id, kind="stable")
    ids, length = index.tile_id[order], index.length[order]
    first, at = _place(index.digest[order], length)
    entries = _entries(ids, length, at)
    root, leaves = _directories(entries)
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    sections = [root, gzip_bytes(text.encode()), leaves]
    data_bytes = int(length[first].sum())
    head = _header([*map(len, sections), data_bytes], [ids.size, entries.tile_id.size, first.size], ids, bounds, tile_type)
    spans = _spans(*(a[order][first] for a in (index.part, index.offset, index.length)))
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as out:
            out.writelines([head, *sections])
            for part, offset, size in spans:
                _copy_bytes(parts[part], offset, size, out)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except OSError as cause:
        raise StoreError(f"{path}: cannot write the archive: {cause}; free space or name another file") from cause
    finally:
        temporary.unlink(missing_ok=True)
    return Archive(size=HEADER_BYTES + sum(map(len, sections)) + data_bytes, tiles=ids.size, contents=first.size)


class _Entries(NamedTuple):
    """Directory entries: runs of tiles with equal contents (entry) int64."""

    tile_id: Array
    run_length: Array
    length: Array
    offset: Array


def _place(digest: Array, length: Array) -> tuple[Array, Array]:
    """Of tiles in order: positions of those whose bytes are new, and the offset of every tile's bytes in the data section."""
    order = np.lexsort((digest[:, 1], digest[:, 0]))
    ranked = digest[order]
    new = np.ones(order.size, bool)
    new[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    origin = np.empty(order.size, np.int64)
    origin[order] = order[new][np.cumsum(new) - 1]  # lexsort is stable: the first of equals stands first
    first = np.flatnonzero(origin == np.arange(order.size))
    offset = np.zeros(order.size, np.int64)
    offset[first] = np.cumsum(length[first]) - length[first]
    return first, offset[origin]


def _entries(ids: Array, length: Array, offset: Array) -> _Entries:
    new = np.ones(ids.size, bool)
    new[1:] = (np.diff(ids) != 1) | (np.diff(offset) != 0)
    begin = np.flatnonzero(new)
    return _Entries(ids[begin], np.diff(np.append(begin, ids.size)), length[begin], offset[begin])


def _directory(entries: _Entries) -> bytes:
    """Count, then the columns: id steps, run lengths, lengths, offsets + 1 (0: right after the entry before)."""
    follows = np.zeros(entries.offset.size, bool)
    follows[1:] = entries.offset[1:] == entries.offset[:-1] + entries.length[:-1]
    columns: list[Array] = [
        np.array([entries.tile_id.size]),
        np.diff(entries.tile_id, prepend=0),
        entries.run_length,
        entries.length,
        np.where(follows, 0, entries.offset + 1),
    ]
    return gzip_bytes(varints(np.concatenate(columns)).tobytes())


def _directories(entries: _Entries) -> tuple[bytes, bytes]:
    """The root directory, and the leaf directories where it cannot hold all entries."""
    root, leaves, size = _directory(entries), b"", LEAF_ENTRIES
    while len(root) > ROOT_BYTES:
        begin = np.arange(0, entries.tile_id.size, size)
        packed = [_directory(_Entries(*(column[i : i + size] for column in entries))) for i in begin]
        length = np.array([len(leaf) for leaf in packed])
        offset = np.cumsum(length) - length
        root = _directory(_Entries(entries.tile_id[begin], np.zeros_like(length), length, offset))
        leaves = b"".join(packed)
        size += size // 2
    return root, leaves


def _header(sizes: list[int], counts: list[int], ids: Array, bounds: tuple[float, float, float, float], tile_type: int) -> bytes:
    """127 bytes; `sizes` of root, metadata, leaves, data; `counts` of tiles, entries, contents."""
    _, _, zooms = tile_xyz(ids[[0, -1]] if ids.size else np.zeros(2, np.int64))
    starts = HEADER_BYTES + np.cumsum([0, *sizes[:-1]])
    west, south, east, north = (round(degrees * 1e7) for degrees in bounds)
    return struct.pack(
        "<7sB8Q3Q6B4iB2i",
        b"PMTiles",
        VERSION,
        *(int(number) for pair in zip(starts, sizes, strict=True) for number in pair),
        *counts,
        *(CLUSTERED, GZIP, GZIP if tile_type == MVT else NO_COMPRESSION, tile_type),
        *(int(zoom) for zoom in zooms),
        *(west, south, east, north),
        int(zooms[0]),
        *((west + east) // 2, (south + north) // 2),
    )


def _spans(part: Array, offset: Array, length: Array) -> list[tuple[int, int, int]]:
    """(part, offset, length) of stretches of bytes to copy one after another."""
    new = np.ones(part.size, bool)
    new[1:] = (part[1:] != part[:-1]) | (offset[1:] != offset[:-1] + length[:-1])
    begin = np.flatnonzero(new)
    total = np.add.reduceat(length, begin) if begin.size else length
    return list(zip(part[begin].tolist(), offset[begin].tolist(), total.tolist(), strict=True))


def _copy_bytes(source: Path, offset: int, length: int, out: IO[bytes]) -> None:
    with source.open("rb") as file:
        file.seek(offset)
        while length:
            block = file.read(min(length, BLOCK_BYTES))
            if not block:
                raise StoreError(f"{source}: ends {length} bytes before the index does; the file was cut; build the tiles again")
            out.write(block)
            length -= len(block)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _tile_ids(zoom: int, x: Any, y: Any) -> Any:
    """Distance along the Hilbert curve: from the largest quadrant down, each turned into the first one's frame."""
    ids = np.zeros(x.size, np.int64)
    for i in range(x.size):
        px, py = x[i], y[i]
        for bit in range(zoom - 1, -1, -1):
            right, low = px >> bit & 1, py >> bit & 1
            ids[i] = ids[i] << 2 | (3 * right ^ low)
            if not low:
                if right:
                    px, py = ~px, ~py
                px, py = py, px
    return ids


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _tile_xy(places: Any, zooms: Any) -> Any:
    """The inverse of `_tile_ids`: from the smallest quadrant up."""
    x, y = np.zeros(places.size, np.int64), np.zeros(places.size, np.int64)
    for i in range(places.size):
        px, py = 0, 0
        for bit in range(zooms[i]):
            digit = places[i] >> 2 * bit & 3
            right = digit >> 1
            low = (digit ^ right) & 1
            if not low:
                if right:
                    px, py = (1 << bit) - 1 - px, (1 << bit) - 1 - py
                px, py = py, px
            px, py = px | right << bit, py | low << bit
        x[i], y[i] = px, py
    return x, y
