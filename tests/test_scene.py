"""Synthetic scenes: the layout of the public mosaic, fields without seams, truth that agrees with the codes, realistic levels."""

from __future__ import annotations

import filecmp
import json
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio.features
import shapely
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from terradrift.errors import InputError
from terradrift.kernels.quantize import dequantize, quantize
from terradrift.scene import SceneReport, write_scene
from terradrift.scene.changes import CELL, CHANGES, Planted, plant, rasterize
from terradrift.scene.embeddings import encode
from terradrift.scene.landscape import COVERS, KINDS, Land
from terradrift.scene.noise import add_white, noise_key, smooth, spline_weights
from terradrift.scene.pipeline import in_order

STEP = 8.983111749910169e-05
GAP = 8


def window_of(report: SceneReport, size: int, chunk: int) -> tuple[slice, slice]:
    y0, x0 = 37 * chunk // 256, 91 * chunk // 256
    return slice(y0, y0 + size), slice(x0, x0 + size)


class Opened:
    """A scene read back with zarr: arrays cover the scene's window only."""

    def __init__(self, report: SceneReport, size: int, chunk: int) -> None:
        self.report, self.chunk = report, chunk
        self.window = window_of(report, size, chunk)
        self.codes = zarr.open_array(report.mosaic / "embeddings")[(slice(None), slice(None), *self.window)]
        truth = zarr.open_group(report.directory / "truth.zarr")
        self.truth = {name: truth[name][self.window] for name in truth if name not in ("x", "y")}
        vectors, self.valid = dequantize(self.codes)
        self.norm = np.sqrt((vectors**2).sum(axis=1))
        self.unit = vectors / self.norm[:, None]

    def distance(self, t: int, s: int) -> np.ndarray:
        return 1 - (self.unit[t] * self.unit[s]).sum(axis=0)

    def polygons(self) -> geopandas.GeoDataFrame:
        return geopandas.read_parquet(self.report.truth)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    report = write_scene(tmp_path_factory.mktemp("scene"), kind="agri", size=160, seed=3, shard=64, chunk=32, threads=2)
    return Opened(report, 160, 32)


@pytest.fixture(scope="module", params=list(KINDS))
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Opened]:
    report = write_scene(tmp_path_factory.mktemp(request.param), kind=request.param, size=256, seed=2, shard=256, chunk=128)
    return request.param, Opened(report, 256, 128)


# layout


def test_array_metadata_is_that_of_the_public_mosaic(small: Opened) -> None:
    metadata = json.loads((small.report.mosaic / "embeddings" / "zarr.json").read_text())
    assert metadata.pop("shape") == [9, 64, 192, 256]  # 4 + 160 rows, 11 + 160 columns, whole shards, a spare column of them
    assert metadata == {
        "zarr_format": 3,
        "node_type": "array",
        "data_type": "int8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 64, 64, 64]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": -128,
        "codecs": [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": [1, 64, 32, 32],
                    "codecs": [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 3, "checksum": False}}],
                    "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
                    "index_location": "end",
                },
            }
        ],
        "attributes": {},
        "dimension_names": ["time", "band", "y", "x"],
        "storage_transformers": [],
    }


def test_group_metadata_is_that_of_the_public_mosaic(small: Opened) -> None:
    metadata = json.loads((small.report.mosaic / "zarr.json").read_text())
    assert set(metadata) == {"zarr_format", "node_type", "attributes"}  # nothing consolidated
    attributes = metadata["attributes"]
    uuids = [convention["uuid"] for convention in attributes.pop("zarr_conventions")]
    assert uuids == [
        "f17cb550-5864-4468-aeb7-f3180cfb622f",
        "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
        "61c12cc5-0e28-4056-999a-480cf3fb7e4c",
    ]
    a, b, west, d, e, north = attributes.pop("spatial:transform")
    assert (a, b, d, e) == (STEP, 0.0, 0.0, -STEP)
    assert attributes.pop("spatial:bbox") == [west, north - 192 * STEP, west + 256 * STEP, north]
    assert attributes == {
        "proj:code": "EPSG:4326",
        "spatial:dimensions": ["y", "x"],
        "spatial:transform_type": "affine",
        "spatial:shape": [192, 256],
        "spatial:registration": "pixel",
        "geoemb:type": "pixel",
        "geoemb:dimensions": 64,
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
    }


