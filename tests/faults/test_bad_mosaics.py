"""R7: mosaics that cannot be used: one clear line, nothing written, no Spark."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import Room, edit_metadata, refused, run_file

from mosaics import unit_codes, write_mosaic
from test_mosaic import BAD_MOSAICS, edit_array, edit_group

pytestmark = [pytest.mark.row("R7"), pytest.mark.usefixtures("no_spark")]


def rewrite(path: Path, codes: np.ndarray, **options: Any) -> None:
    shutil.rmtree(path)
    write_mosaic(path, codes, **options)


def linear_codes(path: Path) -> None:
    """Codes of x = q / 127 declared as signed squares."""
    x = np.random.default_rng(2).normal(size=(3, 64, 64, 64))
    codes = np.rint(x / np.linalg.norm(x, axis=1, keepdims=True) * 127).astype(np.int8)
    rewrite(path, codes)


def edit_time(path: Path, values: Any, **attributes: Any) -> None:
    import zarr

    shutil.rmtree(path / "time")
    array = zarr.open_group(path, mode="a").create_array("time", data=np.asarray(values), dimension_names=("time",))
    array.attrs.update(attributes)


def cf_reference(path: Path, **attributes: Any) -> None:
    import zarr

    edit_group(proj__code=None, spatial__transform=None)(path)
    group = zarr.open_group(path, mode="a")
    group.create_array("spatial_ref", shape=(), dtype="int32").attrs.update({"crs_wkt": "EPSG:4326", **attributes})


def noise_in_time(path: Path) -> None:
    chunk = next(file for file in (path / "time/c").rglob("*") if file.is_file())
    chunk.write_bytes(b"\0" * 7)


MORE_MOSAICS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "linear codes declared as signed squares": (linear_codes, "median norm of 0."),
    "half of the bands": (lambda p: rewrite(p, unit_codes(1, 3, 64, 64, bands=8)[:, :4]), "bands are missing"),
    "degrees that are metres": (edit_group(spatial__transform=[10, 0, 5e5, 0, -10, 4e6]), "expected -180 to 180"),
    "latitudes beyond the pole": (edit_group(spatial__transform=[0.1, 0, 0, 0, -0.1, 4e6]), "expected -90 to 90"),
    "longitudes of 0 to 360": (edit_group(spatial__transform=[6, 0, 0, 0, -0.1, 40]), "shift the mosaic's columns"),
    "attributes that are a list": (lambda p: edit_metadata(p / "zarr.json", attributes=[1]), "attributes"),
    "array attributes that are text": (lambda p: edit_metadata(p / "embeddings/zarr.json", attributes="x"), "attributes"),
    "dimension names of a number": (edit_array(lambda d: d.update(dimension_names=5)), "dimension_names"),
    "a grid mapping of five numbers": (lambda p: cf_reference(p, GeoTransform="0 1 0 0 0"), "GeoTransform"),
    "a grid mapping of words": (lambda p: cf_reference(p, GeoTransform="a b c d e f"), "GeoTransform"),
    "years that are infinite": (lambda p: edit_time(p, [2017.0, np.inf, 2019.0]), "time: found"),
    "years that are NaN": (lambda p: edit_time(p, [2017.0, np.nan, 2019.0]), "time: found"),
    "years that repeat": (lambda p: edit_time(p, [2017, 2017, 2019]), "different years"),
    "years of another length": (lambda p: edit_time(p, [2017, 2018]), "time: found shape (2,)"),
    "years of text": (
        lambda p: edit_metadata(p / "time/zarr.json", data_type="string", fill_value="x"),
        "time: data_type: found",
    ),
    "dates of no calendar": (lambda p: edit_time(p, [1, 2, 3], units="days since yesterday"), "time: found"),
    "years that are damaged": (noise_in_time, "time: found"),
    "years of a codec nobody knows": (
        lambda p: edit_metadata(p / "time/zarr.json", codecs=[{"name": "nobody.knows", "configuration": {}}]),
        "time: codecs: found",
    ),
    "letters that move the cursor": (edit_group(proj__code="EPSG:\x1b[2J"), "CRS: found"),
}


@pytest.mark.parametrize("name", [*BAD_MOSAICS, *MORE_MOSAICS])
def test_a_mosaic_that_cannot_be(capfd: pytest.CaptureFixture[str], room: Room, name: str) -> None:
    spoil, expected = {**BAD_MOSAICS, **MORE_MOSAICS}[name]
    spoil(room / "mosaic.zarr")
    assert expected in refused(capfd, room, ["run", run_file(room)])
