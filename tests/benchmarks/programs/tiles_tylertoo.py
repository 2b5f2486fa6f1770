"""tylertoo on the same GeoParquet: its overview file, then the archive."""

from __future__ import annotations

import sys
from pathlib import Path

import tylertoo
from tree_figures import report

table, archive = sys.argv[1:3]
LIMIT = 500_000


def work() -> dict[str, float | str]:
    """One run."""
    overview = Path(archive).with_suffix(".overview.parquet")
    tylertoo.overview(table, str(overview), min_zoom=4, max_zoom=13)
    tylertoo.export_pmtiles(str(overview), archive, layer_name="changes", feature_id="fid", tile_size_limit=LIMIT)
    overview.unlink()
    return {}


report(work)
