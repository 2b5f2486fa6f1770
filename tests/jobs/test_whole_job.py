"""The whole job on a scene, in process: equal for every tile size, equal to plain programs, readable by everybody."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyproj
import pytest
import rasterio.features
import rioxarray  # noqa: F401  (adds .rio)
import shapely
import xarray as xr
import zarr
from pmtiles.reader import MmapSource, Reader
from pyspark.sql import SparkSession
from rio_cogeo.cogeo import cog_validate

import terradrift as td
from plain_overviews import plain_halved
from terradrift.kernels.quantize import SCALE
from terradrift.params import params_from
from terradrift.run import open_run
from terradrift.spark import polygonize_changes
from terradrift.spark.detect_changes import detect_changes

CHUNK = 64
NO_MAPS = {"pmtiles": False, "cog": False}
SIZE = 300
TILE_SIZES = (64, 128, 512)


@dataclass(frozen=True)
class Job:
    """A finished run."""

    folder: Path
    result: Any
    manifest: dict[str, Any]

    def table(self, name: str) -> pd.DataFrame:
        """A table with its geometry as WKB, sorted."""
        frame = ds.dataset(self.result.folder.tables / name, format="parquet", exclude_invalid_files=True).to_table().to_pandas()
        return frame.sort_values(list(frame.columns[:2]), ignore_index=True)


def run_job(spark: SparkSession, scene: Path, out: Path, **changes: Any) -> Job:
    settings: dict[str, Any] = {
        "mosaic": str(scene / "mosaic.zarr"),
        "aoi": str(scene / "aoi.geojson"),
        "output": str(out),
        "change": {"detector": "bitemporal", "threshold": {"score": 0.15}},
        "polygons": {"min_pixels": 3},
        **changes,
    }
    manifest = detect_changes(spark, open_run(td.plan(params_from(settings))))
    return Job(out, td.open_run(out), manifest)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    td.write_scene(folder, kind="tropical", size=SIZE, years=9, seed=3, chunk=CHUNK, shard=2 * CHUNK)
    return folder


@pytest.fixture(scope="module")
def jobs(spark: SparkSession, scene: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Job]:
    maps = {TILE_SIZES[0]: {"min_zoom": 8, "max_zoom": 13, "gpkg": True, "flatgeobuf": True}}
    return {
        size: run_job(spark, scene, tmp_path_factory.mktemp(f"out{size}"), tile_size=size, maps=maps.get(size, NO_MAPS))
        for size in TILE_SIZES
    }


@pytest.fixture(scope="module")
def job(jobs: dict[int, Job]) -> Job:
    return jobs[TILE_SIZES[0]]


def test_every_output_of_the_contract_is_there(job: Job) -> None:
    run = job.result.folder
    pointer = json.loads((job.folder / "latest.json").read_text())
    assert pointer == {"run_id": run.run_id, "path": f"runs/{run.run_id}"}
    for name in ("scores.zarr/zarr.json", "scores.zarr/0/scores/zarr.json", "tiles", "_ledger"):
        assert (run.scores / name).exists(), name
    for name in ("raw_polygons", "change_polygons", "polygon_parts", "thresholds", "zones", "gaps"):
        assert (run.tables / name).is_dir(), name
    for name in ("run.json", "change.zarr/0/changed", "maps/changes.pmtiles", "maps/change_score.tif", "maps/change_year.tif"):
        assert (run.path / name).exists(), name
    assert not run.work.exists()
    assert all((run.path / name).is_file() for name in job.manifest.get("files", {}))
    assert job.manifest["warnings"] == []


def test_the_lists_of_the_page_say_what_the_tables_say(job: Job) -> None:
    maps, polygons = job.result.folder.maps, job.result.polygons
    listed = json.loads((maps / "largest.json").read_text())["changes"]
    largest = polygons.sort_values(["area_m2", "change_id"], ascending=[False, True])[:500]
    assert [row["change_id"] for row in listed] == largest.change_id.tolist()
    assert [row["kind"] for row in listed] == largest.kind.tolist()
    points = shapely.points([(row["lon"], row["lat"]) for row in listed])
    assert shapely.intersects(largest.geometry.to_numpy(), points).all()
    zones = gpd.read_file(maps / "zones.geojson")
    assert zones.geometry.union_all().symmetric_difference(job.result.zones.union_all()).area < 1e-3 * zones.area.sum()


def test_tables_are_equal_for_every_tile_size(jobs: dict[int, Job]) -> None:
    first = jobs[TILE_SIZES[0]]
    assert len(first.table("change_polygons")) > 20
    for size in TILE_SIZES[1:]:
        for name in ("raw_polygons", "change_polygons", "polygon_parts", "thresholds", "zones"):
            pd.testing.assert_frame_equal(first.table(name), jobs[size].table(name), obj=f"{name} with tiles of {size}")


def test_rasters_are_equal_for_every_tile_size(jobs: dict[int, Job]) -> None:
    first = jobs[TILE_SIZES[0]].result
    for size in TILE_SIZES[1:]:
        other = jobs[size].result
        pair = xr.align(first.scores, other.scores, join="inner")
        assert all(np.array_equal(pair[0][name], pair[1][name], equal_nan=pair[0][name].dtype.kind == "f") for name in pair[0])
        assert int(first.scores.change_score.count()) == int(other.scores.change_score.count())
        changed = xr.align(first.changed, other.changed, join="inner")
        assert np.array_equal(*changed)


def test_levels_are_overviews_of_the_rasters(jobs: dict[int, Job]) -> None:
    for job in jobs.values():
        run, levels = job.result.folder, job.result.levels
        assert levels["0"].change_score.identical(job.result.scores.change_score)
        assert levels["1"].sizes["y"] == -(-levels["0"].sizes["y"] // 2)
        for path in (run.scores / "scores.zarr", run.path / "change.zarr"):
            assert list(xr.open_datatree(path, engine="zarr").children) == ["0", "1"]
            root = zarr.open_group(path, mode="r")
            fine = {name: array for name, array in root["0"].arrays() if "resampling_method" in array.attrs}
            assert {"scores", "changed"} & fine.keys()
            for name, array in fine.items():
                method = {"average": "mean", "mode": "mode"}[array.attrs["resampling_method"]]
                expected = plain_halved(array[..., :100, :100], method, array.fill_value)
                found = root["1"][name]
                assert np.array_equal(found[..., :50, :50], expected, equal_nan=found.dtype.kind == "f"), name
                assert found.shape[-2:] == tuple(-(-n // 2) for n in array.shape[-2:])


def decoded_years(scene: Path, window: xr.Dataset) -> np.ndarray:
    """Vectors of the mosaic under a raster, NaN where no data, in float64: (time, band, y, x)."""
    mosaic = zarr.open_group(scene / "mosaic.zarr", mode="r")
    a, _, c, _, e, f = mosaic.attrs["spatial:transform"]
    x0, y0 = round((float(window.x[0]) - c) / a - 0.5), round((float(window.y[0]) - f) / e - 0.5)
    part = mosaic["embeddings"][:, :, y0 : y0 + window.sizes["y"], x0 : x0 + window.sizes["x"]].astype(np.float64)
    vectors = np.sign(part) * (part / SCALE) ** 2
    return np.where((part == -128).any(axis=1, keepdims=True), np.nan, vectors)


def test_scores_equal_plain_numpy(scene: Path, job: Job) -> None:
    scores = job.result.scores.load()
    vectors = decoded_years(scene, scores)
    norm = np.sqrt((vectors**2).sum(axis=1))
    vectors[np.broadcast_to(((norm < 0.85) | (norm > 1.15))[:, None], vectors.shape)] = np.nan
    unit = vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    inside = rasterio.features.geometry_mask(
        gpd.read_file(scene / "aoi.geojson").geometry, scores.change_score.shape, scores.rio.transform(), invert=True
    )
    unit[:, :, ~inside] = np.nan
    distance = 1 - np.einsum("tbyx,ubyx->tuyx", unit, unit)
    bitemporal = distance[0, 8]
    assert np.array_equal(np.isnan(bitemporal), np.isnan(scores.change_score))
    assert np.nanmax(np.abs(bitemporal - scores.change_score)) < 1e-5
    step = np.full(norm.shape, np.nan)
    step[1:] = distance[np.arange(8), np.arange(1, 9)]
    finite = np.isfinite(step).sum(axis=0)
    with np.errstate(all="ignore"):
        median = np.nanmedian(step, axis=0)
        sigma = np.maximum(1.4826 * np.nanmedian(np.abs(step - median), axis=0), 0.004)
        z = np.where(finite >= 5, (step - median) / sigma, np.nan)
    found = scores.scores.sel(band="difference_cosine_robust_z").values
    assert np.array_equal(np.isnan(z), np.isnan(found))
    assert np.allclose(z, found, rtol=1e-3, atol=1e-4, equal_nan=True)


def test_raw_polygons_equal_rasterios(job: Job) -> None:
    raw, changed = job.table("raw_polygons"), job.result.changed.values
    window = job.manifest["window"]
    shapes = rasterio.features.shapes((changed == 1).astype(np.uint8), mask=changed == 1, connectivity=4)
    polygons = [
        shapely.transform(shapely.geometry.shape(shape), lambda xy: xy + np.array([window["x0"], window["y0"]]))
        for shape, _ in shapes
    ]
    polygons = [polygon for polygon in polygons if polygon.area >= 3]
    ours = shapely.from_wkb(raw.geometry.to_numpy())
    assert len(ours) == len(polygons)
    assert sorted(shapely.to_wkb(shapely.normalize(ours))) == sorted(shapely.to_wkb(shapely.normalize(np.array(polygons))))
    assert np.array_equal(shapely.area(ours), raw.n_pixels)
    assert shapely.is_valid(ours).all()


def test_areas_are_geodesic(job: Job) -> None:
    raw = job.table("raw_polygons")
    geod = pyproj.Geod(ellps="WGS84")
    a, _, c, _, e, f = zarr.open_group(job.manifest["input"]["mosaic"], mode="r").attrs["spatial:transform"]
    for wkb, area in zip(raw.geometry, raw.area_m2, strict=True):
        outline = shapely.transform(shapely.from_wkb(wkb), lambda xy: xy * (a, e) + (c, f))
        assert area == pytest.approx(abs(geod.geometry_area_perimeter(outline)[0]), rel=1e-3)


def test_everybody_reads_the_polygons(job: Job) -> None:
    folder = job.result.folder.tables / "change_polygons"
    frame = gpd.read_parquet(folder)
    assert frame.crs.to_epsg() == 4326
    assert frame.is_valid.all()
    assert not frame.is_empty.any()
    x0, y0, x1, y1 = frame.total_bounds
    west = gpd.read_parquet(folder, bbox=(x0, y0, (x0 + x1) / 2, y1))
    assert 0 < len(west) < len(frame)
    query = f"SELECT count(*), min(bbox.xmin), max(bbox.ymax) FROM read_parquet('{folder}/*.parquet')"
    assert duckdb.connect().execute(query).fetchone() == pytest.approx((len(frame), x0, y1), abs=1e-9)


def test_the_maps_hold(job: Job) -> None:
    maps = job.result.folder.maps
    for name in ("change_score.tif", "change_effect.tif", "change_year.tif", "change_kind.tif", "changed.tif"):
        valid, errors, warnings = cog_validate(maps / name, quiet=True)
        assert valid, (errors, warnings)
        ElementTree.parse((maps / name).with_suffix(".qml"))
    with rasterio.open(maps / "change_score.tif") as file:
        score = file.read(1)
        assert file.crs.to_epsg() == 4326
        left, _, _, top = file.bounds
    grid = job.result.scores.change_score
    y = round((top - float(grid.y[0])) / float(grid.y[1] - grid.y[0]) + 0.5)
    x = round((left - float(grid.x[0])) / float(grid.x[1] - grid.x[0]) + 0.5)
    assert np.array_equal(score, grid.values[y : y + score.shape[0], x : x + score.shape[1]], equal_nan=True)
    with (maps / "changes.pmtiles").open("rb") as file:
        reader = Reader(MmapSource(file))
        assert [layer["id"] for layer in reader.metadata()["vector_layers"]] == ["changes"]
        assert reader.header()["max_zoom"] == 13


def test_files_for_desktop_programs_hold_the_polygons(job: Job) -> None:
    maps, table = job.result.folder.maps, job.result.polygons.sort_values("change_id", ignore_index=True)
    ElementTree.parse(maps / "changes.qml")
    for name in ("changes.gpkg", "changes.fgb"):
        frame = gpd.read_file(maps / name).sort_values("change_id", ignore_index=True)
        assert shapely.equals(frame.geometry.values, table.geometry.values).all()
        assert frame.kind.tolist() == table.kind.tolist()
        assert set(table.columns) - {"bbox"} <= set(frame.columns)


def test_statistics_are_those_of_the_scores(jobs: dict[int, Job]) -> None:
    stated = [job.result.statistics for job in jobs.values()]
    assert stated[0] == stated[1] == stated[2]
    scores = jobs[TILE_SIZES[0]].result.scores
    known = scores.change_score.values[np.isfinite(scores.change_score.values)]
    found = stated[0]["change_score"]
    assert (found["count"], found["min"], found["max"]) == (known.size, known.min(), known.max())
    assert found["percentiles"]["98"] == pytest.approx(np.percentile(known, 98), rel=0.01)
    for band in scores.band.values.tolist():
        for year, stated_ in stated[0]["scores"][band].items():
            values = scores.scores.sel(band=band, time=int(year)).values
            assert stated_["count"] == np.isfinite(values).sum()
            assert stated_["max"] == np.nanmax(values)


def test_a_second_run_finds_its_scores(spark: SparkSession, scene: Path, job: Job) -> None:
    before = {path: path.stat().st_mtime_ns for path in job.result.folder.scores.rglob("*.json")}
    other = run_job(
        spark,
        scene,
        job.folder,
        tile_size=TILE_SIZES[0],
        change={"detector": "bitemporal", "threshold": {"quantile": 0.95}},
        maps=NO_MAPS,
    )
    assert other.result.folder.score_id == job.result.folder.score_id
    assert other.result.folder.run_id != job.result.folder.run_id
    assert {path: path.stat().st_mtime_ns for path in job.result.folder.scores.rglob("*.json")} == before
    score = other.result.scores.change_score.values
    assert (
        other.result.thresholds.threshold[0]
        == np.sort(score[np.isfinite(score)])[int(np.ceil(0.95 * (np.isfinite(score).sum() - 1)))]
    )
    assert int((other.result.changed == 1).sum()) == int((score >= np.nanquantile(score, 0.95)).sum())


@pytest.mark.parametrize(
    ("polygons", "threshold"),
    [
        ({"connectivity": 8, "fill_holes_pixels": 4, "outline": "contour"}, {"score": 3.0, "high": 6.0}),
        ({"group_by": "year", "min_pixels": 2}, {"score": 3.0}),
    ],
)
def test_other_rules_are_equal_for_every_tile_size(
    spark: SparkSession,
    scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    polygons: dict[str, Any],
    threshold: dict[str, float],
) -> None:
    monkeypatch.setattr(polygonize_changes, "MAX_CORNERS", 60)
    monkeypatch.setattr(polygonize_changes, "CELL_PIXELS", 100)
    jobs = [
        run_job(
            spark, scene, tmp_path / str(size), tile_size=size, polygons=polygons, maps=NO_MAPS,
            change={"detector": "max_difference", "threshold": threshold},
        )
        for size in (64, 512)
    ]  # fmt: skip
    found = [job.table("raw_polygons") for job in jobs]
    pd.testing.assert_frame_equal(*found)
    published = [job.table("change_polygons") for job in jobs]
    pd.testing.assert_frame_equal(*published)
    wholes = found[0].groupby("whole_id")
    assert wholes.change_id.first().tolist() == list(wholes.groups)
    assert (wholes.score_max.nunique() == 1).all()
    assert found[0].score_max.min() >= threshold.get("high", 3.0)
    giants = wholes.filter(lambda pieces: len(pieces) > 1)
    assert giants.simplified.all()
    if "group_by" in polygons:
        assert (found[0].year_first == found[0].year_last).all()
        shared = published[0]
    else:
        assert giants.whole_id.nunique() > 1
        contours = found[0][~found[0].simplified]
        assert shapely.is_valid(shapely.from_wkb(contours.outline.to_numpy())).all()
        assert len(contours) > 20
        shared = published[0][published[0].whole_id == giants.whole_id.iloc[0]]
    shapes = shapely.from_wkb(shared.geometry.to_numpy())
    assert shapely.coverage_is_valid(shapes)
    assert shapely.area(shapely.union_all(shapes)) == pytest.approx(shapely.area(shapes).sum())
