"""`terradrift tiles` from inside: a session in local[2], then the whole export; CPU of driver, Java and Python workers.

The session's start is not counted; everything after it is, Java's own compiling and the workers' imports too. With "warm" a
small export goes before, as in a session that has done other stages.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tree_figures import report

from terradrift.maps.tile_options import TileOptions
from terradrift.spark.session import FAST_START, spark_session
from terradrift.spark.tiles_job import read_geometry_column, web_polygons
from terradrift.spark.vector_tiles import export_pmtiles
from terradrift.store import Store

table, archive, small = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None

with spark_session("tiles benchmark", "local[2]", FAST_START) as spark:

    def work(source: Path = table) -> dict[str, float | str]:
        """Export, as the command does."""
        _, geometry, crs = read_geometry_column(source)
        options = TileOptions(layer="changes", id_column="fid", min_zoom=4, max_zoom=13)
        frame = web_polygons(spark, source, geometry, crs, options.id_column)
        told = export_pmtiles(spark, frame, archive, Store(str(archive.parent)), options, {})
        return {"dropped": sum(told.dropped.values())}

    if small is not None:
        work(small)
    report(work)
