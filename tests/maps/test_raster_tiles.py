"""Picture tiles of rasters: each pixel by the definition, PNG as other programs read it, the same for any cut of the work."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pyproj
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from small_rasters import SCORE, UTM, WGS84, WINDOW, YEAR, store
from terradrift.grid import Grid
from terradrift.maps.pmtiles import tile_xyz
from terradrift.maps.png import Colour, palette_png
from terradrift.maps.raster_tiles import (
    TILE,
    Legend,
    block_tiles,
    blocks,
    largest_zoom,
    level_of,
    mercator_bounds,
    score_legend,
    year_legend,
)
from terradrift.score_store import RasterStore, raster_store


def pictures(raster: RasterStore, legend: Legend, zoom: int) -> dict[tuple[int, int], np.ndarray]:
    """RGBA of every tile of a zoom, as Pillow reads it."""
    found = {}
    for x, y in blocks(mercator_bounds(raster.grid, WINDOW), zoom):
        for tile in block_tiles(raster, legend, zoom, x, y):
            tile_x, tile_y, tile_zoom = (int(a[0]) for a in tile_xyz(np.array([tile.tile_id])))
            assert tile_zoom == zoom
            found[tile_x, tile_y] = np.array(PIL.Image.open(io.BytesIO(tile.data)).convert("RGBA"))
    return found


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.sampled_from([2, 3, 15, 16, 17, 33, 256]))
def test_png_is_what_pillow_and_gdal_read(seed: int, height: int, width: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    colours: list[Colour] = [tuple(rng.integers(0, 256, 4).tolist()) for _ in range(count)]
    classes = rng.integers(0, count, (height, width)).astype(np.uint8)
    data = palette_png(classes, colours)
    expected = np.array(colours, np.uint8)[classes]
    np.testing.assert_array_equal(np.array(PIL.Image.open(io.BytesIO(data)).convert("RGBA")), expected)
    with warnings.catch_warnings(), rasterio.MemoryFile(data) as memory:
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        file = memory.open()
        np.testing.assert_array_equal(file.read(1), classes)
        assert [file.colormap(1)[k][:3] for k in range(count)] == [colour[:3] for colour in colours]


@pytest.mark.parametrize("grid", [WGS84, UTM], ids=["degrees", "metres"])
def test_every_pixel_is_the_one_below_it(grid: Grid, tmp_path: Path) -> None:
    """At the largest zoom: by pyproj and the transform, pixel by pixel, in both colours' tiles and where there is none."""
    raster, score, year = store(tmp_path, grid)
    zoom = largest_zoom(grid)
    assert zoom == 13
    to_grid = pyproj.Transformer.from_crs(3857, grid.pyproj_crs, always_xy=True)
    half = math.pi * 6378137
    rng = np.random.default_rng(1)
    for legend, values in ((score_legend(raster), score), (year_legend((2018, 2019, 2021)), year)):
        tiles = pictures(raster, legend, zoom)
        assert len(tiles) >= 4
        shown = 0
        for (x, y), picture in tiles.items():
            for row, col in rng.integers(0, TILE, (150, 2)).tolist():
                east = ((x + (col + 0.5) / TILE) / 2**zoom - 0.5) * 2 * half
                north = (0.5 - (y + (row + 0.5) / TILE) / 2**zoom) * 2 * half
                at = to_grid.transform(east, north)
                i = math.floor(grid.row(at[1])) - WINDOW.y0
                j = math.floor(grid.col(at[0])) - WINDOW.x0
                value = values[i, j] if 0 <= i < WINDOW.height and 0 <= j < WINDOW.width else np.nan
                expected = (0, 0, 0, 0)
                if legend.array == "change_year" and value > 0:
                    expected = legend.colours[1 + (2018, 2019, 2021).index(int(value))]
                elif legend.array == "change_score" and value == value:
                    expected = legend.colours[1 + max(0, sum(edge <= value for edge in legend.edges) - 1)]
                assert tuple(picture[row, col].tolist()) == expected
                shown += expected[3] > 0
        assert shown > 50


def test_low_zooms_show_overviews_and_clear_tiles_are_left_out(tmp_path: Path) -> None:
    raster, score, _ = store(tmp_path, WGS84)
    legend = score_legend(raster)
    zoom = largest_zoom(WGS84)
    assert [level_of(raster, z).number for z in (zoom + 1, zoom, zoom - 1, 2)] == [0, 0, 1, len(raster.levels) - 1]
    whole = np.nanmean(score[100:].reshape(206, 2, 350, 2), axis=(1, 3))  # level 1, by definition of a mean
    seen = {
        tuple(colour) for picture in pictures(raster, legend, zoom - 1).values() for colour in picture.reshape(-1, 4).tolist()
    }
    classes = legend.classes(whole.astype(np.float32))
    assert seen == {legend.colours[0], *(legend.colours[k] for k in np.unique(classes))}
    nothing = Legend("change_score", (100.0,), ((0, 0, 0, 0), (1, 2, 3, 255)), False)
    assert pictures(raster, nothing, zoom) == {}
    for low in (5, 6, 7):
        assert len(pictures(raster, legend, low)) == 1


def test_a_score_without_data_has_a_legend(tmp_path: Path) -> None:
    raster = raster_store(str(tmp_path / "scores.zarr"), WGS84, WINDOW, 256)
    raster.create((SCORE, YEAR))
    legend = score_legend(raster)
    assert len(legend.edges) + 1 == len(legend.colours)
    assert pictures(raster, legend, 12) == {}
