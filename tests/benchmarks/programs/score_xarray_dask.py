"""The same two annual scores with xarray and dask: aligned to chunks, float32, one task a chunk of ground, written to Zarr."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import dask
import numpy as np
import xarray as xr
from figures import ground, megapixels, report

warnings.simplefilter("ignore")
scene, out = Path(sys.argv[1]), Path(sys.argv[2])
CHUNK = 256
LUT = (np.sign(np.arange(-128, 128)) * (np.arange(-128, 128) / 127.5) ** 2).astype(np.float32)
LUT[0] = np.nan


def robust_z(score: np.ndarray) -> np.ndarray:
    """(year, y, x) -> the same; median and MAD over the years."""
    median = np.nanmedian(score, axis=0)
    mad = np.nanmedian(np.abs(score - median), axis=0)
    return (score - median) / np.maximum(1.4826 * mad, 0.004)


def scores(codes: np.ndarray) -> np.ndarray:
    """(year, band, y, x) int8 -> (year, score, y, x) float32."""
    x = LUT[codes.astype(np.int16) + 128]
    x /= np.sqrt(np.einsum("tbyx,tbyx->tyx", x, x))[:, None]
    distance = 1 - np.einsum("tbyx,ubyx->tuyx", x, x, optimize=True)
    years = np.arange(len(x))
    step = np.full((len(x), *x.shape[2:]), np.nan, np.float32)
    step[1:] = distance[years[:-1], years[1:]]
    cost = np.nansum(distance, axis=1)[None] - np.nan_to_num(distance)
    cost[years, years] = np.inf
    cost[:, np.isnan(distance[years, years])] = np.inf
    loo = np.take_along_axis(distance, cost.argmin(axis=1)[:, None], axis=1)[:, 0]
    return np.stack([robust_z(step), robust_z(loo)], axis=1).astype(np.float32)


mpx = megapixels(scene)


def work() -> None:
    """Read, score, write."""
    data = xr.open_zarr(scene / "mosaic.zarr", consolidated=False, mask_and_scale=False, chunks=None)["embeddings"]
    data = data[:, :, *ground(scene)].chunk({"time": -1, "band": -1, "y": CHUNK, "x": CHUNK})
    result = data.data.map_blocks(scores, dtype=np.float32, chunks=(data.chunks[0], (2,), *data.chunks[2:]))
    array = xr.DataArray(result, dims=("time", "score", "y", "x"), name="scores").to_dataset()
    encoding = {"scores": {"chunks": (1, 1, CHUNK, CHUNK)}}
    with dask.config.set(scheduler="single-threaded"):
        array.to_zarr(out / "xarray_dask.zarr", zarr_format=3, consolidated=False, encoding=encoding, mode="w")


report(work, lambda: {"mpx": mpx})
