"""A plan for a person to read."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from terradrift.estimate import describe
from terradrift.planning import Plan

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def bytes_text(number: float) -> str:
    """`1.5 GiB`."""
    for unit in _UNITS:
        if number < 1024 or unit == _UNITS[-1]:
            return f"{number:.3g} {unit}"
        number /= 1024
    raise AssertionError


def print_plan(plan: Plan, console: Console) -> None:
    """Print what a run will read, need and write."""
    d = describe(plan)
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = {
        "mosaic": f"{d['mosaic']}  ({d['crs']}, {d['bands']} bands)",
        "years": f"{d['years'][0]} to {d['years'][-1]}, {len(d['years'])} of them",
        "area": f"{d['zones']} zone{'s' * (d['zones'] != 1)}, {d['window']['height']:,} x {d['window']['width']:,} pixels",
        "tiles": f"{d['tiles']:,} of {d['tile_size']} pixels, {d['pixels']:,} pixels",
        "scores": ", ".join([*d["annual_bands"], d["detector"]]),
        "input": f"{d['input_objects']:,} objects, at most {d['input_requests']:,} requests, "
        f"about {bytes_text(d['input_bytes_stored_estimate'])} ({bytes_text(d['input_bytes'])} decompressed)",
        "memory": f"{bytes_text(d['task_memory_bytes'])} a task, {bytes_text(d['task_memory_allowed_bytes'])} allowed",
        "output": f"at most {bytes_text(d['output_bytes'])} of scores",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    console.print(table)
    for warning in d["warnings"]:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)
