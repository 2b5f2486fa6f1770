"""Polygons: the tracer and the polygonize stage against GDAL through rasterio and shapely, the SQL against geopandas."""

from __future__ import annotations

from pathlib import Path

from rows import Section, run_program

TRACED = "terradrift: label, trace, statistics, WKB"
STAGE = "terradrift: tiles of {tile} pixels, statistics, seams merged, WKB"
SQL = "terradrift: Spark SQL with Sedona to three tables, one core"
GEOPANDAS = "geopandas: make_valid, simplify, to_crs, set_precision, one table"
PERCOLATING = -0.2
"""Threshold of the score above which most mapped pixels hang together."""
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
    return Section(f"tracer: mask of {size} pixels a side", rows, rows[0].name, "Mpx", size**2 / 1e6)


def polygonize(folder: Path, scale: float) -> Section:
    """`scale` 1 is a raster of 8192 pixels a side."""
    size = _side(8192, scale)
    score = _input(folder, size)
    rows = (
        run_program(STAGE.format(tile=1024), "polygons_ours.py", *score, 1024),
        run_program(STAGE.format(tile=512), "polygons_ours.py", *score, 512),
        run_program(GDAL, "polygons_rasterio.py", *score),
    )
    return Section(f"polygonize stage: mask of {size} pixels a side", rows, rows[0].name, "Mpx", size**2 / 1e6)


def refine(folder: Path, scale: float) -> Section:
    """`scale` 1 is the polygons of 4096 pixels a side."""
    return _refined(folder, _side(4096, scale), None, "refine stage")


def giants(folder: Path, scale: float) -> Section:
    """The same with a threshold at which one polygon reaches from side to side."""
    return _refined(folder, _side(4096, scale), PERCOLATING, "refine stage where a giant comes in pieces")


def _refined(folder: Path, size: int, threshold: float | None, title: str) -> Section:
    score, found = _input(folder, size)
    merged = folder / "merged"
    made = run_program("input", "polygons_ours.py", score, found if threshold is None else threshold, 1024, merged)
    rows = (
        run_program(SQL, "polygons_sql.py", merged, folder / "sql"),
        run_program(GEOPANDAS, "polygons_geopandas.py", merged, folder / "geopandas"),
    )
    title = f"{title}: {made.notes['polygons']:,} polygons of a mask of {size} pixels a side"
    return Section(title, rows, SQL, "thousand polygons", float(made.notes["polygons"]) / 1000)


def _side(size: int, scale: float) -> int:
    return max(2048, round(size * scale**0.5) // 1024 * 1024)


def _input(folder: Path, size: int) -> tuple[Path, float]:
    """The score raster and its threshold, as the programs take them."""
    folder.mkdir(parents=True, exist_ok=True)
    made = run_program("input", "polygons_input.py", folder / "score.npy", size)
    return folder / "score.npy", float(made.notes["threshold"])
