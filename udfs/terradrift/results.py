"""A finished run in a notebook: rasters as xarray, polygons as GeoPandas, records as pandas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyproj
import xarray as xr
import zarr

from terradrift.grid import Grid, Window
from terradrift.ledger import RunFolder, latest_run, read_manifest
from terradrift.table_parts import geo_metadata, read_table

if TYPE_CHECKING:
    from terradrift.report.notebook import RunMap


@dataclass(frozen=True)
class RunResult:
    """The last published run of an output folder; everything is read when asked for."""

    folder: RunFolder

    @cached_property
    def scores(self) -> xr.Dataset:
        """`scores` (time, band, y, x) and `change_score`, `change_effect`, `change_year`, `change_kind` (y, x), lazily."""
        return self.raster("scores")

    @cached_property
    def levels(self) -> xr.DataTree:
        """The scores at every resolution, lazily: `levels["0"]` is `scores`, `levels["1"]` half of it, and so on."""
        return xr.open_datatree(self.zarr("scores"), engine="zarr", decode_coords="all")

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """By array (`scores`: by band and year): count, min, max, percentiles and a histogram; of classes the counts."""
        return dict(json.loads(self.folder.ledger.store.get("statistics.json") or b'{"arrays": {}}')["arrays"])

    @cached_property
    def changed(self) -> xr.DataArray:
        """1 mapped as change, 0 not, 255 no data: (y, x), lazily."""
        return self.raster("change")["changed"]

    @cached_property
    def polygons(self) -> gpd.GeoDataFrame:
        """The table change_polygons."""
        return self.geo_table("change_polygons")

    @cached_property
    def zones(self) -> gpd.GeoDataFrame:
        """The zones of the area of interest."""
        return self.geo_table("zones")

    @cached_property
    def gaps(self) -> gpd.GeoDataFrame:
        """Parts of the area of interest that were not scored, and why."""
        return self.geo_table("gaps")

    @cached_property
    def tiles(self) -> pd.DataFrame:
        """One row a tile: state, counts, seconds, bytes, memory."""
        return read_table(self.folder.ledger, "tiles").to_pandas()

    @cached_property
    def thresholds(self) -> pd.DataFrame:
        """The threshold of every stratum."""
        return self.table("thresholds").to_pandas()

    def map(self) -> RunMap:
        """A map to look at in a notebook: change score, outlines by year; wheel and drag move it, a slider picks the year."""
        from terradrift.report.notebook import RunMap

        return RunMap(self)

    @cached_property
    def window(self) -> Window:
        """The raster, in pixels of the mosaic."""
        return Window(**self.manifest["window"])

    @cached_property
    def grid(self) -> Grid:
        """The mosaic's grid as far as the run reaches."""
        root: Any = zarr.open_group(self.zarr("scores"), mode="r", zarr_format=3, use_consolidated=False)
        a, b, c, d, e, f = (float(number) for number in root.attrs["spatial:transform"])
        window = self.window
        crs = str(self.manifest["input"]["crs"])
        return Grid(crs, (a, b, c - a * window.x0, d, e, f - e * window.y0), window.y1, window.x1)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """run.json: parameters, versions, counts, timings, hashes."""
        return read_manifest(self.folder)

    def raster(self, name: str, level: int = 0) -> xr.Dataset:
        """A level of `scores`, `decoys` or `change`, lazily, wherever the run lies."""
        return xr.open_zarr(self.zarr(name), group=str(level), decode_coords="all", consolidated=False, zarr_format=3)

    def zarr(self, name: str) -> Any:
        """The Zarr store of `scores`, `decoys` or `change`: for zarr.open_group and the like."""
        ledger = self.folder.records if name == "change" else self.folder.ledger
        return ledger.store.at(f"{name}.zarr").zarr()

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A table of the run, geometries as WKB, wherever the run lies."""
        return read_table(self.folder.records, f"tables/{name}", columns)

    def geo_table(self, name: str) -> gpd.GeoDataFrame:
        """A table of the run with its geometries."""
        frame = self.table(name).to_pandas()
        geo = geo_metadata(self.folder.records, f"tables/{name}")["columns"]["geometry"]
        geometry = gpd.GeoSeries.from_wkb(frame.pop("geometry"), index=frame.index, crs=geo["crs"] and pyproj.CRS(geo["crs"]))
        return gpd.GeoDataFrame(frame.drop(columns="bbox", errors="ignore"), geometry=geometry)


def open_run(out: str | Path) -> RunResult:
    """The last published run of an output: a folder, or an s3:// prefix. Raises InputError where there is none."""
    return RunResult(latest_run(out))
