"""PMTiles archives: the checks of `pmtiles verify` and of the specification, and the PyPI reader as oracle."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pmtiles.reader import MmapSource, Reader, all_tiles
from pmtiles.tile import deserialize_directory, deserialize_header, tileid_to_zxy, zxy_to_tileid

from terradrift.errors import StoreError
from terradrift.maps import pmtiles
from terradrift.maps.pmtiles import Archive, TileIndex, gzip_bytes, tile_ids, tile_xyz, write_archive, zoom_start

BOUNDS = (-10.5, -20.25, 30.125, 40.0)
METADATA = {"name": "ä", "vector_layers": [{"id": "a", "minzoom": 0, "maxzoom": 5, "fields": {}}]}


def verify(path: Path) -> dict[str, Any]:
    """Assert what the specification asks of an archive; its header."""
    data = path.read_bytes()
    header: dict[str, Any] = deserialize_header(data[:127])
    sections = ["root", "metadata", "leaf_directory", "tile_data"]
    starts, lengths = ([header[f"{s}_{what}"] for s in sections] for what in ("offset", "length"))
    assert all(starts)
    assert starts[0] == 127
    assert starts[0] + lengths[0] <= 16384
    assert starts == [127, *(127 + np.cumsum(lengths)[:-1]).tolist()]
    assert len(data) == 127 + sum(lengths)
    root = deserialize_directory(data[127 : 127 + lengths[0]])
    entries = []
    for entry in root:
        if entry.run_length == 0:
            assert entry.offset + entry.length <= lengths[2]
            leaf = deserialize_directory(data[starts[2] + entry.offset :][: entry.length])
            assert leaf[0].tile_id == entry.tile_id
            entries += leaf
        else:
            entries.append(entry)
    assert all(a.tile_id + a.run_length <= b.tile_id for a, b in itertools.pairwise(entries))
    assert all(e.length > 0 and e.run_length > 0 and e.offset + e.length <= lengths[3] for e in entries)
    assert header["clustered"]
    end = 0
    for entry in entries:
        assert entry.offset <= end
        end = max(end, entry.offset + entry.length)
    assert end == lengths[3]
    assert header["addressed_tiles_count"] == sum(e.run_length for e in entries)
    assert header["tile_entries_count"] == len(entries)
    assert header["tile_contents_count"] == len({e.offset for e in entries})
    if entries:
        assert header["min_zoom"] == tileid_to_zxy(entries[0].tile_id)[0]
        assert header["max_zoom"] == tileid_to_zxy(entries[-1].tile_id + entries[-1].run_length - 1)[0]
    assert header["min_zoom"] <= header["center_zoom"] <= header["max_zoom"]
    assert header["min_lon_e7"] < header["max_lon_e7"]
    assert header["min_lat_e7"] < header["max_lat_e7"]
    assert header["min_lon_e7"] <= header["center_lon_e7"] <= header["max_lon_e7"]
    assert header["min_lat_e7"] <= header["center_lat_e7"] <= header["max_lat_e7"]
    metadata = json.loads(gzip.decompress(data[starts[1] : starts[1] + lengths[1]]))
    assert isinstance(metadata["vector_layers"], list)
    return header


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
