"""Polygons: the tracer and the whole polygonize stage against GDAL through rasterio and shapely."""

from __future__ import annotations

from pathlib import Path

from rows import Row, Section, run_program

TRACED = "terradrift: label, trace, statistics, WKB"
STAGE = "terradrift: tiles of {tile} pixels, statistics, seams merged, WKB"
GDAL = "rasterio.features.shapes + shapely, no statistics"


def trace(folder: Path, scale: float) -> Section:
    """`scale` 1 is a raster of 4096 pixels a side, traced in one piece."""
    size = _side(4096, scale)
    score = _input(folder, size)
    rows = (
        run_program(TRACED, "polygons_trace.py", *score),
        run_program("the same, as shapely geometries", "polygons_trace.py", *score, "shapely"),
        run_program(GDAL, "polygons_rasterio.py", *score),
    )
    return _section(f"tracer: mask of {size} pixels a side", rows)


def polygonize(folder: Path, scale: float) -> Section:
    """`scale` 1 is a raster of 8192 pixels a side."""
    size = _side(8192, scale)
    score = _input(folder, size)
    rows = (
        run_program(STAGE.format(tile=1024), "polygons_ours.py", *score, 1024),
        run_program(STAGE.format(tile=512), "polygons_ours.py", *score, 512),
        run_program(GDAL, "polygons_rasterio.py", *score),
    )
    return _section(f"polygonize stage: mask of {size} pixels a side", rows)


def _side(size: int, scale: float) -> int:
    return max(2048, round(size * scale**0.5) // 1024 * 1024)


def _input(folder: Path, size: int) -> tuple[Path, float]:
    """The score raster and its threshold, as the programs take them."""
    folder.mkdir(parents=True, exist_ok=True)
    made = run_program("input", "polygons_input.py", folder / "score.npy", size)
    return folder / "score.npy", float(made.notes["threshold"])


def _section(title: str, rows: tuple[Row, ...]) -> Section:
    return Section(title, rows, rows[0].name, "Mpx", float(rows[0].notes["mpx"]))
