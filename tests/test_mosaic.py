"""Reading mosaics of every layout: what zarr-python reads, byte for byte, and one line for what cannot be read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import rioxarray  # noqa: F401  (adds .rio)
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from mosaics import unit_codes, write_mosaic
from terradrift.errors import InputError, StoreError
from terradrift.grid import Window
from terradrift.mosaic import Mosaic, ReadReport, open_mosaic

LAYOUTS: dict[str, dict[str, Any]] = {
    "as the public store": {"chunk": 32, "shard": 64, "compressors": ZstdCodec(level=3)},
    "not sharded": {"chunk": 32, "shard": None},
    "no compression": {"chunk": 32, "shard": None, "compressors": None},
    "several years and some bands a chunk": {"chunk": (2, 5, 32, 32), "shard": (4, 10, 64, 64)},
    "blosc": {"chunk": 32, "shard": 96, "compressors": BloscCodec(cname="lz4")},
    "gzip with a checksum": {"chunk": 32, "shard": 64, "compressors": [GzipCodec(level=1), Crc32cCodec()]},
    "chunks that are not square": {"chunk": (1, 12, 16, 64), "shard": (1, 12, 64, 64)},
}


def read(mosaic: Mosaic, window: Window, years: tuple[int, ...], fill: float = -128) -> tuple[np.ndarray, ReadReport]:
    report = ReadReport()
    values = np.full((len(years), mosaic.n_bands, *window.shape), fill, mosaic.layout.dtype)
    for block in mosaic.read_blocks(window, years, report):
        y, x = block.window.slices(window)
        values[:, :, y, x] = block.codes
    return values, report


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_every_layout_reads_as_zarr_reads_it(tmp_path: Path, name: str) -> None:
    codes = unit_codes(1, 5, 150, 170, bands=12)
    codes[1, :, 64:128, :128] = -128  # two shards of one year hold nothing and are not written
    mosaic = open_mosaic(str(write_mosaic(tmp_path / "m.zarr", codes, **LAYOUTS[name])))
    whole, report = read(mosaic, mosaic.grid.window, (2018, 2020, 2021))
    assert np.array_equal(whole, codes[[1, 3, 4]])
    part, _ = read(mosaic, Window(64, 64, 64, 106), (2017, 2021))
    assert np.array_equal(part, codes[[0, 4], :, 64:128, 64:])
    assert report.bytes_read > 0


def test_requests_and_missing_objects_are_counted(tmp_path: Path) -> None:
    codes = unit_codes(2, 2, 128, 128, bands=4)
    codes[1, :, :64, :64] = -128
    mosaic = open_mosaic(str(write_mosaic(tmp_path / "m.zarr", codes, chunk=32, shard=64)))
    _, report = read(mosaic, mosaic.grid.window, (2017, 2018))
    assert report.missing_objects == 1
    assert report.requests == 8 + 7 * 4  # an index a shard, then its chunks


def test_chunks_not_wanted_are_not_fetched(tmp_path: Path) -> None:
    codes = unit_codes(3, 2, 64, 64, bands=4)
    mosaic = open_mosaic(str(write_mosaic(tmp_path / "m.zarr", codes)))
    wanted = np.array([[True, False], [False, False]])
    report = ReadReport()
    blocks = list(mosaic.read_blocks(mosaic.grid.window, (2017,), report, wanted))
    assert [block.window for block in blocks] == [Window(0, 0, 32, 32)]
    assert report.requests == 2


def test_years_are_chosen_by_value(tmp_path: Path) -> None:
    codes = unit_codes(4, 3, 32, 32, bands=4)
    mosaic = open_mosaic(str(write_mosaic(tmp_path / "m.zarr", codes, years=(2021, 2019, 2020), shard=32)))
    assert mosaic.select_years(None) == (2019, 2020, 2021)
    assert mosaic.select_years((2019, 2020)) == (2019, 2020)
    found, _ = read(mosaic, mosaic.grid.window, (2019, 2021))
    assert np.array_equal(found, codes[[1, 0]])


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_plain_values_keep_their_numbers_and_lose_their_fill(tmp_path: Path, dtype: str) -> None:
    values = np.random.default_rng(5).integers(1, 200, size=(2, 3, 40, 50)).astype(dtype)
    fill = 0 if dtype == "uint8" else np.nan
    values[0, :, 5, 5] = fill
    path = write_mosaic(tmp_path / "m.zarr", values, fill_value=fill, attributes={"geoemb:quantization": {"method": "none"}})
    mosaic = open_mosaic(str(path))
    blocks = list(mosaic.read_blocks(mosaic.grid.window, (2017, 2018), ReadReport()))
    found = np.full(values.shape, np.nan)
    for block in blocks:
        y, x = block.window.slices(mosaic.grid.window)
        found[:, :, y, x] = block.codes
    expected = values.astype(float)
    expected[0, :, 5, 5] = np.nan
    assert np.array_equal(found, expected, equal_nan=True)


def test_stray_objects_and_index_at_the_start_do_no_harm(tmp_path: Path) -> None:
    codes = unit_codes(6, 2, 64, 64, bands=4)
    path = tmp_path / "m.zarr"
    write_mosaic(path, codes)
    shutil.rmtree(path / "embeddings")
    group = zarr.open_group(path, mode="a")
    codec = zarr.codecs.ShardingCodec(
        chunk_shape=(1, 4, 32, 32), codecs=[zarr.codecs.BytesCodec(), ZstdCodec()], index_location="start"
    )
    array = zarr.create(
        store=group.store_path.store, path="embeddings", shape=codes.shape, chunks=(1, 4, 64, 64), dtype="int8", codecs=[codec],
        fill_value=-128, dimension_names=("time", "band", "y", "x"), zarr_format=3,
    )  # fmt: skip
    array[...] = codes
    (path / "README.md").write_text("stray")
    (path / ".checkpoint").write_bytes(b"\0")
    mosaic = open_mosaic(str(path))
    assert np.array_equal(read(mosaic, mosaic.grid.window, (2017, 2018))[0], codes)


def test_a_cf_georeference_written_by_rioxarray_is_read(tmp_path: Path) -> None:
    values = np.random.default_rng(7).normal(size=(2, 3, 20, 30)).astype("float32")
    x, y = 500005 + 10 * np.arange(30.0), 4100005 - 10 * np.arange(20.0)
    data = xr.DataArray(values, dims=("time", "band", "y", "x"), coords={"time": [2019, 2020], "y": y, "x": x}, name="embeddings")
    data = data.rio.write_crs("EPSG:32633").rio.write_transform()
    data.to_dataset().to_zarr(tmp_path / "m.zarr", zarr_format=3, consolidated=False)
    mosaic = open_mosaic(str(tmp_path / "m.zarr"))
    assert mosaic.grid.crs == "EPSG:32633"
    assert mosaic.grid.transform == (10.0, 0.0, 500000.0, 0.0, -10.0, 4100010.0)
    assert mosaic.years == (2019, 2020)
    assert mosaic.quantization == "none"


def test_dates_are_years(tmp_path: Path) -> None:
    values = np.zeros((2, 3, 20, 30), "float32")
    times = np.array(["2018-01-01", "2020-01-01"], "datetime64[ns]")
    data = xr.DataArray(values, dims=("time", "band", "y", "x"), coords={"time": times}, name="embeddings")
    data.to_dataset().to_zarr(tmp_path / "m.zarr", zarr_format=3, consolidated=False)
    zarr.open_group(tmp_path / "m.zarr", mode="a").attrs.update(
        {"proj:code": "EPSG:4326", "spatial:transform": [1, 0, 0, 0, -1, 0]}
    )
    assert open_mosaic(str(tmp_path / "m.zarr")).years == (2018, 2020)


# --- what cannot be read -----------------------------------------------------------------------------------------------


def edit_group(**attributes: Any) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        document = json.loads((path / "zarr.json").read_text())
        for name, value in attributes.items():
            if value is None:
                document["attributes"].pop(name.replace("__", ":"), None)
            else:
                document["attributes"][name.replace("__", ":")] = value
        (path / "zarr.json").write_text(json.dumps(document))

    return edit


def edit_array(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        file = path / "embeddings" / "zarr.json"
        document = json.loads(file.read_text())
        change(document)
        file.write_text(json.dumps(document))

    return edit


def codecs_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return document["codecs"][0]["configuration"]["codecs"]


BAD_MOSAICS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (shutil.rmtree, "found no zarr.json"),
    "no group metadata": (lambda p: (p / "zarr.json").unlink(), "found no zarr.json"),
    "a Zarr v2 store": (lambda p: ((p / "zarr.json").unlink(), (p / ".zgroup").write_text("{}")), "Zarr v2"),
    "group metadata cut": (lambda p: (p / "zarr.json").write_bytes((p / "zarr.json").read_bytes()[:50]), "not JSON"),
    "group metadata empty": (lambda p: (p / "zarr.json").write_bytes(b""), "an empty object"),
    "group metadata a list": (lambda p: (p / "zarr.json").write_text("[]"), "found list"),
    "group metadata not text": (lambda p: (p / "zarr.json").write_bytes(b"\xff\xfe\x00"), "not JSON"),
    "group metadata deep": (lambda p: (p / "zarr.json").write_text("[" * 100000), "not JSON"),
    "an array in place of the group": (lambda p: shutil.copy(p / "time/zarr.json", p / "zarr.json"), "expected a group"),
    "no array": (lambda p: shutil.rmtree(p / "embeddings"), "found no embeddings/zarr.json"),
    "array metadata cut": (lambda p: (p / "embeddings/zarr.json").write_text("{"), "not JSON"),
    "a group for the array": (lambda p: shutil.copy(p / "zarr.json", p / "embeddings/zarr.json"), "expected a Zarr v3 array"),
    "no georeference": (edit_group(proj__code=None), "no georeference"),
    "no transform": (edit_group(spatial__transform=None), "no georeference"),
    "a CRS nobody knows": (edit_group(proj__code="EPSG:999999"), "CRS: found"),
    "a CRS that is a number": (edit_group(proj__code=[1, 2]), "CRS: found"),
    "a geocentric CRS": (edit_group(proj__code="EPSG:4978"), "geographic or projected"),
    "a transform of text": (edit_group(spatial__transform=["a"] * 6), "six finite numbers"),
    "a transform of five": (edit_group(spatial__transform=[1, 0, 0, 0, -1]), "six finite numbers"),
    "a transform with NaN": (edit_group(spatial__transform=[1, 0, 0, 0, -1, float("nan")]), "six finite numbers"),
    "south up": (edit_group(spatial__transform=[1, 0, 0, 0, 1, 0]), "north-up"),
    "rotated": (edit_group(spatial__transform=[1, 0.1, 0, 0, -1, 0]), "north-up"),
    "node registration": (edit_group(spatial__registration="node"), "'pixel'"),
    "no quantisation": (edit_group(geoemb__quantization=None), "set quantization"),
    "linear quantisation": (edit_group(geoemb__quantization={"method": "linear", "scale": 0.0078125}), "found method 'linear'"),
    "quantisation of nothing": (edit_group(geoemb__quantization={}), "found no method"),
    "no time": (lambda p: shutil.rmtree(p / "time"), "no coordinate 'time'"),
    "time cut": (lambda p: shutil.rmtree(p / "time/c"), "time: found years"),
    "three dimensions": (edit_array(lambda d: d.update(shape=[2, 4, 64])), "expected"),
    "dimensions out of order": (edit_array(lambda d: d.update(dimension_names=["band", "time", "y", "x"])), "dimension_names"),
    "complex numbers": (edit_array(lambda d: d.update(data_type="complex64")), "data_type"),
    "strings": (edit_array(lambda d: d.update(data_type="string")), "data_type"),
    "uint8 codes": (edit_array(lambda d: d.update(data_type="uint8", fill_value=0)), "expected int8 codes"),
    "a fill value out of range": (edit_array(lambda d: d.update(fill_value=-300)), "fill_value"),
    "a fill value of text": (edit_array(lambda d: d.update(fill_value="x")), "fill_value"),
    "no shape": (edit_array(lambda d: d.pop("shape")), "shape"),
    "a negative shape": (edit_array(lambda d: d.update(shape=[2, 4, -64, 64])), "positive"),
    "a chunk of zero": (edit_array(lambda d: d["codecs"][0]["configuration"].update(chunk_shape=[1, 4, 0, 32])), "positive"),
    "chunks that do not divide shards": (
        edit_array(lambda d: d["codecs"][0]["configuration"].update(chunk_shape=[1, 4, 24, 32])),
        "divide",
    ),
    "a chunk of gigabytes": (
        edit_array(
            lambda d: (
                d["codecs"][0]["configuration"].update(chunk_shape=[1, 4, 65536, 65536]),
                d["chunk_grid"]["configuration"].update(chunk_shape=[1, 4, 65536, 65536]),
            )
        ),
        "rechunk",
    ),
    "an index of gigabytes": (
        edit_array(lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=[1, 4, 1 << 20, 1 << 20])),
        "chunks a shard",
    ),
    "an unknown codec": (edit_array(lambda d: codecs_of(d).append({"name": "numcodecs.pickle"})), "numcodecs.pickle"),
    "a codec that runs code": (
        edit_array(lambda d: d.update(codecs=[{"name": "numcodecs.pickle", "configuration": {}}])),
        "expected 'bytes'",
    ),
    "two compressors": (edit_array(lambda d: codecs_of(d).append({"name": "gzip", "configuration": {}})), "expected one"),
    "a transposed array": (edit_array(lambda d: codecs_of(d).insert(0, {"name": "transpose"})), "expected 'bytes'"),
    "no codecs": (edit_array(lambda d: d.pop("codecs")), "codecs"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BAD_MOSAICS))
def test_a_bad_mosaic_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path = write_mosaic(tmp_path / "m.zarr", unit_codes(8, 2, 64, 64, bands=4))
    spoil, expected = BAD_MOSAICS[name]
    spoil(path)
    with pytest.raises(InputError) as refused:
        open_mosaic(str(path))
    message = str(refused.value)
    assert expected in message
    assert "\n" not in message
    assert "expected" in message


@pytest.mark.parametrize("years", [(2016, 2018), (2017, 2030), (2018, 2018)])
def test_years_the_mosaic_has_not(tmp_path: Path, years: tuple[int, int]) -> None:
    mosaic = open_mosaic(str(write_mosaic(tmp_path / "m.zarr", unit_codes(9, 3, 32, 32, bands=4), shard=32)))
    with pytest.raises(InputError, match="years: found"):
        mosaic.select_years(years)


@pytest.mark.parametrize("tile_size", [16, 48, 96, 100, 33])
def test_a_tile_that_splits_chunks(tmp_path: Path, tile_size: int) -> None:
    mosaic = open_mosaic(str(write_mosaic(tmp_path / "m.zarr", unit_codes(9, 2, 32, 32, bands=4), shard=32)))
    with pytest.raises(InputError, match=r"chunk height 32 times a power of two; use 32, 64, 128"):
        mosaic.check_tile_size(tile_size)
    mosaic.check_tile_size(64)


def damage(path: Path, how: str) -> None:
    file = next(file for file in (path / "embeddings" / "c").rglob("*") if file.is_file())
    data = bytearray(file.read_bytes())
    if how == "cut":
        del data[-10:]
    elif how == "empty":
        data.clear()
    elif how == "index":
        data[-20] ^= 1
    else:
        data[: len(data) // 2] = bytes(len(data) // 2)
    file.write_bytes(data)


@pytest.mark.parametrize(("length", "match"), [(2**40, "chunk of more than"), (4000, "ends before byte")])
def test_an_index_that_points_beyond_its_object(tmp_path: Path, length: int, match: str) -> None:
    path = write_mosaic(tmp_path / "m.zarr", unit_codes(10, 2, 64, 64, bands=4))
    mosaic = open_mosaic(str(path))
    file = next(file for file in (path / "embeddings" / "c").rglob("*") if file.is_file())
    data = file.read_bytes()
    index = np.frombuffer(data[-mosaic.layout.index_bytes : -4], "<u8").reshape(-1, 2).copy()
    index[0] = len(data) - 10, length
    body = index.tobytes()
    file.write_bytes(data[: -mosaic.layout.index_bytes] + body + google_crc32c.value(body).to_bytes(4, "little"))
    with pytest.raises(StoreError, match=match):
        read(mosaic, mosaic.grid.window, (2017, 2018))


@pytest.mark.parametrize("how", ["cut", "empty", "index", "body"])
def test_a_damaged_shard_is_an_error_not_a_hole(tmp_path: Path, how: str) -> None:
    path = write_mosaic(tmp_path / "m.zarr", unit_codes(10, 2, 64, 64, bands=4))
    damage(path, how)
    mosaic = open_mosaic(str(path))
    with pytest.raises(StoreError, match=r"m\.zarr/embeddings/c/"):
        read(mosaic, mosaic.grid.window, (2017, 2018))
