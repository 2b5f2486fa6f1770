"""PMTiles archives: the checks of `pmtiles verify` and of the specification, and the PyPI reader as oracle."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pmtiles.reader import MmapSource, Reader, all_tiles
from pmtiles.tile import (
    Entry,
    deserialize_directory,
    deserialize_header,
    serialize_directory,
    serialize_header,
    tileid_to_zxy,
    zxy_to_tileid,
)

from archives import verify
from terradrift.errors import StoreError
from terradrift.maps import pmtiles
from terradrift.maps.pmtiles import Archive, TileIndex, gzip_bytes, tile_ids, tile_xyz, write_archive, zoom_start

BOUNDS = (-10.5, -20.25, 30.125, 40.0)
METADATA = {"name": "ä", "vector_layers": [{"id": "a", "minzoom": 0, "maxzoom": 5, "fields": {}}]}


def write(folder: Path, tiles: dict[int, bytes], files: int = 1, seed: int = 0) -> tuple[Path, Archive]:
    """An archive of tiles that lie in `files` files, shuffled."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(np.array(list(tiles), np.int64))
    part = rng.integers(0, files, ids.size)
    offset, length = np.zeros(ids.size, np.int64), np.array([len(tiles[i]) for i in ids.tolist()], np.int64)
    names = [folder / f"part{k}" for k in range(files)]
    for k, name in enumerate(names):
        mine = np.flatnonzero(part == k)
        offset[mine] = np.cumsum(length[mine]) - length[mine]
        name.write_bytes(b"".join(tiles[i] for i in ids[mine].tolist()))
    hashes = b"".join(hashlib.blake2b(tiles[i], digest_size=16).digest() for i in ids.tolist())
    index = TileIndex(ids, part, offset, length, np.frombuffer(hashes, np.uint64).reshape(-1, 2))
    return folder / "out.pmtiles", write_archive(folder / "out.pmtiles", index, names, BOUNDS, METADATA)


def read(path: Path) -> dict[int, bytes]:
    with path.open("rb") as file:
        return {zxy_to_tileid(*zxy): bytes(data) for zxy, data in all_tiles(MmapSource(file))}


