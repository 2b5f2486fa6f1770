"""Whole evaluations of small hand-made outputs, against plain loops over the rasters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from outputs import COVERS, ORIGIN, YEARS, sites, to_degrees, write_output, write_scene_truth

import terradrift as td
from terradrift.evaluation.tallies import NOMINAL
from terradrift.kernels.label import label

SHAPE = (128, 192)


@dataclass(frozen=True)
class Case:
    """A map and the truth, as rasters."""

    kind: np.ndarray
    year: np.ndarray
    cover: np.ndarray
    nuisance: np.ndarray
    score: np.ndarray
    mapped: np.ndarray
    mapped_year: np.ndarray
    mapped_kind: np.ndarray
    q: np.ndarray

    @property
    def scored(self) -> np.ndarray:
        return np.isfinite(self.score)

    @property
    def change(self) -> np.ndarray:
        return np.isin(self.kind, (1, 2))


def draw(seed: int) -> Case:
    rng = np.random.default_rng(seed)

    def cells(values: np.ndarray, side: int = 8) -> np.ndarray:
        return np.kron(values, np.ones((side, side), values.dtype))

    coarse = (SHAPE[0] // 8, SHAPE[1] // 8)
    kind = cells(rng.choice(4, coarse, p=[0.8, 0.1, 0.05, 0.05]).astype(np.uint8))
    year = np.where(kind > 0, cells(rng.integers(2018, 2026, coarse)), 0)
    cover = cells(rng.integers(1, 3, (SHAPE[0] // 32, SHAPE[1] // 32)).astype(np.uint8), 32)
    nuisance = cells(rng.integers(0, 4, coarse).astype(np.uint8))
    change = np.isin(kind, (1, 2))
    score = rng.gamma(1, 1, SHAPE) + 2 * change + (kind == 3)
    score[rng.random(SHAPE) < 0.05] = np.nan
    q = np.where(np.isnan(score), np.nan, np.exp(-np.nan_to_num(score)) * 1.5).clip(None, 1).astype(np.float32)
    mapped = q <= np.float32(0.1)
    mapped_year = np.where(rng.random(SHAPE) < 0.6, year, rng.integers(2017, 2026, SHAPE)).clip(2017)
    return Case(kind, year, cover, nuisance, score, mapped, mapped_year, rng.choice([1, 2, 3, 4], SHAPE), q)


@pytest.fixture(scope="module")
def case() -> Case:
    return draw(0)


@pytest.fixture(scope="module")
def files(case: Case, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("evaluate")
    out = write_output(folder / "out", case.score, case.mapped, year=case.mapped_year, kind=case.mapped_kind, q=case.q)
    return out, write_scene_truth(folder / "scene", case.kind, case.year, landcover=case.cover, nuisance=case.nuisance)


@pytest.fixture(scope="module")
def found(files: tuple[Path, Path]) -> Any:
    return td.evaluate(*files)


def test_the_mapped_pixels_equal_plain_counts(case: Case, found: Any) -> None:
    mapped, change, scored = case.mapped & case.scored, case.change & case.scored, case.scored
    pixel = found.pixel
    true = (mapped & change).sum()
    assert (pixel.n_evaluated, pixel.n_change, pixel.n_mapped) == (scored.sum(), change.sum(), mapped.sum())
    assert (pixel.n_not_scored, pixel.n_change_not_scored) == ((~scored).sum(), (case.change & ~scored).sum())
    assert pixel.precision == pytest.approx(true / mapped.sum())
    assert pixel.recall == pytest.approx(true / change.sum())
    assert pixel.fdr == pytest.approx(1 - true / mapped.sum())
    assert pixel.f1 == pytest.approx(2 * true / (mapped.sum() + change.sum()))
    blip = (case.kind == 3) & scored
    assert pixel.blips_confirmed == pytest.approx((blip & mapped & np.isin(case.mapped_kind, (1, 2))).sum() / blip.sum())
    assert pixel.blips_unconfirmed == pytest.approx((blip & mapped & (case.mapped_kind == 4)).sum() / blip.sum())
    stable = (case.kind == 0) & scored
    assert pixel.stable_mapped == pytest.approx((stable & mapped).sum() / stable.sum())


def test_the_score_equals_a_plain_ranking(case: Case, found: Any) -> None:
    score, change = case.score[case.scored].astype(np.float32), case.change[case.scored]
    order = np.argsort(-score, kind="stable")
    true = change[order].cumsum()
    precision = true / np.arange(1, len(true) + 1)
    assert found.pixel.average_precision == pytest.approx(precision[change[order]].mean())
    ranks = np.argsort(np.argsort(score)) + 1.0
    n = change.sum()
    assert found.pixel.auc == pytest.approx((ranks[change].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))
    f1 = 2 * true / (np.arange(1, len(true) + 1) + n)
    assert (found.pixel.best_f1, found.pixel.best_f1_threshold) == pytest.approx((f1.max(), score[order][f1.argmax()]))
    stable = (case.kind[case.scored] == 0)[order].cumsum()
    assert found.pixel.recall_at_1pct_false == pytest.approx(true[stable <= 0.01 * stable[-1]].max() / n)


def test_the_fdr_curve_equals_plain_counts(case: Case, found: Any) -> None:
    assert tuple(point.nominal for point in found.pixel.fdr_curve) == NOMINAL
    for point in found.pixel.fdr_curve:
        chosen = case.scored & (case.q <= np.float32(point.nominal))
        assert point.n_mapped == chosen.sum()
        assert point.realised == (pytest.approx((chosen & ~case.change).sum() / chosen.sum()) if chosen.any() else None)
        assert point.recall == pytest.approx((chosen & case.change).sum() / (case.change & case.scored).sum())
    at_rule = next(point for point in found.pixel.fdr_curve if point.nominal == 0.1)
    assert (at_rule.n_mapped, at_rule.realised) == (found.pixel.n_mapped, found.pixel.fdr)


def test_years_equal_plain_counts(case: Case, found: Any) -> None:
    inner = (case.year > YEARS[1]) & (case.year < YEARS[-1])
    right = case.mapped & case.scored & case.change
    error = case.mapped_year - case.year
    for name, which in (
        ("all", right),
        ("step", right & (case.kind == 1)),
        ("inner_step", right & (case.kind == 1) & inner),
        ("ramp", right & (case.kind == 2)),
    ):
        year = found.year[name]
        assert year.n == which.sum() > 0
        assert year.exact == pytest.approx((error[which] == 0).mean())
        assert year.exact_or_next == pytest.approx(np.isin(error[which], (0, 1)).mean())
        assert year.within_one == pytest.approx((np.abs(error[which]) <= 1).mean())


def test_kinds_equal_plain_counts(case: Case, found: Any) -> None:
    kind = found.kind
    assert kind.rows == ("none", "step", "ramp", "blip", "change")
    assert kind.columns == ("not mapped", "step", "ramp", "blip", "unconfirmed")
    column = np.where(case.mapped, case.mapped_kind, 0)
    for row in range(5):
        for col in range(5):
            assert kind.counts[row][col] == (case.scored & (case.kind == row) & (column == col)).sum()


def test_land_covers_add_up_and_equal_plain_counts(case: Case, found: Any) -> None:
    assert tuple(found.by_landcover) == COVERS
    groups = found.by_landcover.values()
    assert sum(group.pixel.n_evaluated for group in groups) == found.pixel.n_evaluated
    assert sum(group.year["all"].n for group in groups) == found.year["all"].n
    assert sum(group.n_sites for group in groups) == found.polygon.n_sites
    for code, group in enumerate(groups, 1):
        own = case.scored & (case.cover == code)
        assert group.pixel.precision == pytest.approx(case.change[own & case.mapped].mean())
        assert group.pixel.n_not_scored == (~case.scored & (case.cover == code)).sum()
        assert group.pixel.fdr_curve[3].n_mapped == (own & case.mapped).sum()
        assert (group.n_sites, group.n_sites_found) == regions(case, own)
        assert group.kind.counts[1][0] == (own & (case.kind == 1) & ~case.mapped).sum()


def regions(case: Case, own: np.ndarray) -> tuple[int, int]:
    """Connected regions of equal kind and year of change with a pixel in `own`, and those of them with a mapped pixel."""
    labels = label((case.kind.astype(np.int32) * 10_000 + case.year) * case.change).paint()
    return tuple(len(np.unique(labels[which & (labels > 0)])) for which in (own, own & case.mapped))


def test_nuisances_equal_plain_counts(case: Case, found: Any) -> None:
    for bit, name in enumerate(("rotating_parcel", "wetland")):
        there = case.scored & (case.kind == 0) & (case.nuisance >> bit & 1 > 0)
        share = (there & case.mapped).sum() / there.sum()
        assert found.false_by_nuisance[name] == {
            "n_stable": there.sum(), "n_mapped": (there & case.mapped).sum(), "share": pytest.approx(share)
        }  # fmt: skip


def test_intervals_hold_the_figures(found: Any) -> None:
    for name in ("average_precision", "auc", "best_f1", "precision", "recall", "f1", "fdr"):
        low, high = found.intervals[name]
        assert 0 <= low < getattr(found.pixel, name) < high <= 1


def test_an_evaluation_is_the_same_twice(files: tuple[Path, Path], found: Any) -> None:
    assert td.evaluate(*files).to_dict() == found.to_dict()
    other = td.evaluate(*files, seed=1)
    assert (other.pixel, other.polygon) == (found.pixel, found.polygon)
    assert other.intervals != found.intervals


def test_polygons_alone_give_the_rasters_figures(case: Case, files: tuple[Path, Path], found: Any, tmp_path: Path) -> None:
    polygons = write_scene_truth(tmp_path / "scene", case.kind, case.year, landcover=case.cover, rasters=False)
    alone = td.evaluate(files[0], polygons)
    assert (alone.pixel, alone.kind, alone.year, alone.polygon) == (found.pixel, found.kind, found.year, found.polygon)
    assert alone.by_landcover == {}


def test_blocks_of_rows_change_nothing(files: tuple[Path, Path], found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("terradrift.evaluation.run_rasters.BLOCK_PIXELS", 1)
    assert td.evaluate(*files).to_dict() == found.to_dict()


def test_a_perfect_map_is_1(case: Case, files: tuple[Path, Path], tmp_path: Path) -> None:
    kind = np.where(case.change, case.kind, 0)
    out = write_output(
        tmp_path / "out", case.change + 0.5, case.change, year=case.year, kind=kind, q=np.where(case.change, 0.0, 1)
    )
    evaluation = td.evaluate(out, files[1])
    pixel = evaluation.pixel
    assert {pixel.average_precision, pixel.auc, pixel.best_f1, pixel.recall_at_1pct_false} == {1}
    assert (pixel.precision, pixel.recall, pixel.f1, pixel.fdr, pixel.blips_confirmed, pixel.stable_mapped) == (1, 1, 1, 0, 0, 0)
    assert all((point.realised, point.recall) == (0, 1) for point in pixel.fdr_curve)
    assert {year.exact for year in evaluation.year.values()} == {1}
    assert evaluation.polygon.n_sites_found == evaluation.polygon.n_sites
    assert not any(count for r, row in enumerate(evaluation.kind.counts[1:3], 1) for c, count in enumerate(row) if c != r)


def test_perfect_polygons_are_1_and_shifted_ones_are_not(tmp_path: Path) -> None:
    kind = np.zeros(SHAPE, np.uint8)
    kind[10:20, 10:20], kind[50:54, 60:65], kind[80:110, 100:130] = 1, 2, 1  # 100, 20 and 900 pixels
    truth = write_scene_truth(tmp_path / "scene", kind, 2021)

    def polygons(mapped: np.ndarray, name: str) -> Any:
        return td.evaluate(write_output(tmp_path / name, mapped * 1.0, mapped), truth).polygon

    perfect = polygons(kind > 0, "perfect")
    assert [match.f1 for match in perfect.iou.values()] == [1, 1]
    assert td.evaluate(tmp_path / "perfect", truth).by_landcover["forest"].polygon_recall == {"0.3": 1, "0.5": 1}
    assert {name: match.n_matched for name, match in perfect.by_size["0.5"].items()} == {
        "<25": 1, "25-99": 0, "100-399": 1, ">=400": 1
    }  # fmt: skip
    # 3 columns to the right: IoU 7/13 = .54, 2/8 = .25, 27/33 = .82
    shifted = polygons(np.roll(kind > 0, 3, axis=1), "shifted")
    assert [match.n_matched for match in shifted.iou.values()] == [2, 2]
    # 4 columns: 6/14 = .43, 1/9 = .11, 26/34 = .76
    further = polygons(np.roll(kind > 0, 4, axis=1), "further")
    assert {iou: match.n_matched for iou, match in further.iou.items()} == {"0.3": 2, "0.5": 1}
    assert further.iou["0.5"].recall == pytest.approx(1 / 3)


def test_years_by_hand(tmp_path: Path) -> None:
    """Steps in the first transition (2018), the middle (2021) and the last (2025), each found in known years."""
    kind, year, mapped_year = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, int), np.zeros(SHAPE, int)
    kind[5, 0:10], year[5, 0:10], mapped_year[5, 0:10] = 1, 2018, 2018
    kind[15, 0:10], year[15, 0:10], mapped_year[15, 0:10] = 1, 2021, [2021] * 4 + [2022] * 3 + [2020] * 2 + [2019]
    kind[25, 0:10], year[25, 0:10], mapped_year[25, 0:10] = 1, 2025, 2023
    truth = write_scene_truth(tmp_path / "scene", kind, year)
    found = td.evaluate(write_output(tmp_path / "out", (kind > 0) * 1.0, kind > 0, year=mapped_year), truth).year
    inner, step = found["inner_step"], found["step"]
    assert (inner.n, inner.exact, inner.exact_or_next, inner.within_one) == (10, 0.4, 0.7, 0.9)
    assert (step.n, step.exact) == (30, pytest.approx(14 / 30))
    assert found["ramp"].exact is None


def test_changes_outside_the_runs_years_are_left_out(tmp_path: Path) -> None:
    kind, year = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, int)
    kind[5:9, 5:9], year[5:9, 5:9] = 1, 2019  # the run begins in 2019: nothing to see
    kind[25:29, 5:9], year[25:29, 5:9] = 1, 2021
    kind[45:49, 5:9], year[45:49, 5:9] = 1, 2024  # after its last year
    kind[65:69, 5:9], year[65:69, 5:9] = 3, 2018
    truth = write_scene_truth(tmp_path / "scene", kind, year)
    out = write_output(tmp_path / "out", (kind > 0) * 1.0, kind == 1, years=range(2019, 2024))
    found = td.evaluate(out, truth)
    assert (found.pixel.n_change, found.pixel.n_blip, found.pixel.n_mapped, found.pixel.precision) == (16, 0, 16, 1)
    assert (found.polygon.n_truth, found.polygon.n_sites) == (1, 1)
    assert any(note.startswith("3 changes lie outside 2019 to 2023") for note in found.truth.notes)


def test_a_run_without_q_has_no_curve(case: Case, files: tuple[Path, Path], tmp_path: Path) -> None:
    found = td.evaluate(write_output(tmp_path / "out", case.score, case.mapped), files[1])
    assert found.pixel.fdr_curve == ()
    assert found.pixel.fdr is not None


def test_a_map_of_nothing_has_no_precision(tmp_path: Path) -> None:
    kind = np.zeros(SHAPE, np.uint8)
    kind[5:9, 5:9] = 1
    out = write_output(tmp_path / "out", np.ones(SHAPE), np.zeros(SHAPE, bool))
    found = td.evaluate(out, write_scene_truth(tmp_path / "scene", kind, 2021), html=tmp_path / "page.html")
    assert (found.pixel.precision, found.pixel.fdr, found.pixel.recall, found.pixel.f1) == (None, None, 0, 0)
    assert (found.pixel.average_precision, found.pixel.auc) == (pytest.approx(16 / kind.size), 0.5)
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_scene_of_no_change_says_what_is_mapped(tmp_path: Path) -> None:
    kind = np.zeros(SHAPE, np.uint8)
    kind[5:9, 5:9] = 3
    out = write_output(tmp_path / "out", np.ones(SHAPE), kind > 0, kind=4)
    found = td.evaluate(out, write_scene_truth(tmp_path / "scene", kind, 2021), html=tmp_path / "page.html")
    assert (found.pixel.average_precision, found.pixel.recall, found.pixel.fdr) == (None, None, 1)
    assert (found.pixel.blips_unconfirmed, found.pixel.blips_confirmed) == (1, 0)


def test_a_scene_without_change_at_all(tmp_path: Path) -> None:
    mapped = np.zeros(SHAPE, bool)
    mapped[5:9, 5:9] = True
    out = write_output(tmp_path / "out", mapped * 1.0, mapped)
    truth = write_scene_truth(tmp_path / "scene", np.zeros(SHAPE, np.uint8), 0)
    found = td.evaluate(out, truth, html=tmp_path / "page.html", parquet=tmp_path / "figures.parquet")
    assert (found.truth.n_features, found.pixel.n_change, found.pixel.stable_mapped) == (0, 0, 16 / mapped.size)
    assert [(mistake.what, mistake.pixels) for mistake in found.mistakes] == [("false", 16)]


def test_truth_beside_another_mosaic_is_noted(case: Case, files: tuple[Path, Path], tmp_path: Path) -> None:
    truth = write_scene_truth(tmp_path / "scene", case.kind, case.year)
    assert not any("another mosaic" in note for note in td.evaluate(files[0], truth).truth.notes)
    (tmp_path / "scene" / "mosaic.zarr").mkdir()
    assert any("another mosaic" in note for note in td.evaluate(files[0], truth).truth.notes)


def test_the_table_holds_every_figure(files: tuple[Path, Path], found: Any, tmp_path: Path) -> None:
    td.evaluate(*files, parquet=tmp_path / "figures.parquet")
    rows = pq.read_table(tmp_path / "figures.parquet").to_pylist()
    assert list(rows[0]) == ["metric", "group", "value", "low", "high"]
    by_name = {(row["group"], row["metric"]): row for row in rows}
    assert len(by_name) == len(rows)
    precision = by_name["pixel", "precision"]
    assert (precision["value"], precision["low"], precision["high"]) == (found.pixel.precision, *found.intervals["precision"])
    assert by_name["year/inner_step", "exact"]["value"] == found.year["inner_step"].exact
    assert by_name["polygon/iou/0.5", "f1"]["value"] == found.polygon.iou["0.5"].f1
    assert by_name["by_landcover/forest/pixel", "auc"]["value"] == found.by_landcover["forest"].pixel.auc
    assert by_name["kind", "step mapped as ramp"]["value"] == found.kind.counts[1][2]
    assert by_name["pixel/fdr_curve/0.1", "realised"]["value"] == found.pixel.fdr


def test_mistakes_are_the_largest(tmp_path: Path) -> None:
    kind, mapped = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, bool)
    for at in range(8):  # eight missed changes of 1..8 x 5 pixels, eight false polygons of 1..8 x 4
        kind[10 * at : 10 * at + at + 1, 0:5] = 1
        mapped[10 * at : 10 * at + at + 1, 100:104] = True
    kind[100:110, 50:60] = 2
    mapped[100:110, 50:60] = True
    out = write_output(tmp_path / "out", mapped * 2.0, mapped)
    found = td.evaluate(out, write_scene_truth(tmp_path / "scene", kind, 2021))
    assert [(m.what, m.pixels) for m in found.mistakes] == [
        *(("false", 4 * n) for n in range(8, 2, -1)), *(("missed", 5 * n) for n in range(8, 2, -1))
    ]  # fmt: skip
    first = found.mistakes[0]
    assert first.score.shape == first.window.shape
    at = first.window.slices(type(first.window)(*ORIGIN, *SHAPE))
    assert np.array_equal(first.score, (mapped * 2.0)[at].astype(np.float32))
    assert any(outline.area == 32 for outline in first.mapped)
    polygon = to_degrees(np.array([shapely.box(100, 70, 104, 78)], object))[0]  # the eighth, 8 rows of 4
    assert polygon.contains(shapely.Point(first.place))


def test_a_polygon_in_a_filled_hole_keeps_its_pixels(tmp_path: Path) -> None:
    kind = np.zeros(SHAPE, np.uint8)
    kind[14:16, 14:16] = 1
    mapped = np.zeros(SHAPE, bool)
    mapped[10:20, 10:20] = True
    out = write_output(tmp_path / "out", mapped * 1.0, mapped)
    table = next((out / "runs").rglob("raw_polygons/*.parquet"))
    rows = pq.read_table(table).to_pylist()
    corner = np.array(ORIGIN[::-1])
    inner = shapely.transform(shapely.box(14, 14, 16, 16), lambda xy: xy + corner)
    rows.append({**rows[0], "change_id": 10**6, "whole_id": 10**6, "n_pixels": 4, "geometry": shapely.to_wkb(inner)})
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(table)), table)
    found = td.evaluate(out, write_scene_truth(tmp_path / "scene", kind, 2021)).polygon
    assert (found.n_mapped, found.iou["0.5"].n_matched) == (2, 1)


def test_the_pieces_of_a_giant_are_one_polygon(tmp_path: Path) -> None:
    kind = np.zeros(SHAPE, np.uint8)
    kind[10:20, 10:50] = 1
    kind[30:34, 30:34] = 1
    mapped = kind == 1
    out = write_output(tmp_path / "out", mapped * 1.0, mapped)
    truth = write_scene_truth(tmp_path / "scene", kind, 2021)
    expected = td.evaluate(out, truth)
    table = next((out / "runs").rglob("raw_polygons/*.parquet"))
    giant, *others = pq.read_table(table).to_pylist()
    corner = np.array(ORIGIN[::-1])
    halves = [shapely.transform(shapely.box(x, 10, x + 20, 20), lambda xy: xy + corner) for x in (10, 30)]
    pieces = [
        {**giant, "change_id": giant["change_id"] + 20 * i, "n_pixels": 200, "geometry": shapely.to_wkb(half)}
        for i, half in enumerate(halves)
    ]
    pq.write_table(pa.Table.from_pylist([*others, *pieces[::-1]], schema=pq.read_schema(table)), table)
    found = td.evaluate(out, truth)
    assert (found.polygon.n_mapped, found.polygon.iou["0.5"].n_matched) == (2, 2)
    assert found.polygon == expected.polygon


def test_q_equal_to_the_rate_is_mapped_at_it(tmp_path: Path) -> None:
    kind = np.zeros(SHAPE, np.uint8)
    kind[:8, :8] = 1
    q = np.where(kind == 1, np.float32(0.05), 1)
    found = td.evaluate(write_output(tmp_path / "out", kind * 1.0, kind == 1, q=q), write_scene_truth(tmp_path / "s", kind, 2021))
    assert {point.nominal: point.n_mapped for point in found.pixel.fdr_curve} == {
        0.01: 0, 0.02: 0, 0.05: 64, 0.1: 64, 0.2: 64, 0.3: 64, 0.5: 64
    }  # fmt: skip


def digitised(case: Case) -> tuple[np.ndarray, Any]:
    """50 sites a person might have digitised: pixels of change."""
    rows = np.argwhere(case.change & case.scored)
    chosen = rows[np.random.default_rng(1).permutation(len(rows))[:50]]
    return chosen, sites([tuple(row) for row in chosen], year=case.year[tuple(chosen.T)])


@pytest.mark.parametrize("name", ["sites.geojson", "sites.gpkg", "sites.shp", "sites.parquet"])
def test_fifty_points_with_a_year_are_enough(case: Case, files: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    chosen, frame = digitised(case)
    frame.to_parquet(tmp_path / name) if name.endswith("parquet") else frame.to_file(tmp_path / name)
    found = td.evaluate(files[0], tmp_path / name, html=tmp_path / "page.html")
    at = tuple(chosen.T)
    assert found.truth.features == {"change": 50}
    assert found.truth.rest == "unlabelled"
    assert any("lower bounds" in note for note in found.truth.notes)
    assert found.pixel.recall == pytest.approx(case.mapped[at].mean())
    assert (found.polygon.n_sites, found.polygon.n_sites_found) == (50, case.mapped[at].sum())
    assert (found.polygon.n_truth, found.polygon.n_mapped, found.polygon.iou["0.3"].f1) == (0, 0, None)
    error = (case.mapped_year - case.year)[at][case.mapped[at]]
    assert found.year["all"].exact == pytest.approx((error == 0).mean())
    assert found.pixel.precision == pytest.approx(case.mapped[at].sum() / (case.mapped & case.scored).sum())
    assert {mistake.what for mistake in found.mistakes} == {"missed"}


def test_points_with_stable_sites_are_evaluated_alone(case: Case, files: tuple[Path, Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = np.argwhere(case.scored)
    chosen = rows[rng.permutation(len(rows))[:200]]
    at = tuple(chosen.T)
    changed = case.change[at]
    for given in (changed.astype(int), np.where(changed, "Change", "stable")):
        frame = sites([tuple(row) for row in chosen], label=given, year=np.where(changed, case.year[at], 0))
        frame["landcover"] = np.array(COVERS)[case.cover[at] - 1]
        frame.to_file(tmp_path / "sites.gpkg")
        found = td.evaluate(files[0], tmp_path / "sites.gpkg")
        assert (found.truth.rest, found.pixel.n_evaluated, found.pixel.n_change) == ("left out", 200, changed.sum())
        assert found.pixel.precision == pytest.approx(changed[case.mapped[at]].mean())
        assert {name: group.pixel.n_evaluated for name, group in found.by_landcover.items()} == {
            name: (case.cover[at] == code).sum() for code, name in enumerate(COVERS, 1)
        }


def test_the_rest_is_stable_where_the_user_says_so(case: Case, files: tuple[Path, Path], found: Any, tmp_path: Path) -> None:
    scene = write_scene_truth(tmp_path / "scene", np.where(case.change, 1, 0), case.year, rasters=False)
    frame = gpd.read_parquet(scene)[["year_first", "geometry"]].rename(columns={"year_first": "Year"})
    frame.to_file(tmp_path / "sites.gpkg")
    bound = td.evaluate(files[0], tmp_path / "sites.gpkg")
    told = td.evaluate(files[0], tmp_path / "sites.gpkg", rest_is_stable=True)
    assert (bound.truth.rest, told.truth.rest) == ("unlabelled", "stable")
    assert told.pixel.precision == found.pixel.precision  # blips are no change, so they are as stable here
    assert told.polygon.n_truth == len(frame)
    assert {mistake.what for mistake in told.mistakes} == {"false", "missed"}
    assert found.kind.counts[1][0] + found.kind.counts[2][0] == told.kind.counts[4][0]


def test_sites_of_another_crs_are_moved(case: Case, files: tuple[Path, Path], tmp_path: Path) -> None:
    _, frame = digitised(case)
    frame.to_file(tmp_path / "a.gpkg")
    frame.to_crs("EPSG:32613").to_file(tmp_path / "b.gpkg")
    one, other = (td.evaluate(files[0], tmp_path / name) for name in ("a.gpkg", "b.gpkg"))
    assert (one.pixel, one.year) == (other.pixel, other.year)


def test_stable_polygons_judge_only_the_polygons_they_touch(tmp_path: Path) -> None:
    mapped = np.zeros(SHAPE, bool)
    mapped[10:20, 10:20], mapped[40:50, 10:20], mapped[90:99, 90:99] = True, True, True
    out = write_output(tmp_path / "out", mapped * 1.0, mapped)
    boxes = to_degrees(np.array([shapely.box(10, 10, 20, 20), shapely.box(5, 45, 40, 60)], object))
    frame = gpd.GeoDataFrame({"changed": [1, 0], "year": [2020, None]}, geometry=list(boxes), crs="EPSG:4326")
    frame.to_file(tmp_path / "sites.gpkg")
    found = td.evaluate(out, tmp_path / "sites.gpkg")
    # the first polygon is right, the second lies half on stable ground, of the third nothing is known
    assert (found.polygon.n_truth, found.polygon.n_mapped) == (1, 2)
    assert (found.polygon.iou["0.5"].precision, found.polygon.iou["0.5"].recall) == (0.5, 1)
    assert (found.pixel.n_evaluated, found.pixel.n_mapped, found.pixel.precision) == (
        100 + 35 * 15,
        150,
        pytest.approx(100 / 150),
    )
    assert [(m.what, m.pixels) for m in found.mistakes] == [("false", 50)]
