"""The default run, in process: equal for every tile size, thresholds changed without a second reading, quiet where nothing is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest
import xarray as xr
from pyspark.sql import SparkSession

import terradrift as td
from mosaics import write_mosaic
from terradrift.kernels.quantize import quantize
from terradrift.kernels.series import KINDS
from terradrift.kernels.templates import DECOYS
from terradrift.params import params_from
from terradrift.results import RunResult
from terradrift.run import Run, open_run
from terradrift.spark.detect_changes import detect_changes

SIZE, CHUNK = 192, 64
TILE_SIZES = (64, 256)
TABLES = ("raw_polygons", "change_polygons", "polygon_parts", "thresholds", "zones")


def opened(mosaic: Path, out: Path, **changes: Any) -> Run:
    settings = {"mosaic": str(mosaic), "output": str(out), "maps": {"pmtiles": False, "cog": False}, **changes}
    return open_run(td.plan(params_from(settings)))


def run_job(spark: SparkSession, mosaic: Path, out: Path, **changes: Any) -> RunResult:
    detect_changes(spark, opened(mosaic, out, **changes))
    return td.open_run(out)


def table(run: RunResult, name: str) -> pd.DataFrame:
    """A table with its geometry as WKB, sorted."""
    frame = ds.dataset(run.folder.tables / name, format="parquet", exclude_invalid_files=True).to_table().to_pandas()
    return frame.sort_values(list(frame.columns[:2]), ignore_index=True)


def rasters(path: Path) -> xr.Dataset:
    return xr.open_zarr(path, group="0", decode_coords="all", consolidated=False).load()


def records(run: RunResult) -> dict[str, int]:
    """When each file of the scores was written, but those of the table that is made of the records."""
    folder = run.folder.scores
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(folder / "tiles"))
    return {str(path): path.stat().st_mtime_ns for path in files}


# --- a scene --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    td.write_scene(folder, kind="tropical", size=SIZE, years=9, seed=4, chunk=CHUNK, shard=2 * CHUNK)
    return folder


@pytest.fixture(scope="module")
def runs(spark: SparkSession, scene: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, RunResult]:
    out, area = tmp_path_factory.mktemp("runs"), str(scene / "aoi.geojson")
    return {size: run_job(spark, scene / "mosaic.zarr", out / str(size), aoi=area, tile_size=size) for size in TILE_SIZES}


def test_it_is_the_default_and_finds_change(runs: dict[int, RunResult]) -> None:
    run = runs[TILE_SIZES[0]]
    change = run.manifest["parameters"]["change"]
    assert (change["detector"], change["threshold"]["fdr"], run.manifest["warnings"]) == ("trajectory", 0.10, [])
    assert len(run.polygons) >= 5
    assert set(run.polygons.kind) <= {"step", "ramp", "unconfirmed"}
    rows = run.thresholds
    assert rows.n_pixels.sum() == int(run.scores.change_score.count()) == run.manifest["counts"]["pixels_scored"]
    assert rows.n_mapped.sum() == int((run.changed == 1).sum()) > 0
    assert (rows.expected_false_rate <= 0.10).all()


def test_everything_is_equal_for_every_tile_size(runs: dict[int, RunResult]) -> None:
    small, large = runs.values()
    for name in TABLES:
        pd.testing.assert_frame_equal(table(small, name), table(large, name), obj=name)
    assert (small.folder.scores / "strata.json").read_bytes() == (large.folder.scores / "strata.json").read_bytes()
    for path in ("scores.zarr", "decoys.zarr"):
        pair = xr.align(*(rasters(run.folder.scores / path) for run in (small, large)), join="inner")
        for name in pair[0].data_vars:
            values = [part[name].values for part in pair]
            assert np.array_equal(*values, equal_nan=values[0].dtype.kind == "f"), name
    pair = xr.align(*(rasters(run.folder.path / "change.zarr") for run in (small, large)), join="inner")
    for name in ("q", "changed"):
        assert np.array_equal(pair[0][name], pair[1][name], equal_nan=name == "q"), name


def test_decoys_stand_on_the_lattice_and_q_decides(scene: Path, runs: dict[int, RunResult]) -> None:
    run = runs[TILE_SIZES[1]]
    step = td.plan(
        params_from(
            {"mosaic": str(scene / "mosaic.zarr"), "output": "out", "aoi": str(scene / "aoi.geojson"), "tile_size": CHUNK}
        )
    ).recipe.lattice
    score, decoys = run.scores.change_score.values, rasters(run.folder.scores / "decoys.zarr").decoy_score.values
    assert decoys.shape == (DECOYS, -(-score.shape[0] // step), -(-score.shape[1] // step))
    known = np.isfinite(score[step // 3 :: step, step // 2 :: step])
    assert np.array_equal(np.isfinite(decoys), np.broadcast_to(known, decoys.shape))
    assert known.any()
    q, kind = rasters(run.folder.path / "change.zarr").q.values, run.scores.change_kind.values
    assert np.array_equal(np.isnan(q), np.isnan(score))
    candidate = (run.scores.change_effect.values >= np.float32(0.05)) & (kind != KINDS.index("blip")) & np.isfinite(score)
    assert (q[np.isfinite(q) & ~candidate] == 1).all()
    assert np.array_equal(run.changed.values == 1, candidate & (q <= np.float32(0.10)))
    one = run.scores.stratum.values
    for stratum in np.unique(one[candidate]):
        among = candidate & (one == stratum)
        order = np.argsort(score[among])
        assert (np.diff(q[among][order]) <= 0).all()


# --- again with another threshold -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"change": {"threshold": {"fdr": 0.3}}},
        {"change": {"threshold": {"score": 20.0}, "kinds": ["step"]}, "polygons": {"min_pixels": 2, "connectivity": 8}},
    ],
    ids=["fdr", "score"],
)
def test_another_threshold_reads_no_embedding_again(
    spark: SparkSession, scene: Path, runs: dict[int, RunResult], changes: dict[str, Any]
) -> None:
    """The mosaic is not even there any more."""
    first = runs[TILE_SIZES[0]]
    before, tables = records(first), {name: table(first, name) for name in TABLES}
    mosaic, away = scene / "mosaic.zarr", scene / "away.zarr"
    run = opened(mosaic, first.folder.root, aoi=str(scene / "aoi.geojson"), tile_size=TILE_SIZES[0], **changes)
    mosaic.rename(away)
    try:
        detect_changes(spark, run)
    finally:
        away.rename(mosaic)
    again = td.open_run(first.folder.root)
    assert again.folder.score_id == first.folder.score_id
    assert again.folder.run_id != first.folder.run_id
    after = records(again)
    assert after == before
    assert sum("_ledger" in path for path in before) == len(first.tiles) > 4
    assert all(table(first, name).equals(frame) for name, frame in tables.items())  # the first run is as it was
    score, kind = again.scores.change_score.values, again.scores.change_kind.values
    effect, mapped = again.scores.change_effect.values, again.changed.values == 1
    if "fdr" in changes["change"]["threshold"]:
        assert (mapped >= (first.changed.values == 1)).all()
        assert mapped.sum() > (first.changed == 1).sum()
    else:
        assert np.array_equal(mapped, (score >= 20) & (kind == KINDS.index("step")) & (effect >= np.float32(0.05)))
        assert again.thresholds.threshold.tolist() == [20.0]


# --- nothing happens ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """One vector a pixel, in patches that are alike, and independent noise every year; its codes too."""
    rng = np.random.default_rng(7)
    patches = rng.normal(size=(64, 3))[:, rng.integers(0, 3, (SIZE // 16, SIZE // 16))]
    base = np.kron(patches, np.ones((1, 16, 16))) + 0.5 * rng.normal(size=(64, SIZE, SIZE))
    spread = np.kron(rng.choice([0.1, 0.3, 0.5], (SIZE // 16, SIZE // 16)), np.ones((16, 16)))
    x = base + spread * rng.normal(size=(9, 64, SIZE, SIZE))
    codes = quantize(x / np.linalg.norm(x, axis=1, keepdims=True))
    missing = rng.random((9, 1, SIZE, SIZE)) < 0.1
    missing[4:, :, :20, :30] = True  # four years remain at most
    missing[3:, :, 40:60, :30] = True  # too few
    codes = np.where(missing, np.int8(-128), codes)
    return write_mosaic(tmp_path_factory.mktemp("still") / "mosaic.zarr", codes, chunk=CHUNK, shard=2 * CHUNK), codes


@pytest.fixture(scope="module")
def quiet(spark: SparkSession, still: tuple[Path, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run_job(spark, still[0], tmp_path_factory.mktemp("quiet"), tile_size=128)


def test_where_nothing_changed_next_to_nothing_is_mapped(quiet: RunResult) -> None:
    n_scored = int(quiet.scores.change_score.count())
    assert n_scored > 0.9 * SIZE**2
    assert int((quiet.changed == 1).sum()) < 0.001 * n_scored


def test_pixels_with_missing_years_get_a_score(quiet: RunResult, still: tuple[Path, np.ndarray]) -> None:
    valid = (still[1] != -128).all(axis=1)
    known = valid.sum(axis=0) >= 4
    assert 0.3 < valid.all(axis=0).mean() < 0.5
    assert 0.9 < known.mean() < 1
    for name, nodata in {"change_score": np.nan, "change_effect": np.nan, "change_year": -1, "change_kind": 255}.items():
        values = quiet.scores[name].values
        assert np.array_equal(np.isnan(values) if np.isnan(nodata) else values == nodata, ~known), name
    assert np.array_equal(quiet.changed.values == 255, ~known)
    assert quiet.manifest["counts"]["pixels_scored"] == known.sum()
    year = quiet.scores.change_year.values
    position = np.clip(year - 2017, 0, 8)[None]
    assert np.take_along_axis(valid, position, axis=0)[0][known].all()  # dated to a year that is there
