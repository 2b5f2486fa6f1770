"""Small mosaics of every layout, written by zarr-python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from terradrift.kernels.quantize import quantize

STEP = 8.983111749910169e-05

ORIGIN = (-105.4, 40.1)


def unit_codes(seed: int, time: int, height: int, width: int, bands: int = 64) -> np.ndarray:
    """Codes of unit vectors that drift from year to year, some pixels and years missing: (time, band, y, x) int8."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1, bands, height, width)) + 0.15 * rng.normal(size=(time, bands, height, width))
    changed = rng.random((height // 8 + 1, width // 8 + 1)) < 0.15
    changed = np.kron(changed, np.ones((8, 8), bool))[:height, :width]
    year = rng.integers(1, time, size=(height, width))
    after = rng.normal(size=(bands, height, width))
    for t in range(time):
        x[t][:, changed & (t >= year)] = after[:, changed & (t >= year)]
    codes = quantize(x / np.linalg.norm(x, axis=1, keepdims=True))
    missing = rng.random((time, 1, height, width)) < 0.02
    missing[:, :, : height // 8, : width // 6] = True
    return np.where(missing, np.int8(-128), codes)


def write_mosaic(
    path: Path,
    values: np.ndarray,
    *,
    chunk: Sequence[int] | int = 32,
    shard: Sequence[int] | int | None = 64,
    years: Sequence[int] | None = None,
    fill_value: float = -128,
    attributes: dict[str, Any] | None = None,
    crs: str = "EPSG:4326",
    transform: Sequence[float] | None = None,
    **options: Any,
) -> Path:
    """A mosaic like the public one: no consolidated metadata; chunks of a square side `chunk` or a whole shape."""
    time, bands, _, _ = values.shape
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.attrs.update(
        {
            "proj:code": crs,
            "spatial:transform": list(transform or (STEP, 0.0, ORIGIN[0], 0.0, -STEP, ORIGIN[1])),
            "spatial:dimensions": ["y", "x"],
            "spatial:registration": "pixel",
            "geoemb:quantization": {"method": "signed_square", "original_dtype": "float32", "quantized_dtype": "int8"},
            **(attributes or {}),
        }
    )

    def shape(side: Sequence[int] | int) -> tuple[int, ...]:
        return (1, bands, side, side) if isinstance(side, int) else tuple(side)

    array = group.create_array(
        "embeddings",
        shape=values.shape,
        dtype=values.dtype,
        chunks=shape(chunk),
        shards=None if shard is None else shape(shard),
        fill_value=fill_value,
        dimension_names=("time", "band", "y", "x"),
        **options,
    )
    array[...] = values
    axis = group.create_array("time", shape=(time,), dtype="int32", chunks=(time,), dimension_names=("time",))
    axis[:] = np.asarray(years or range(2017, 2017 + time), np.int32)
    return path
