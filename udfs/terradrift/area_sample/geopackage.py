"""The sample as a GeoPackage: what a person labels, and beside it, out of sight, what the estimate needs.

Layers `sample` (points, to be labelled) and `pixels` (their outlines); tables `design` (one row a stratum) and `draws`
(the stratum of each sample_id: not to be looked at while labelling). A copy without labels stays in `OUT/samples`, so that
labels saved as CSV or GeoJSON find their design again.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import shapely

from terradrift.area_sample.estimators import Floats
from terradrift.area_sample.labels import Row, read_rows, read_table
from terradrift.area_sample.links import links
from terradrift.errors import InputError, StoreError
from terradrift.grid import Grid

LONLAT = "EPSG:4326"

ANSWERS = ("label", "year", "note")
"""Columns that a person fills."""

_KEY = re.compile(r"(s[0-9a-f]{8})-[0-9]+")


def record_path(out: Path, key: str) -> Path:
    """Where a run's output keeps its own copy of a sample."""
    return out / "samples" / f"{key}.gpkg"


def check_free(path: Path, overwrite: bool) -> None:
    """Refuse a file that cannot be written or whose content somebody would miss."""
    if path.suffix.lower() != ".gpkg":
        raise InputError(f"--file: found {str(path)!r}, expected a name that ends in .gpkg")
    if not path.parent.is_dir():
        raise InputError(f"--file: found no folder {str(path.parent)!r}, expected one that exists")
    if path.is_dir():
        raise InputError(f"--file: {path}: found a folder, expected a file or a new name")
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise InputError(f"--file: {path} is open in another program ({log.name} exists); close it or give another name")
    if not path.exists() or overwrite:
        return
    try:
        rows = read_rows(path)
    except InputError as cause:
        raise InputError(f"--file: {path}: found a file that is no sample; give another name or --overwrite") from cause
    if answered := sum(any(str(row.get(name) or "").strip() for name in ANSWERS) for row in rows):
        raise InputError(f"--file: {path}: found {answered} labelled rows; give another name, or --overwrite to lose them")


def write_geopackage(path: Path, grid: Grid, draws: pd.DataFrame, design: pd.DataFrame) -> None:
    """Write all four tables beside the file, then put it in place."""
    first, last = (int(design[name].iloc[0]) for name in ("year_first", "year_last"))
    to_lonlat = pyproj.Transformer.from_crs(grid.pyproj_crs, LONLAT, always_xy=True)
    row, col = (draws[name].to_numpy(np.float64) for name in ("row", "col"))
    lon, lat = _lonlat(grid, to_lonlat, row + 0.5, col + 0.5)
    frame = pd.DataFrame({"sample_id": draws["sample_id"], "lon": lon, "lat": lat})
    frame["question"] = f"Did the land change for good between {first} and {last}?"
    frame["label"] = ""
    frame["year"] = pd.array([pd.NA] * len(frame), "Int32")
    frame["note"] = ""
    pages = pd.DataFrame([links(x, y, first, last) for x, y in zip(lon, lat, strict=True)])
    sample = gpd.GeoDataFrame(pd.concat([frame, pages], axis=1), geometry=shapely.points(lon, lat), crs=LONLAT)
    corners = [_lonlat(grid, to_lonlat, row + dy, col + dx) for dy, dx in ((0, 0), (1, 0), (1, 1), (0, 1))]
    outlines = gpd.GeoDataFrame(
        {"sample_id": draws["sample_id"]}, geometry=shapely.polygons(np.moveaxis(np.array(corners), 2, 0)), crs=LONLAT
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sample-", dir=path.parent) as folder:
            made = Path(folder) / path.name
            for layer, table in {"sample": sample, "pixels": outlines, "design": design, "draws": draws}.items():
                pyogrio.write_dataframe(table, made, layer=layer, driver="GPKG")
            os.replace(made, path)
    except OSError as cause:
        raise StoreError(f"cannot write {path}: {cause.strerror or cause}") from cause


def _lonlat(grid: Grid, to_lonlat: pyproj.Transformer, row: Floats, col: Floats) -> tuple[Floats, Floats]:
    a, _, c, _, e, f = grid.transform
    lon, lat = to_lonlat.transform(c + a * col, f + e * row)
    return lon, lat


def read_design(labels: Path, out: Path, sample_id: str) -> tuple[list[Row], list[Row]]:
    """Rows of `design` and `draws` of a labelled sample: its own, or the copy in the run's output."""
    key = _KEY.fullmatch(sample_id)
    if key is None:
        raise InputError(f"{labels}: found sample_id {sample_id[:40]!r}, expected one of `terradrift sample`, like s0123abcd-001")
    record = record_path(out, key[1])
    for path in (labels, record):
        design, draws = read_table(path, "design"), read_table(path, "draws")
        if design and draws:
            return design, draws
    raise InputError(
        f"{labels}: found no tables design and draws in it, nor {record}; give the GeoPackage or the sample's own OUT"
    )
