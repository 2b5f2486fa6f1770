"""A whole clean run in this process, without Spark: scores, polygons, tables, overviews, maps; with or without the protocol."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas  # noqa: F401  (pyarrow loads it with its first array: an import, not work)
from figures import megapixels, report

sys.path.append(str(Path(__file__).parents[2]))

from meter import Meter
from no_protocol import no_protocol

import plain_job
import terradrift as td
from terradrift.params import params_from
from terradrift.planning import Plan
from terradrift.spark import detect_changes as driver

scene, warm_up, out, how = (*map(Path, sys.argv[1:4]), sys.argv[4])
THRESHOLD = 8.0
"""Maps about one pixel in twenty of this scene."""

driver.STAGES, driver.summarize = plain_job.STAGES, plain_job.summary


def plan(scene: Path, output: Path) -> Plan:
    settings: dict[str, Any] = {
        "mosaic": str(scene / "mosaic.zarr"),
        "output": str(output),
        "change": {"detector": "trajectory", "threshold": {"score": THRESHOLD}},
    }
    return td.plan(params_from(settings))


meter = Meter() if how == "metered" else None
with no_protocol() if how == "without" else nullcontext():
    plain_job.run_plain(plan(warm_up, out.with_name("warm")), str(out.with_name("warm")))
    if meter:
        meter.clear()
    planned = plan(scene, out)
    mpx = megapixels(scene)
    report(lambda: plain_job.run_plain(planned, str(out)), lambda: {"mpx": mpx, **(meter.told() if meter else {})})