def test_scene_lies_on_whole_chunks_of_the_global_grid_near_boulder(small: Opened) -> None:
    transform = json.loads((small.report.mosaic / "zarr.json").read_text())["attributes"]["spatial:transform"]
    col, row = (transform[2] + 180) / STEP, (83.68570533713473 - transform[5]) / STEP
    assert abs(col - round(col)) < 1e-6 > abs(row - round(row))
    assert round(col) % 256 == 0 == round(row) % 256
    assert abs(transform[2] + 105.27) < 0.05 > abs(transform[5] - 40.015)


def test_objects(small: Opened) -> None:
    root = small.report.mosaic
    assert {path.name for path in root.iterdir()} == {
        "zarr.json",
        "README.md",
        ".checkpoint",
        "embeddings",
        "x",
        "y",
        "time",
        "band",
    }
    for name in ("x", "y", "time", "band"):
        assert sorted(str(p.relative_to(root / name)) for p in (root / name).rglob("*") if p.is_file()) == ["c/0", "zarr.json"]
    shards = {
        str(path.relative_to(root / "embeddings" / "c")) for path in (root / "embeddings" / "c").rglob("*") if path.is_file()
    }
    # 3 x 3 shards hold a part of the window; nothing is written for the fourth column
    assert shards == {f"{t}/0/{row}/{col}" for t in range(9) for row in range(3) for col in range(3)}


def test_chunks_without_a_valid_pixel_are_left_out(tmp_path: Path) -> None:
    report = write_scene(tmp_path, size=64, years=2, shard=64, chunk=16, threads=1)
    assert report.bytes_written == sum(p.stat().st_size for p in (report.mosaic / "embeddings" / "c").rglob("*") if p.is_file())
    tail = (report.mosaic / "embeddings" / "c" / "0" / "0" / "1" / "1").read_bytes()[-(16 * 16 + 4) : -4]
    index = np.frombuffer(tail, "<u8").reshape(4, 4, 2)
    assert (index[0, 0] != 2**64 - 1).all()  # rows 64..66 and columns 64..69 are the window's last
    assert (index.reshape(16, 2)[1:] == 2**64 - 1).all()


def test_nodata_is_in_all_bands_or_none_and_where_the_truth_says(small: Opened) -> None:
    whole = zarr.open_array(small.report.mosaic / "embeddings")[:]
    missing = whole == -128
    assert np.array_equal(missing.all(axis=1), missing.any(axis=1))
    outside = np.ones(whole.shape[2:], bool)
    outside[small.window] = False
    assert missing[:, 0, outside].all()
    gaps = ~small.valid
    assert np.array_equal(gaps.any(axis=0), small.truth["nuisance"] & GAP > 0)
    assert gaps.any()
    assert not gaps.all(axis=0).any()


@pytest.mark.filterwarnings("ignore:Object at")
def test_xarray_opens_it(small: Opened) -> None:
    with pytest.warns(Warning, match="README.md"):  # as with the public mosaic
        mosaic = xarray.open_zarr(small.report.mosaic, consolidated=False, mask_and_scale=False)
    assert mosaic.embeddings.dims == ("time", "band", "y", "x")
    assert mosaic.embeddings.dtype == np.int8
    assert mosaic.time.values.tolist() == list(range(2017, 2026))
    assert mosaic.band.values.tolist() == [f"A{band:02d}" for band in range(64)]
    west, north = (mosaic.attrs["spatial:transform"][i] for i in (2, 5))
    np.testing.assert_allclose(mosaic.x, west + (np.arange(256) + 0.5) * STEP, rtol=1e-14)
    np.testing.assert_allclose(mosaic.y, north - (np.arange(192) + 0.5) * STEP, rtol=1e-14)
    assert np.array_equal(mosaic.embeddings[(slice(None), slice(None), *small.window)], small.codes)


# laws of the fields


@settings(max_examples=25, deadline=None)
@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 30), st.integers(1, 30), st.sampled_from([2, 4, 7]))
def test_a_block_of_noise_is_cut_from_one_endless_field(y0: int, x0: int, height: int, width: int, step: int) -> None:
    key = noise_key(7, step)
    field = smooth(key, -50, -50, (130, 130, 2), step)
    block = smooth(key, y0, x0, (height, width, 2), step)
    assert np.array_equal(block, field[y0 + 50 : y0 + 50 + height, x0 + 50 : x0 + 50 + width])


