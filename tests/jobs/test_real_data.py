"""Real data through the whole job: scores equal to plain numpy, change where the ground is known to have changed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyproj
import pytest
import rioxarray  # noqa: F401  (adds .rio)
import shapely
import xarray as xr
from pyspark.sql import SparkSession
from scipy import ndimage

import terradrift as td
from real_mosaics import (
    DENSE_YEARS,
    HALF_HIDDEN,
    HIDDEN,
    LANDSAT_YEARS,
    PLANTED,
    POINT_SHAPE,
    POINT_YEARS,
    Points,
    aef_points,
    auc,
    decoded,
    dense_years,
    landsat,
    write_dense,
    write_landsat,
    write_points,
)  # fmt: skip
from terradrift.params import params_from
from terradrift.results import RunResult
from terradrift.run import check_norms, open_run
from terradrift.spark.detect_changes import detect_changes

TILE_SIZES = (128, 512)
MIN_PIXELS = 4
BITEMPORAL: dict[str, Any] = {
    "scores": {"annual": ["difference", "loo_medoid"], "robust_z": False},
    "change": {"detector": "bitemporal", "threshold": {"score": 0.2}},
}
MEDOID: dict[str, Any] = {
    "scores": {"annual": ["difference", "loo_medoid"], "robust_z": True},
    "change": {"detector": "max_loo_medoid", "threshold": {"score": 20.0}},
    "polygons": {"min_pixels": MIN_PIXELS, "group_by": "year"},
}


def run_job(spark: SparkSession, mosaic: Path, out: Path, **settings: Any) -> RunResult:
    """A whole job without maps, its mosaic checked as the command checks it."""
    defaults = {"polygons": {"min_pixels": MIN_PIXELS}, "maps": {"pmtiles": False, "cog": False}}
    plan = td.plan(params_from({"mosaic": str(mosaic), "output": str(out), **defaults, **settings}))
    check_norms(plan)
    manifest = detect_changes(spark, open_run(plan))
    assert manifest["warnings"] == []
    return td.open_run(out)


def table(run: RunResult, name: str) -> pd.DataFrame:
    """A table with its geometry as WKB, sorted by change_id."""
    frame = ds.dataset(run.folder.tables / name, format="parquet", exclude_invalid_files=True).to_table().to_pandas()
    return frame.sort_values(list(frame.columns[:2]), ignore_index=True)


# --- plain numpy ------------------------------------------------------------------------------------------------------


def plain_cosine(vectors: np.ndarray) -> np.ndarray:
    """Cosine distances between years in float64, NaN where a band is: (time, band, y, x) -> (time, time, y, x)."""
    unit = vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return 1 - np.einsum("tbyx,ubyx->tuyx", unit, unit)


def plain_difference(distance: np.ndarray) -> np.ndarray:
    steps = [distance[k - 1, k] for k in range(1, len(distance))]
    return np.stack([np.full(distance.shape[2:], np.nan), *steps])


def plain_loo_medoid(distance: np.ndarray) -> np.ndarray:
    valid = np.isfinite(np.einsum("ttyx->tyx", distance))
    known = np.where(np.isfinite(distance), distance, 0)
    score = np.full(valid.shape, np.nan)
    for k in range(len(distance)):
        cost = known.sum(axis=1) - known[:, k]
        cost[~valid] = cost[k] = np.inf
        medoid = (cost <= cost.min(axis=0) + 1e-12).argmax(axis=0)
        score[k] = np.take_along_axis(distance[:, k], medoid[None], axis=0)[0]
    return np.where(valid.sum(axis=0) >= 4, score, np.nan)


def plain_z(score: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # pixels without any score
        median = np.nanmedian(score, axis=0)
        sigma = np.maximum(1.4826 * np.nanmedian(np.abs(score - median), axis=0), 0.004)
    return np.where(np.isfinite(score).sum(axis=0) >= 5, (score - median) / sigma, np.nan)


def largest_error(found: Any, expected: np.ndarray) -> float:
    """Largest absolute difference, after both are NaN at the same places."""
    found = np.asarray(found)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    return float(np.nanmax(np.abs(found - expected)))


# --- a river in Peru, eight Landsat dates -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def river(shared_data: Path) -> np.ndarray:
    """(time, band, y, x) float64: short-wave infrared, near infrared, red, green; NaN where a band has no data."""
    values = landsat(shared_data)[0].astype(np.float64)
    return np.where(values == 0, np.nan, values)


@pytest.fixture(scope="module")
def distance(river: np.ndarray) -> np.ndarray:
    return plain_cosine(river)


@pytest.fixture(scope="module")
def river_mosaic(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_landsat(shared_data, tmp_path_factory.mktemp("river"))


Runs = dict[int, RunResult]


@pytest.fixture(scope="module")
def bitemporal(spark: SparkSession, river_mosaic: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    out = tmp_path_factory.mktemp("bitemporal")
    return {size: run_job(spark, river_mosaic, out / str(size), tile_size=size, **BITEMPORAL) for size in TILE_SIZES}


@pytest.fixture(scope="module")
def medoid(spark: SparkSession, river_mosaic: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    out = tmp_path_factory.mktemp("medoid")
    return {size: run_job(spark, river_mosaic, out / str(size), tile_size=size, **MEDOID) for size in TILE_SIZES}


@pytest.fixture(scope="module")
def is_water(river: np.ndarray) -> np.ndarray:
    """Normalised difference water index of green and near infrared above zero (McFeeters 1996): (time, y, x)."""
    return (river[:, 3] - river[:, 1]) / (river[:, 3] + river[:, 1]) > 0


def test_bitemporal_scores_of_the_river_equal_plain_numpy(bitemporal: Runs, distance: np.ndarray) -> None:
    scores = bitemporal[TILE_SIZES[0]].scores.load()
    error = largest_error(scores.change_score, distance[0, -1])
    annual = scores.scores.sel(band="loo_medoid_cosine").values, scores.scores.sel(band="difference_cosine").values
    errors = largest_error(annual[0], plain_loo_medoid(distance)), largest_error(annual[1], plain_difference(distance))
    print(f"river: largest error of bitemporal {error:.1e}, loo_medoid {errors[0]:.1e}, difference {errors[1]:.1e}")
    assert max(error, *errors) < 1e-5
    known = np.isfinite(distance[0, -1])
    assert known.sum() == int(bitemporal[TILE_SIZES[0]].manifest["counts"]["pixels_scored"])
    assert np.array_equal(scores.change_effect, scores.change_score, equal_nan=True)
    assert np.array_equal(scores.change_year, np.where(known, LANDSAT_YEARS[-1], -1))
    assert np.array_equal(scores.change_kind, np.where(known, 4, 255))
    assert scores.time.values.tolist() == list(LANDSAT_YEARS)


def test_medoid_scores_of_the_river_equal_plain_numpy(medoid: Runs, distance: np.ndarray) -> None:
    scores = medoid[TILE_SIZES[0]].scores.load()
    raw = plain_loo_medoid(distance)
    z = plain_z(raw)
    for name, expected in (("loo_medoid", z), ("difference", plain_z(plain_difference(distance)))):
        found = scores.scores.sel(band=f"{name}_cosine_robust_z").values
        assert np.array_equal(np.isnan(found), np.isnan(expected))
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-4, equal_nan=True)
    known = np.isfinite(z).any(axis=0)
    largest = np.where(known, np.max(z, axis=0, where=np.isfinite(z), initial=-np.inf), np.nan)
    assert np.allclose(scores.change_score, largest, rtol=1e-3, atol=1e-4, equal_nan=True)
    assert np.array_equal(scores.change_year == -1, ~known)
    position = np.searchsorted(LANDSAT_YEARS, scores.change_year)[None]  # equal scores: either year
    assert np.allclose(np.take_along_axis(z, position, axis=0)[0][known], largest[known], rtol=1e-6)
    error = largest_error(scores.change_effect, np.where(known, np.take_along_axis(raw, position, axis=0)[0], np.nan))
    relative = np.nanmax(np.abs(scores.change_score.values - largest) / np.abs(largest))
    print(f"river: largest relative error of z {relative:.1e}, of the effect {error:.1e}; {(~known).sum()} pixels without a z;"
          f" z > 3 in {(largest[known] > 3).mean():.3f} of the others")  # fmt: skip
    assert error < 1e-5


@pytest.mark.parametrize("name", ["bitemporal", "medoid"])
def test_the_river_is_equal_for_every_tile_size(name: str, request: pytest.FixtureRequest) -> None:
    small, large = request.getfixturevalue(name).values()
    for raster in (*small.scores.data_vars, "changed"):
        pair = [run.changed if raster == "changed" else run.scores[raster] for run in (small, large)]
        assert np.array_equal(*pair, equal_nan=pair[0].dtype.kind == "f"), raster
    for kind in ("raw_polygons", "change_polygons", "polygon_parts", "thresholds"):
        pd.testing.assert_frame_equal(table(small, kind), table(large, kind), obj=kind)


def components(classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label image over all classes but 0, edges connect, and the size of every label from 1 on."""
    labels, n = np.zeros(classes.shape, np.int64), 0
    for value in np.unique(classes[classes != 0]):
        part, count = ndimage.label(classes == value)
        labels[part > 0] = part[part > 0] + n
        n += count
    return labels, np.bincount(labels.ravel(), minlength=n + 1)[1:]


