"""Overviews of a store: each level by plain loops from the one before, in its exact place, equal for every tile size."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import rioxarray  # noqa: F401  (adds .rio)
import xarray as xr
import zarr
import zarr_cm

from plain_overviews import plain_halved
from terradrift.grid import Grid, Window
from terradrift.overviews import blocks_with, coarser_blocks, passes, write_overviews
from terradrift.pyramid import levels
from terradrift.raster_template import RasterArray
from terradrift.score_store import RasterStore, raster_store
from terradrift.statistics import COUNT_SCHEMA, describe_counts

STEP = 8.983111749910169e-05
GRID = Grid("EPSG:4326", (STEP, 0.0, -105.4, 0.0, -STEP, 40.1), 1 << 14, 1 << 14)
WINDOW = Window(128, 256, 322, 266)
ARRAYS = (
    RasterArray("scores", "float32", math.nan, ("time", "band", "y", "x"), overview="mean"),
    RasterArray("top", "float32", math.nan, overview="max"),
    RasterArray("year", "int16", -1, overview="mode"),
    RasterArray("change_kind", "uint8", 255, overview="mode"),
    RasterArray("fine", "uint8", 255),
)
METHODS = {array.name: array.overview for array in ARRAYS}
FILL = {array.name: array.fill_value for array in ARRAYS}
YEARS = (2017, 2018)
CHUNK, BLOCK = 32, 128


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small raster has several blocks and passes."""
    for module in ("pyramid", "overviews"):
        monkeypatch.setattr(f"terradrift.{module}.BLOCK", BLOCK)
        monkeypatch.setattr(f"terradrift.{module}.SPAN", 2)
    for module in ("pyramid", "raster_template"):
        monkeypatch.setattr(f"terradrift.{module}.MAX_CHUNK", CHUNK)


def values(seed: int = 0) -> dict[str, np.ndarray]:
    """Rasters with single pixels, stripes and a large part without data."""
    rng = np.random.default_rng(seed)
    hole = rng.random(WINDOW.shape) < 0.3
    hole[:, 75:100] = True
    hole[150:300, 125:] = True
    scores = rng.normal(size=(2, 1, *WINDOW.shape)).astype(np.float32)
    kind = rng.integers(0, 5, WINDOW.shape).astype(np.uint8)
    return {
        "scores": np.where(hole, np.float32(np.nan), scores),
        "top": np.where(hole, np.float32(np.nan), scores[0, 0]),
        "year": np.where(hole, np.int16(-1), np.where(kind > 0, 2017 + kind.astype(np.int16), 0)).astype(np.int16),
        "change_kind": np.where(hole, np.uint8(255), kind),
        "fine": np.zeros(WINDOW.shape, np.uint8),
    }


