"""What records, hashes, the lock and the way to the disk add to a whole run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from rows import Row, Section, median, run_program

OURS = "terradrift, whole run"
WITHOUT = "the same writes without the protocol"
TURNS = 5
SHARE = "protocol, % of the run"
MOST_PERCENT = 3.0
"""Of a clean run's CPU."""

PUBLISHED = (".zarr/", "/tables/", "/maps/")


def measure(folder: Path, scale: float) -> Section:
    """Whole runs with and without, in turn, on a scene of 2048 pixels a side at least."""
    import terradrift as td

    size = max(2048, round(2048 * scale**0.5) // 256 * 256)
    scene, warm_up = folder / "scene", folder / "warm_up"
    td.write_scene(scene, kind="quiet", size=size, seed=0)
    td.write_scene(warm_up, kind="quiet", size=256, seed=1)
    found: dict[str, list[Row]] = {OURS: [], WITHOUT: []}
    for turn in range(TURNS):
        outs = {OURS: folder / f"with_{turn}" / "out", WITHOUT: folder / f"without_{turn}" / "out"}
        for name, out in outs.items():
            how = "with" if name == OURS else "without"
            found[name].append(run_program(name, "whole_run.py", scene, warm_up, out, how))
        _check_same(*outs.values())
        for out in outs.values():
            shutil.rmtree(out.parent)
    ours, without = median(found[OURS]), median(found[WITHOUT])
    part = {SHARE: 100 * (1 - without.cpu_s / ours.cpu_s)}
    metered = run_program("its parts, measured one by one", "whole_run.py", scene, warm_up, folder / "metered" / "out", "metered")
    taken = sum(float(value) for name, value in metered.notes.items() if name.endswith(": CPU s"))
    parts = {SHARE: 100 * taken / metered.cpu_s}
    rows = (replace(ours, notes=ours.notes | part), without, replace(metered, notes=parts | metered.notes))
    title = (
        f"protocol: scores, polygons, tables, overviews and maps of nine years, {size} pixels a side, one process; "
        f"medians of {TURNS}; at most {MOST_PERCENT} %"
    )
    return Section(title, rows, OURS, "run", 1)


def _check_same(one: Path, other: Path) -> None:
    """The comparison is fair while both write the same."""
    found, expected = _published(one), _published(other)
    differing = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
    if differing or not found:
        raise SystemExit(f"the two runs wrote different things: {differing[:5]}")


def _published(out: Path) -> dict[str, bytes]:
    """Rasters, tables and maps, without the names of scores and run."""
    found = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        key = f"/{path.relative_to(out)}"
        if any(part in key for part in PUBLISHED):
            found[key.split("/", 3)[-1]] = path.read_bytes()
    return found
