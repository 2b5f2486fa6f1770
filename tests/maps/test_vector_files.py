"""Polygons as files for desktop programs: what geopandas reads back is what was written."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyogrio
import pytest
import shapely

from terradrift.errors import StoreError
from terradrift.maps.vector_files import FORMATS, write_vector_file

SCHEMA = pa.schema(
    [
        ("change_id", pa.int64()),
        ("kind", pa.string()),
        ("year_first", pa.int32()),
        ("q_min", pa.float32()),
        ("geometry", pa.binary()),
    ]
)


def batches(n: int, size: int) -> list[pa.RecordBatch]:
    """Boxes with holes, each fifth of two parts, one value missing."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-105, -104, n), rng.uniform(39, 40, n)
    shapes = shapely.difference(shapely.box(x, y, x + 0.01, y + 0.01), shapely.box(x + 0.002, y + 0.002, x + 0.004, y + 0.004))
    shapes[::5] = shapely.union(shapes[::5], shapely.box(x[::5] + 0.02, y[::5], x[::5] + 0.03, y[::5] + 0.01))
    columns = [
        pa.array(np.arange(n) * 7 + 1),
        pa.array(["step", "ramp"] * (n // 2)),
        pa.array(np.full(n, 2019, np.int32)),
        pa.array([None, *np.linspace(0, 1, n - 1).tolist()], pa.float32()),
        pa.array(shapely.to_wkb(shapes), pa.binary()),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA).to_batches(max_chunksize=size)


@pytest.mark.parametrize("ending", FORMATS)
def test_what_is_read_is_what_was_written(tmp_path: Path, ending: str) -> None:
    path, parts = tmp_path / f"changes.{ending}", batches(1000, 64)
    write_vector_file(iter(parts), SCHEMA, path, "changes", "EPSG:4326", "what changed")
    table = pa.Table.from_batches(parts)
    info = pyogrio.read_info(path)
    assert (info["layer_name"], info["geometry_type"], info["crs"], info["features"]) == (
        "changes",
        "MultiPolygon",
        "EPSG:4326",
        1000,
    )
    frame = gpd.read_file(path).sort_values("change_id", ignore_index=True)
    assert set(frame.geom_type) == {"MultiPolygon"}
    expected = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))
    assert shapely.equals(frame.geometry.values, expected).all()
    assert sum(len(shape.geoms) for shape in frame.geometry) == 1200
    for name in SCHEMA.names[:-1]:
        column = table[name].to_pandas()
        assert np.array_equal(frame[name].astype(column.dtype), column, equal_nan=column.dtype.kind == "f"), name
    some = gpd.read_file(path, bbox=(-104.5, 39, -104, 39.5))
    assert 0 < len(some) < 1000


@pytest.mark.parametrize("ending", FORMATS)
def test_no_polygons_are_an_empty_layer(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"changes.{ending}"
    write_vector_file(iter(()), SCHEMA, path, "changes", "EPSG:32633", "nothing")
    frame = gpd.read_file(path)
    assert len(frame) == 0
    assert frame.crs.to_epsg() == 32633
    assert set(SCHEMA.names) <= set(frame.columns)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write changes\.gpkg"):
        write_vector_file(iter(batches(10, 5)), SCHEMA, tmp_path / "none" / "changes.gpkg", "changes", "EPSG:4326", "")
