"""A published run of nine tiles, made in this process without Spark: its decision and tables are the test's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from mosaics import unit_codes, write_mosaic
from terradrift.aoi.tables import write_frame, zones_frame
from terradrift.ledger import code_version
from terradrift.params import params_from
from terradrift.planning import plan_run
from terradrift.run import Run, open_run
from terradrift.score_tile import ScoreRasters, score_tile
from terradrift.sealed import under
from terradrift.table_parts import TableFormat, write_table


def make_run(folder: Path, threshold: float = 0.2) -> Run:
    """Write the mosaic, unless it is there, and a run of it with this threshold."""
    mosaic = folder / "mosaic.zarr"
    if not mosaic.exists():
        write_mosaic(mosaic, unit_codes(1, 3, 96, 96, bands=4))
    change = {"detector": "bitemporal", "threshold": {"score": threshold}}
    settings = {"mosaic": str(mosaic), "output": str(folder / "out"), "tile_size": 32, "change": change}
    run = open_run(plan_run(params_from(settings)))
    rasters, plan = ScoreRasters(run.scores, None), run.plan
    for row, col in zip(plan.rows.tolist(), plan.cols.tolist(), strict=True):
        tile = run.scores.tile(row, col)
        score_tile(tile, plan.mosaic, plan.zones, plan.recipe, rasters, run.folder.ledger)
        changed = (run.scores.read_tile(tile, "change_score") >= threshold).astype(np.uint8)
        run.folder.records.write(tile.id, under("change.zarr", run.decision.write_tile(tile, {"changed": changed})))
    write_frame(run.folder.records, "tables/zones", zones_frame(plan.zones, plan.grid, "EPSG:4326"))
    rows = pa.table({"stratum": pa.array([0], pa.int32()), "threshold": [threshold]})
    write_table(run.folder.records, "tables/thresholds", rows, TableFormat(rows.schema))
    write_table(run.folder.ledger, "tiles", pa.table({"row": [0]}), TableFormat(pa.schema([("row", pa.int64())])))
    run.folder.records.store.put("maps/map.bin", bytes(range(200)))
    given = plan.params.model_dump(mode="json", exclude_unset=True)
    run.folder.publish({"run_file": given, "versions": {"terradrift": code_version()}, "finished": str(threshold)})
    run.folder.clean_work()
    return run
