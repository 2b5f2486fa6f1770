"""Rasters and polygons at the size of a picture: every factor shows the same ground, nothing small is lost, memory is bounded."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import shapely
import zarr
from hypothesis import given
from hypothesis import strategies as st

from terradrift.grid import Window
from terradrift.report.reduced import MAX_SIDE, Canvas, canvas_of, draw_polygons, read_reduced

RASTER = Window(64, 128, 192, 320)


def write_pyramid(path: Path, values: np.ndarray, levels: int) -> str:
    """Levels of a raster: each the north-western of four pixels of the finer one, its number of the level added in thousands."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    layout = []
    for level in range(levels):
        array = group.create_group(str(level)).create_array(
            "score", shape=values.shape, chunks=(64, 64), dtype="float32", fill_value=np.nan
        )
        array[...] = values + 1000 * level
        layout.append({"asset": str(level), "spatial:transform": [0.5 * 2**level, 0, 10, 0, -0.5 * 2**level, 50]})
        values = values[::2, ::2]
    group.attrs["multiscales"] = {"layout": layout}
    return str(path)


@given(
    y0=st.integers(RASTER.y0, RASTER.y1 - 1),
    x0=st.integers(RASTER.x0, RASTER.x1 - 1),
    height=st.integers(1, 10_000),
    width=st.integers(1, 10_000),
)
def test_a_canvas_covers_its_crop_in_whole_pixels(y0: int, x0: int, height: int, width: int) -> None:
    crop = Window(y0, x0, height, width)
    canvas = canvas_of(crop, RASTER)
    window, factor = canvas.window, canvas.factor
    assert max(canvas.shape) <= MAX_SIDE + 1
    assert factor == 1 or max(crop.shape) > MAX_SIDE * factor / 2
    assert window.intersection(crop) == crop
    assert all(side % factor == 0 for side in (window.height, window.width, window.y0 - RASTER.y0, window.x0 - RASTER.x0))
    assert window.height - height < 2 * factor
    assert window.width - width < 2 * factor


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_reduced_raster_is_the_overview_of_its_factor(tmp_path: Path, levels: int, factor: int) -> None:
    values = np.arange(RASTER.height * RASTER.width, dtype=np.float32).reshape(RASTER.shape) % 997
    root = write_pyramid(tmp_path / "pyramid.zarr", values, levels)
    canvas = Canvas(Window(RASTER.y0 + 8, RASTER.x0 + 16, 64, 304), factor)
    found = read_reduced(root, "score", RASTER, canvas)
    level = min(levels - 1, factor.bit_length() - 1)
    step = factor >> level
    middle = ((step - 1) // 2) << level
    assert np.array_equal(found, values[8 + middle : 72 : factor, 16 + middle : 320 : factor] + 1000 * level)


def test_past_the_raster_there_is_no_data(tmp_path: Path) -> None:
    root = write_pyramid(tmp_path / "pyramid.zarr", np.ones(RASTER.shape, np.float32), 1)
    found = read_reduced(root, "score", RASTER, Canvas(Window(RASTER.y1 - 8, RASTER.x1 - 8, 16, 16), 4))
    assert np.array_equal(np.isfinite(found), np.array([[1, 1, 0, 0]] * 2 + [[0] * 4] * 2, bool))


def test_a_large_raster_is_never_held(tmp_path: Path) -> None:
    side = 4096
    group = zarr.open_group(tmp_path / "large.zarr", mode="w", zarr_format=3)
    array = group.create_group("0").create_array(
        "score", shape=(side, side), chunks=(256, 256), dtype="float32", fill_value=np.nan
    )
    array[: side // 2] = 1
    group.attrs["multiscales"] = {"layout": [{"asset": "0", "spatial:transform": [1, 0, 0, 0, -1, 0]}]}
    tracemalloc.start()
    try:
        found = read_reduced(str(tmp_path / "large.zarr"), "score", Window(0, 0, side, side), Canvas(Window(0, 0, side, side), 8))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert int(np.isfinite(found).sum()) == (side // 8) ** 2 // 2
    assert peak < side * side  # a quarter of its bytes


@given(
    boxes=st.lists(
        st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=8
    ),
    factor=st.sampled_from([1, 2, 8, 32]),
)
def test_every_polygon_colours_a_pixel_and_only_near_ones(boxes: list[tuple[int, int, int, int]], factor: int) -> None:
    canvas = Canvas(Window(0, 0, 160, 160), factor)
    for x, y, width, height in boxes:
        index = np.zeros(canvas.shape, np.uint8)
        shape = np.array([shapely.box(x, y, x + width, y + height)], object)
        draw_polygons(index, canvas.to_canvas(shape), np.array([7], np.uint8))
        rows, cols = np.nonzero(index)
        assert len(rows) > 0
        assert (rows * factor < y + height).all()
        assert ((rows + 1) * factor > y).all()
        assert (cols * factor < x + width).all()
        assert ((cols + 1) * factor > x).all()
        if factor == 1:
            assert len(rows) == width * height
