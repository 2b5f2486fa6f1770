"""Overviews of stores that others wrote: any layout, in plain loops level by level; the input is never touched."""

from __future__ import annotations

import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401  (adds .rio)
import xarray as xr
import zarr
from pyspark.sql import SparkSession

from mosaics import unit_codes, write_mosaic
from plain_overviews import plain_halved
from terradrift.kernels.quantize import NODATA, SCALE
from terradrift.spark.overviews_job import store_overviews

HEIGHT, WIDTH = 301, 530
SCRIPT = Path(__file__).parents[2] / "jobs" / "build_overviews.py"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write_dataset(path: Path, dtype: str, crs: str = "EPSG:32633", **encoding: object) -> xr.Dataset:
    """A store as xarray and rioxarray write it: 2, 3 and 4 dimensions, no shards unless asked for."""
    rng = np.random.default_rng(5)

    def values(*depth: int) -> np.ndarray:
        found = rng.integers(0, 200, (*depth, HEIGHT, WIDTH)).astype(dtype)
        found[..., rng.random((HEIGHT, WIDTH)) < 0.3] = np.nan if np.dtype(dtype).kind == "f" else 255
        return found

    data = xr.Dataset(
        {
            "plane": (("y", "x"), values()),
            "stack": (("time", "y", "x"), values(3)),
            "cube": (("time", "band", "y", "x"), values(3, 2)),
        },
        {
            "x": 500_000 + 10 * (np.arange(WIDTH) + 0.5),
            "y": 5_000_000 - 10 * (np.arange(HEIGHT) + 0.5),
            "time": [2019, 2020, 2022],
            "band": ["red", "nir"],
        },
    )
    data = data.rio.write_crs(crs).rio.write_transform()
    fill = {"_FillValue": np.nan if np.dtype(dtype).kind == "f" else 255}
    data.to_zarr(path, zarr_format=3, consolidated=True, encoding=dict.fromkeys(data.data_vars, fill | encoding))
    return data