@pytest.mark.parametrize("step", [2, 4, 7])
def test_noise_has_variance_one_at_every_pixel(step: int) -> None:
    field = smooth(noise_key(1), 0, 0, (28, 28, 4000), step)
    assert abs(field.mean()) < 0.02
    # 4000 draws: the standard error of a variance is 0.022
    np.testing.assert_allclose(field.var(axis=2), 1, atol=0.13)
    white = np.zeros((50, 50, 64), np.float32)
    add_white(white, np.full((50, 50), 2, np.float32), noise_key(2), 0, 0)
    assert abs(white.mean()) < 0.02
    assert abs(white.std() - 2) < 0.02
    assert abs(np.corrcoef(white[:, :-1].ravel(), white[:, 1:].ravel())[0, 1]) < 0.01


def test_spline_weights_are_those_of_the_cubic_b_spline() -> None:
    weights = spline_weights(4).astype(float)
    ratio = weights / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ratio[0], [1 / 6, 4 / 6, 1 / 6, 0], atol=1e-6)
    np.testing.assert_allclose(ratio[2], np.array([1, 23, 23, 1]) / 48, atol=1e-6)
    np.testing.assert_allclose((weights**2).sum(axis=1), 1, atol=1e-6)


def test_codes_are_the_rounded_roots_of_the_unit_vector() -> None:
    rng = np.random.default_rng(5)
    height, width, shift = 3, 4, rng.choice([0, 2], (3, 4)).astype(np.uint8)
    wide = width + 2
    state, target, cover = (rng.integers(0, 8, (height, wide)).astype(np.uint8) for _ in range(3))
    wet, weight = (rng.random((height, wide)).astype(np.float32) for _ in range(2))
    noise, prototypes = rng.normal(0, 0.1, (height, wide, 64)), rng.normal(0, 0.1, (11, 64))
    axes, offset = rng.normal(0, 0.1, (8, 64, 64)), rng.normal(0, 0.1, (8, 64))
    valid = rng.random((height, width)) < 0.8
    codes = np.full((64, 6, 7), 99, np.int8)
    single = (v.astype(np.float32) for v in (noise, prototypes, axes, offset))
    encode(codes, 2, 1, valid, shift, state, 0, wet, target, weight, cover, *single)
    for y in range(height):
        for x in range(width):
            s = x + shift[y, x]
            base = (1 - wet[y, s]) * prototypes[state[y, s]] + wet[y, s] * prototypes[0]
            vector = (1 - weight[y, s]) * base + weight[y, s] * prototypes[target[y, s]]
            vector = vector + offset[cover[y, s]] + noise[y, s] @ axes[cover[y, s]]
            expected = quantize(vector / np.linalg.norm(vector)) if valid[y, x] else np.full(64, -128)
            # a root that falls on a half in float32 may round the other way
            assert np.abs(codes[:, 2 + y, 1 + x] - expected.astype(int)).max() <= 1
            assert (codes[:, 2 + y, 1 + x] != expected).sum() <= 1
    codes[:, 2:5, 1:5] = 99
    assert (codes == 99).all()


# laws of the scene


def same_files(a: Path, b: Path) -> bool:
    names = sorted(str(path.relative_to(a)) for path in a.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(b)) for path in b.rglob("*") if path.is_file())
    return not any(filecmp.cmpfiles(a, b, names, shallow=False)[1:])


def test_bytes_depend_on_the_seed_and_not_on_threads(tmp_path: Path) -> None:
    for name, seed, threads in (("one", 1, 1), ("two", 1, 2), ("other", 2, 2)):
        write_scene(tmp_path / name, size=96, years=3, seed=seed, shard=64, chunk=32, threads=threads)
    assert same_files(tmp_path / "one", tmp_path / "two")
    assert not same_files(tmp_path / "one" / "mosaic.zarr" / "embeddings", tmp_path / "other" / "mosaic.zarr" / "embeddings")


def test_content_does_not_depend_on_chunks_or_shards(small: Opened, tmp_path: Path) -> None:
    other = Opened(write_scene(tmp_path, kind="agri", size=160, seed=3, shard=256, chunk=256), 160, 256)
    assert np.array_equal(small.codes, other.codes)
    for name, raster in small.truth.items():
        assert np.array_equal(raster, other.truth[name]), name
    a, b = small.polygons(), other.polygons()
    assert a.drop(columns="geometry").equals(b.drop(columns="geometry"))


