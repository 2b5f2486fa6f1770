"""GDAL's PMTiles driver on the same polygons, as FlatGeobuf."""

from __future__ import annotations

import sys

import pyogrio
from tree_figures import report

source, archive = sys.argv[1:3]


def work() -> dict[str, float | str]:
    """One run."""
    with pyogrio.open_arrow(source) as (meta, stream):
        pyogrio.write_arrow(
            stream, archive, driver="PMTiles", layer="changes", geometry_name=meta["geometry_name"] or "wkb_geometry",
            geometry_type="Polygon", crs="EPSG:4326", dataset_options={"MINZOOM": 4, "MAXZOOM": 13},
        )  # fmt: skip
    return {}


report(work)
