"""Overviews in plain loops, from their definition."""

from __future__ import annotations

from collections import Counter

import numpy as np


def plain_halved(values: np.ndarray, method: str, nodata: float) -> np.ndarray:
    """(..., y, x) -> (..., ceil(y/2), ceil(x/2))"""
    height, width = values.shape[-2:]
    out = np.full((*values.shape[:-2], -(-height // 2), -(-width // 2)), nodata, values.dtype)
    for at in np.ndindex(out.shape):
        *plane, row, col = at
        block = values[(*plane, slice(2 * row, 2 * row + 2), slice(2 * col, 2 * col + 2))].ravel().tolist()
        data = [value for value in block if value == value and value != nodata]
        if not data:
            continue
        if method == "mean":
            found = sum(data) / len(data)
            out[at] = round(found) if values.dtype.kind != "f" else found
        elif method == "max":
            out[at] = max(data)
        else:
            counts = Counter(data)
            out[at] = max(value for value in counts if counts[value] == max(counts.values()))
    return out
