"""Strata of a user's own: every pixel gets the class its centre lies in, whatever the window."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.transform import from_bounds
from shapely import box

from terradrift.errors import InputError
from terradrift.grid import Grid, Window
from terradrift.kernels.strata import DEFAULT_NOISE, MIN_SAMPLE, fit_classes
from terradrift.strata_map import ELSEWHERE, StrataMap, read_strata_map

STEP = 8.983111749910169e-05
GRID = Grid("EPSG:4326", (STEP, 0.0, 15.0, 0.0, -STEP, 53.0), 120, 160)
WHOLE = GRID.window
WEST, SOUTH, EAST, NORTH = GRID.window_bounds(WHOLE)


def centres() -> tuple[np.ndarray, np.ndarray]:
    """x and y of every pixel's centre, (y, x)."""
    return np.meshgrid(GRID.transform[2] + STEP * (np.arange(160) + 0.5), GRID.transform[5] - STEP * (np.arange(120) + 0.5))


@pytest.fixture
def vector(tmp_path: Path) -> Path:
    """Two strata in EPSG:32633, a third of the raster in none."""
    third = (EAST - WEST) / 3
    shapes = [box(WEST, SOUTH, WEST + third, NORTH), box(WEST + third, SOUTH, WEST + 2 * third, NORTH)]
    gpd.GeoDataFrame({"name": ["a", "b"]}, geometry=shapes, crs="EPSG:4326").to_crs("EPSG:32633").to_file(tmp_path / "own.gpkg")
    return tmp_path / "own.gpkg"


def write_raster(path: Path, values: np.ndarray, crs: str | None = "EPSG:3857", nodata: int | None = 255) -> Path:
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform([WEST, EAST], [SOUTH, NORTH])
    transform = from_bounds(x[0], y[0], x[0] + 0.8 * (x[1] - x[0]), y[1], values.shape[1], values.shape[0])  # the east is missing
    profile = {"driver": "GTiff", "count": 1, "dtype": values.dtype, "height": values.shape[0], "width": values.shape[1]}
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform, nodata=nodata) as file:
        file.write(values, 1)
    return path


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 5, (23, 31)).astype(np.uint8)
    values[3:6, 4:9] = 255
    values[10, 10] = 200  # no stratum has this number
    return write_raster(tmp_path / "own.tif", values)


def test_a_vector_s_geometries_are_strata_by_number(vector: Path) -> None:
    x, _ = centres()
    share = (x - WEST) / (EAST - WEST)
    found = read_strata_map(str(vector), GRID).classes(WHOLE)
    clear = np.abs(share * 3 - np.rint(share * 3)) > 0.02  # edges are straight in another CRS
    assert (found == np.select([share < 1 / 3, share < 2 / 3], [0, 1], ELSEWHERE))[clear].all()


def test_a_raster_s_values_are_strata_where_its_pixels_lie(raster: Path) -> None:
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform(*centres())
    with rasterio.open(raster) as file:
        values = file.read(1)
        left, bottom, right, top = file.bounds
        cols, rows = (x - left) / file.res[0], (top - y) / file.res[1]
        inside = (x >= left) & (x < right) & (y > bottom) & (y <= top)
    expected = np.full(x.shape, ELSEWHERE)
    expected[inside] = values[rows[inside].astype(int), cols[inside].astype(int)]
    expected[expected >= ELSEWHERE] = ELSEWHERE
    found = read_strata_map(str(raster), GRID).classes(WHOLE)
    clear = (np.abs(cols - np.rint(cols)) > 1e-6) & (np.abs(rows - np.rint(rows)) > 1e-6)
    assert set(np.unique(found)) == {0, 1, 2, 3, 4, ELSEWHERE}
    assert (found == expected)[clear].all()


@pytest.mark.parametrize("name", ["own.gpkg", "own.tif"])
def test_the_same_strata_in_every_window(name: str, vector: Path, raster: Path, tmp_path: Path) -> None:
    own = read_strata_map(str(tmp_path / name), GRID)
    whole = own.classes(WHOLE)
    for window in (Window(0, 0, 40, 160), Window(33, 71, 50, 60), Window(119, 159, 1, 1)):
        assert np.array_equal(own.classes(window), whole[window.slices(WHOLE)])


def test_content_names_them_not_their_place(vector: Path, raster: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere.tif"
    other.write_bytes(raster.read_bytes())
    maps: list[StrataMap] = [read_strata_map(str(path), GRID) for path in (raster, other, vector)]
    assert maps[0].sha256 == maps[1].sha256 != maps[2].sha256


def test_what_cannot_be_strata_is_refused_in_one_line(tmp_path: Path) -> None:
    many = [box(WEST + k * STEP, SOUTH, WEST + (k + 1) * STEP, NORTH) for k in range(ELSEWHERE)]
    gpd.GeoDataFrame(geometry=many, crs="EPSG:4326").to_file(tmp_path / "many.gpkg")
    write_raster(tmp_path / "float.tif", np.zeros((4, 4), np.float32), nodata=None)
    write_raster(tmp_path / "nowhere.tif", np.zeros((4, 4), np.uint8), crs=None)
    (tmp_path / "text.tif").write_text("no raster")
    for name, what in {
        "many.gpkg": "63 geometries",
        "float.tif": "float32",
        "nowhere.tif": "no CRS",
        "text.tif": "cannot be read",
        "absent.tif": "cannot be read",
        "absent.gpkg": "no such file",
    }.items():
        with pytest.raises(InputError, match=f"^change.strata: .*{what}") as refused:
            read_strata_map(str(tmp_path / name), GRID)
        assert "\n" not in str(refused.value)


def test_a_class_has_the_noise_of_its_own_sample_where_that_is_large_enough() -> None:
    classes = np.repeat([0, 7], [MIN_SAMPLE, MIN_SAMPLE - 1])
    residual = np.where(classes == 0, 0.01, 0.03)
    strata = fit_classes(classes, residual, 64)
    assert strata.noise[0] == np.float32(0.01)
    assert strata.noise[7] == strata.noise[1] == np.float32(np.median(residual))
    assert (fit_classes(classes[:0], residual[:0], 64).noise == np.float32(DEFAULT_NOISE)).all()
