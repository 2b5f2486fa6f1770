"""The embeddings in false colour: every pixel as its three codes say, one year or two side by side, or words why not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver import SMALL, Viewer, serving
from PIL import Image
from small_run import GRID, ORIGIN, SHAPE, TILE, YEARS, pixel_centre, write_run
from test_picture import PAPER, seen_pixels

from mosaics import write_mosaic
from terradrift.grid import Grid
from terradrift.serve.app import viewer_app
from terradrift.serve.site import find_site

MIDDLE = pixel_centre(SHAPE[0] // 2, SHAPE[1] // 2)
HOME = f"map=14/{MIDDLE[1]}/{MIDDLE[0]}&layer=embeddings&outlines=off&zones=off"
BANDS = (1, 16, 9)
BOTTOM, RIGHT = ORIGIN[0] + SHAPE[0], ORIGIN[1] + SHAPE[1]
MOSAIC = Grid(GRID.crs, GRID.transform, BOTTOM, RIGHT)


def codes() -> np.ndarray:
    """Codes (time, band, y, x) of the mosaic, some pixels and a whole chunk without data."""
    rng = np.random.default_rng(5)
    found = rng.integers(-127, 128, (len(YEARS), 20, BOTTOM, RIGHT)).astype(np.int8)
    missing = rng.random((len(YEARS), 1, BOTTOM, RIGHT)) < 0.05
    missing[:, :, ORIGIN[0] : ORIGIN[0] + TILE, ORIGIN[1] : ORIGIN[1] + TILE] = True
    return np.where(missing, np.int8(-128), found)


def colours(embeddings: np.ndarray, year: int) -> np.ndarray:
    """Colours (y, x, 3) of the run's pixels: three bands, decoded, -0.3 to 0.3; paper where no data."""
    code = np.moveaxis(embeddings[YEARS.index(year), BANDS, ORIGIN[0] :, ORIGIN[1] :], 0, -1).astype(float)
    value = np.sign(code) * (code / 127.5) ** 2
    return np.where(code == -128, PAPER, np.round(np.clip((value + 0.3) / 0.6, 0, 1) * 255))


@pytest.fixture(scope="module")
def embeddings() -> np.ndarray:
    return codes()


@pytest.fixture(scope="module")
def viewer(browser: Any, built_page: Path, embeddings: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    """One page for all tests of this file, on a run whose mosaic lies beside it."""
    folder = tmp_path_factory.mktemp("embeddings")
    mosaic = write_mosaic(folder / "mosaic.zarr", embeddings, chunk=TILE, shard=TILE, years=YEARS, transform=GRID.transform)
    out = write_run(folder / "out", grid=MOSAIC, input={"crs": GRID.crs, "mosaic": str(mosaic)})
    context = browser.new_context(viewport=SMALL)
    with serving(viewer_app(find_site(out))) as url:
        yield Viewer(context.new_page(), url).open(HOME)
    context.close()


def test_every_pixel_has_the_colour_of_its_three_codes(viewer: Viewer, embeddings: np.ndarray) -> None:
    viewer.go(f"{HOME}&year={YEARS[4]}")
    rows, cols, seen = seen_pixels(viewer)
    expected = colours(embeddings, YEARS[4])[rows, cols]
    assert len(rows) > 500
    assert (np.abs(seen - expected) <= 1).all()
    assert viewer.page.locator("#year-note").inner_text() == f"Embeddings in false colour, {YEARS[4]}."
    viewer.assert_no_problem()


def test_before_and_after_lie_side_by_side(viewer: Viewer, embeddings: np.ndarray) -> None:
    before, after = YEARS[0], YEARS[5]
    viewer.go(f"{HOME}&year={after}&compare={before}")
    divider = viewer.page.get_by_role("slider", name="Divider between the two years")
    rows, cols, _ = seen_pixels(viewer)
    at = viewer.project(np.transpose(pixel_centre(rows, cols)))
    for share in (50, 25):
        divider.fill(str(share))
        height, width = viewer.picture().shape[:2]
        shot = Image.open(io.BytesIO(viewer.page.screenshot())).convert("RGB")
        picture = np.asarray(shot)[:height, :width].astype(int)
        edge = picture.shape[1] * share / 100
        free = (at[:, 1] > 120) & (at[:, 1] < picture.shape[0] - 80) & (np.abs(at[:, 0] - edge) > 3)  # of controls
        for year, side in ((before, at[:, 0] < edge), (after, at[:, 0] > edge)):
            x, y = np.floor(at[free & side]).astype(int).T
            expected = colours(embeddings, year)[rows[free & side], cols[free & side]]
            assert len(x) > 500
            wrong = (np.abs(picture[y, x] - expected) > 1).any(axis=1)
            assert not wrong.any(), (
                f"{year}, {share} %: {wrong.sum()} of {len(x)}: {list(zip(x[wrong], y[wrong], strict=True))[:5]}"
            )
    viewer.assert_no_problem()


def test_embeddings_that_cannot_be_decoded_are_said(open_page: Any, embeddings: np.ndarray, tmp_path: Path) -> None:
    from zarr.codecs import BloscCodec

    mosaic = write_mosaic(
        tmp_path / "mosaic.zarr", embeddings[:, :, :TILE, :TILE], chunk=TILE, shard=None, years=YEARS, transform=GRID.transform,
        compressors=BloscCodec(cname="zstd"),
    )  # fmt: skip
    out = write_run(tmp_path / "out", grid=MOSAIC, input={"crs": GRID.crs, "mosaic": str(mosaic)})
    with serving(viewer_app(find_site(out))) as url:
        shown = open_page(HOME, SMALL, url)
        assert "The embeddings are not shown: they are compressed with blosc" in shown.page.locator(".panels").inner_text()
        assert shown.page.get_by_label("Layer", exact=True).input_value() == "score"
        shown.assert_no_problem()
