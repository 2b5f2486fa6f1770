"""A run of a mosaic in metres: its pixels and polygons lie where their projection puts them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import zarr
from driver import SMALL, Viewer, serving
from small_run import RECIPE, SCORE_ID, change_polygons, pixel_centre, rasters, write_run
from test_picture import assert_drawn

from terradrift.grid import Grid
from terradrift.serve.app import viewer_app
from terradrift.serve.site import find_site

UTM = Grid("EPSG:32633", (10.0, 0.0, 360_000.0, 0.0, -10.0, 5_830_000.0), 1024, 1024)
SHAPE = (301, 263)
"""With an overview that ends a little beyond it, and a last row and column of chunks that are not whole."""


@pytest.fixture(scope="module")
def run(browser: Any, built_page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Viewer]]:
    """The scores and the page of one run for all tests of this file."""
    out = write_run(tmp_path_factory.mktemp("metres") / "out", rasters(SHAPE), grid=UTM, input={"crs": UTM.crs, "mosaic": ""})
    context = browser.new_context(viewport=SMALL)
    with serving(viewer_app(find_site(out))) as url:
        viewer = Viewer(context.new_page(), url).open("outlines=off&zones=off")
        yield zarr.open_group(out / f"scores/{SCORE_ID}/scores.zarr", mode="r"), viewer
    context.close()


@pytest.mark.parametrize(("zoom", "level"), [(12.1, 1), (15.5, 0), (16.4, 0)])
def test_every_pixel_lies_where_its_projection_puts_it(run: tuple[Any, Viewer], zoom: float, level: int) -> None:
    scores, viewer = run
    lon, lat = pixel_centre(SHAPE[0] - 22, SHAPE[1] - 22, UTM)
    viewer.go(f"map={zoom}/{lat}/{lon}&layer=score&outlines=off&zones=off")
    assert_drawn(viewer, scores[f"{level}/change_score"][...], grid=UTM, factor=2**level)


def test_a_click_finds_the_pixel_and_the_change(run: tuple[Any, Viewer]) -> None:
    viewer, values = run[1], rasters(SHAPE)
    row, col = (int(n) for n in np.argwhere(values["changed"] == 1)[-1])
    lon, lat = pixel_centre(row, col, UTM)
    changes = change_polygons(values, UTM)
    (change,) = changes[changes.contains(shapely.Point(lon, lat))].itertuples()
    viewer.go(f"map=16/{lat}/{lon}&layer=score&zones=off")
    x, y = viewer.project([(lon, lat)])[0]
    viewer.page.mouse.click(x, y)
    viewer.until("document.querySelector('.details table') !== null")
    text = viewer.page.locator(".details").inner_text()
    assert f"Change {change.change_id}" in text
    assert f"{values['change_score'][row, col]:.3g}" in text
    assert "Mapped as change\nyes" in text
    series = viewer.evaluate("() => [...document.querySelectorAll('.details tbody td')].map((cell) => Number(cell.textContent))")
    expected = values["scores"][:, :, row, col].ravel()
    assert len(series) == len(expected) == len(RECIPE.bands) * len(values["scores"])
    assert np.allclose(series, expected, atol=6e-4, equal_nan=True)
