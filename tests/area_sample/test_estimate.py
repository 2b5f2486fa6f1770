"""From a drawn sample over its labels to the estimate: files as people leave them, and refusals in one line."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyogrio
import pytest
import shapely
from rich.console import Console
from runs import LONLAT, METRES, WINDOW, YEARS, fill, some_map, write_run

from terradrift.area_sample import Sample, draw_sample, estimate_area, is_labelled_sample, print_estimate
from terradrift.cli import main
from terradrift.errors import InputError
from terradrift.grid import AREA_UNIT_M2, Grid

SIZE = 400


def truth(seed: int = 3) -> npt.NDArray[np.bool_]:
    """What changed: the map, less a part of it, with a rim around it and a few patches that it missed."""
    changed, _ = some_map()
    mapped = changed == 1
    rng = np.random.default_rng(seed)
    rim = np.roll(mapped, 1, axis=0) & ~mapped & (rng.random(mapped.shape) < 0.4)
    missed = np.zeros_like(mapped)
    for _ in range(4):
        y, x = rng.integers(0, WINDOW.height - 9), rng.integers(0, WINDOW.width - 9)
        missed[y : y + 8, x : x + 8] = True
    return (mapped & (rng.random(mapped.shape) < 0.9)) | ((rim | missed) & (changed == 0))


def at(raster: npt.NDArray[np.bool_], sample: Sample) -> npt.NDArray[np.bool_]:
    return raster[sample.draws["row"] - WINDOW.y0, sample.draws["col"] - WINDOW.x0]


def labelled(out: Path, file: Path, seed: int = 0) -> Sample:
    """A sample with the truth as its labels."""
    sample = draw_sample(out, SIZE, seed, file)
    changed = at(truth(), sample)
    fill(sample, np.where(changed, "change", "stable"), np.where(changed, 2020, 0))
    return sample


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_run(tmp_path / "out", *some_map())


@pytest.mark.parametrize("grid", [LONLAT, METRES], ids=["degrees", "metres"])
def test_the_true_area_lies_in_the_interval(grid: Grid, tmp_path: Path) -> None:
    out = write_run(tmp_path / "out", *some_map(), grid=grid)
    sample = labelled(out, tmp_path / "s.gpkg")
    found = estimate_area(sample.file, out)
    area = np.broadcast_to(grid.pixel_area(WINDOW) * AREA_UNIT_M2, WINDOW.shape)
    changed, _ = some_map()
    low, high = found.interval_m2
    assert low < area[truth()].sum() < high
    assert high - low < area[truth()].sum()
    assert found.total_area_m2 == pytest.approx(area[changed != 255].sum())
    assert found.mapped_area_m2 == pytest.approx(area[changed == 1].sum())
    rate = area[truth() & (changed == 1)].sum() / area[changed == 1].sum()
    user = found.accuracies["users_change"]
    assert user is not None
    assert abs(user.value - rate) < 3 * user.standard_error
    assert found.accuracies["year_within_1"] is not None
    assert found.accuracies["year_within_1"].value == pytest.approx(1)
    assert json.loads(json.dumps(found.as_dict()))["change_area_m2"]["low"] == low


def test_a_sample_of_all_pixels_gives_the_truth(tmp_path: Path) -> None:
    changed, kind = some_map()
    changed[20:], kind[20:] = 255, 255  # some five thousand pixels are left
    out = write_run(tmp_path / "out", changed, kind)
    sample = draw_sample(out, int((changed < 255).sum()))
    fill(sample, np.where(at(truth(), sample), "change", "stable"))
    found = estimate_area(sample.file, out)
    area = np.broadcast_to(LONLAT.pixel_area(WINDOW) * AREA_UNIT_M2, WINDOW.shape)
    true = area[truth() & (changed < 255)].sum()
    assert found.change_area_m2.value == pytest.approx(true)
    assert found.change_area_m2.standard_error == pytest.approx(0, abs=1e-6 * true)
    assert found.interval_m2 == pytest.approx((true, true))


def test_the_file_is_a_geopackage_that_hides_the_strata(out: Path) -> None:
    sample = draw_sample(out, SIZE)
    assert sample.file == out / "sample.gpkg"
    assert {name for name, _ in pyogrio.list_layers(sample.file)} == {"sample", "pixels", "design", "draws"}
    points, pixels = (gpd.read_file(sample.file, layer=name) for name in ("sample", "pixels"))
    assert points.crs == pixels.crs == "EPSG:4326"
    assert len(points) == SIZE
    assert set(points["label"]) | set(points["note"]) == {""}
    assert points["year"].isna().all()
    assert points["question"].unique().tolist() == [f"Did the land change for good between {YEARS[0]} and {YEARS[-1]}?"]
    assert not {"stratum", "row", "col", "change_kind"} & set(points.columns)
    links = points.filter(like="link_")
    assert links.shape[1] == 5
    assert links.map(lambda page: page.startswith("https://") and " " not in page).all(axis=None)
    design = pyogrio.read_dataframe(sample.file, layer="design", read_geometry=False)
    assert design["sampled"].sum() == SIZE
    x, y = LONLAT.x(sample.draws["col"] + 0.5), LONLAT.y(sample.draws["row"] + 0.5)
    assert np.allclose(points.geometry.x, x)
    assert np.allclose(points.geometry.y, y)
    assert np.allclose(points["lon"], x)
    assert pixels.geometry.contains(points.geometry).all()
    assert np.allclose(shapely.area(pixels.geometry.to_numpy()), 1e-4)


def test_the_order_of_the_rows_says_nothing_of_the_strata(out: Path, tmp_path: Path) -> None:
    """Runs of equal strata, mapped or not, are as many as in a shuffled row (Wald and Wolfowitz)."""
    scores = []
    for seed in range(12):
        mapped = draw_sample(out, SIZE, seed, tmp_path / "s.gpkg").draws["stratum"].str.startswith("mapped").to_numpy()
        runs, n, k = 1 + (mapped[1:] != mapped[:-1]).sum(), mapped.sum(), (~mapped).sum()
        mean = 2 * n * k / (n + k) + 1
        scores.append((runs - mean) / np.sqrt((mean - 1) * (mean - 2) / (n + k - 1)))
    assert abs(np.mean(scores)) < 4 / np.sqrt(len(scores))


@pytest.mark.parametrize("name", ["labels.csv", "semicolons.csv", "labels.geojson", "other_layer.gpkg"])
def test_labels_saved_in_another_form_give_the_same(out: Path, tmp_path: Path, name: str) -> None:
    sample = labelled(out, tmp_path / "s.gpkg")
    frame = gpd.read_file(sample.file, layer="sample").iloc[::-1]
    path = tmp_path / name
    if name == "semicolons.csv":
        frame.drop(columns="geometry").to_csv(path, sep=";", encoding="utf-8-sig", index=False)
    elif path.suffix == ".csv":
        frame.drop(columns="geometry").to_csv(path, index=False)
    else:
        frame.to_file(path)
    assert is_labelled_sample(path)
    assert estimate_area(path, out).as_dict() == estimate_area(sample.file, out).as_dict()


def test_unsure_and_unlabelled_pixels_are_left_out_and_counted(out: Path, tmp_path: Path) -> None:
    sample = draw_sample(out, SIZE, 0, tmp_path / "s.gpkg")
    labels = np.where(at(truth(), sample), "change", "stable").astype(object)
    labels[:30], labels[30:50], labels[50:60] = "unsure", "", " Change "
    fill(sample, labels)
    found = estimate_area(sample.file, out)
    counts = pd.DataFrame(found.matrix)
    assert (counts["unsure"].sum(), counts["unlabelled"].sum()) == (30, 20)
    assert (counts[["change", "stable", "unsure", "unlabelled"]].sum(axis=1) == counts["sampled"]).all()
    assert any("30 unsure and 20 without label" in note for note in found.notes)
    fill(sample, np.where(labels == "unsure", "", labels))
    assert estimate_area(sample.file, out).as_dict()["change_area_m2"] == found.as_dict()["change_area_m2"]
    fill(sample, np.where(labels == "unsure", "stable", labels))
    assert estimate_area(sample.file, out).as_dict()["change_area_m2"] != found.as_dict()["change_area_m2"]


def test_labels_judge_a_later_run_over_the_same_ground(out: Path, tmp_path: Path) -> None:
    """Strata stay those of the draw, the classes are those of the new map: the area is the same, the accuracies are not."""
    sample = labelled(out, tmp_path / "s.gpkg")
    before = estimate_area(sample.file, out)
    changed, kind = some_map()
    changed[(kind == 2) & (changed == 1)] = 0
    write_run(out, changed, kind, run_id="fedcba9876543210")
    after = estimate_area(sample.file, out)
    assert after.run_id == "fedcba9876543210"
    assert after.change_area_m2 == before.change_area_m2
    assert after.mapped_area_m2 < before.mapped_area_m2
    area = np.broadcast_to(LONLAT.pixel_area(WINDOW) * AREA_UNIT_M2, WINDOW.shape)
    rate = area[truth() & (changed == 1)].sum() / area[truth()].sum()
    producer = after.accuracies["producers_change"]
    assert producer is not None
    assert abs(producer.value - rate) < 3 * producer.standard_error
    changed[40:60] = 255
    write_run(out, changed, kind, run_id="0000000000000001")
    with pytest.raises(InputError, match="expected the same area"):
        estimate_area(sample.file, out)


def test_one_label_in_a_stratum_is_refused(out: Path, tmp_path: Path) -> None:
    sample = draw_sample(out, SIZE, 0, tmp_path / "s.gpkg")
    near = (sample.draws["stratum"] == "not mapped, near change").to_numpy()
    labels = np.where(near, "unsure", "stable").astype(object)
    labels[np.flatnonzero(near)[0]] = "change"
    fill(sample, labels)
    with pytest.raises(InputError, match=r"stratum 'not mapped, near change': found 1 pixel labelled .* expected 2 or more"):
        estimate_area(sample.file, out)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("label", "chnage", r"label: found 'chnage'; did you mean 'change'\? \(change, stable, unsure\)"),
        ("year", 1999, "year: found '1999', expected a year from 2017 to 2021, or nothing"),
        ("sample_id", "7", "found sample_id '7', expected one of `terradrift sample`"),
        ("sample_id", "s00000000-001", "found no tables design and draws in it"),
    ],
)
def test_a_wrong_cell_is_named(out: Path, tmp_path: Path, column: str, value: object, message: str) -> None:
    sample = labelled(out, tmp_path / "s.gpkg")
    frame = pyogrio.read_dataframe(sample.file, layer="sample", read_geometry=False)
    frame.loc[0, column] = value
    frame.to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(InputError, match=message) as caught:
        estimate_area(tmp_path / "labels.csv", out)
    assert "\n" not in str(caught.value)


def test_a_row_twice_and_a_stranger_are_refused(out: Path, tmp_path: Path) -> None:
    sample = labelled(out, tmp_path / "s.gpkg")
    frame = pyogrio.read_dataframe(sample.file, layer="sample", read_geometry=False)
    pd.concat([frame, frame.iloc[:1]]).to_csv(tmp_path / "twice.csv", index=False)
    with pytest.raises(InputError, match="stands in two rows"):
        estimate_area(tmp_path / "twice.csv", out)
    frame.loc[5, "sample_id"] = frame.loc[5, "sample_id"].split("-")[0] + "-999"
    frame.to_csv(tmp_path / "stranger.csv", index=False)
    with pytest.raises(InputError, match="is not of this sample"):
        estimate_area(tmp_path / "stranger.csv", out)


def test_what_is_a_labelled_sample(out: Path, tmp_path: Path) -> None:
    assert is_labelled_sample(labelled(out, tmp_path / "s.gpkg").file)
    gpd.GeoDataFrame({"year": [2019]}, geometry=gpd.points_from_xy([1], [2]), crs=4326).to_file(tmp_path / "sites.gpkg")
    gpd.GeoDataFrame({"year": [2019]}, geometry=gpd.points_from_xy([1], [2]), crs=4326).to_file(tmp_path / "sites.geojson")
    gpd.GeoDataFrame({"year": [2019]}, geometry=gpd.points_from_xy([1], [2]), crs=4326).to_parquet(tmp_path / "sites.parquet")
    (tmp_path / "points.csv").write_text("x,y,year\n1,2,2019\n")
    (tmp_path / "empty").touch()
    (tmp_path / "broken.gpkg").write_bytes(b"SQLite format 3\x00" + bytes(100))
    for name in ("sites.gpkg", "sites.geojson", "sites.parquet", "points.csv", "empty", "broken.gpkg", "nowhere", "."):
        assert not is_labelled_sample(tmp_path / name), name


def test_a_labelled_file_is_not_overwritten(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(out), "--size", "100"]) == 0
    file = out / "sample.gpkg"
    assert main(["sample", str(out), "--size", "100", "--seed", "2"]) == 0  # nothing in it yet
    frame = gpd.read_file(file, layer="sample")
    frame.loc[3, "note"] = "a new road"
    pyogrio.write_dataframe(frame, file, layer="sample", driver="GPKG")
    before = file.read_bytes()
    capfd.readouterr()
    assert main(["sample", str(out), "--size", "100"]) == 2
    message = capfd.readouterr()
    assert message.out == ""
    assert "found 1 labelled rows; give another name, or --overwrite" in message.err
    assert message.err.count("\n") == 1
    assert file.read_bytes() == before
    assert main(["sample", str(out), "--size", "100", "--overwrite"]) == 0
    assert file.read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "0"], "--size: found 0"),
        (["--size", "3"], "--size: found 3, expected 6 to 32168"),
        (["--size", "50", "--seed", "-1"], "--seed: found -1"),
        (["--size", "many"], "--size"),
        (["--size", "50", "--file", "{out}/s.shp"], "expected a name that ends in .gpkg"),
        (["--size", "50", "--file", "{out}/none/s.gpkg"], "found no folder"),
        (["--size", "50", "--file", "{out}/other.gpkg"], "found a file that is no sample"),
        ([], "--size"),
    ],
)
def test_bad_input_is_one_line(out: Path, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    (out / "other.gpkg").write_text("notes of somebody")
    files = sorted(out.rglob("*"))
    assert main(["sample", str(out), *(argument.format(out=out) for argument in arguments)]) == 2
    said = capfd.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert sorted(out.rglob("*")) == files


def test_no_run_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(tmp_path), "--size", "50"]) == 2
    assert "found no finished run" in capfd.readouterr().err


def test_evaluate_takes_a_labelled_sample(out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sample = labelled(out, tmp_path / "s.gpkg")
    assert main(["evaluate", str(out), "--truth", str(sample.file), "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == json.loads(json.dumps(estimate_area(sample.file, out).as_dict()))
    assert main(["evaluate", str(out), "--truth", str(sample.file)]) == 0
    assert "95 % interval" in capfd.readouterr().out
    assert main(["evaluate", str(out), "--truth", str(sample.file), "--html", str(tmp_path / "page.html")]) == 2
    assert capfd.readouterr().err.count("\n") == 1
    blank = draw_sample(out, SIZE, 1, tmp_path / "blank.gpkg")
    assert main(["evaluate", str(out), "--truth", str(blank.file)]) == 2
    message = capfd.readouterr()
    assert message.out == ""
    assert message.err.endswith("found 0 pixels labelled change or stable, expected 2 or more of the 222 drawn; label more\n")


def test_the_report_says_area_interval_and_what_is_missing(out: Path, tmp_path: Path) -> None:
    sample = draw_sample(out, SIZE, 0, tmp_path / "s.gpkg")
    mapped = sample.draws["stratum"].str.startswith("mapped").to_numpy()
    fill(sample, np.where(mapped, "change", "stable"))
    console = Console(width=150, record=True, quiet=False, file=(tmp_path / "text").open("w"))
    found = estimate_area(sample.file, out)
    print_estimate(found, console)
    text = console.export_text()
    assert "95 % interval" in text
    assert f"{found.change_area_m2.value / 1e4:,.1f} ha" in text
    assert "not mapped, far from change: none of" in text
    assert "mapped, ramp: none of 55 labelled pixels was wrong" in text
    assert found.interval_m2[1] > found.change_area_m2.value  # although the standard error is nothing
    assert found.change_area_m2.standard_error == 0
