"""What tests of refusals share: a run file that would do, what is written badly, and the one line that says so."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import yaml

from mosaics import ORIGIN, STEP
from terradrift.cli import main
from terradrift.sealed import seal

WEST, NORTH = ORIGIN
EAST, SOUTH = WEST + 60 * STEP, NORTH - 60 * STEP
"""The mosaic is 64 x 64 pixels; this corner lies in it."""

Room = Path
"""A folder with mosaic.zarr, in which a case makes what it needs."""

INSIDE = shapely.box(WEST, SOUTH, EAST, NORTH)

NEVER = ("<class", "object at 0x", "array(", "dtype(", "Traceback", "None;", "pydantic", "(type=", "ValueError", "KeyError")
"""What a reader of messages has no use for."""


def run_file(room: Room, **changes: Any) -> str:
    """A run file that would do, apart from the changes; a value of None takes the key away."""
    settings: dict[str, Any] = {
        "mosaic": str(room / "mosaic.zarr"),
        "output": str(room / "out"),
        "tile_size": 32,
        "scores": {"annual": ["difference"], "robust_z": False},
        **changes,
    }
    path = room / "run.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in settings.items() if value is not None}))
    return str(path)


def refused(capfd: pytest.CaptureFixture[str], room: Room, argv: list[str]) -> str:
    """The one line of a refusal that left everything as it was."""
    before = {path: path.lstat().st_mtime_ns for path in room.rglob("*")}
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        code = main(argv)
    out, err = capfd.readouterr()
    assert code == 2, err
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert err.strip().isprintable()
    assert [str(warning.message) for warning in shown if not issubclass(warning.category, DeprecationWarning)] == []
    assert {path: path.lstat().st_mtime_ns for path in room.rglob("*")} == before
    _check_clear(err.strip())
    return err.strip()


def _check_clear(line: str) -> None:
    """It says what was found and what was expected, and is no program's inside."""
    assert any(word in line for word in ("found ", "unknown ", "is not ", "needs ", "twice", "--help")), line
    assert any(word in line for word in ("expected", "did you mean", "use ", "--help", "remove", "give another")), line
    assert not [word for word in NEVER if word in line], line
    assert len(line) < 600


def feature_collection(*geometries: Any) -> str:
    features = [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]
    return json.dumps({"type": "FeatureCollection", "features": features})


def frame(*geometries: Any, crs: str | None = "EPSG:4326") -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({"name": ["x"] * len(geometries)}, geometry=list(geometries), crs=crs)


def write_area(room: Room, name: str, content: Any) -> str:
    path = room / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, pa.Table):
        pq.write_table(content, path)
    elif path.suffix == ".parquet":
        content.to_parquet(path)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content.to_file(path)
    return str(path)


def write_run(room: Room, pointer: str | None, manifest: dict[str, Any] | None = None) -> None:
    """What a run leaves, as far as its documents go."""
    out = room / "out"
    (out / "runs" / "abc").mkdir(parents=True)
    if pointer is not None:
        (out / "latest.json").write_text(pointer)
    if manifest is not None:
        (out / "runs" / "abc" / "run.json").write_bytes(seal(manifest))


def write_parquet(room: Room, geo: Any, name: str = "in.parquet") -> None:
    table = pa.table({"id": [1], "geometry": [shapely.to_wkb(INSIDE)]})
    text = geo if isinstance(geo, str) else json.dumps(geo)
    pq.write_table(table.replace_schema_metadata({"geo": text} if geo is not None else None), room / name)


def geo(**column: Any) -> dict[str, Any]:
    whole = {"encoding": "WKB", "geometry_types": ["Polygon"], **column}
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": whole}}


def edit_metadata(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
