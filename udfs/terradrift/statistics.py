"""What a raster's values are like, from whole counts of tiles: the same for every tiling and order.

Scores are counted in the bins of `kernels.histogram` (a share of a hundredth of the value wide), classes by value; minimum and
maximum are exact, percentiles are those of the bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from terradrift.kernels.histogram import BITS, bin_of_rank, quantile_rank, value_counts, value_of

COUNT_SCHEMA = pa.schema(
    [
        ("array", pa.string()),
        ("plane", pa.int64()),
        ("bin", pa.int64()),
        ("count", pa.int64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)

PERCENTILES = (0.5, 2, 25, 50, 75, 98, 99.5)

BINS = 64


def count_plane(name: str, plane: int, values: npt.NDArray[Any], nodata: float) -> pa.RecordBatch:
    """Counts of one part of a plane (y, x), COUNT_SCHEMA; no data and what is not finite are left out."""
    bins, counts, low, high = value_counts(values, nodata)
    n = len(bins)
    columns = ([name] * n, [plane] * n, bins, counts, [low] * n, [high] * n)
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, COUNT_SCHEMA, strict=True)], schema=COUNT_SCHEMA
    )


CLASSES = ("change_year", "change_kind", "stratum")
"""Arrays of classes: counted by value."""


def describe_counts(counts: pa.Table, years: Sequence[int], bands: Sequence[str]) -> dict[str, Any]:
    """Statistics by array from summed counts (COUNT_SCHEMA): of `scores` by band and year, of classes the count of each value."""
    found: dict[str, Any] = {}
    for name in sorted(set(counts["array"].to_pylist())):
        of_array = counts.filter(pc.equal(counts["array"], name))
        if name in CLASSES:
            rows = of_array.sort_by("bin")
            found[name] = {"counts": dict(zip(map(str, rows["bin"].to_pylist()), rows["count"].to_pylist(), strict=True))}
        elif name == "scores":
            by_band: dict[str, Any] = {band: {} for band in bands}
            for plane in sorted(set(of_array["plane"].to_pylist())):
                year, band = divmod(plane, len(bands))
                by_band[bands[band]][str(years[year])] = _describe(of_array.filter(pc.equal(of_array["plane"], plane)))
            found[name] = by_band
        else:
            found[name] = _describe(of_array)
    return found


def _describe(counts: pa.Table) -> dict[str, Any]:
    """Of one plane: count, min, max, percentiles, and a histogram whose end bins hold what lies beyond."""
    table = counts.sort_by("bin")
    bins, numbers = table["bin"].to_numpy(), table["count"].to_numpy()
    total, low, high = int(numbers.sum()), float(table["low"].to_numpy().min()), float(table["high"].to_numpy().max())
    values = np.clip([value_of(int(bin_) << BITS | 1 << (BITS - 1)) for bin_ in bins], low, high)
    ranks = [quantile_rank(percent / 100, total) for percent in PERCENTILES]
    percentiles = [float(values[np.searchsorted(bins, bin_of_rank(bins, numbers, rank)[0])]) for rank in ranks]
    first, last = percentiles[0], percentiles[-1]
    edges = np.linspace(first, last if last > first else first + 1.0, BINS + 1)
    where = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, BINS - 1)
    histogram_ = np.bincount(where, numbers, BINS).astype(np.int64)
    return {
        "count": total,
        "min": low,
        "max": high,
        "percentiles": {f"{percent:g}": value for percent, value in zip(PERCENTILES, percentiles, strict=True)},
        "histogram": {"edges": edges.tolist(), "counts": histogram_.tolist()},
    }
