"""The score stage against its floor and against a script with xarray and dask."""

from __future__ import annotations

from pathlib import Path

from rows import Row, Section, run_program

NINE_YEARS = "score stage: 9 years x 64 bands, two annual scores with robust z, scene of {size} pixels a side"
OURS = "terradrift, two annual scores"


def measure(folder: Path, scale: float) -> Section:
    """`scale` 1 is a scene of 1024 pixels a side."""
    import terradrift as td

    size = max(256, round(1024 * scale**0.5) // 256 * 256)
    scene, out = folder / "scene", folder / "out"
    td.write_scene(scene, kind="quiet", size=size, seed=0)
    ours = run_program(OURS, "score_ours.py", scene, out, "bitemporal")
    others = [
        run_program("terradrift, calibrated", "score_ours.py", scene, out, "trajectory"),
        run_program("floor: the same chunks through zstd alone", "score_floor.py", scene, out),
        run_program("xarray + dask", "score_xarray_dask.py", scene, out),
    ]
    rows: tuple[Row, ...] = (ours, *others)
    return Section(NINE_YEARS.format(size=size), rows, OURS, "Mpx", float(ours.notes["mpx"]))
