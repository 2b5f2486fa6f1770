"""Real embeddings: decoding gives the published values, the Gram is exact, distances are those of scipy and numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from scipy.spatial.distance import cdist

import terradrift as td
from real_mosaics import DENSE_YEARS, Points, aef_points, auc, decoded, dense, dense_years, landsat, write_dense
from terradrift.kernels.distances import DISTANCES
from terradrift.kernels.gram import gram, guard_norm
from terradrift.kernels.quantize import UNIT_PRODUCT, dequantize, quantize
from terradrift.kernels.score_block import Recipe, score_pixels
from terradrift.mosaic import ReadReport

TOLERANCE = {"cosine": 1e-12, "dot": 1e-12, "angle": 1e-6, "euclidean": 1e-12}
"""Largest error in units of the distance; near 0 degrees an arccos keeps half the digits."""


@pytest.fixture(scope="module")
def points(shared_data: Path) -> Points:
    return aef_points(shared_data)


@pytest.fixture(scope="module")
def raster(shared_data: Path) -> np.ndarray:
    return dense(shared_data)


# --- decoding -------------------------------------------------------------------------------------------------------


def test_a_mosaic_of_the_dense_raster_reads_and_decodes_as_published(shared_data: Path, tmp_path: Path) -> None:
    mosaic = td.open_mosaic(str(write_dense(shared_data, tmp_path)))
    window = mosaic.grid.window
    codes = np.full((2, 64, *window.shape), 99, np.int8)
    for block in mosaic.read_blocks(window, DENSE_YEARS, ReadReport()):
        codes[:, :, *block.window.slices(window)] = block.codes
    stored = dense_years(shared_data)
    assert np.array_equal(codes, stored)
    embeddings, valid = dequantize(codes)
    assert np.array_equal(valid, (stored != -128).all(axis=1))
    assert valid.sum(axis=(1, 2)).tolist() == [10_045, 10_043]
    assert np.isnan(embeddings).all(axis=1).sum() == np.isnan(embeddings).any(axis=1).sum() == (~valid).sum()
    assert np.nanmax(np.abs(embeddings - decoded(stored))) < 1e-7
    norm = np.linalg.norm(embeddings[0, :, valid[0]].astype(np.float64), axis=1)
    print(f"dense: norms {norm.min():.4f} to {norm.max():.4f}, mean {norm.mean():.5f}; codes {codes[0, :, valid[0]].min()}"
          f" to {codes[0, :, valid[0]].max()}")  # fmt: skip
    assert norm.min() >= 0.9931 - 5e-5
    assert norm.max() <= 1.0077 + 5e-5
    products, known = gram(codes)
    kept, n_bad = guard_norm(products, known)
    assert n_bad == 0
    assert np.array_equal(kept, valid)


@pytest.mark.parametrize("first", [0, 61])
def test_decoding_gives_the_published_floats(raster: np.ndarray, shared_data: Path, first: int) -> None:
    """The published exports are the same pixels, ten times finer in longitude and latitude, nearest neighbour."""
    bands = [first, first + 1, first + 2]
    folder = shared_data / "aef-wi-2024-dense"
    with rasterio.open(folder / "original-exports" / ("_".join(f"A{band:02d}" for band in bands) + ".tif")) as file:
        published, to_degrees = file.read(), file.transform
    with rasterio.open(folder / "aef_2024_utm16n_int8.tif") as file:
        to_utm = file.transform
    row, col = np.mgrid[: published.shape[1], : published.shape[2]].reshape(2, -1)
    utm = pyproj.Transformer.from_crs(4326, 32616, always_xy=True).transform(*(to_degrees @ (col + 0.5, row + 0.5)))
    x, y = (np.floor(axis).astype(int) for axis in ~to_utm @ utm)
    embeddings, valid = dequantize(raster[None])
    inside = valid[0, y, x]  # cells at the outline of the export are no data in the raster
    ours, theirs = embeddings[0, bands][:, y, x][:, inside], published.reshape(3, -1)[:, inside]
    error = np.abs(ours - theirs).max()
    print(f"dense: {inside.sum()} of {inside.size} published samples of A{first:02d}.. in valid cells, largest error {error:.1e}")
    assert inside.mean() > 0.997
    assert error < 1e-7
    assert np.array_equal(quantize(theirs), raster[bands][:, y, x][:, inside])


def test_real_codes_survive_decoding_and_coding(raster: np.ndarray, points: Points) -> None:
    for codes in (raster[None], points.codes):
        assert np.array_equal(quantize(dequantize(codes)[0]), codes)


# --- Gram -----------------------------------------------------------------------------------------------------------


def test_gram_is_exact_on_real_codes(raster: np.ndarray, points: Points) -> None:
    turned = np.stack([np.rot90(raster, quarter, axes=(1, 2)) for quarter in range(4)])
    for codes in (turned, points.codes):
        products, valid = gram(codes)
        s = codes.astype(np.int64) * np.abs(codes.astype(np.int64))
        plain = np.einsum("tb...,ub...->tu...", s, s)
        assert products.dtype == np.int64
        assert np.array_equal(products, np.where(valid[:, None] & valid[None], plain, 0))


def test_gram_of_float_vectors_is_exact_for_whole_numbers(shared_data: Path) -> None:
    values = landsat(shared_data)[0][:, :, 150:250, 300:500]
    vectors = np.where(values == 0, np.nan, values).astype(np.float32)
    products, valid = gram(vectors)
    whole = values.astype(np.int64)
    assert np.array_equal(valid, (values != 0).all(axis=1))
    assert np.array_equal(products, np.where(valid[:, None] & valid[None], np.einsum("tbyx,ubyx->tuyx", whole, whole), 0))


# --- distances ------------------------------------------------------------------------------------------------------


def published_distance(name: str, x: np.ndarray) -> np.ndarray:
    """scipy and numpy on the vectors of one pixel: (time, band) -> (time, time)."""
    cosine = cdist(x, x, "cosine")
    return {
        "cosine": cosine,
        "dot": 1 - x @ x.T,
        "angle": np.degrees(np.arccos(np.clip(1 - cosine, -1, 1))),
        "euclidean": cdist(x, x, "euclidean"),
    }[name]


@pytest.mark.parametrize("name", list(DISTANCES))
def test_distances_of_real_vectors_are_scipys(name: str, points: Points, shared_data: Path) -> None:
    rng = np.random.default_rng(5)
    values = landsat(shared_data)[0]
    plain = values[:, :, rng.integers(0, 377, 200), rng.integers(0, 697, 200)].astype(np.float64)
    plain[..., (plain == 0).any(axis=(0, 1))] = 1  # no data, not asked about here
    for vectors, codes, unit in ((points.vectors(), points.codes, UNIT_PRODUCT), (plain, plain, 1.0)):
        found = DISTANCES[name](*gram(codes), unit)
        expected = np.stack([published_distance(name, pixel) for pixel in vectors.transpose(2, 0, 1)], axis=-1)
        own = np.eye(len(vectors), dtype=bool)
        scale = max(1.0, np.abs(expected).max()) if name in ("dot", "euclidean") else 1.0
        assert np.abs(found - expected)[~own].max() < TOLERANCE[name] * scale
        assert name == "dot" or (found[own] == 0).all()  # 1 - x.x is zero for unit vectors only


# --- what a score needs to be right -----------------------------------------------------------------------------------


def step_score(codes: np.ndarray, distance: str) -> np.ndarray:
    """Distance of the event year to the year before, from the kernels of a run: (point)."""
    recipe = Recipe(distance, (), False, "bitemporal", (2001, 2002))
    block, n_valid, n_bad = score_pixels(codes[:2, :, None], recipe)
    assert (n_valid, n_bad) == (codes.shape[2], 0)
    return block.rasters["change_score"][0]


def test_decoding_and_renormalising_both_count(points: Points) -> None:
    """An AUC alone would hardly notice: the values do."""
    right = step_score(points.codes, "cosine")
    linear = step_score(points.codes.astype(np.float32), "cosine")
    as_they_are = step_score(points.codes, "dot")
    x, y = points.vectors()[:2]
    plain = 1 - (x * y).sum(axis=0) / np.linalg.norm(x, axis=0) / np.linalg.norm(y, axis=0)
    assert np.abs(right - plain).max() < 1e-6
    scores = {"right": right, "linear": linear, "dot": as_they_are}
    measured = {name: auc(score, points.cleared) for name, score in scores.items()}
    ratio, error = linear / right, np.abs(as_they_are - right)
    print(f"points: AUC {measured}; right in cleared {np.quantile(right[points.cleared], 0.5):.4f}, stable (50, 95 %)"
          f" {np.quantile(right[~points.cleared], [0.5, 0.95])}; linear / right {np.median(ratio):.3f};"
          f" |dot - right| {np.median(error):.5f}, at most {error.max():.5f}")  # fmt: skip
    assert measured == pytest.approx({"right": 0.943, "linear": 0.940, "dot": 0.936}, abs=6e-4)
    assert np.median(ratio) > 1.2
    assert np.median(error[~points.cleared] / right[~points.cleared]) > 0.1  # a tenth of what a stable point shows
