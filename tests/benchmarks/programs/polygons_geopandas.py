"""The same refinement with geopandas: mend, simplify, place, round, measure, sort in space, write GeoParquet. One thread."""

from __future__ import annotations

import sys
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyarrow.parquet as pq
import shapely
from figures import report

merged, out = Path(sys.argv[1]), Path(sys.argv[2])
PIXEL_M, SIMPLIFY_M, DECIMALS = 10.0, 7.5, 7
found: list[gpd.GeoDataFrame] = []


def refine(table: pd.DataFrame) -> gpd.GeoDataFrame:
    """Merged polygons in pixels to polygons in degrees, with their areas."""
    outlines = gpd.GeoSeries(shapely.from_wkb(table["geometry"].to_numpy()))
    outlines = outlines.make_valid().simplify(SIMPLIFY_M / PIXEL_M)
    outlines = outlines.affine_transform([PIXEL_M, 0, 0, -PIXEL_M, 400_000, 5_900_000]).set_crs("EPSG:32633")
    frame = gpd.GeoDataFrame(table.drop(columns="geometry"), geometry=outlines)
    frame["area_m2"] = frame.area
    frame = frame.to_crs("EPSG:4326")
    frame.geometry = frame.geometry.set_precision(10.0**-DECIMALS)
    return frame.iloc[frame.hilbert_distance().argsort()]


def work() -> None:
    """Read, refine, write."""
    found.append(refine(pq.read_table(merged).to_pandas()))
    found[0].to_parquet(out / "polygons.parquet", compression="zstd", write_covering_bbox=True)


out.mkdir(parents=True, exist_ok=True)
refine(pq.read_table(merged).slice(0, 2000).to_pandas())
report(work, lambda: {"polygons": len(found[0]), "vertices": int(found[0].count_coordinates().sum())})
