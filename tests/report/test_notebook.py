"""The map of a run in a notebook: one frame that holds all it shows and may run nothing but its own script."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path

import pytest

import terradrift as td
from terradrift.report.notebook import RunMap


@pytest.fixture(scope="module")
def shown(finished_run: Path) -> RunMap:
    return td.open_run(finished_run / "out").map()


def test_the_frame_holds_the_page(shown: RunMap) -> None:
    frame = shown._repr_html_()
    match = re.fullmatch(r'<iframe srcdoc="([^"]+)" sandbox="allow-scripts" [^<>]+></iframe>', frame)
    assert match is not None
    assert html.unescape(match[1]) == shown.page


def test_only_its_own_script_may_run(shown: RunMap) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", shown.page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', shown.page)
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    assert not re.search(r"https?:|//\w+\.|url\(|fetch\(|import", shown.page.replace("image/png", ""))


def test_every_polygon_has_its_outline_and_its_year(shown: RunMap) -> None:
    polygons = shown.run.polygons
    drawn = re.findall(r'<path class="change y(\d+)" d="M[^"]+Z"><title>(\w+) (\d+): [^<]*change_id (\d+)</title>', shown.page)
    assert {int(change_id): (int(css), kind, int(year)) for css, kind, year, change_id in drawn} == {
        row.change_id: (row.year_mode, row.kind, row.year_mode) for row in polygons.itertuples()
    }
    slider = re.search(r'<input type="range" min="(\d+)" max="(\d+)" value="\1" aria-label="Year">', shown.page)
    assert slider is not None
    years = shown.run.manifest["years"]
    assert (int(slider[1]), int(slider[2])) == (years[0], years[-1])


def test_it_can_be_kept_as_a_file(shown: RunMap, tmp_path: Path) -> None:
    shown.save(tmp_path / "map.html")
    assert (tmp_path / "map.html").read_text("utf-8") == shown.page
