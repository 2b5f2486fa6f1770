"""What the canvas shows is what the stores hold: every pixel in the colour its legend says, every outline in its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from driver import SMALL, Viewer, serving
from small_run import GRID, KINDS, SCORE_ID, SHAPE, YEARS, change_polygons, pixel_centre, rasters, write_run

from terradrift.grid import Grid
from terradrift.serve.app import viewer_app
from terradrift.serve.site import find_site

PAPER = (0xDF, 0xE4, 0xE8)
MIDDLE = pixel_centre(SHAPE[0] // 2, SHAPE[1] // 2)
ODD = (602, 522)
"""Rows and columns of a run that two halvings do not divide."""

LEGEND = """() => ({
  colours: [...document.querySelectorAll('.legend .ramp rect')].map((rect) => rect.getAttribute('fill')),
  limits: [...document.querySelectorAll('.legend .limit')].map((input) => Number(input.value)),
  categories: Object.fromEntries([...document.querySelectorAll('.legend .categories li')].map((item) =>
    [item.querySelector('.category').textContent, item.querySelector('.swatch rect').getAttribute('fill')])),
})"""


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def view(zoom: float, lon: float = MIDDLE[0], lat: float = MIDDLE[1]) -> str:
    return f"map={zoom}/{lat}/{lon}"


def seen_pixels(
    viewer: Viewer, shape: tuple[int, int] = SHAPE, grid: Grid = GRID, factor: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of the pixels, `factor` across, whose centres are in view, and their colours on the canvas."""
    picture = viewer.picture()
    rows, cols = (part.ravel() for part in np.indices(shape))
    centres = pixel_centre((rows + 0.5) * factor - 0.5, (cols + 0.5) * factor - 0.5, grid)
    at = np.floor(viewer.project(np.transpose(centres))).astype(int)
    inside = ((at >= 0) & (at < (picture.shape[1], picture.shape[0]))).all(axis=1)
    x, y = at[inside].T
    return rows[inside], cols[inside], picture[y, x, :3]


