"""One way to store score rasters: CPU to write and to read them, and the bytes of a pixel. Chunks alone, no files."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numcodecs.blosc
import numcodecs.zstd
import numpy as np
import zarr
from figures import megapixels, report

scene, level = Path(sys.argv[1]), sys.argv[2]
codec, strength, kept_bits, side = sys.argv[3], *map(int, sys.argv[4:7])
MANTISSA_BITS = 23
SHUFFLES = {"shuffle": numcodecs.blosc.SHUFFLE, "bitshuffle": numcodecs.blosc.BITSHUFFLE}


def rounded(values: np.ndarray) -> np.ndarray:
    """Float32 to the nearest with so many bits of mantissa, ties to even, as the codec bitround does."""
    lost = MANTISSA_BITS - kept_bits
    bits = values.view(np.uint32)
    half = np.uint32((1 << (lost - 1)) - 1)
    return (bits + half + ((bits >> np.uint32(lost)) & np.uint32(1)) & ~np.uint32((1 << lost) - 1)).view(np.float32)


def encode(chunk: np.ndarray) -> bytes:
    values = rounded(chunk) if kept_bits < MANTISSA_BITS else chunk
    if codec == "zstd":
        return numcodecs.zstd.compress(values, strength, True)
    return numcodecs.blosc.compress(values, b"zstd", strength, SHUFFLES[codec])


decode = numcodecs.zstd.decompress if codec == "zstd" else numcodecs.blosc.decompress
arrays = zarr.open_group(level, mode="r")
chunks = {}
for name in ("scores", "change_score", "change_effect"):
    values = arrays[name][:]
    planes = values.reshape(-1, *values.shape[-2:])
    tiles = [
        np.ascontiguousarray(plane[a : a + side, b : b + side])
        for plane in planes
        for a in range(0, planes.shape[1], side)
        for b in range(0, planes.shape[2], side)
    ]
    chunks[name] = [tile for tile in tiles if tile.shape == (side, side) and np.isfinite(tile).any()]
mpx, target, sizes, read = megapixels(scene), np.empty((side, side), np.float32), {}, [0.0]


def work() -> None:
    """Write and read all chunks."""
    for name, tiles in chunks.items():
        stored = [encode(tile) for tile in tiles]
        sizes[f"{name}: stored share"] = sum(map(len, stored)) / sum(tile.nbytes for tile in tiles)
        started = time.process_time()
        for data in stored:
            decode(data, target)
        read[0] += time.process_time() - started


report(work, lambda: {"mpx": mpx, "of it read, CPU s": read[0], **sizes})
