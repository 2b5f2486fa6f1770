"""The score stage against its floor and against a script with xarray and dask."""

from __future__ import annotations

import shutil
from pathlib import Path

from rows import Row, Section, median, run_program

NINE_YEARS = "score stage: 9 years x 64 bands, two annual scores with robust z, scene of {size} pixels a side"
OURS = "terradrift, two annual scores"


ALL_BITS = 23
"""Of the mantissa of a float32."""

STORED = "zstd 1, chunks of 256"

CODECS = {
    STORED: ("zstd", 1, ALL_BITS, 256),
    "zstd 3": ("zstd", 3, ALL_BITS, 256),
    "zstd 6": ("zstd", 6, ALL_BITS, 256),
    "blosc zstd 3, shuffle": ("shuffle", 3, ALL_BITS, 256),
    "blosc zstd 3, bitshuffle": ("bitshuffle", 3, ALL_BITS, 256),
    "zstd 1, chunks of 128": ("zstd", 1, ALL_BITS, 128),
    "zstd 1, chunks of 512": ("zstd", 1, ALL_BITS, 512),
    "16 bits, zstd 1": ("zstd", 1, 16, 256),
    "12 bits, zstd 1": ("zstd", 1, 12, 256),
    "10 bits, zstd 1": ("zstd", 1, 10, 256),
    "12 bits, blosc zstd 1, bitshuffle": ("bitshuffle", 1, 12, 256),
    "12 bits, blosc zstd 3, shuffle": ("shuffle", 3, 12, 256),
    "12 bits, blosc zstd 3, bitshuffle": ("bitshuffle", 3, 12, 256),
}
"""Codec, level, bits of the mantissa that are kept, pixels a side of a chunk."""


def codecs(folder: Path, scale: float) -> Section:
    """Ways to store the float rasters of the default detector with two annual scores."""
    scene, size = _scene(folder, scale)
    run_program("input", "score_ours.py", scene, folder / "out", "trajectory")
    level = next((folder / "out/trajectory/scores").glob("*")) / "scores.zarr/0"
    rows = tuple(run_program(name, "score_codecs.py", scene, level, *how) for name, how in CODECS.items())
    title = f"score rasters as they are stored, write and read, scene of {size} pixels a side; bits: of the mantissa, rounded"
    return Section(title, rows, STORED, "Mpx", float(rows[0].notes["mpx"]))


def _scene(folder: Path, scale: float) -> tuple[Path, int]:
    """`scale` 1 is a scene of 2048 pixels a side."""
    import terradrift as td

    size = max(256, round(2048 * scale**0.5) // 256 * 256)
    td.write_scene(folder / "scene", kind="quiet", size=size, seed=0)
    return folder / "scene", size


def measure(folder: Path, scale: float) -> Section:
    """The stage with its floor, in turn three times, and its peer."""
    (scene, size), out = _scene(folder, scale), folder / "out"
    ours, floor = [], []
    for turn in range(3):
        ours.append(run_program(OURS, "score_ours.py", scene, out / str(turn), "bitemporal"))
        floor.append(run_program("floor: the same chunks through zstd alone", "score_floor.py", scene, out / str(turn)))
        shutil.rmtree(out / str(turn))
    others = [
        run_program("terradrift, calibrated", "score_ours.py", scene, out, "trajectory"),
        run_program("xarray + dask", "score_xarray_dask.py", scene, out),
    ]
    rows: tuple[Row, ...] = (median(ours), median(floor), *others)
    return Section(NINE_YEARS.format(size=size), rows, OURS, "Mpx", float(ours[0].notes["mpx"]))
