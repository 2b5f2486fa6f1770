"""Cost of a plan: proportional to what is read, and measured by the probe on the mosaic itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import terradrift as td
from mosaics import unit_codes, write_mosaic
from terradrift.cli import main
from terradrift.cost import GIB, Prices, UnitCosts, cost, probe
from terradrift.estimate import estimate
from terradrift.params import params_from
from terradrift.planning import Plan

UNITS = UnitCosts(cpu_s_per_gib=3.0, output_share=0.5, source="a test")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("cost")
    mosaic = write_mosaic(folder / "mosaic.zarr", unit_codes(2, 9, 128, 128))
    return td.plan(params_from({"mosaic": str(mosaic), "output": str(folder / "out"), "tile_size": 32}))


def test_every_part_is_units_times_price(plan: Plan) -> None:
    shape, prices = estimate(plan), Prices(core_hour=1.0, thousand_gets=2.0, thousand_puts=3.0, gib_month=4.0)
    found = cost(plan, shape, UNITS, prices)
    assert found.core_hours == pytest.approx(3.0 * shape.input_bytes / GIB / 3600)
    assert found.bytes_written == shape.output_bytes // 2
    assert found.usd == pytest.approx(found.core_hours + shape.input_requests / 1000 * 2.0 + found.puts / 1000 * 3.0)
    assert found.usd_month == pytest.approx(found.bytes_written / GIB * 4.0)


def test_twice_the_tiles_cost_twice_as_much(plan: Plan) -> None:
    half = replace(plan, rows=plan.rows[::2], cols=plan.cols[::2])
    some, all_ = (cost(part, estimate(part), UNITS, Prices()) for part in (half, plan))
    assert all_.core_hours == pytest.approx(2 * some.core_hours)
    assert (all_.gets, all_.puts) == (2 * some.gets, 2 * some.puts)


def test_the_probe_measures_and_leaves_nothing_behind(plan: Plan) -> None:
    units = probe(plan)
    assert units.source == "measured on 3 tiles"
    assert units.cpu_s_per_gib > 0
    assert 0.1 < units.output_share <= 1
    assert not Path(plan.params.output).exists()


def test_the_command_says_where_its_unit_costs_come_from(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_file = tmp_path / "run.yaml"
    run_file.write_text(json.dumps({"mosaic": plan.mosaic.url, "output": "out", "tile_size": 32}))
    costs = []
    for flags in ([], ["--probe"]):
        assert main(["plan", str(run_file), "--json", *flags]) == 0
        costs.append(json.loads(capsys.readouterr().out)["cost"])
    assert [found["units"]["source"] for found in costs] == ["defaults", "measured on 3 tiles"]
    assert all(np.isfinite(found["usd"]) and found["usd"] > 0 for found in costs)
    assert main(["plan", str(run_file)]) == 0
    assert "unit costs: defaults" in " ".join(capsys.readouterr().out.split())