@pytest.mark.parametrize(("dtype", "method"), [("float32", None), ("float64", "max"), ("uint8", "mode"), ("int16", "mean")])
def test_every_level_of_any_store_is_the_one_before_in_plain_loops(
    spark: SparkSession, tmp_path: Path, dtype: str, method: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "own data.zarr"
    write_dataset(store, dtype)
    before = files(store)
    store_overviews(str(store), method)
    assert files(store) == before
    made = tmp_path / "own data_overviews.zarr"
    assert capsys.readouterr().out == f"{made}: levels 0 to 2 of cube, plane, stack\n"
    tree = xr.open_datatree(made, engine="zarr", decode_coords="all", mask_and_scale=False)
    assert list(tree.children) == ["0", "1", "2"]
    source, nodata = zarr.open_group(store, mode="r"), np.nan if np.dtype(dtype).kind == "f" else 255
    for name in ("plane", "stack", "cube"):
        expected = source[name][...]
        for level in range(3):
            found = tree[str(level)][name]
            assert found.dtype == dtype
            assert found.dims == source[name].metadata.dimension_names
            assert np.array_equal(found.values, expected, equal_nan=dtype.startswith("f")), (name, level)
            assert found.rio.crs.to_epsg() == 32633
            step = 10 * 2**level
            assert tuple(found.rio.transform())[:6] == (step, 0, 500_000, 0, -step, 5_000_000)
            expected = plain_halved(expected, method or "mean", nodata)
    assert tree["2"].time.values.tolist() == [2019, 2020, 2022]
    assert tree["2"].band.values.tolist() == ["red", "nir"]


def test_the_layout_of_the_input_does_not_matter(spark: SparkSession, tmp_path: Path) -> None:
    write_dataset(tmp_path / "a.zarr", "float32", chunks=None)
    for name, layout in (("b", {"chunks": None}), ("c", {})):
        del layout
        source = zarr.open_group(tmp_path / "a.zarr", mode="r")
        group = zarr.open_group(tmp_path / f"{name}.zarr", mode="w", zarr_format=3, attributes=dict(source.attrs))
        for array_name, array in source.arrays():
            raster = array.shape[-2:] == (HEIGHT, WIDTH)
            shards = (*array.shape[:-2], 160, 200) if raster and name == "b" else None
            chunks = (*array.shape[:-2], 40, 50) if raster else array.shape
            group.create_array(
                array_name, shape=array.shape, dtype=array.dtype, chunks=chunks or "auto", shards=shards,
                fill_value=array.fill_value, dimension_names=array.metadata.dimension_names, attributes=dict(array.attrs),
            )[...] = array[...]  # fmt: skip
        store_overviews(str(tmp_path / f"{name}.zarr"), output=str(tmp_path / f"{name}2.zarr"))
    one, other = files(tmp_path / "b2.zarr"), files(tmp_path / "c2.zarr")
    assert {key: data for key, data in one.items() if "/c/" in key} == {key: data for key, data in other.items() if "/c/" in key}


def plain_vectors(codes: np.ndarray) -> np.ndarray:
    """(time, band, y, x) -> half: mean of decoded vectors, of length one again, as codes."""
    time, band, height, width = codes.shape
    out = np.full((time, band, -(-height // 2), -(-width // 2)), NODATA)
    for t, row, col in np.ndindex(time, *out.shape[2:]):
        block = codes[t, :, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].reshape(band, -1).astype(float).T
        vectors = [np.sign(code) * (code / SCALE) ** 2 for code in block if (code != NODATA).all()]
        if vectors:
            mean = np.mean(vectors, axis=0)
            part = mean / np.sqrt((mean**2).sum())
            out[t, :, row, col] = np.clip(np.rint(np.sign(part) * np.sqrt(abs(part)) * SCALE), -127, 127)
    return out


def test_embeddings_are_mean_vectors_of_length_one(spark: SparkSession, tmp_path: Path) -> None:
    codes = unit_codes(4, 2, 70, 300, 16)
    codes[:, 3, 10, 10] = NODATA  # one band alone: no data
    store = write_mosaic(tmp_path / "mosaic.zarr", codes)
    before = files(store)
    store_overviews(str(store))
    assert files(store) == before
    made = zarr.open_group(tmp_path / "mosaic_overviews.zarr", mode="r")
    assert np.array_equal(made["0/embeddings"][...], codes)
    found, expected = made["1/embeddings"][...], plain_vectors(codes)
    assert (found == expected).mean() > 0.999  # the order of a sum may decide a code that lies between two
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.array_equal(found == NODATA, expected == NODATA)
    assert made["1/embeddings"].chunks == (1, 16, 256, 256)


def test_a_level_of_a_mosaic_is_a_mosaic(spark: SparkSession, tmp_path: Path) -> None:
    import terradrift as td

    store = write_mosaic(tmp_path / "mosaic.zarr", unit_codes(4, 2, 40, 300, 16))
    store_overviews(str(store))
    coarse = td.open_mosaic(str(tmp_path / "mosaic_overviews.zarr" / "1"))
    assert coarse.years == (2017, 2018)
    assert (coarse.grid.height, coarse.grid.width) == (20, 150)
    assert coarse.quantization == "signed_square"


def run_script(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["build_overviews", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return int(ended.value.code or 0)


def test_what_is_no_raster_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("terradrift.spark.overviews_job.spark_session", lambda *_: pytest.fail("Spark was asked for"))
    write_dataset(tmp_path / "a.zarr", "uint8")
    mosaic = write_mosaic(tmp_path / "m.zarr", unit_codes(1, 2, 16, 16, 8), chunk=16, shard=None)
    bare = zarr.open_group(tmp_path / "bare.zarr", mode="w", zarr_format=3)
    bare.create_array("z", shape=(30, 40), chunks=(10, 10), dtype="float32", dimension_names=("y", "x"))
    zarr.open_group(tmp_path / "two.zarr", mode="w", zarr_format=2)
    (tmp_path / "there_overviews.zarr").mkdir()
    (tmp_path / "there_overviews.zarr" / "zarr.json").write_text("{}")
    (tmp_path / "there.zarr").symlink_to(tmp_path / "a.zarr")
    for arguments, words in (
        ([str(tmp_path / "none.zarr")], "found no zarr.json"),
        ([str(tmp_path / "two.zarr")], "a Zarr v2 store is not read"),
        ([str(tmp_path / "bare.zarr")], "found no georeference"),
        ([str(tmp_path / "a.zarr" / "time")], "found no array of 2 to 4 dimensions"),
        ([str(tmp_path / "a.zarr"), "--method", "median"], "--method: found 'median'; expected one of mean, max, mode"),
        ([str(mosaic), "--method", "max"], "--method: found max for the embeddings"),
        ([str(tmp_path / "there.zarr")], "found a store at"),
        ([str(tmp_path / "a.zarr"), "--output", str(tmp_path / "a.zarr" / "x")], "lies in the input"),
        (["https://example.org/a?b=c"], "store: found a query"),
        (["a", "b"], "unexpected extra argument"),
    ):
        before = files(tmp_path)
        assert run_script(monkeypatch, *arguments) == 2, arguments
        err = capfd.readouterr().err
        assert words in err, err
        assert err.count("\n") == 1
        assert files(tmp_path) == before


def test_our_own_store_is_done_again_in_place(spark: SparkSession, tmp_path: Path) -> None:
    from terradrift.grid import Grid, Window
    from terradrift.score_store import CHANGED, Q, raster_store

    window = Window(256, 512, 600, 300)
    raster = raster_store(str(tmp_path / "change.zarr"), Grid("EPSG:4326", (1e-4, 0, 5, 0, -1e-4, 50), 2048, 2048), window, 256)
    raster.create([CHANGED, Q], attributes={"title": "terradrift change"})
    rng = np.random.default_rng(0)
    q = rng.random(window.shape).astype(np.float32)
    q[rng.random(window.shape) < 0.3] = math.nan
    changed = np.where(np.isnan(q), 255, q > 0.5).astype(np.uint8)
    for row in range(1, 4):
        for col in range(2, 4):
            tile = raster.tile(row, col)
            y, x = tile.window.slices(window)
            raster.write_tile(tile, {"q": q[y, x], "changed": changed[y, x]})
    before = files(tmp_path)
    store_overviews(raster.url)
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before
    root = zarr.open_group(raster.url, mode="r")
    for name, values, method, nodata in (("q", q, "mean", math.nan), ("changed", changed, "mode", 255)):
        for level in (1, 2):
            values = plain_halved(values, method, nodata)
            assert np.array_equal(root[f"{level}/{name}"][...], values, equal_nan=name == "q")