def build(folder: Path, tile_size: int, order: int = 1) -> RasterStore:
    """A store of `values` with all its levels, blocks in this or the other order."""
    raster = raster_store(str(folder / f"{tile_size}.zarr"), GRID, WINDOW, tile_size)
    raster.create(ARRAYS, YEARS, ("a",))
    rasters, windows = values(), []
    for row in range(WINDOW.y0 // tile_size, -(-WINDOW.y1 // tile_size)):
        for col in range(WINDOW.x0 // tile_size, -(-WINDOW.x1 // tile_size)):
            tile = raster.tile(row, col)
            y, x = tile.window.slices(WINDOW)
            raster.write_tile(tile, {name: raster_[..., y, x] for name, raster_ in rasters.items()})
            if (rasters["change_kind"][y, x] != 255).any():
                windows.append((tile.window.y0, tile.window.x0, *tile.window.shape))
    blocks = blocks_with(np.array(windows), WINDOW)
    for made in passes(raster):
        for row, col in blocks[::order].tolist():
            list(write_overviews(raster, ARRAYS, made, row, col))
        blocks = coarser_blocks(blocks)
    return raster


def objects(raster: RasterStore, skipped: str = " ") -> dict[str, bytes]:
    root = Path(raster.url)
    files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name: data for name, data in files.items() if not name.startswith(skipped) and not name.endswith("zarr.json")}


@pytest.mark.usefixtures("small_blocks")
def test_every_level_is_the_one_before_in_plain_loops(tmp_path: Path) -> None:
    raster = build(tmp_path, 64)
    root = zarr.open_group(raster.url, mode="r")
    expected = values()
    assert [root[f"{level.number}/change_kind"].shape for level in raster.levels] == [
        (322, 266), (161, 133), (81, 67), (41, 34), (21, 17),
    ]  # fmt: skip
    for level in raster.levels:
        for name, raster_ in expected.items():
            if level.number and METHODS[name] is None:
                assert name not in root[level.name]
                continue
            assert np.array_equal(root[f"{level.name}/{name}"][...], raster_, equal_nan=raster_.dtype.kind == "f"), level.name
        expected = {name: plain_halved(each, METHODS[name], FILL[name]) for name, each in expected.items() if METHODS[name]}


@pytest.mark.usefixtures("small_blocks")
def test_levels_are_equal_for_every_tile_size_and_order(tmp_path: Path) -> None:
    one, other = build(tmp_path, 64), build(tmp_path, 128, order=-1)
    assert objects(one, "0/") == objects(other, "0/")
    again = raster_store(one.url, GRID, WINDOW, 64)
    before = objects(again)
    for made in passes(again):
        list(write_overviews(again, ARRAYS, made, 0, 0))
    assert objects(again) == before


@pytest.mark.usefixtures("small_blocks")
def test_readers_agree_on_the_place_of_every_level(tmp_path: Path) -> None:
    raster = build(tmp_path, 128)
    tree = xr.open_datatree(raster.url, engine="zarr", decode_coords="all")
    assert list(tree.children) == [level.name for level in raster.levels]
    layout = zarr.open_group(raster.url, mode="r").attrs["multiscales"]["layout"]
    a, _, c, _, e, f = GRID.window_transform(WINDOW)
    for level, item in zip(raster.levels, layout, strict=True):
        place = (a * 2**level.number, 0.0, c, 0.0, e * 2**level.number, f)
        assert item["asset"] == level.name
        assert item["spatial:transform"] == list(place)
        assert item["transform"]["scale"] == ([2.0, 2.0] if level.number else [1.0, 1.0])
        assert item.get("derived_from") == (str(level.number - 1) if level.number else None)
        data = tree[level.name].to_dataset()
        assert data.sizes == {"y": item["spatial:shape"][0], "x": item["spatial:shape"][1], "time": 2, "band": 1}
        assert data.change_kind.rio.crs.to_epsg() == 4326
        assert tuple(data.change_kind.rio.transform())[:6] == place
        assert float(data.x[0]) == pytest.approx(c + place[0] / 2, abs=1e-12)
        assert float(data.y[-1]) == pytest.approx(f + place[4] * (data.sizes["y"] - 0.5), abs=1e-12)
        assert data.time.values.tolist() == list(YEARS)
        assert data.band.values.tolist() == ["a"]


@pytest.mark.usefixtures("small_blocks")
def test_metadata_are_whole_before_any_pixel(tmp_path: Path) -> None:
    raster = raster_store(str(tmp_path / "c.zarr"), GRID, WINDOW, 64)
    raster.create(ARRAYS, YEARS, ("a",))
    root = json.loads((tmp_path / "c.zarr" / "zarr.json").read_bytes())
    before = {path: path.read_bytes() for path in Path(raster.url).rglob("*") if path.is_file()}
    names = set(root["consolidated_metadata"]["metadata"])
    assert {f"{level.name}/{name}" for level in raster.levels for name in ("change_kind", "x", "y", "time", "band")} <= names
    assert {"time", "band", "spatial_ref"} <= names
    build(tmp_path, 64)
    assert {path: path.read_bytes() for path in before} == before
    for level in raster.levels[1:]:
        layout = raster.layout("scores", level.number)
        assert layout.chunk == (1, 1, CHUNK, CHUNK)
        assert layout.shard == (2, 1, level.shard, level.shard)
        assert layout.index_at_end


@pytest.mark.usefixtures("small_blocks")
def test_a_raster_of_one_chunk_has_no_overviews(tmp_path: Path) -> None:
    raster = raster_store(str(tmp_path / "c.zarr"), GRID, Window(0, 0, 32, 20), 32)
    raster.create(ARRAYS, YEARS, ("a",))
    assert [level.name for level in raster.levels] == ["0"]
    assert not list(passes(raster))


def test_the_last_level_fits_a_chunk_and_a_shard_is_a_block_of_its_source() -> None:
    found = levels(GRID, Window(0, 0, 44800, 78336))
    assert [level.number for level in found if max(level.grid.height, level.grid.width) <= 256] == [found[-1].number]
    assert [level.shard for level in found[1:8]] == [1024, 512, 256, 1024, 512, 256, 1024]
    assert [level.source for level in found[1:8]] == [0, 0, 0, 3, 3, 3, 6]


@pytest.mark.usefixtures("small_blocks")
def test_blocks_are_those_that_windows_touch() -> None:
    origin = Window(512, 1024, 5000, 5000)
    windows = np.array([[512, 1024, 256, 256], [1000, 1500, 100, 600]])
    expected = {
        ((y - 512) // BLOCK, (x - 1024) // BLOCK)
        for y0, x0, height, width in windows.tolist()
        for y in range(y0, y0 + height)
        for x in range(x0, x0 + width)
    }
    assert set(map(tuple, blocks_with(windows, origin).tolist())) == expected
    assert blocks_with(np.zeros((0, 4), np.int64), origin).tolist() == []
    assert coarser_blocks(np.array([[0, 0], [3, 3], [4, 0]])).tolist() == [[0, 0], [1, 0]]


def test_a_raster_of_several_blocks_of_the_real_size(tmp_path: Path) -> None:
    window = Window(0, 2048, 2300, 2200)
    raster = raster_store(str(tmp_path / "c.zarr"), GRID, window, 1024)
    raster.create([ARRAYS[1]])
    expected = np.random.default_rng(1).normal(size=window.shape).astype(np.float32)
    expected[:, 1000:2100] = np.nan
    for row, col in np.ndindex(3, 3):
        tile = raster.tile(row, col + 2)
        raster.write_tile(tile, {"top": expected[tile.window.slices(window)]})
    blocks = blocks_with(np.array([[0, 2048, *window.shape]]), window)
    for made in passes(raster):
        for row, col in blocks.tolist():
            list(write_overviews(raster, ARRAYS[1:2], made, row, col))
        blocks = coarser_blocks(blocks)
    for level in raster.levels[1:]:
        padded = np.pad(expected, [(0, n % 2) for n in expected.shape], constant_values=np.nan)
        expected = np.fmax(np.fmax(padded[::2, ::2], padded[1::2, ::2]), np.fmax(padded[::2, 1::2], padded[1::2, 1::2]))
        found = zarr.open_array(tmp_path / "c.zarr" / level.name / "top", mode="r")
        assert found.shape == expected.shape
        assert np.array_equal(found[...], expected, equal_nan=True)
    assert expected.shape == (144, 138)


@pytest.mark.usefixtures("small_blocks")
def test_counts_are_those_of_full_resolution_for_every_tile_size(tmp_path: Path) -> None:
    expected = values()
    found = {}
    for tile_size in (64, 128):
        raster = build(tmp_path, tile_size)
        parts = [
            batch
            for row, col in np.ndindex(3, 3)
            for made in (next(iter(passes(raster))), ())
            for batch in write_overviews(raster, ARRAYS, made, row, col)
        ]
        table = pa.Table.from_batches(parts, COUNT_SCHEMA).group_by(["array", "plane", "bin"])
        sums = table.aggregate([("count", "sum"), ("low", "min"), ("high", "max")])
        found[tile_size] = sums.rename_columns(COUNT_SCHEMA.names).sort_by([(name, "ascending") for name in COUNT_SCHEMA.names])
    assert found[64] == found[128]
    described = describe_counts(found[64], YEARS, ("a",))
    for year, plane in zip(YEARS, expected["scores"][:, 0], strict=True):
        known, stated = plane[np.isfinite(plane)], described["scores"]["a"][str(year)]
        assert stated["count"] == 2 * known.size  # each block was counted twice
        assert (stated["min"], stated["max"]) == (known.min(), known.max())
        for percent, value in stated["percentiles"].items():
            assert value == pytest.approx(np.percentile(known, float(percent)), rel=0.01, abs=0.01)
        assert sum(stated["histogram"]["counts"]) == stated["count"]
        edges = np.array(stated["histogram"]["edges"])
        counts = np.histogram(np.clip(known, edges[0], edges[-1]), edges)[0] * 2
        assert np.abs(np.cumsum(counts) - np.cumsum(stated["histogram"]["counts"])).max() < 0.02 * stated["count"]
    kinds, counts = np.unique(expected["change_kind"][expected["change_kind"] != 255], return_counts=True)
    of_kind = found[64].filter(pc.equal(found[64]["array"], "change_kind"))
    assert described["change_kind"]["counts"] == dict(zip(map(str, kinds.tolist()), (2 * counts).tolist(), strict=True))
    assert of_kind["bin"].to_pylist() == kinds.tolist()
    assert of_kind["count"].to_pylist() == (2 * counts).tolist()


@pytest.mark.usefixtures("small_blocks")
def test_the_conventions_hold(tmp_path: Path) -> None:
    raster = raster_store(str(tmp_path / "c.zarr"), GRID, WINDOW, 64)
    raster.create(ARRAYS, YEARS, ("a",))
    root = json.loads((tmp_path / "c.zarr" / "zarr.json").read_bytes())
    zarr_cm.multiscales.validate_node_metadata(root)
    files = [path for path in (tmp_path / "c.zarr").rglob("zarr.json") if path.parent.name != "c"]
    nodes = {path: json.loads(path.read_bytes()) for path in files}
    placed = {path: node for path, node in nodes.items() if "zarr_conventions" in node["attributes"]}
    assert len(placed) == 1 + len(raster.levels) * (1 + len(ARRAYS)) - (len(raster.levels) - 1)  # `fine` is in one level
    for node in placed.values():
        zarr_cm.proj.validate_node_metadata(node)
        zarr_cm.spatial.validate_node_metadata(node)
        zarr_cm.validate_all(node["attributes"])
    del root["attributes"]["multiscales"]["layout"][1]["transform"]
    with pytest.raises(ValueError, match="transform"):
        zarr_cm.multiscales.validate_node_metadata(root)
