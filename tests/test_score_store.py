"""Shards we write are shards zarr reads; the store tells every reader where it lies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401  (adds .rio)
import xarray as xr
import zarr

from terradrift.errors import DamagedError, StoreError
from terradrift.grid import Grid, Window
from terradrift.kernels.score_block import Recipe
from terradrift.score_store import CHANGED, RasterStore, raster_store, score_arrays
from terradrift.store import open_store
from terradrift.zarr_layout import parse_layout
from terradrift.zarr_planes import PlaneReader

STEP = 8.983111749910169e-05
GRID = Grid("EPSG:4326", (STEP, 0.0, -105.4, 0.0, -STEP, 40.1), 1800, 1700)
WINDOW = Window(512, 512, 1288, 1024)
YEARS = (2017, 2018, 2019)
RECIPE = Recipe("cosine", ("difference", "loo_medoid"), False, "bitemporal", YEARS)
BANDS = RECIPE.bands


def store(folder: Path) -> RasterStore:
    raster = raster_store(str(folder / "scores.zarr"), GRID, WINDOW, 512)
    raster.create(score_arrays(RECIPE), YEARS, BANDS, {"attribution": "somebody"})
    return raster


def tiles(raster: RasterStore) -> list:
    return [raster.tile(row, col) for row in range(1, 4) for col in (1, 2)]


def fill(raster: RasterStore, seed: int = 0) -> dict[str, np.ndarray]:
    """Random tiles with holes, one of them empty; the whole arrays."""
    rng = np.random.default_rng(seed)
    scores = np.full((3, 2, *WINDOW.shape), np.nan, np.float32)
    year = np.full(WINDOW.shape, -1, np.int16)
    for k, tile in enumerate(tiles(raster)):
        if k == 3:
            raster.write_tile(tile, {"scores": scores[..., : tile.window.height, :512] * np.nan})
            continue
        y, x = tile.window.slices(WINDOW)
        part = rng.normal(size=(3, 2, *tile.window.shape)).astype(np.float32)
        part[1, 1] = np.nan
        part[:, :, :256, :256] = np.nan
        scores[:, :, y, x] = part
        year[y, x] = rng.integers(2017, 2020, size=tile.window.shape)
        raster.write_tile(tile, {"scores": part, "change_score": part[0, 0], "change_year": year[y, x]})
    return {"scores": scores, "change_score": scores[0, 0], "change_year": year}


def test_zarr_and_xarray_read_what_was_written(tmp_path: Path) -> None:
    raster = store(tmp_path)
    expected = fill(raster)
    group = zarr.open_group(tmp_path / "scores.zarr/0", mode="r")
    for name, values in expected.items():
        assert np.array_equal(group[name][...], values, equal_nan=values.dtype.kind == "f")
    data = xr.open_zarr(tmp_path / "scores.zarr/0", decode_coords="all")
    assert data.scores.dims == ("time", "band", "y", "x")
    assert data.time.values.tolist() == list(YEARS)
    assert data.band.values.tolist() == list(BANDS)


def test_a_tile_reads_back(tmp_path: Path) -> None:
    raster = store(tmp_path)
    expected = fill(raster)
    for tile in tiles(raster):
        for name in ("change_score", "change_year"):
            assert np.array_equal(raster.read_tile(tile, name), expected[name][tile.window.slices(WINDOW)], equal_nan=True)


@pytest.mark.parametrize(
    "bounds", [(511, 511, 1025, 1025), (512, 512, 1800, 1500), (1023, 1400, 1024, 1401), (700, 1020, 1030, 1300)]
)
def test_a_window_reads_across_tiles(tmp_path: Path, bounds: tuple[int, int, int, int]) -> None:
    raster = store(tmp_path)
    expected = fill(raster)
    y0, x0, y1, x1 = bounds
    window = Window(y0, x0, y1 - y0, x1 - x0).intersection(WINDOW)
    assert window is not None
    for name in ("scores", "change_score", "change_year"):
        part = expected[name][(..., *window.slices(WINDOW))]
        assert np.array_equal(raster.read_window(window, name), part, equal_nan=True)


def test_zarr_writes_the_same_chunks(tmp_path: Path) -> None:
    ours, theirs = store(tmp_path / "ours"), store(tmp_path / "theirs")
    values = fill(ours)
    group = zarr.open_group(tmp_path / "theirs/scores.zarr/0", mode="a")
    group["change_score"][...] = values["change_score"]
    for tile in tiles(ours):
        layout = ours.layout("change_score")
        key = layout.key((tile.row - 1, tile.col - 1))
        data = [raster.store.get(key) for raster in (ours, theirs)]
        if data[0] is None:
            assert data[1] is None
            continue
        chunks = []
        for shard in data:
            index = layout.parse_index(shard[-layout.index_bytes :], key)
            chunks.append([shard[int(a) : int(a + n)] if a != 2**64 - 1 else None for a, n in index])
        assert chunks[0] == chunks[1]


def test_a_shard_in_the_place_of_another_is_no_values(tmp_path: Path) -> None:
    raster = store(tmp_path)
    fill(raster)
    files = sorted((tmp_path / "scores.zarr/0/change_score/c").glob("*/*"))
    found = [path.read_bytes() for path in files]
    for path, data in zip(files, found[1:] + found[:1], strict=True):
        path.write_bytes(data)
    zarr.open_array(tmp_path / "scores.zarr/0/change_score")[:]  # others take it for what it is not
    for tile in tiles(raster):
        key = raster.layout("change_score").key((tile.row - 1, tile.col - 1))
        if raster.store.get(key) is not None:
            with pytest.raises(DamagedError, match="written elsewhere; expected that of this place; run with --fresh"):
                raster.read_tile(tile, "change_score")


def test_a_copy_that_others_made_is_read_as_any_store(tmp_path: Path) -> None:
    """It keeps the attribute; its shards have no names."""
    expected = fill(store(tmp_path))["change_score"]
    xr.open_zarr(tmp_path / "scores.zarr/0")[["change_score"]].load().to_zarr(tmp_path / "copy.zarr", zarr_format=3)
    metadata = (tmp_path / "copy.zarr/change_score/zarr.json").read_bytes()
    assert b'"shard_name"' in metadata
    layout, _ = parse_layout("change_score", metadata, "copy")
    values = PlaneReader(open_store(str(tmp_path / "copy.zarr")), layout).read((), Window(0, 0, *expected.shape))
    assert np.array_equal(values, expected, equal_nan=True)


def test_an_empty_tile_leaves_no_object(tmp_path: Path) -> None:
    raster = store(tmp_path)
    tile = tiles(raster)[0]
    assert raster.write_tile(tile, {"change_score": np.full(tile.window.shape, np.nan, np.float32)}) == {
        "0/change_score/c/0/0": "absent"
    }
    assert not (tmp_path / "scores.zarr/0/change_score/c").exists()
    assert np.isnan(raster.read_tile(tile, "change_score")).all()


def test_readers_agree_on_the_place(tmp_path: Path) -> None:
    store(tmp_path)
    data = xr.open_zarr(tmp_path / "scores.zarr/0", decode_coords="all")
    assert data.rio.crs.to_epsg() == 4326
    assert tuple(data.rio.transform())[:6] == pytest.approx(GRID.window_transform(WINDOW), abs=1e-15)
    assert float(data.x[0]) == pytest.approx(GRID.x(512.5), abs=1e-12)
    assert float(data.y[-1]) == pytest.approx(GRID.y(1799.5), abs=1e-12)
    tree = xr.open_datatree(tmp_path / "scores.zarr", engine="zarr")
    assert list(tree.children) == ["0", "1", "2", "3"]


def test_attributes_are_those_of_the_window(tmp_path: Path) -> None:
    raster = store(tmp_path)
    root = json.loads((tmp_path / "scores.zarr/zarr.json").read_text())
    assert "consolidated_metadata" in root
    attributes = root["attributes"]
    assert attributes["spatial:shape"] == [1288, 1024]
    assert attributes["spatial:bbox"] == pytest.approx(GRID.window_bounds(WINDOW))
    assert attributes["spatial:transform"][2] == GRID.x(512)
    assert attributes["attribution"] == "somebody"
    array = json.loads((tmp_path / "scores.zarr/0/scores/zarr.json").read_text())
    assert array["chunk_grid"]["configuration"]["chunk_shape"] == [3, 2, 512, 512]
    assert array["codecs"][0]["configuration"]["index_location"] == "end"
    assert array["attributes"]["proj:code"] == "EPSG:4326"
    assert raster.layout("scores").chunk == (1, 1, 256, 256)


def test_the_template_is_the_same_every_time(tmp_path: Path) -> None:
    one, _ = store(tmp_path / "one"), store(tmp_path / "two")
    files = [
        sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*") if path.is_file())
        for name in ("one", "two")
    ]
    assert files[0] == files[1]
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files[0])
    fill(one)
    before = one.read_tile(tiles(one)[0], "change_score")
    one.create(score_arrays(RECIPE), YEARS, BANDS, {"attribution": "somebody"})
    assert np.array_equal(before, one.read_tile(tiles(one)[0], "change_score"), equal_nan=True)


@pytest.mark.parametrize("how", ["cut", "flip", "empty"])
def test_damage_is_seen_when_read(tmp_path: Path, how: str) -> None:
    raster = store(tmp_path)
    fill(raster)
    tile = tiles(raster)[0]
    file = tmp_path / "scores.zarr" / raster.layout("change_score").key((0, 0))
    data = bytearray(file.read_bytes())
    if how == "cut":
        del data[:100]
    elif how == "flip":
        data[5000] ^= 4
    else:
        data.clear()
    file.write_bytes(data)
    with pytest.raises(StoreError, match="change_score/c/0/0"):
        raster.read_tile(tile, "change_score")


def test_small_tiles_are_one_chunk(tmp_path: Path) -> None:
    raster = raster_store(str(tmp_path / "c.zarr"), GRID, Window(0, 0, 64, 64), 32)
    raster.create([CHANGED])
    assert raster.layout("changed").chunk == (32, 32)
