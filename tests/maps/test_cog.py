"""GeoTIFFs: the pixels of the store in their exact place, in files that every program takes for cloud-optimised."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from plain_overviews import plain_halved
from terradrift.grid import Grid, Window
from terradrift.kernels.series import KINDS
from terradrift.maps.cog import COGS, DECISION_COGS, CogSpec, write_cog
from terradrift.maps.colors import KIND
from terradrift.raster_template import RasterArray
from terradrift.score_store import RasterStore, raster_store

STEP = 8.983111749910169e-05
GRID = Grid("EPSG:4326", (STEP, 0.0, -105.4, 0.0, -STEP, 40.1), 1 << 13, 1 << 13)
WINDOW, CROP = Window(512, 256, 1280, 1024), Window(600, 301, 1100, 900)
SPECS = COGS | DECISION_COGS


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> RasterStore:
    """One store with all arrays; one tile of them is not there."""
    raster = raster_store(str(tmp_path_factory.mktemp("cog") / "all.zarr"), GRID, WINDOW, 256)
    raster.create([RasterArray(spec.array, spec.dtype, spec.nodata) for spec in SPECS.values()])
    rng = np.random.default_rng(2)
    for row in range(2, 7):
        for col in range(1, 5):
            if (row, col) == (4, 2):
                continue
            tile = raster.tile(row, col)
            hole = rng.random(tile.window.shape) < 0.2
            values = {spec.array: some(spec, rng, tile.window.shape) for spec in SPECS.values()}
            for spec in SPECS.values():
                values[spec.array][hole] = spec.nodata
            raster.write_tile(tile, values)
    return raster


def some(spec: CogSpec, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    if spec.dtype == "float32":
        return rng.normal(size=shape).astype(np.float32)
    if spec.array == "change_year":
        return rng.choice([0, 2018, 2024], shape).astype(np.int16)
    return rng.integers(0, len(spec.names), shape).astype(np.uint8)


def whole(raster: RasterStore, spec: CogSpec) -> np.ndarray:
    values = np.full(WINDOW.shape, spec.nodata, spec.dtype)
    for row in range(2, 7):
        for col in range(1, 5):
            tile = raster.tile(row, col)
            values[tile.window.slices(WINDOW)] = raster.read_tile(tile, spec.array)
    return values[CROP.slices(WINDOW)]


@pytest.mark.parametrize("name", SPECS)
def test_a_file_is_the_raster_in_its_place(raster: RasterStore, tmp_path: Path, name: str) -> None:
    spec, path = SPECS[name], tmp_path / name
    tiles = [raster.tile(row, col) for row in range(2, 7) for col in range(1, 5) if (row, col) != (4, 2)]
    write_cog(raster, spec, tiles, CROP, path, {"TIFFTAG_COPYRIGHT": "somebody"})
    assert [file.name for file in tmp_path.iterdir()] == [name]
    valid, errors, warnings = cog_validate(path, quiet=True)
    assert (valid, errors, warnings) == (True, [], [])
    expected = whole(raster, spec)
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 4326
        assert tuple(file.transform)[:6] == GRID.window_transform(CROP)
        assert file.dtypes == (spec.dtype,)
        assert file.nodata == spec.nodata or (math.isnan(file.nodata) and math.isnan(spec.nodata))
        assert file.descriptions == (spec.description,)
        assert (file.units[0] or "") == spec.unit
        assert file.tags()["TIFFTAG_COPYRIGHT"] == "somebody"
        assert np.array_equal(file.read(1), expected, equal_nan=spec.dtype == "float32")
        assert file.overviews(1) == [2, 4]
        coarse = file.read(1, out_shape=(-(-CROP.height // 2), -(-CROP.width // 2)))
        if spec.colors:
            assert {value: file.colormap(1)[value][:3] for value in spec.colors} == spec.colors
            assert {value: file.tags(1)[f"value_{value}"] for value in spec.names} == spec.names
    if spec.resampling == "average":  # GDAL's overviews are those of the Zarr levels where blocks are whole
        halved = plain_halved(expected, "mean", spec.nodata)
        assert np.allclose(coarse, halved, rtol=1e-6, atol=1e-6, equal_nan=True)
    else:
        assert set(np.unique(coarse)) <= set(np.unique(expected))


def test_kinds_have_their_names_and_colours() -> None:
    assert [COGS["change_kind.tif"].names[code] for code in range(len(KINDS))] == list(KINDS)
    assert COGS["change_kind.tif"].colors[KINDS.index("step")] == KIND["step"]


def test_equal_rasters_are_equal_files(raster: RasterStore, tmp_path: Path) -> None:
    tiles = [raster.tile(row, col) for row in range(2, 7) for col in range(1, 5)]
    for folder, order in (("a", 1), ("b", -1)):
        (tmp_path / folder).mkdir()
        write_cog(raster, COGS["change_score.tif"], tiles[::order], CROP, tmp_path / folder / "x.tif", {})
    assert (tmp_path / "a/x.tif").read_bytes() == (tmp_path / "b/x.tif").read_bytes()