@pytest.mark.parametrize("name", ["bitemporal", "medoid"])
def test_polygons_hold_the_area_of_the_raster(name: str, request: pytest.FixtureRequest) -> None:
    run: RunResult = request.getfixturevalue(name)[TILE_SIZES[0]]
    scores, changed = run.scores.load(), run.changed.values == 1
    threshold = run.manifest["parameters"]["change"]["threshold"]["score"]
    assert np.array_equal(changed, scores.change_score.values >= np.float32(threshold))
    labels, sizes = components(np.where(changed, scores.change_year.values if name == "medoid" else 1, 0))
    kept = np.append(False, sizes >= MIN_PIXELS)[labels]
    first = np.unique(np.where(kept, labels, 0), return_index=True)[1][1:]  # label 0 is the ground
    raw, published = table(run, "raw_polygons"), run.polygons.sort_values("change_id", ignore_index=True)
    assert raw.change_id.tolist() == sorted(1 + first)
    assert raw.n_pixels.sum() == kept.sum()
    assert sorted(raw.n_pixels) == sorted(sizes[sizes >= MIN_PIXELS])

    grid = td.open_mosaic(run.manifest["input"]["mosaic"]).grid
    square_mm = int(np.broadcast_to(grid.pixel_area(grid.window), labels.shape)[kept].sum())
    assert sum(round(area * 1e6) for area in raw.area_m2) == square_mm
    assert np.array_equal(published.area_m2, raw.area_m2)

    outlines = shapely.from_wkb(raw.geometry.to_numpy())
    assert np.array_equal(shapely.area(outlines), raw.n_pixels)
    assert shapely.is_valid(outlines).all()
    assert published.is_valid.all()
    drawn = published.to_crs("EPSG:6933").area.sum()  # equal area
    print(f"river, {name}: {changed.sum()} pixels mapped, {kept.sum()} in {len(raw)} polygons, {square_mm / 1e12:.3f} km2,"
          f" drawn {drawn / 1e6:.3f} km2")  # fmt: skip
    assert drawn == pytest.approx(square_mm / 1e6, rel=2e-4)