@pytest.mark.parametrize("zoom", [0, 1, 2, 5, 13, 18, 30])
def test_tile_ids_equal_the_reference(zoom: int) -> None:
    rng = np.random.default_rng(zoom)
    x, y = rng.integers(0, 2**zoom, (2, 200))
    ids = tile_ids(zoom, x, y)
    assert ids.tolist() == [zxy_to_tileid(zoom, a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    np.testing.assert_array_equal(tile_xyz(ids), (x, y, np.full(200, zoom)))
    assert zoom_start(zoom) == zxy_to_tileid(zoom, 0, 0)


def test_ids_of_all_small_zooms_are_dense() -> None:
    x, y, zoom = tile_xyz(np.arange(zoom_start(5)))
    assert np.concatenate([tile_ids(z, x[zoom == z], y[zoom == z]) for z in range(5)]).tolist() == list(range(zoom_start(5)))


def first(entries: list[Entry], **changes: int) -> list[Entry]:
    """The same entries, the first one changed."""
    entry = entries[0]
    kept = {"tile_id": entry.tile_id, "offset": entry.offset, "length": entry.length, "run_length": entry.run_length}
    return [Entry(**(kept | changes)), *entries[1:]]


HEADER_DAMAGE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "root at 0": lambda h: {"root_offset": 0},
    "leaves at 0": lambda h: {"leaf_directory_offset": 0},
    "root not after the header": lambda h: {"root_offset": 128},
    "tiles beyond the end": lambda h: {"tile_data_length": h["tile_data_length"] + 1},
    "not clustered": lambda h: {"clustered": False},
    "a tile more": lambda h: {"addressed_tiles_count": h["addressed_tiles_count"] + 1},
    "an entry more": lambda h: {"tile_entries_count": h["tile_entries_count"] + 1},
    "a content less": lambda h: {"tile_contents_count": h["tile_contents_count"] - 1},
    "a planned zoom without tiles": lambda h: {"min_zoom": h["min_zoom"] - 1},
    "a zoom too many": lambda h: {"max_zoom": h["max_zoom"] + 1},
    "its middle in no zoom": lambda h: {"center_zoom": h["max_zoom"] + 1},
    "its middle elsewhere": lambda h: {"center_lon_e7": h["max_lon_e7"] + 1},
    "bounds without area": lambda h: {"max_lat_e7": h["min_lat_e7"]},
}
DIRECTORY_DAMAGE: dict[str, Callable[[list[Entry]], list[Entry]]] = {
    "an id twice": lambda e: [e[0], Entry(e[0].tile_id, e[1].offset, e[1].length, e[1].run_length), *e[2:]],
    "runs over each other": lambda e: first(e, run_length=e[1].tile_id - e[0].tile_id + 1),
    "no length": lambda e: first(e, length=0),
    "tiles out of bounds": lambda e: [*e[:-1], Entry(e[-1].tile_id, e[-1].offset + 1, e[-1].length, e[-1].run_length)],
    "a gap in the tiles": lambda e: e[1:],
}


@pytest.mark.parametrize("damage", [*HEADER_DAMAGE, *DIRECTORY_DAMAGE, "cut", "longer", "no layers", "no metadata"])
def test_each_damage_is_found(damage: str, tmp_path: Path) -> None:
    """The archive's own checks: what `verify` asks for it misses in an archive that lacks just that."""
    path, _ = write(tmp_path, {i: f"tile {i // 2}".encode() for i in range(100, 160)})
    verify(path)
    data = path.read_bytes()
    header: dict[str, Any] = deserialize_header(data[:127])
    entries = deserialize_directory(data[127 : 127 + header["root_length"]])
    metadata = METADATA
    if damage in DIRECTORY_DAMAGE:
        entries = DIRECTORY_DAMAGE[damage](entries)
    if damage == "no layers":
        metadata = {"name": "a"}
    sections = [serialize_directory(entries), gzip.compress(json.dumps(metadata).encode(), mtime=0)]
    if damage == "no metadata":
        sections[1] = gzip.compress(b"{", mtime=0)
    counts = {"addressed_tiles_count": sum(e.run_length for e in entries), "tile_entries_count": len(entries)}
    counts["tile_contents_count"] = len({entry.offset for entry in entries})
    header |= counts | {"root_length": len(sections[0]), "metadata_length": len(sections[1])}
    for name, before in (("metadata", "root"), ("leaf_directory", "metadata"), ("tile_data", "leaf_directory")):
        header[f"{name}_offset"] = header[f"{before}_offset"] + header[f"{before}_length"]
    header |= HEADER_DAMAGE.get(damage, lambda h: {})(header)
    tiles = data[-header["tile_data_length"] :] if damage != "tiles beyond the end" else data[-header["tile_data_length"] + 1 :]
    whole = serialize_header(header) + b"".join(sections) + tiles
    path.write_bytes({"cut": whole[:-1], "longer": whole + b"x"}.get(damage, whole))
    with pytest.raises((AssertionError, KeyError, ValueError)):
        verify(path)


@pytest.mark.parametrize("files", [1, 4])
def test_archive_reads_back(tmp_path: Path, files: int) -> None:
    """Scattered tiles, equal ones, runs of equal ones: every byte comes back, each content stored once."""
    rng = np.random.default_rng(2)
    ids = np.unique(np.concatenate([rng.integers(5, 4000, 600), np.arange(500, 560)]))
    tiles = {
        int(i): bytes([int(i) % 7]) * 5 if 500 <= i < 530 else b"same" if 530 <= i < 560 else f"tile {i}".encode() for i in ids
    }
    tiles |= {5000: b"a gap between equals", 5002: b"a gap between equals"}
    path, archive = write(tmp_path, tiles, files)
    header = verify(path)
    assert read(path) == tiles
    assert archive == Archive(path.stat().st_size, len(tiles), len(set(tiles.values())))
    assert header["tile_data_length"] == sum(map(len, set(tiles.values())))
    assert (header["min_zoom"], header["max_zoom"]) == (tileid_to_zxy(min(tiles))[0], tileid_to_zxy(max(tiles))[0])
    with path.open("rb") as file:
        reader = Reader(MmapSource(file))
        assert reader.metadata() == METADATA
        assert reader.get(6, 63, 63) == tiles.get(zxy_to_tileid(6, 63, 63))
    assert [header[f"{side}_e7"] / 1e7 for side in ("min_lon", "min_lat", "max_lon", "max_lat")] == list(BOUNDS)


def test_bytes_do_not_depend_on_the_files(tmp_path: Path) -> None:
    tiles = {i: f"{i % 50}".encode() for i in range(100, 1000, 3)}
    first = write(tmp_path, tiles, 1)[0].read_bytes()
    assert all(write(tmp_path, tiles, files, seed=files)[0].read_bytes() == first for files in (2, 7))


@pytest.mark.parametrize("root_bytes", [pmtiles.ROOT_BYTES, 40])
def test_large_archives_get_leaf_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root_bytes: int) -> None:
    """Directories that do not compress: random gaps and lengths. Leaves grow until the root can list them."""
    monkeypatch.setattr(pmtiles, "ROOT_BYTES", root_bytes)
    rng = np.random.default_rng(3)
    ids = np.cumsum(rng.integers(1, 5000, 12_000))
    tiles = {int(i): rng.bytes(int(n)) for i, n in zip(ids, rng.integers(5, 90, ids.size), strict=True)}
    path, _ = write(tmp_path, tiles)
    header = verify(path)
    assert header["leaf_directory_length"] > 0
    assert header["root_length"] <= root_bytes
    with path.open("rb") as file:
        reader = Reader(MmapSource(file))
        for i in ids[::400].tolist():
            assert reader.get(*tileid_to_zxy(i)) == tiles[i]
            assert reader.get(*tileid_to_zxy(i + 1)) == tiles.get(i + 1)


def test_archive_without_tiles_is_an_archive(tmp_path: Path) -> None:
    path, archive = write(tmp_path, {})
    verify(path)
    assert (archive.tiles, archive.contents) == (0, 0)
    with path.open("rb") as file:
        assert Reader(MmapSource(file)).get(0, 0, 0) is None


def test_failure_leaves_the_old_archive(tmp_path: Path) -> None:
    path, _ = write(tmp_path, {1: b"old"})
    before = path.read_bytes()
    short = tmp_path / "short"
    short.write_bytes(b"12345")
    index = TileIndex(*(np.array([n], np.int64) for n in (1, 0, 2, 9)), np.zeros((1, 2), np.uint64))
    with pytest.raises(StoreError, match=r"short: ends 6 bytes before"):
        write_archive(path, index, [short], BOUNDS, METADATA)
    with pytest.raises(StoreError, match=r"out.pmtiles: cannot write"):
        write_archive(path, index, [tmp_path / "absent"], BOUNDS, METADATA)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.pmtiles", "part0", "short"]


def test_gzip_holds_no_time() -> None:
    packed = gzip_bytes(b"abc")
    assert gzip.decompress(packed) == b"abc"
    assert packed[4:8] == bytes(4)