def test_memory_does_not_grow_with_the_scene(tmp_path: Path) -> None:
    peaks = []
    for size in (96, 288):
        tracemalloc.start()
        write_scene(tmp_path / str(size), size=size, years=4, shard=64, chunk=32, threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    everything = 4 * 64 * 288 * 288
    assert peaks[1] < 1.5 * peaks[0]
    assert peaks[1] < everything / 3


def test_results_come_in_order_and_few_are_ahead() -> None:
    pulled: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        squares = in_order(pool, lambda n: n * n, (pulled.append(n) or n for n in range(20)), ahead=3)
        for n in range(20):
            assert next(squares) == n * n
            assert len(pulled) <= n + 3
        assert next(squares, None) is None


def test_progress_ends_at_one(tmp_path: Path) -> None:
    seen: list[float] = []
    write_scene(tmp_path, size=64, years=2, shard=64, chunk=32, progress=seen.append)
    assert seen == sorted(seen)
    assert len(seen) == 9
    assert seen[-1] == 1


# truth


def test_polygons_are_the_planted_pixels(small: Opened) -> None:
    transform = json.loads((small.report.mosaic / "zarr.json").read_text())["attributes"]["spatial:transform"]
    polygons = small.polygons()
    assert polygons.crs == "EPSG:4326"
    assert polygons.is_valid.all()
    assert set(polygons.geom_type) == {"Polygon"}
    drawn = {
        "kind": [CHANGES.index(kind) + 1 for kind in polygons.kind],
        "landcover": [COVERS.index(c) + 1 for c in polygons.landcover],
    }
    for name in ("kind", "year_first", "year_last", "strength", "landcover"):
        pairs = zip(polygons.geometry, drawn.get(name, polygons[name]), strict=True)
        raster = rasterio.features.rasterize(
            pairs, out_shape=(192, 256), transform=rasterio.Affine(*transform), dtype="float32" if name == "strength" else "int16"
        )[small.window]
        truth = small.truth[name] if name != "landcover" else np.where(small.truth["kind"] > 0, small.truth["landcover"], 0)
        assert np.array_equal(raster, truth), name
    # one polygon a connected set of pixels, even across corners
    labels, count = ndimage.label(small.truth["kind"] > 0, np.ones((3, 3)))
    assert count == len(polygons) == sum(small.report.polygons.values())
    sizes = np.bincount(labels.ravel())[1:]
    assert sizes.min() >= 12
    assert sizes.max() <= 600
    assert sizes.sum() == sum(small.report.pixels.values())


def test_truth_columns(scene: tuple[str, Opened]) -> None:
    polygons = scene[1].polygons()
    assert list(polygons.columns) == ["kind", "year_first", "year_last", "strength", "landcover", "geometry"]
    assert set(polygons.kind) == {"step", "ramp", "blip"}
    assert polygons.year_first.between(2017, 2025).all()
    assert polygons.year_last.between(2017, 2025).all()
    length = polygons.year_last - polygons.year_first + 1
    assert (length[polygons.kind != "ramp"] == 1).all()
    assert length[polygons.kind == "ramp"].between(3, 6).all()
    assert (polygons.year_first[polygons.kind != "blip"] > 2017).all()
    assert {round(strength, 2) for strength in polygons.strength.tolist()} <= {1.0, 0.6, 0.35}
    assert not set(polygons.landcover) & {"water", "wetland"}


def test_rasters_say_what_their_codes_mean(small: Opened) -> None:
    truth = zarr.open_group(small.report.directory / "truth.zarr")
    assert {name: str(truth[name].dtype) for name in small.truth} == {
        "kind": "uint8",
        "year_first": "int16",
        "year_last": "int16",
        "strength": "float32",
        "landcover": "uint8",
        "nuisance": "uint8",
    }
    assert truth["kind"].attrs["flag_meanings"] == "none step ramp blip"
    assert truth["kind"].shape == zarr.open_array(small.report.mosaic / "embeddings").shape[2:]
    assert set(np.unique(small.truth["landcover"])) <= set(range(1, 9))
    rotating = small.truth["nuisance"] & 1 > 0
    assert set(np.unique(small.truth["landcover"][rotating])) == {COVERS.index("cropland") + 1}
    assert np.array_equal(small.truth["nuisance"] & 2 > 0, small.truth["landcover"] == COVERS.index("wetland") + 1)


def test_planted_change_is_in_the_embeddings(scene: tuple[str, Opened]) -> None:
    _, opened = scene
    kind, strength, first = (opened.truth[name] for name in ("kind", "strength", "year_first"))
    year = first - opened.report.years[0]
    span = opened.distance(0, 8)
    strong = (kind == 1) & (strength == 1) & (year < 8) & np.isfinite(span)
    stable = (kind == 0) & (opened.truth["nuisance"] == 0) & np.isfinite(span)
    # a full conversion turns an embedding by 40 to 55 degrees
    assert 0.24 < np.median(span[strong]) < 0.45
    assert np.percentile(span[strong], 5) > 2 * np.median(span[stable])
    weak = (kind == 1) & (strength < 0.4) & (year < 8) & np.isfinite(span)
    assert np.median(span[stable]) < np.median(span[weak]) < np.median(span[strong]) / 2
    blip = (kind == 3) & (year > 0) & (year < 8) & (strength >= 0.6) & (opened.truth["nuisance"] == 0)
    out, back = [], []
    for y, x in zip(*np.nonzero(blip), strict=True):
        before, at, after = opened.unit[year[y, x] - 1 : year[y, x] + 2, :, y, x]
        out.append(1 - before @ at)
        back.append(1 - before @ after)
    assert np.nanmedian(out) > 0.12
    assert np.nanmedian(back) < np.nanmedian(out) / 2
    assert abs(np.nanmedian(back) - np.median(opened.distance(3, 5)[stable])) < 0.03


def test_how_far_a_change_has_gone_by_year() -> None:
    def row(*values: float, dtype: type = np.int16) -> np.ndarray:
        return np.array([values], dtype)

    planted = Planted(
        kind=row(0, 1, 2, 3),
        first=row(0, 2, 1, 3),
        last=row(0, 2, 4, 3),
        strength=row(0, 1, 0.6, 0.5, dtype=np.float32),
        expression=row(0, 0.25, 0.9, 0.9, dtype=np.float32),
        target=row(0, 0, 0, 0),
    )
    series = np.stack([planted.weight(t)[0] for t in range(6)])
    expected = [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0.25, 1, 1, 1],  # a step shows a part of itself in its first year
        [0, 0.15, 0.3, 0.45, 0.6, 0.6],  # a ramp of four years
        [0, 0, 0, 0.5, 0, 0],
    ]
    np.testing.assert_allclose(series.T, expected, atol=1e-6)


