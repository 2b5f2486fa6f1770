"""A plan for a person to read."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from terradrift.cost import DEFAULT_UNITS, Prices, UnitCosts, cost
from terradrift.estimate import estimate
from terradrift.memory import allowed_task_memory
from terradrift.planning import Plan

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def bytes_text(number: float) -> str:
    """`1.5 GiB`."""
    for unit in _UNITS:
        if number < 1024 or unit == _UNITS[-1]:
            return f"{number:.3g} {unit}"
        number /= 1024
    raise AssertionError


def cost_text(c: dict[str, Any]) -> str:
    """`scores: about 1.2 core-hours, USD 0.06, then 0.02 a month for 1 GiB (unit costs: defaults)`."""
    return (
        f"scores: about {c['core_hours']:.2g} core-hours, USD {c['usd']:.2g}, then {c['usd_month']:.2g} a month "
        f"for {bytes_text(c['bytes_written'])} (unit costs: {c['units']['source']})"
    )


def describe(plan: Plan, units: UnitCosts = DEFAULT_UNITS) -> dict[str, Any]:
    """The plan and its cost as JSON values."""
    window, shape = plan.window, estimate(plan)
    return {
        "mosaic": plan.mosaic.url,
        "crs": plan.grid.pyproj_crs.to_string() if "[" not in plan.grid.crs else plan.grid.pyproj_crs.name,
        "years": list(plan.years),
        "bands": plan.mosaic.n_bands,
        "zones": len(plan.zones.geometries),
        "window": asdict(window),
        "tile_size": plan.tile_size,
        "tiles": plan.n_tiles,
        "pixels": int(plan.tile_pixels.sum()),
        "annual_bands": list(plan.recipe.bands),
        "detector": plan.recipe.detector,
        **asdict(shape),
        "cost": asdict(cost(plan, shape, units, Prices())),
        "task_memory_allowed_bytes": allowed_task_memory(),
        "warnings": list(plan.warnings),
    }


def print_plan(d: dict[str, Any], console: Console) -> None:
    """Print what a run will read, need and write, as `describe` gives it."""
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = {
        "mosaic": f"{d['mosaic']}  ({d['crs']}, {d['bands']} bands)",
        "years": f"{d['years'][0]} to {d['years'][-1]}, {len(d['years'])} of them",
        "area": f"{d['zones']} zone{'s' * (d['zones'] != 1)}, {d['window']['height']:,} x {d['window']['width']:,} pixels",
        "tiles": f"{d['tiles']:,} of {d['tile_size']} pixels, {d['pixels']:,} pixels",
        "scores": ", ".join([*d["annual_bands"], d["detector"]]),
        "input": f"{d['input_objects']:,} objects, at most {d['input_requests']:,} requests, "
        f"about {bytes_text(d['input_bytes_stored_estimate'])} ({bytes_text(d['input_bytes'])} decompressed)",
        "memory": f"{bytes_text(d['task_memory_bytes'])} a task ({d['task_memory_stage']}), "
        f"{bytes_text(d['task_memory_allowed_bytes'])} allowed",
        "output": f"at most {bytes_text(d['output_bytes'])} of scores",
        "cost": cost_text(d["cost"]),
    }
    for name, text in rows.items():
        table.add_row(name, Text(text))
    console.print(table)
    for warning in d["warnings"]:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)
