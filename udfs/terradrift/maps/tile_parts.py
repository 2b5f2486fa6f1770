"""Encoded tiles on their way into an archive: a file of tiles for each task, and beside it an index of them."""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from terradrift.maps.pmtiles import TileIndex
from terradrift.store import Store

INDEX = pa.schema(
    [
        ("tile_id", pa.int64()),
        ("part", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("digest", pa.binary()),
        ("features", pa.int64()),
        ("dropped", pa.int64()),
        *((side, pa.int64()) for side in ("xmin", "ymin", "xmax", "ymax")),
    ]
)
"""One row an encoded tile: where its bytes lie, what is in it, and the bounds of what it draws in tile units."""
INDEX_SUFFIX = ".index"

PART = pa.schema([("part", pa.string())])
"""One row a file of encoded tiles: what a task gives the driver."""


class EncodedTile(NamedTuple):
    """A finished tile."""

    tile_id: int
    data: bytes
    """As the archive holds it."""
    digest: bytes
    """128-bit BLAKE2b of `data`."""
    features: int = 0
    dropped: int = 0
    """Features left out because the tile would be too large."""
    bounds: tuple[int, int, int, int] = (0, 0, 0, 0)
    """xmin, ymin, xmax, ymax of what is drawn, tile units."""


def digest_of(data: bytes) -> bytes:
    """128-bit BLAKE2b."""
    return hashlib.blake2b(data, digest_size=16).digest()


def write_part(work: Store, tiles: Iterable[EncodedTile]) -> str:
    """Append tiles to one file of this attempt at a task, its index beside it; a repeated task leaves files nobody names."""
    part = uuid.uuid4().hex
    rows: list[tuple[Any, ...]] = []
    offset = 0
    with work.scratch_file(part) as path, path.open("xb") as file:
        for tile in tiles:
            file.write(tile.data)
            length = len(tile.data)
            rows.append((tile.tile_id, part, offset, length, tile.digest, tile.features, tile.dropped, *tile.bounds))
            offset += length
    columns = zip(*rows, strict=True) if rows else [[]] * len(INDEX)
    index = pa.table([pa.array(column, field.type) for column, field in zip(columns, INDEX, strict=True)], schema=INDEX)
    write_ipc(index, work, f"{part}{INDEX_SUFFIX}")
    return part


def read_index(work: Store, parts: Sequence[str]) -> pa.Table:
    """The index of all parts, by tile."""
    tables = [read_ipc(work, f"{part}{INDEX_SUFFIX}") for part in parts]
    return pa.concat_tables([INDEX.empty_table(), *tables]).sort_by("tile_id")


def places(index: pa.Table, work: Store, folder: Path) -> tuple[TileIndex, list[Path]]:
    """The index as arrays, and the files it names; those that are not on this machine are copied into `folder`."""
    part = index["part"].combine_chunks().dictionary_encode()
    digest = np.frombuffer(b"".join(index["digest"].to_pylist()), np.uint64).reshape(-1, 2)
    tile_id, offset, length = (index[name].to_numpy() for name in ("tile_id", "offset", "length"))
    files = [work.copy_to(name, folder / name) for name in part.dictionary.to_pylist()]
    return TileIndex(tile_id, part.indices.to_numpy(), offset, length, digest), files


def read_ipc(store: Store, file: str) -> pa.Table:
    """An Arrow file as a table over mapped memory; a copy of one from elsewhere has lost its name and goes with its reader."""
    with tempfile.TemporaryDirectory(prefix="terradrift-pairs-") as folder:
        return pa.ipc.open_file(pa.memory_map(str(store.copy_to(file, Path(folder) / "pairs")))).read_all()


def write_ipc(table: pa.Table, store: Store, file: str) -> None:
    """Write an Arrow file."""
    with store.scratch_file(file) as path, pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
