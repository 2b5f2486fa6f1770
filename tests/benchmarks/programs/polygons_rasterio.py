"""Polygons of the whole mask with GDAL through rasterio, as shapely geometries. No statistics, one thread."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio.features
import shapely.geometry
from figures import report
from polygons_input import mapped

score, threshold = np.load(Path(sys.argv[1])), float(sys.argv[2])
mask = mapped(score, threshold)
found: list[shapely.Polygon] = []


def polygons(part: np.ndarray) -> Iterator[shapely.Polygon]:
    """One polygon a 4-connected region."""
    shapes = rasterio.features.shapes(part.view(np.uint8), mask=part, connectivity=4)
    return (shapely.geometry.shape(shape) for shape, _ in shapes)


def work() -> None:
    """Trace and convert."""
    found.extend(polygons(mask))


def notes() -> dict[str, float]:
    """What came out."""
    return {"polygons": len(found), "vertices": int(shapely.get_num_coordinates(found).sum())}


list(polygons(mask[:4096, :4096]))
report(work, notes)