def test_the_change_mapped_is_the_river_that_moved(bitemporal: Runs, is_water: np.ndarray) -> None:
    run = bitemporal[TILE_SIZES[0]]
    mapped, moved = run.changed.values == 1, is_water[0] != is_water[-1]
    bank = ndimage.binary_dilation(is_water[0] | is_water[-1], iterations=3)
    labels, sizes = components(mapped.astype(int))
    largest = labels == 1 + sizes.argmax()
    shares = {
        "mapped that moved": (mapped & moved).sum() / mapped.sum(),
        "moved that is mapped": (mapped & moved).sum() / moved.sum(),
        "mapped near water": (mapped & bank).sum() / mapped.sum(),
        "all near water": bank.mean(),
        "largest polygon that moved": (largest & moved).sum() / largest.sum(),
    }
    print(f"river: { ({name: round(float(share), 3) for name, share in shares.items()}) }, largest {sizes.max()} pixels")
    assert shares["mapped that moved"] > 0.85
    assert shares["moved that is mapped"] > 0.85
    assert shares["mapped near water"] > 0.98
    assert shares["all near water"] < 0.15
    assert shares["largest polygon that moved"] > 0.8
    assert run.polygons.n_pixels.max() == sizes.max()


def test_the_medoid_finds_ground_that_was_water_at_some_date(medoid: Runs, is_water: np.ndarray) -> None:
    run = medoid[TILE_SIZES[0]]
    mapped, varies = run.changed.values == 1, is_water.any(axis=0) & ~is_water.all(axis=0)
    far = mapped & (run.scores.change_effect.values >= 0.2)
    shares = [(part & varies).sum() / part.sum() for part in (mapped, far)]
    print(f"river: {varies.mean():.3f} of the ground was water at some dates; of z >= 20 {shares[0]:.3f}, of those with an"
          f" effect >= 0.2 {shares[1]:.3f}")  # fmt: skip
    assert varies.mean() < 0.12
    assert shares[0] > 0.7
    assert shares[1] > 0.9


