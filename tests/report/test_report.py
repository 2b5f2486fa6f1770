"""The report of a finished run: its figures are the tables' own, its page needs nothing else and lets nothing in."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

import servers
import terradrift as td
from terradrift.cli import main
from terradrift.errors import StoreError
from terradrift.params import params_from
from terradrift.report import write_report
from terradrift.report.making import run_file
from terradrift.report.page import page
from terradrift.report.read import Report, read_report
from terradrift.report.tables import largest_changes
from terradrift.sealed import seal
from terradrift.store import open_store

HOSTILE = (
    "<script>alert(1)</script>", "</title><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)",
    "</style><style>*{display:none}", "</svg><svg onload=alert(1)>", "<!--", "--><script>", "]]><script>", "&lt;script&gt;",
    "javascript:alert(1)", "<iframe src=//example.org>", "<base href=//example.org>", "<meta http-equiv=refresh content=0>",
    "\u202etxt.exe", "a\x00b\x07c", "{{7*7}}${7*7}", "x" * 5000, "<a href='data:text/html,x'>y</a>", "[bold]markup[/bold]\n\r\n",
)  # fmt: skip
ELEMENTS_THAT_ACT = {"script", "iframe", "object", "embed", "base", "form", "input", "link", "foreignobject"}


class Structure(HTMLParser):
    """Elements and the names of their attributes, in order; the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "action")]
        if tag not in ("meta", "path", "rect", "image", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "path", "rect", "image", "circle"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("meta", "path", "rect", "image", "circle"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def report(finished_run: Path) -> Report:
    return read_report(td.open_run(finished_run / "out"))


@pytest.fixture
def copied(finished_run: Path, tmp_path: Path) -> Path:
    """Results that a test may change; their mosaic is where it was."""
    shutil.copytree(finished_run / "out", tmp_path / "out")
    return tmp_path / "out"


def test_the_page_needs_nothing_else_and_allows_no_script(report: Report) -> None:
    text = page(report)
    found = Structure(text)
    assert not {tag for tag, _ in found.elements} & ELEMENTS_THAT_ACT
    assert not any(name.startswith("on") or name == "style" for _, names in found.elements for name in names)
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in found.links)
    assert not re.search(r"https?:|url\(|@import", text)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    targets = {link[1:] for link in found.links if link.startswith("#")}
    assert targets <= set(re.findall(r' id="([^"]+)"', text))


def test_the_figures_are_the_tables(report: Report) -> None:
    run = report.run
    polygons = run.polygons
    assert report.areas.polygons == len(polygons) > 5
    assert report.areas.hectares == pytest.approx(polygons.area_m2.sum() / 1e4)
    for name, sums in (("kind", report.areas.by_kind), ("zone", report.areas.by_zone)):
        expected = (polygons.groupby([name, "year_mode"]).area_m2.sum() / 1e4).to_dict()
        assert {(key, year): value for key, years in sums.items() for year, value in years.items()} == pytest.approx(expected)
    assert report.tiles.n_valid == run.manifest["counts"]["pixels_scored"]
    assert sum(report.tiles.states.values()) == len(run.tiles)
    order = polygons.sort_values(["area_m2", "change_id"], ascending=[False, True])
    assert [row["change_id"] for row in report.facts] == order.change_id.head(12).tolist()
    rate = run.thresholds.expected_false_area_m2.sum() / run.thresholds.mapped_area_m2.sum()
    assert report.false_rate == pytest.approx(rate)
    assert 0 < rate <= 0.1
    geodesic = run.zones.to_crs("EPSG:6933").union_all().area / 1e4  # an equal-area CRS
    assert report.hectares == pytest.approx(geodesic, rel=1e-3)


def test_the_page_says_them(report: Report) -> None:
    text = " ".join(Structure(page(report)).words)
    for year, hectares in (report.run.polygons.groupby("year_mode").area_m2.sum() / 1e4).items():
        assert f"{year}: {hectares:,.4g} ha" in text
    for expected in (
        report.run.folder.run_id,
        report.run.manifest["input"]["metadata_sha256"],
        "west, with a hole",
        "r000000_c000000",
    ):
        assert expected in text, expected
    assert all(str(row["change_id"]) in text for row in report.facts)


def test_what_was_not_scored_stands_before_the_maps(report: Report) -> None:
    text = page(report)
    (count, hectares) = report.gaps.by_reason["outside the mosaic"]
    gaps = report.run.gaps.to_crs("EPSG:6933")
    assert (count, hectares) == (len(gaps), pytest.approx(gaps.area.sum() / 1e4, rel=1e-3))
    assert text.index("outside the mosaic: 1 part") < text.index('<h2 id="maps">')
    whole = dataclasses.replace(report, gaps=type(report.gaps)({}, ()))
    assert "Parts of the area were not scored" not in page(whole)


def test_pictures_show_the_pixels_where_they_are(report: Report) -> None:
    """At this size a picture's pixel is the mosaic's: the map of years is the polygons, the score is the raster."""
    maps, run = report.maps, report.run
    assert maps.canvas.factor == 1
    at = maps.canvas.window.slices(run.window)
    assert np.array_equal(maps.score, run.scores.change_score.values[at], equal_nan=True)
    mapped = maps.years >= 2
    assert mapped.sum() == run.polygons.n_pixels.sum()
    assert (run.changed.values[at][mapped] == 1).all()
    for change in report.largest:
        part = change.window.slices(run.window)
        assert np.array_equal(change.score, run.scores.change_score.values[part], equal_nan=True)
        (before, after), (first, last) = change.colours or ((None, None), (0, 0)), change.years
        assert before is not None
        assert before.shape == (*change.window.shape, 3)
        assert first < change.facts["year_mode"] <= last or change.facts["kind"] == "ramp"
        inside = run.changed.values[part] == 1
        assert np.abs(before.astype(int) - after)[inside].mean() > np.abs(before.astype(int) - after)[~inside].mean()


def test_a_change_in_pieces_is_one(copied: Path) -> None:
    """The two smallest rows become pieces of one change that is larger than all others."""
    run = td.open_run(copied)
    frame = run.polygons.sort_values("area_m2", ignore_index=True)
    frame["whole_id"] = np.where(frame.index < 2, frame.change_id[0], frame.change_id)
    frame.loc[:1, "area_m2"] = frame.area_m2.max() * np.array([0.4, 0.7])
    folder = run.folder.tables / "change_polygons"
    shutil.rmtree(folder)
    folder.mkdir()
    frame.to_parquet(folder / "part-00000.parquet")
    with pytest.raises(StoreError, match="part-00000"):  # not what was published
        largest_changes(td.open_run(copied))
    shutil.rmtree(run.folder.path / "_records")
    first = largest_changes(td.open_run(copied))[0]
    assert first["change_id"] == frame.change_id[0]
    assert first["area_m2"] == pytest.approx(frame.area_m2[:2].sum())
    assert first["n_pixels"] == frame.n_pixels[:2].sum()


def put_everywhere(out: Path, text: str) -> None:
    """A text in every place of a run that comes from elsewhere."""
    run = td.open_run(out)
    zones, gaps = run.zones, run.gaps
    zones["name"] = text
    zones.to_parquet(next((run.folder.tables / "zones").glob("*.parquet")))
    gaps["reason"] = gaps["detail"] = gaps["tile_id"] = pd.array([text] * len(gaps), dtype="string")
    gaps.to_parquet(next((run.folder.tables / "gaps").glob("*.parquet")))
    path = run.folder.path / "run.json"
    manifest = json.loads(path.read_text())
    manifest |= {"attribution": text, "warnings": [text]}
    manifest["input"] |= {"mosaic": text, "crs": manifest["input"]["crs"]}
    manifest["parameters"] |= {"aoi": text, "mosaic": text}
    manifest["versions"]["numpy"] = text
    manifest["files"] = {f"maps/{text}": text}
    path.write_bytes(seal(manifest))
    tiles = next(path for path in (run.folder.scores / "tiles").glob("*.parquet"))
    table = pq.read_table(tiles).to_pandas()
    table["tile_id"], table["state"], table["error"] = text, "failed", text
    table.to_parquet(tiles)
    for records in (run.folder.path / "_records", run.folder.scores / "_records"):
        shutil.rmtree(records, ignore_errors=True)  # whoever writes tables writes what is said of them


def test_no_text_from_elsewhere_becomes_markup(copied: Path) -> None:
    put_everywhere(copied, "harmless")
    plain = Structure(write_report(copied).read_text())
    for text in HOSTILE:
        put_everywhere(copied, text)
        found = Structure(write_report(copied).read_text())
        assert found.elements == plain.elements, text
        assert found.links == plain.links, text
        words = "".join(found.words)
        assert all(character.isprintable() or character in "\n" for character in words), text


def test_the_run_file_gives_the_same_run(report: Report) -> None:
    parameters = report.run.manifest["parameters"]
    again = params_from(yaml.safe_load(run_file(parameters)))
    assert again.model_dump(mode="json") == parameters


@pytest.mark.parametrize("why", ["gone", "changed"])
def test_without_the_mosaic_there_is_no_before_and_after(copied: Path, tmp_path: Path, why: str) -> None:
    run = td.open_run(copied)
    path = run.folder.path / "run.json"
    manifest = json.loads(path.read_text())
    if why == "gone":
        manifest["parameters"]["mosaic"] = str(tmp_path / "nowhere.zarr")
    else:
        manifest["input"]["metadata_sha256"] = "0" * 64
    path.write_bytes(seal(manifest))
    text = write_report(copied, tmp_path / "page.html").read_text()
    assert "embeddings before and after are not shown" in text
    assert ("nowhere.zarr" if why == "gone" else "metadata have changed") in text


def test_a_run_that_mapped_nothing_says_so(copied: Path) -> None:
    folder, tables = td.open_run(copied).folder.path, td.open_run(copied).folder.tables
    shutil.rmtree(folder / "_records")
    for name in ("change_polygons", "raw_polygons"):
        for path in (tables / name).glob("*.parquet"):
            pq.write_table(pq.read_table(path)[:0], path)
    text = write_report(copied).read_text()
    assert text.count("No change was mapped.") == 2
    Structure(text)


def test_detectors_that_are_not_calibrated_promise_nothing(report: Report) -> None:
    rows = [report.thresholds[0] | {"detector": "bitemporal", "rule": "score", "value": 0.2, "threshold": 0.2,
                                    "expected_false_rate": None}]  # fmt: skip
    text = page(dataclasses.replace(report, thresholds=rows))
    assert "is not calibrated: how much of the map is false is not known" in text
    assert "expected to be false" not in text


def test_the_command_writes_it(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(finished_run / "out"), "--html", str(tmp_path / "page.html")]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == (f"report: {tmp_path / 'page.html'}\n", "")
    assert (tmp_path / "page.html").read_bytes() == write_report(finished_run / "out", tmp_path / "other.html").read_bytes()


@pytest.mark.parametrize(
    ("out", "html", "expected"),
    [
        ("nothing", None, "found no finished run"),
        (None, "no/such/page.html", "found no directory"),
        (None, ".", "found a directory"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str | None, html: str | None, expected: str
) -> None:
    target = [] if html is None else ["--html", str(tmp_path / html)]
    assert main(["report", str(tmp_path / out if out else finished_run / "out"), *target]) == 2
    found: Any = capsys.readouterr()
    assert (found.out, found.err.count("\n")) == ("", 1)
    assert expected in found.err
    assert not list(tmp_path.iterdir())


def test_the_default_is_beside_the_runs(copied: Path) -> None:
    assert write_report(copied) == copied / "report.html"
    assert gpd.read_parquet(td.open_run(copied).folder.tables / "zones").shape[0] == 2


def test_an_output_on_s3_gives_the_same_page(
    finished_run: Path, report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with servers.moto() as url:
        servers.sign_in(monkeypatch, url)
        open_store.cache_clear()
        servers.upload(url, finished_run / "out", "results")
        assert main(["report", "s3://results"]) == 0
        assert capsys.readouterr().out == "report: s3://results/report.html\n"
        written = open_store("s3://results").get("report.html")
        drawn = td.open_run("s3://results").map().page
    open_store.cache_clear()
    assert written is not None
    assert written.decode() == page(report)
    assert drawn == report.run.map().page
