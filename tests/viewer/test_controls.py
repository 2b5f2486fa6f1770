"""What a person does with the page, and that it says and shows what the run holds."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from driver import PHONE, SMALL, Viewer
from small_run import RECIPE, SHAPE, YEARS, change_polygons, pixel_centre, rasters

MIDDLE = pixel_centre(SHAPE[0] // 2, SHAPE[1] // 2)
HOME = f"map=14/{MIDDLE[1]}/{MIDDLE[0]}"
DRAWN = """() => [...new Set(window.terradrift.map.queryRenderedFeatures({layers: ['change-line']})
  .map((feature) => feature.properties.change_id))].sort((a, b) => a - b)"""


@pytest.fixture(scope="module")
def viewer(browser: Any, address: str) -> Any:
    """One page for all tests of this file; each begins by going to a view."""
    context = browser.new_context(viewport=SMALL, accept_downloads=True)
    yield Viewer(context.new_page(), address).open(HOME)
    context.close()


def said(viewer: Viewer, name: str) -> str | None:
    """A value of the address."""
    return viewer.evaluate("(name) => new URLSearchParams(location.hash.slice(1)).get(name)", name)


def click_pixel(viewer: Viewer, row: int, col: int) -> None:
    x, y = viewer.project([pixel_centre(row, col)])[0]
    left, top = viewer.evaluate(
        "() => { const { x, y } = window.terradrift.map.getCanvas().getBoundingClientRect(); return [x, y] }"
    )
    viewer.page.mouse.click(left + x, top + y)
    viewer.until(
        "document.querySelector('.details table') !== null || !/Reading/.test(document.querySelector('.details').innerText)"
    )


def test_the_year_is_a_slider_that_shows_the_annual_scores(viewer: Viewer) -> None:
    viewer.go(f"{HOME}&layer=score")
    slider = viewer.page.get_by_role("slider", name="Year", exact=True)
    assert slider.get_attribute("type") == "range"
    assert slider.get_attribute("aria-valuetext") == viewer.page.locator(".year-now").inner_text() == "all years"
    note = viewer.page.locator(f"#{slider.get_attribute('aria-describedby')}")
    assert note.inner_text() == "One picture of all years. Another year shows: Difference to the year before."
    slider.fill(str(YEARS[2]))
    viewer.wait()
    assert note.inner_text() == f"Difference to the year before, {YEARS[2]}."
    assert (said(viewer, "layer"), said(viewer, "year")) == ("annual-0", str(YEARS[2]))
    first = viewer.picture()
    slider.focus()
    viewer.page.keyboard.press("ArrowRight")
    viewer.wait()
    assert said(viewer, "year") == str(YEARS[3])
    assert slider.get_attribute("aria-valuetext") == str(YEARS[3])
    assert (viewer.picture() != first).any()
    viewer.page.keyboard.press("End")
    viewer.page.keyboard.press("ArrowRight")
    viewer.wait()
    assert said(viewer, "year") == str(YEARS[-1])


def test_without_annual_scores_there_is_no_year_to_choose(browser: Any, address: str) -> None:
    context = browser.new_context(viewport=SMALL)
    page = context.new_page()
    page.route("**/run.json", lambda route: route.fulfill(json={**route.fetch().json(), "bands": []}))
    viewer = Viewer(page, address).open(HOME)
    for name in ("Year", "Play the years"):
        assert viewer.page.get_by_label(name, exact=True).is_disabled()
    assert "this run has no annual scores" in viewer.page.locator("#year-note").inner_text()
    context.close()


def test_layers_of_changes_show_mapped_pixels_or_all(viewer: Viewer) -> None:
    viewer.go(f"{HOME}&layer=year")
    only = viewer.page.get_by_role("checkbox", name="Mapped pixels only")
    panel = viewer.page.locator("section").first
    assert only.is_checked()
    assert "first year of the new state, where a change was mapped" in panel.inner_text()
    mapped = viewer.picture()
    only.focus()
    viewer.page.keyboard.press("Space")
    viewer.wait()
    assert said(viewer, "mapped") == "off"
    assert "first year of the new state, of every pixel, mapped or not" in panel.inner_text()
    assert (viewer.picture() != mapped).any(axis=2).mean() > 0.01
    viewer.page.get_by_label("Layer", exact=True).select_option("score")
    viewer.wait()
    assert only.is_hidden()


def test_play_goes_through_the_years(viewer: Viewer) -> None:
    viewer.go(f"{HOME}&layer=annual-1&year={YEARS[0]}")
    viewer.page.get_by_role("button", name="Play the years").click()
    viewer.until(f"location.hash.includes('year={YEARS[2]}')")
    viewer.page.get_by_role("button", name="Stop").click()
    viewer.wait()
    assert viewer.page.get_by_role("button", name="Play the years").is_visible()


def test_filters_leave_the_same_changes_on_the_map_and_in_the_list(viewer: Viewer) -> None:
    changes = change_polygons(rasters())
    viewer.go(HOME)
    assert viewer.evaluate(DRAWN) == sorted(changes.change_id)
    viewer.page.get_by_role("checkbox", name="ramp").uncheck()
    viewer.page.get_by_label("Years", exact=True).select_option(str(YEARS[2]))
    viewer.page.get_by_label("At least").fill("0.8")
    viewer.page.keyboard.press("Enter")
    viewer.wait()
    kept = changes[(changes["kind"] != "ramp") & (changes.year_first >= YEARS[2]) & (changes.area_m2 >= 8000)]
    assert 0 < len(kept) < len(changes)
    assert viewer.evaluate(DRAWN) == sorted(kept.change_id)
    assert viewer.page.locator(".changes li").count() == len(kept)
    viewer.page.get_by_label("Score from").fill("1000")
    viewer.page.keyboard.press("Enter")
    viewer.wait()
    assert viewer.evaluate(DRAWN) == []
    viewer.page.get_by_role("button", name="Clear filters").click()
    viewer.wait()
    assert viewer.evaluate(DRAWN) == sorted(changes.change_id)
    viewer.page.get_by_role("checkbox", name="Outlines").uncheck()
    viewer.wait()
    assert viewer.evaluate(DRAWN) == []


def test_a_click_tells_the_change_and_the_years_of_the_pixel(viewer: Viewer) -> None:
    values = rasters()
    change = change_polygons(values).sort_values("area_m2").iloc[-1]
    at = change.geometry.representative_point()
    row, col = _pixel(at.x, at.y)
    viewer.go(HOME)
    click_pixel(viewer, row, col)
    text = viewer.page.locator(".details").inner_text()
    assert f"Change {change.change_id}" in text
    for told in (change.kind, str(change.year_first), f"{change.area_m2 / 1e4:.2f} ha", f"{change.effect_mean:.3f}"):
        assert told in text
    table = viewer.evaluate("""() => [...document.querySelectorAll('.details tbody tr')]
      .map((row) => [...row.children].map((cell) => cell.textContent))""")
    assert [line[0] for line in table] == [str(year) for year in YEARS]
    expected = values["scores"][:, :, row, col]
    assert np.allclose(
        [[float(text.replace("none", "nan")) for text in line[1:]] for line in table], expected, atol=6e-4, equal_nan=True
    )
    assert viewer.page.locator(".details circle").count() == np.isfinite(expected).sum()
    assert len(RECIPE.bands) == viewer.page.locator(".details path.line").count()
    assert viewer.page.locator(".details .now").count() == 0  # the score is of all years
    viewer.page.get_by_label("Layer", exact=True).select_option("annual-1")
    viewer.wait()
    viewer.until("document.querySelector('.details .now') !== null")


def test_a_click_beside_every_change_tells_the_pixel_alone(viewer: Viewer) -> None:
    values = rasters()
    viewer.go(HOME)
    row, col = 75, 201
    assert values["change_kind"][row, col] == 0
    click_pixel(viewer, row, col)
    text = viewer.page.locator(".details").inner_text()
    assert "Pixel" in text.splitlines()[:3]
    assert f"{values['change_score'][row, col]:.3g}" in text
    click_pixel(viewer, 150, 220)
    assert "No data at this pixel." in viewer.page.locator(".details").inner_text()
    viewer.page.locator(".details").focus()
    viewer.page.keyboard.press("Escape")
    assert viewer.page.locator(".details").is_hidden()
    viewer.assert_no_problem()


def test_the_list_flies_to_a_change(viewer: Viewer) -> None:
    changes = change_polygons(rasters()).sort_values("area_m2", ascending=False)
    viewer.go(f"map=12/{MIDDLE[1]}/{MIDDLE[0]}")
    viewer.page.locator(".changes button").nth(1).click()
    viewer.until("!window.terradrift.map.isMoving() && window.terradrift.map.getZoom() > 14")
    viewer.wait()
    lon, lat = viewer.evaluate("() => window.terradrift.map.getCenter().toArray()")
    change = changes.iloc[1]
    assert change.geometry.buffer(1e-5).contains_properly(shapely.Point(lon, lat))
    assert said(viewer, "change") == str(change.change_id)
    assert f"Change {change.change_id}" in viewer.page.locator(".details").inner_text()


def test_the_address_holds_the_view(viewer: Viewer, open_page: Any) -> None:
    place = f"map=15.00/{MIDDLE[1]:.5f}/{MIDDLE[0]:.5f}"
    view = f"{place}&layer=annual-1&year={YEARS[4]}&opacity=0.6&limits=0~9&kinds=step~ramp&from={YEARS[1]}"
    other = open_page(view, SMALL)
    assert said(other, "limits") == "0~9"
    assert other.page.get_by_label("Opacity").input_value() == "0.6"
    assert other.page.get_by_label("Layer").input_value() == "annual-1"
    assert not other.page.get_by_role("checkbox", name="unconfirmed").is_checked()
    viewer.go(view)
    assert np.array_equal(viewer.picture(), other.picture())
    viewer.page.get_by_label("Layer").select_option("effect")
    viewer.wait()
    assert (said(viewer, "layer"), said(viewer, "opacity"), said(viewer, "from")) == ("effect", "0.6", str(YEARS[1]))
    other.assert_no_problem()


def test_two_years_side_by_side(viewer: Viewer) -> None:
    plain = {year: viewer.go(f"{HOME}&layer=annual-0&year={year}").picture() for year in (YEARS[1], YEARS[5])}
    viewer.page.get_by_label("Compare with").select_option(str(YEARS[1]))
    viewer.wait()
    assert said(viewer, "compare") == str(YEARS[1])
    shown = """() => {
      const canvas = document.querySelector('.map.other canvas')
      const copy = document.createElement('canvas')
      ;[copy.width, copy.height] = [canvas.width, canvas.height]
      const context = copy.getContext('2d')
      context.drawImage(canvas, 0, 0)
      return [...context.getImageData(0, 300, copy.width, 1).data]
    }"""
    assert np.array_equal(np.reshape(viewer.evaluate(shown), (-1, 4)), plain[YEARS[1]][300])
    assert np.array_equal(viewer.picture(), plain[YEARS[5]])
    divider = viewer.page.get_by_role("slider", name="Divider between the two years")
    divider.focus()
    viewer.page.keyboard.press("Home")
    assert viewer.evaluate("() => document.querySelector('.map.other').style.clipPath") == "inset(0px 100% 0px 0px)"
    viewer.page.get_by_label("Compare with").select_option("")
    viewer.wait()
    assert viewer.page.locator(".map.other").count() == 0


def test_the_picture_is_a_png_with_legend_and_attribution(viewer: Viewer) -> None:
    viewer.go(f"{HOME}&layer=score")
    canvas = viewer.picture()
    with viewer.page.expect_download() as download:
        viewer.page.get_by_role("button", name="Save picture").click()
    assert download.value.suggested_filename == "change-score-terradrift.png"
    with rasterio.open(io.BytesIO(download.value.path().read_bytes())) as file:
        picture = np.moveaxis(file.read([1, 2, 3]), 0, -1)
    height, width = canvas.shape[:2]
    assert picture.shape == (height + 64, width, 3)
    assert np.array_equal(picture[:height], canvas[..., :3])
    strip = picture[height:].reshape(-1, 3)
    assert len(np.unique(strip, axis=0)) > 200  # the ramp
    assert (picture[height + 36 :, : width // 2] < 128).any()  # the attribution


def test_everything_is_reached_by_keyboard_and_has_a_name(viewer: Viewer) -> None:
    viewer.go(HOME)
    unnamed = viewer.evaluate("""() => [...document.querySelectorAll('button, input, select, a[href], [role=img], section')]
      .filter((part) => !(part.ariaLabel || part.labels?.length || part.textContent.trim()))
      .map((part) => part.outerHTML.slice(0, 80))""")
    assert unnamed == []
    viewer.page.get_by_role("slider", name="Year", exact=True).focus()
    reached = set()
    for _ in range(40):
        viewer.page.keyboard.press("Tab")
        reached.add(viewer.evaluate("() => document.activeElement.id || document.activeElement.className"))
    assert {"layer", "opacity", "compare", "outlines", "kind-step", "from", "to", "min-area", "min-score", "change"} <= reached
    before = viewer.evaluate("() => window.terradrift.map.getZoom()")
    viewer.page.locator(".map:not(.other) canvas").focus()
    viewer.page.keyboard.press("+")
    viewer.until(f"window.terradrift.map.getZoom() > {before} && !window.terradrift.map.isMoving()")
    viewer.assert_no_problem()


def test_a_phone_shows_it_all(open_page: Any) -> None:
    viewer = open_page(HOME, PHONE, has_touch=True, is_mobile=True)
    wide = viewer.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    place = pixel_centre(150, 100)
    x, y = viewer.project([place])[0]
    viewer.page.touchscreen.tap(x, y)
    viewer.until("document.querySelector('.details table') !== null")
    box = viewer.page.locator(".details").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
    assert y > box["y"]
    viewer.until("!window.terradrift.map.isMoving()")
    assert 0 < viewer.project([place])[0][1] < box["y"]  # it is not under what is said of it
    viewer.assert_no_problem()


def _pixel(lon: float, lat: float) -> tuple[int, int]:
    west, north = pixel_centre(0, 0)
    step = pixel_centre(0, 1)[0] - west
    return round((north - lat) / step), round((lon - west) / step)