# --- labelled points, three years of embeddings ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def points(shared_data: Path) -> Points:
    return aef_points(shared_data)


@pytest.fixture(scope="module")
def points_mosaic(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_points(shared_data, tmp_path_factory.mktemp("points"))


def point_values(raster: xr.DataArray, n: int) -> np.ndarray:
    """The points' values in a raster; the pixels after them are padding without data."""
    assert raster.shape[-2:] == POINT_SHAPE
    flat = raster.values.reshape(*raster.shape[:-2], -1)
    assert np.isnan(flat[..., n:]).all()
    return flat[..., :n]


def by_continent(score: np.ndarray, points: Points) -> dict[str, float]:
    """AUC where cleared and stable points both are."""
    here = {name: points.continent == name for name in np.unique(points.continent)}
    return {
        name: round(auc(score[at], points.cleared[at]), 4) for name, at in here.items() if len(np.unique(points.cleared[at])) == 2
    }


def test_cleared_forest_scores_above_stable_forest(
    spark: SparkSession, points_mosaic: Path, points: Points, tmp_path: Path
) -> None:
    """First against last of three years."""
    change = {"detector": "bitemporal", "threshold": {"score": 0.1}}
    run = run_job(spark, points_mosaic, tmp_path, tile_size=8, change=change, scores={"annual": [], "robust_z": False})
    vectors = points.vectors()
    score = point_values(run.scores.change_score, vectors.shape[2])
    expected = plain_cosine(vectors[..., None])[0, -1, :, 0]
    assert np.abs(score - expected).max() < 1e-5
    linear = plain_cosine(points.codes.astype(np.float64)[..., None])[0, -1, :, 0]  # its scale cancels in a cosine
    as_they_are = 1 - (vectors[0] * vectors[-1]).sum(axis=0)
    wrong = {"linear": linear, "not renormalised": as_they_are}
    measured = {name: round(auc(values, points.cleared), 4) for name, values in {"run": score, **wrong}.items()}
    print(f"points, first against last: AUC {measured}, {by_continent(score, points)}; linear / right"
          f" {np.median(linear / score):.3f}, |dot - right| at most {np.abs(as_they_are - score).max():.5f}")  # fmt: skip
    assert measured["run"] >= 0.93
    assert np.median(linear / score) > 1.2
    assert np.median((np.abs(as_they_are - score) / score)[~points.cleared]) > 0.1
    mapped = run.changed.values.reshape(-1)[: len(score)] == 1
    assert np.array_equal(mapped, score >= np.float32(0.1))
    assert mapped[points.cleared].mean() > 0.6
    assert mapped[~points.cleared].mean() < 0.06


def test_the_largest_of_two_steps_tells_cleared_from_stable(
    spark: SparkSession, points_mosaic: Path, points: Points, tmp_path: Path
) -> None:
    """Three years give too few scores for a robust z: raw distances."""
    change = {"detector": "max_difference", "threshold": {"score": 0.06}}
    scores = {"annual": ["difference"], "robust_z": False}
    run = run_job(spark, points_mosaic, tmp_path, tile_size=16, change=change, scores=scores)
    distance = plain_cosine(points.vectors()[..., None])[..., 0]
    steps = np.stack([distance[0, 1], distance[1, 2]])
    score = point_values(run.scores.change_score, steps.shape[1])
    annual = point_values(run.scores.scores.sel(band="difference_cosine"), steps.shape[1])
    assert np.isnan(annual[0]).all()
    assert np.abs(annual[1:] - steps).max() < 1e-5
    assert np.abs(score - steps.max(axis=0)).max() < 1e-5
    year = run.scores.change_year.values.reshape(-1)[: len(score)]
    assert np.array_equal(year, np.array(POINT_YEARS)[1 + steps.argmax(axis=0)])
    first = auc(annual[1], points.cleared)
    print(f"points, first step: AUC {first:.4f}, {by_continent(annual[1], points)}; largest step: AUC"
          f" {auc(score, points.cleared):.4f}, {by_continent(score, points)}")  # fmt: skip
    assert first == pytest.approx(0.943, abs=5e-4)
    assert auc(score, points.cleared) == pytest.approx(0.947, abs=5e-4)


# --- a dense raster with a planted change ---------------------------------------------------------------------------------


def test_a_change_planted_in_the_dense_raster_is_found_alone(spark: SparkSession, shared_data: Path, tmp_path: Path) -> None:
    """One real year, and the same year with other ground's real vectors in a block of 30 x 35 pixels."""
    change = {"detector": "bitemporal", "threshold": {"score": 0.05}}
    run = run_job(
        spark, write_dense(shared_data, tmp_path), tmp_path / "out", tile_size=64, change=change,
        scores={"annual": [], "robust_z": False},
    )  # fmt: skip
    scores, vectors = run.scores.load(), decoded(dense_years(shared_data))
    expected = plain_cosine(vectors)[0, 1]
    planted = np.zeros(expected.shape, bool)
    planted[PLANTED] = True
    assert scores.rio.crs.to_epsg() == 32616
    assert largest_error(scores.change_score, expected) < 1e-5
    for pixel in (HIDDEN, HALF_HIDDEN):
        assert np.isnan(scores.change_score.values[pixel])
    assert (scores.change_score.values[~planted & np.isfinite(expected)] == 0).all()
    assert run.manifest["counts"]["pixels_scored"] == np.isfinite(expected).sum() == 10_043
    assert run.tiles.n_bad_norm.sum() == 0
    mapped = run.changed.values == 1
    assert np.array_equal(mapped, planted & np.isfinite(expected))
    [polygon] = run.polygons.to_dict("records")
    print(f"dense: planted distances {np.nanquantile(expected[PLANTED], [0, 0.5, 1])}, {polygon['n_pixels']} pixels in one"
          f" polygon, {polygon['area_m2']:.1f} m2")  # fmt: skip
    assert polygon["n_pixels"] == 30 * 35 - 2
    assert (polygon["year_first"], polygon["year_last"]) == (DENSE_YEARS[1], DENSE_YEARS[1])
    assert polygon["score_max"] == pytest.approx(np.nanmax(expected[PLANTED]), abs=1e-5)
    assert polygon["score_mean"] == pytest.approx(np.nanmean(expected[PLANTED]), abs=1e-4)
    drawn = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(polygon["geometry"])[0]
    assert polygon["area_m2"] == pytest.approx(abs(drawn), rel=1e-3)
