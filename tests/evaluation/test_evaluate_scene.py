"""A real run of a scene, through Spark, held against what was planted."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import zarr

import terradrift as td

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def run(finished_run: Path) -> tuple[Path, Path]:
    return finished_run / "out", finished_run / "scene" / "truth.parquet"


def test_a_scene_is_found(run: tuple[Path, Path], tmp_path: Path) -> None:
    found = td.evaluate(*run, html=tmp_path / "page.html", parquet=tmp_path / "figures.parquet")
    result = td.open_run(run[0])
    score, changed = result.scores.change_score.values, result.changed.values
    truth = zarr.open_group(run[1].with_name("truth.zarr"), mode="r")["kind"][...]
    window = result.manifest["window"]
    kind = truth[window["y0"] : window["y0"] + window["height"], window["x0"] : window["x0"] + window["width"]]
    scored, change = np.isfinite(score), np.isin(kind, (1, 2))
    pixel = found.pixel
    assert pixel.n_evaluated == scored.sum() == result.manifest["counts"]["pixels_scored"]
    assert pixel.n_change == (scored & change).sum()
    assert pixel.precision == pytest.approx(change[changed == 1].mean())
    assert pixel.recall == pytest.approx((changed == 1)[change & scored].mean())
    at_rule = next(point for point in pixel.fdr_curve if point.nominal == 0.1)
    assert (at_rule.n_mapped, at_rule.realised) == (pixel.n_mapped, pixel.fdr)
    assert found.polygon.n_mapped == len(result.polygons)
    # floors far below what the detector reaches, so that a broken evaluation shows and a retuned detector does not
    assert pixel.average_precision > 0.6
    assert pixel.auc > 0.9
    assert pixel.fdr < 0.4
    assert found.year["inner_step"].exact_or_next > 0.6
    assert found.polygon.iou["0.3"].recall > 0.3
    assert sum(group.pixel.n_evaluated for group in found.by_landcover.values()) == pixel.n_evaluated


def test_truth_as_polygons_gives_what_rasters_give(run: tuple[Path, Path], tmp_path: Path) -> None:
    frame = gpd.read_parquet(run[1])
    frame.to_file(tmp_path / "truth.gpkg")
    alone, whole = td.evaluate(run[0], tmp_path / "truth.gpkg"), td.evaluate(*run)
    assert (alone.pixel.average_precision, alone.pixel.fdr, alone.year, alone.kind, alone.polygon) == (
        whole.pixel.average_precision, whole.pixel.fdr, whole.year, whole.kind, whole.polygon
    )  # fmt: skip
