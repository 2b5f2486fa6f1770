"""The kernels alone, the whole mask as one tile: labels, outlines as WKB, statistics of every polygon; as shapely if asked."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas  # noqa: F401  (pyarrow loads it with its first array: an import, not work)
import pyarrow as pa
import shapely
from figures import report
from polygons_input import YEARS, mapped, rasters

from terradrift.kernels.label import label
from terradrift.kernels.part_statistics import part_statistics
from terradrift.kernels.trace import rings_to_wkb, trace

score, threshold, as_shapely = np.load(Path(sys.argv[1])), float(sys.argv[2]), sys.argv[3:] == ["shapely"]
mask, given = mapped(score, threshold), rasters(score)
found: dict[str, int] = {}
WHOLE = slice(None), slice(None)


def polygonize(part: tuple[slice, slice]) -> dict[str, int]:
    """Trace a part of the raster."""
    segments = label(mask[part])
    chosen = {name: raster[part] for name, raster in given.items()}
    part_statistics(segments, **chosen, years=YEARS, area_mm2=np.ones((segments.shape[0], 1), np.int64))
    rings, n = trace(segments), segments.n
    data, offsets = rings_to_wkb(rings, np.arange(n + 1))
    if as_shapely:
        buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
        shapely.from_wkb(pa.Array.from_buffers(pa.binary(), n, buffers).to_numpy(zero_copy_only=False))
    return {"polygons": n, "vertices": len(rings.xy) + len(rings.ring_offsets) - 1}


def work() -> None:
    """Trace."""
    found.update(polygonize(WHOLE))


polygonize(WHOLE)
report(work, lambda: found)
