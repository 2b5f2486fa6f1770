"""The command: bad truth is one line and exit code 2; JSON, page and table are what they promise."""

from __future__ import annotations

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from outputs import GRID, sites, write_output, write_scene_truth

import terradrift as td
from terradrift.cli import main
from terradrift.pages.pictures import indexed_png

SHAPE = (64, 64)
POINTS = [(5, 5), (20, 30), (40, 50)]


@pytest.fixture(scope="module")
def kind() -> np.ndarray:
    kind = np.zeros(SHAPE, np.uint8)
    kind[4:12, 4:12], kind[30:40, 30:36], kind[50:55, 10:15] = 1, 2, 3
    return kind


@pytest.fixture(scope="module")
def out(kind: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    mapped = np.roll(kind > 0, 2, axis=1)
    mapped[20:26, 50:60] = True
    score = np.random.default_rng(0).random(SHAPE) + mapped * 2 + (kind == 1)
    return write_output(tmp_path_factory.mktemp("out"), score, mapped, q=np.where(mapped, 0.05, 1))


@pytest.fixture(scope="module")
def truth(kind: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene_truth(tmp_path_factory.mktemp("scene"), kind, 2020, nuisance=(kind == 0) * np.uint8(1))


def written(folder: Path, frame: gpd.GeoDataFrame) -> Path:
    frame.to_parquet(folder / "sites.parquet")
    return folder / "sites.parquet"


def good(**columns: object) -> gpd.GeoDataFrame:
    return sites(POINTS, **({"year": [2019, 2020, 2021]} | columns))


def lines() -> gpd.GeoDataFrame:
    return good().set_geometry([shapely.LineString([(-105.27, 40.03), (-105.26, 40.03)])] * 3, crs="EPSG:4326")


def without_crs() -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({"year": [2019, 2020, 2021]}, geometry=list(good().geometry.to_numpy()))


BAD = {
    "no year": (lambda: good().drop(columns="year"), r"found the columns \(none\); expected `year`"),
    "a year is missing": (lambda: good(year=[2019, None, 2021]), r"feature 1: found no year; expected"),
    "a year is text": (lambda: good(year=["2019", "soon", "2021"]), r"feature 1: year: found 'soon'; expected a year such as"),
    "a year is a fraction": (lambda: good(year=[2019.0, 2020.5, 2021.0]), r"feature 1: year: found 2020.5; expected"),
    "a year is far off": (lambda: good(year=[2019, 20, 2021]), r"feature 1: year: found 20.*expected a year"),
    "all outside the years": (
        lambda: good(year=[2017, 2010, 2031]),
        r"only changes outside the run's years 2017 to 2025; expected",
    ),
    "unknown kind": (
        lambda: good(kind=["step", "stp", "ramp"]),
        r"feature 1: kind: found unknown kind 'stp'.*did you mean 'step'",
    ),
    "unknown label": (lambda: good(changed=["1", "perhaps", "0"]), r"feature 1: changed: found 'perhaps'; expected 1 or 0"),
    "no label at all": (lambda: good(changed=[None, None, None], year=[0, 0, 0]), r"found no site with a label"),
    "lines": (lines, r"feature 0: found a LineString, neither polygon nor point; expected"),
    "an empty geometry": (
        lambda: good().set_geometry([*good().geometry[:2], shapely.Point()], crs=4326),
        r"feature 2: found no geometry",
    ),
    "no CRS": (without_crs, r"found no CRS; expected one; write it"),
    "another region": (
        lambda: good().set_geometry([shapely.Point(13, 52)] * 3, crs=4326),
        r"found no site on the run's raster .*expected",
    ),
    "no features": (lambda: good().iloc[:0], r"found 0 features; expected 1 to"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_truth_is_one_line_and_exit_code_2(name: str, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, message = BAD[name]
    check_refused(["evaluate", str(out), "--truth", str(written(tmp_path, make()))], message, capsys)


def check_refused(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(message, said.err)
    assert said.err.count("\n") == 1
    assert said.err.endswith("\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "found no such file"),
        (b"", "found 0 bytes"),
        (b"neither this nor that", "cannot be read"),
        (b"<OGRVRTDataSource/>", "points to others"),
        (b"PK\x03\x04", "found an archive"),
        (b'{"type": "FeatureCollection", "features": []}', r"truth: .*found"),
    ],
)
def test_what_is_no_vector_file_is_refused(
    content: bytes | None, message: str, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sites.geojson"
    if content is not None:
        path.write_bytes(content)
    check_refused(["evaluate", str(out), "--truth", str(path)], message, capsys)


def test_other_bad_arguments_are_refused(out: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ["evaluate", str(out), "--truth", str(truth)]
    check_refused(["evaluate", str(tmp_path), "--truth", str(truth)], "found no finished run", capsys)
    check_refused(["evaluate", str(out)], "truth", capsys)
    check_refused(["evaluate", str(out), "--truth", str(tmp_path)], "found a directory", capsys)
    check_refused([*start, "--html", str(tmp_path)], "found a directory", capsys)
    check_refused([*start, "--parquet", str(tmp_path / "none" / "a.parquet")], "found no directory", capsys)
    pd.DataFrame({"year": [2020]}).to_parquet(tmp_path / "table.parquet")
    check_refused(["evaluate", str(out), "--truth", str(tmp_path / "table.parquet")], "found a file that cannot be read", capsys)
    pd.DataFrame({"year": [2020]}).to_csv(tmp_path / "table.csv")
    check_refused(["evaluate", str(out), "--truth", str(tmp_path / "table.csv")], "found a table without geometries", capsys)


def test_truth_of_another_grid_is_refused(out: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(truth.parent, tmp_path / "scene")
    document = json.loads((tmp_path / "scene/truth.zarr/zarr.json").read_text())
    document["attributes"]["spatial:transform"][2] += GRID.transform[0] / 3
    (tmp_path / "scene/truth.zarr/zarr.json").write_text(json.dumps(document))
    check_refused(["evaluate", str(out), "--truth", str(tmp_path / "scene/truth.parquet")], "another pixel grid", capsys)


def test_truth_beside_the_scored_area_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score = np.full(SHAPE, np.nan)
    score[:, 40:] = 1.0
    out = write_output(tmp_path / "out", score, np.zeros(SHAPE, bool))
    frame = sites([(5, 5), (6, 6)], changed=[1, 0])
    check_refused(["evaluate", str(out), "--truth", str(written(tmp_path, frame))], "found no scored pixel", capsys)


def test_json_is_one_document(out: Path, truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(out), "--truth", str(truth), "--json"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert said.err == ""
    assert set(document) == {
        "pixel", "polygon", "year", "kind", "by_landcover", "false_by_nuisance", "intervals", "run_id", "truth"
    }  # fmt: skip
    assert document["run_id"] == td.open_run(out).folder.run_id
    assert document == json.loads(json.dumps(td.evaluate(out, truth).to_dict()))


def test_the_terminal_shows_the_figures(out: Path, truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(out), "--truth", str(truth)]) == 0
    said = capsys.readouterr().out
    found = td.evaluate(out, truth)
    for text in (
        "average precision",
        f"{found.pixel.precision:.3f}",
        "IoU 0.5, all",
        "inner step",
        "rotating parcel",
        "synthetic",
    ):
        assert text in said
    assert "…" not in said  # nothing is cut on 80 columns


def test_bounds_are_shown_as_bounds(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["evaluate", str(out), "--truth", str(written(tmp_path, good())), "--html", str(tmp_path / "page.html")]
    assert main(args) == 0
    said, page = capsys.readouterr().out, (tmp_path / "page.html").read_text()
    for text in (said, page):
        assert re.search(r"precision\D*≥ \d", text)
        assert re.search(r"false discovery rate\D*≤ \d", text)
        assert "asked for and found" not in text
        assert "lower bounds" in text
    assert main([*args, "--rest-is-stable"]) == 0
    assert "≥ " not in capsys.readouterr().out
    assert "asked for and found" in (tmp_path / "page.html").read_text()


def test_odd_names_do_not_break_the_output(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = good(changed=[1, 1, 0], landcover=["[red]<script>alert(1)</script>", "a\nb", "ü&"])
    args = ["evaluate", str(out), "--truth", str(written(tmp_path, frame)), "--html", str(tmp_path / "page.html")]
    assert main(args) == 0
    assert "[red]" in capsys.readouterr().out
    assert "<script" not in (tmp_path / "page.html").read_text()


class Tags(HTMLParser):
    """Every tag is closed, and every attribute is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [value or "" for _, value in attrs]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [value or "" for _, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_page_needs_nothing_else(out: Path, truth: Path, tmp_path: Path) -> None:
    found = td.evaluate(out, truth, html=tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert not re.search("https?:", text)
    assert "url(" not in text
    assert "@import" not in text
    assert all(not value.startswith("//") for value in tags.attributes)
    assert f"{found.pixel.average_precision:.3f}" in text
    assert text.count('<svg class="picture"') == len(found.mistakes) == 2
    images = re.findall(r'href="data:image/png;base64,([^"]+)"', text)
    assert len(images) == len(found.mistakes)
    with rasterio.MemoryFile(base64.b64decode(images[0])) as memory, memory.open() as picture:
        assert (picture.height, picture.width) == found.mistakes[0].window.shape
    assert text.count('<svg class="chart"') == 2


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_picture_is_its_pixels() -> None:
    index = np.random.default_rng(0).integers(0, 4, (7, 11)).astype(np.uint8)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 8, 7)]
    with rasterio.MemoryFile(indexed_png(index, colours)) as memory, memory.open() as picture:
        assert np.array_equal(picture.read(1), index)
        assert [picture.colormap(1)[code][:3] for code in range(4)] == colours


def test_the_door_works_whatever_was_imported_before(out: Path, truth: Path) -> None:
    import terradrift.evaluation.ranking  # noqa: F401

    assert td.evaluate(out, truth).run_id == "7" * 16
    with pytest.raises(AttributeError):
        td.evaluate(out, truth).run_id = "x"