def expected_colours(values: np.ndarray, legend: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Colours (n, 3) that the legend gives to values, and whether a value is too near the border of two colours to tell."""
    low, high = legend["limits"]
    table = np.array([rgb(colour) for colour in legend["colours"]])
    at = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * (len(table) - 1)
    border = np.abs(at - np.floor(at) - 0.5) < 2e-3
    colours = table[np.floor(np.nan_to_num(at) + 0.5).astype(int)]
    return np.where(np.isnan(values)[:, None], PAPER, colours), border


@pytest.fixture(scope="module")
def viewer(browser: Any, address: str) -> Any:
    """One page for all tests of this file; they go from view to view."""
    context = browser.new_context(viewport=SMALL)
    yield Viewer(context.new_page(), address).open()
    context.close()


@pytest.mark.parametrize(
    ("layer", "zoom"), [("score", 14), ("score", 15.3), ("score", 17), ("effect", 14), ("annual-0", 15.3), ("annual-1", 14)]
)
def test_every_pixel_has_the_colour_of_its_value(viewer: Viewer, layer: str, zoom: float) -> None:
    year = YEARS[3]
    viewer.go(f"{view(zoom)}&layer={layer}&year={year}&outlines=off&zones=off")
    values = rasters()
    shown = {"score": values["change_score"], "effect": values["change_effect"]}.get(layer)
    if shown is None:
        shown = values["scores"][YEARS.index(year), int(layer[-1])]
    assert_drawn(viewer, shown)


def assert_drawn(viewer: Viewer, values: np.ndarray, **grid: Any) -> None:
    """Every pixel in view has the colour of its value, no data that of the paper."""
    rows, cols, seen = seen_pixels(viewer, values.shape, **grid)
    expected, border = expected_colours(values[rows, cols], viewer.evaluate(LEGEND))
    assert len(rows) > 500
    assert 0 < np.isnan(values[rows, cols]).sum() < len(rows)
    wrong = (seen != expected).any(axis=1) & ~border
    assert not wrong.any(), f"{wrong.sum()} of {len(rows)}: {list(zip(rows[wrong], cols[wrong], strict=True))[:5]}"
    viewer.assert_no_problem()


@pytest.fixture(scope="module")
def odd_run(browser: Any, built_page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Viewer]]:
    """The scores and the page of a run with two overviews that end a little beyond it, as of every odd number of rows."""
    out = write_run(tmp_path_factory.mktemp("odd") / "out", rasters(ODD))
    context = browser.new_context(viewport=SMALL)
    with serving(viewer_app(find_site(out))) as url:
        yield zarr.open_group(out / f"scores/{SCORE_ID}/scores.zarr", mode="r"), Viewer(context.new_page(), url).open(view(11.5))
    context.close()


@pytest.mark.parametrize(("zoom", "level"), [(12.5, 1), (11.5, 2)])
def test_from_afar_every_pixel_of_the_overview_has_the_colour_of_its_value(
    odd_run: tuple[Any, Viewer], zoom: float, level: int
) -> None:
    scores, viewer = odd_run
    place = view(zoom, *pixel_centre(ODD[0] - 1, ODD[1] - 1))  # the far corner, where levels that are stretched are furthest off
    viewer.go(f"{place}&layer=score&outlines=off&zones=off")
    values = scores[f"{level}/change_score"][...]
    assert values.shape == tuple(-(-n // 2**level) for n in ODD)
    assert_drawn(viewer, values, factor=2**level)
    if level == 2:
        viewer.go(f"{place}&layer=annual-1&year={YEARS[2]}&outlines=off&zones=off")
        assert_drawn(viewer, scores["2/scores"][2, 1], factor=4)


@pytest.mark.parametrize(
    ("layer", "variable", "mapped"),
    [("year", "change_year", True), ("year", "change_year", False), ("kind", "change_kind", True)],
)
def test_categories_have_the_colours_of_the_legend(viewer: Viewer, layer: str, variable: str, mapped: bool) -> None:
    viewer.go(f"{view(14)}&layer={layer}&outlines=off&zones=off{'' if mapped else '&mapped=off'}")
    colours = {name: rgb(colour) for name, colour in viewer.evaluate(LEGEND)["categories"].items()}
    names = {code: str(code) for code in YEARS} if layer == "year" else dict(enumerate(KINDS))
    names = {code: name for code, name in names.items() if name != "none"}
    assert set(colours) == set(names.values())
    rows, cols, seen = seen_pixels(viewer)
    values = rasters()[variable][rows, cols].astype(int)
    if mapped:
        values[rasters()["changed"][rows, cols] != 1] = -1
    expected = np.array([colours.get(names.get(value, ""), PAPER) for value in values.tolist()])
    assert (values > 0).sum() > 300
    assert (seen == expected).all()
    assert ("where a change was mapped" in viewer.page.locator("section").first.inner_text()) == mapped


def test_limits_change_the_colours_of_every_pixel(viewer: Viewer) -> None:
    viewer.go(f"{view(14)}&layer=score&outlines=off&zones=off&limits=5~20")
    rows, cols, seen = seen_pixels(viewer)
    legend = viewer.evaluate(LEGEND)
    assert legend["limits"] == [5, 20]
    expected, border = expected_colours(rasters()["change_score"][rows, cols], legend)
    assert ((seen == expected).all(axis=1) | border).all()


def test_opacity_mixes_with_the_paper(viewer: Viewer) -> None:
    viewer.go(f"{view(14)}&layer=score&outlines=off&zones=off&opacity=0.5")
    rows, cols, seen = seen_pixels(viewer)
    expected, border = expected_colours(rasters()["change_score"][rows, cols], viewer.evaluate(LEGEND))
    mixed = (expected + PAPER) / 2
    assert (np.abs(seen - mixed).max(axis=1)[~border] <= 1.5).all()


@pytest.mark.parametrize("zoom", [13, 15, 16.4])
def test_outlines_lie_where_the_polygons_are(viewer: Viewer, zoom: float) -> None:
    changes = change_polygons(rasters())
    largest = changes.loc[changes.area_m2.idxmax()]
    centre = largest.geometry.centroid
    viewer.go(f"{view(zoom, centre.x, centre.y)}&zones=off")
    asked = (
        "(at) => window.terradrift.map.queryRenderedFeatures(at, {layers: ['change-area']}).map((f) => f.properties.change_id)"
    )
    width, height = 540, 560
    for row in changes.itertuples():
        inside = row.geometry.representative_point()
        (x, y) = viewer.project([(inside.x, inside.y)])[0]
        if 20 < x < width and 20 < y < height:
            assert viewer.evaluate(asked, [x, y]) == [row.change_id]
    picture = viewer.picture().astype(int)
    shape = largest.geometry.simplify(1e-9).exterior
    ends = np.array(shape.coords)
    middles = viewer.project((ends[:-1] + ends[1:]) / 2)
    lengths = np.linalg.norm(np.diff(viewer.project(ends), axis=0), axis=1)
    line = np.array(rgb({"step": "#d55e00", "ramp": "#0072b2", "unconfirmed": "#7b3294"}[largest.kind]))
    checked = 0
    for (x, y), length in zip(middles, lengths, strict=True):
        if length < 12 or not (2 < x < width and 2 < y < height):
            continue
        near = picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2, :3]
        assert np.abs(near - line).max(axis=2).min() < 70
        checked += 1
    assert checked >= 2
    viewer.assert_no_problem()
