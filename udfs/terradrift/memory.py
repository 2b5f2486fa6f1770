"""The memory of one task, projected before anything runs: of the stages whose arrays the plan knows."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np

from terradrift.errors import InputError
from terradrift.grid import Window
from terradrift.kernels.score_block import PIXELS, Recipe
from terradrift.kernels.templates import DECOYS
from terradrift.mosaic import Mosaic, rows_ahead
from terradrift.pyramid import BLOCK, SPAN
from terradrift.score_store import CHANGED, Q, score_arrays

MIB = 1 << 20

TASK_MEMORY_VARIABLE = "TERRADRIFT_TASK_MEMORY"
"""Memory allowed to one task in MiB; the same variable on a laptop and under spark-submit."""

DEFAULT_TASK_MEMORY_MIB = 4096

RESERVED_MIB = 420
"""A worker with its imports that compiles the kernels: 255 MiB, 65 more with what it runs, 80 more for compiling."""


LABELLED_BYTES, POLYGON_BYTES = 130, 500
"""Of a pixel that may be mapped, and of a polygon's share in each of its pixels: measured on noise and on a checkerboard."""


@dataclass(frozen=True)
class TaskMemory:
    """What the tasks of the stage that needs most may take."""

    stage: str
    bytes: int


def task_memory(mosaic: Mosaic, recipe: Recipe, tile_size: int, window: Window, min_pixels: int) -> TaskMemory:
    """Projected peak of one task of the stage that needs most, in bytes; `window` is the raster."""
    stages = {
        "score_tiles": score_memory(mosaic, recipe, tile_size),
        "polygonize_changes": polygonize_memory(tile_size, min_pixels),
        "build_overviews": overviews_memory(recipe, window, tile_size),
    }
    stage = max(stages, key=stages.__getitem__)
    return TaskMemory(stage, stages[stage])


def polygonize_memory(tile_size: int, min_pixels: int) -> int:
    """Projected peak of one task of polygonize_changes in bytes.

    A worker, the scores and the decision of a tile with what labels and outlines need, and as many polygons as there can be.
    """
    return RESERVED_MIB * MIB + tile_size * tile_size * (LABELLED_BYTES + POLYGON_BYTES // min_pixels)


def overviews_memory(recipe: Recipe, window: Window, tile_size: int) -> int:
    """Projected peak of one task of build_overviews in bytes.

    A worker, a plane of a block, the chunks of a tile in it as they are stored, and the
    shards of all levels of a pass, as values and encoded: of the array with most planes, and of one with a single plane.
    """
    height, width = min(BLOCK, window.height), min(BLOCK, window.width)
    depth = {"time": len(recipe.years), "band": len(recipe.annual)}
    planes = [
        math.prod(depth[dim] for dim in array.dims[:-2]) * np.dtype(array.dtype).itemsize
        for array in (*score_arrays(recipe), CHANGED, Q)
    ]
    coarser = sum(-(-height // 2**k) * -(-width // 2**k) for k in range(1, SPAN + 1))
    chunks = min(height, tile_size) * min(width, tile_size) * 4
    shards = 2 * coarser * (max(planes) + 4)
    return RESERVED_MIB * MIB + height * width * 4 + chunks + shards


def score_memory(mosaic: Mosaic, recipe: Recipe, tile_size: int) -> int:
    """Projected peak of one task of score_tiles in bytes.

    A worker, the chunk rows in use and on their way as they are stored (at most their decompressed size), two blocks (one
    in use, the next being decompressed) and what their scores need, the tile's zones (int32) and mask, its rasters, and the
    largest of them encoded twice (parts and whole).
    """
    layout = mosaic.layout
    years, bands, size = len(recipe.years), layout.shape[1], layout.dtype.itemsize
    height, width = mosaic.chunk_shape
    row = years * bands * height * min(tile_size, mosaic.grid.width) * size
    rows = 1 + rows_ahead(mosaic.store.local_path is not None)
    block = years * bands * height * width * size
    in_use = block if mosaic.quantization == "signed_square" else 2 * years * bands * height * width * max(4, size)
    partial = layout.chunk_bytes if layout.chunk[0] > 1 or layout.chunk[1] < bands else 0
    annual = 4 * years * len(recipe.annual)
    pixel = annual + 11 + (1 + -(-DECOYS * 9 // recipe.lattice**2) if recipe.lattice else 0)
    block_output = height * width * pixel
    series = PIXELS * (bands * years * size + 4 * years * years * 8 * 2)
    zones = tile_size * tile_size * 5
    rasters = tile_size * tile_size * pixel
    encoded = 2 * tile_size * tile_size * max(annual, 4)
    return RESERVED_MIB * MIB + rows * row + block + in_use + partial + block_output + series + zones + rasters + encoded


def allowed_task_memory() -> int:
    """Bytes one task may use."""
    text = os.environ.get(TASK_MEMORY_VARIABLE, str(DEFAULT_TASK_MEMORY_MIB))
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 1 << 24:
        raise InputError(
            f"{TASK_MEMORY_VARIABLE}: found {text!r}; expected a whole number of MiB, like {DEFAULT_TASK_MEMORY_MIB}"
        )
    return int(text) * MIB