def test_steps_happen_in_their_year_and_ramps_over_theirs(scene: tuple[str, Opened]) -> None:
    _, opened = scene
    kind, first, last = (opened.truth[name] for name in ("kind", "year_first", "year_last"))
    years = opened.report.years
    for code in (1, 2):
        progress = {-1: [], 0: [], 1: []}  # how far from before to after: the year before, within, the year after
        for y, x in zip(*np.nonzero((kind == code) & (opened.truth["strength"] == 1) & (last < 2025)), strict=True):
            t, s = first[y, x] - years[0], last[y, x] - years[0]
            series = opened.unit[:, :, y, x]
            if not opened.valid[:, y, x].all():
                continue
            before, after = series[:t].mean(axis=0), series[s + 1 :].mean(axis=0)
            share = (series - before) @ (after - before) / ((after - before) @ (after - before))
            progress[-1].append(share[t - 1])
            progress[0].append(share[(t + s) // 2])
            progress[1].append(share[s + 1])
        assert np.median(progress[-1]) < 0.15
        assert np.median(progress[1]) > 0.85
        assert 0.3 < np.median(progress[0]) < 1.1


# levels of real embeddings


def test_decoded_norms_are_those_of_quantised_unit_vectors(scene: tuple[str, Opened]) -> None:
    norm = scene[1].norm[scene[1].valid]
    assert norm.min() > 0.98
    assert norm.max() < 1.02
    assert abs(norm.mean() - 1) < 5e-4
    assert 0.0015 < norm.std() < 0.0025


def test_levels_are_those_of_real_squares(scene: tuple[str, Opened]) -> None:
    # around what has been published for 10 km squares of real embeddings
    name, opened = scene
    steps = np.stack([opened.distance(t, t + 1) for t in range(8)])
    finite = steps[np.isfinite(steps)]
    whole = np.isfinite(steps).all(axis=0)
    ratio = steps[:, whole].sum(axis=0).mean() / opened.distance(0, 8)[whole].mean()
    forest = steps[:, (opened.truth["landcover"] == COVERS.index("forest") + 1) & (opened.truth["kind"] == 0) & whole]
    forest_p90 = np.degrees(np.arccos(1 - np.percentile(forest, 90)))
    assert 10.2 < forest_p90 < 19.5
    if name == "agri":
        assert finite.mean() > 0.03
        return
    low, high = {"quiet": (0.014, 0.021), "tropical": (0.035, 0.049)}[name]
    assert low < finite.mean() < high
    assert 1.9 < np.percentile(finite, 95) / np.median(finite) < 3.1
    assert 3.8 < ratio < 5.8
    if name == "tropical":
        assert 0.007 < (finite > 0.15).mean() < 0.016
        assert 0.22 < (finite > 0.05).mean() < 0.40


def test_blobs_stay_in_their_cells_and_never_touch() -> None:
    shape = 800, 800
    forest = Land(np.full(shape, COVERS.index("forest"), np.uint8), np.zeros(shape, np.uint64), np.zeros(shape, bool))
    blobs = plant(seed=1, years=9, size=800, land=forest, y0=0, x0=0)
    assert len(blobs) > 150
    for blob in blobs:
        (top, left), (height, width) = (blob.y0 % CELL, blob.x0 % CELL), blob.mask.shape
        assert 1 <= top <= CELL - height
        assert 1 <= left <= CELL - width
    planted = rasterize(blobs, 0, 0, *shape)
    assert ndimage.label(planted.kind, np.ones((3, 3)))[1] == len(blobs)
    assert np.array_equal(rasterize(blobs, 100, 230, 70, 50).kind, planted.kind[100:170, 230:280])


def test_shares_planted(tmp_path: Path) -> None:
    report = write_scene(tmp_path, size=512, years=2, seed=1)
    shares = {kind: pixels / 512**2 for kind, pixels in report.pixels.items()}
    # two years leave no room for ramps, which become steps
    assert shares["ramp"] == 0
    assert 0.035 < shares["step"] < 0.06
    assert 0.008 < shares["blip"] < 0.018


# the folder


def test_area_of_interest(small: Opened) -> None:
    aoi = geopandas.read_file(small.report.aoi)
    assert aoi.crs == "EPSG:4326"
    assert aoi["name"].tolist() == ["agri scene 3"]
    west, north = (
        json.loads((small.report.mosaic / "zarr.json").read_text())["attributes"]["spatial:transform"][i] for i in (2, 5)
    )
    rows, cols = small.window
    window = shapely.box(west + cols.start * STEP, north - rows.stop * STEP, west + cols.stop * STEP, north - rows.start * STEP)
    area = aoi.geometry[0]
    assert area.is_valid
    assert window.buffer(1e-9).covers(area)
    assert 0.85 < area.area / window.area < 1
    assert area.exterior.is_ccw
    assert len(area.exterior.coords) == 25


def test_manifest_says_how_to_make_it_again(small: Opened) -> None:
    manifest = json.loads((small.report.directory / "scene.json").read_text())
    assert manifest["arguments"] == {"kind": "agri", "size": 160, "years": 9, "seed": 3, "shard": 64, "chunk": 32}
    assert manifest["complete"] is True
    assert isinstance(manifest["version"], str)


def test_a_scene_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    scene = tmp_path / "new" / "scene"
    write_scene(scene, size=64, years=3, shard=64, chunk=32)
    (scene / "notes.txt").write_text("mine")
    report = write_scene(str(scene), size=64, years=2, shard=64, chunk=32)
    assert zarr.open_array(report.mosaic / "embeddings").shape[0] == 2
    assert not (report.mosaic / "embeddings" / "c" / "2").exists()
    assert (scene / "notes.txt").read_text() == "mine"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="found other files"):
        write_scene(tmp_path / "full", size=64)
    with pytest.raises(InputError, match="found a file"):
        write_scene(tmp_path / "full" / "notes.txt", size=64)


def test_an_interrupted_scene_can_be_replaced(tmp_path: Path) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scene(tmp_path, size=64, years=2, shard=64, chunk=32, progress=interrupt)
    assert json.loads((tmp_path / "scene.json").read_text())["complete"] is False
    write_scene(tmp_path, size=64, years=2, shard=64, chunk=32)
    assert json.loads((tmp_path / "scene.json").read_text())["complete"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "tropicl"}, "kind: unknown kind 'tropicl'; did you mean 'tropical'"),
        ({"size": 63}, "size: found 63; expected a whole number from 64"),
        ({"size": 64.0}, "size: found 64.0"),
        ({"years": 1}, "years: found 1; expected a whole number from 2 to 60"),
        ({"years": 61}, "years: found 61"),
        ({"seed": -1}, "seed: found -1"),
        ({"chunk": 4}, "chunk: found 4"),
        ({"shard": 100, "chunk": 64}, "shard: found 100; expected a multiple of the chunk, 64"),
        ({"threads": 0}, "threads: found 0"),
        ({"size": True}, "size: found True"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        write_scene(tmp_path / "scene", **arguments)  # type: ignore[arg-type]
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "scene").exists()
