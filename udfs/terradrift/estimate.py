"""What a run will cost: objects, requests and bytes, from the shape of its input and output."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from terradrift.memory import task_memory
from terradrift.planning import Plan
from terradrift.pyramid import pyramid_share

SAMPLED_OBJECTS = 24
"""Objects looked at to estimate stored bytes and to name the input."""


@dataclass(frozen=True)
class Estimate:
    """Cost of the score stage, and the memory of any; bounds are upper bounds."""

    input_objects: int
    """Shards (chunks where the mosaic is not sharded) that the tiles lie in."""
    input_requests: int
    """GET requests at most: every chunk, and the index of every shard once a tile."""
    input_bytes: int
    """Bytes after decompression."""
    input_bytes_stored_estimate: int
    """Bytes to transfer, from the sizes of sampled objects."""
    output_bytes: int
    """Bytes of the score rasters and their overviews before compression."""
    task_memory_bytes: int
    """Projected peak of one task of the stage that needs most."""
    task_memory_stage: str


def estimate(plan: Plan) -> Estimate:
    """Cost of a plan; looks up the sizes of a few objects, reads none."""
    layout, recipe = plan.mosaic.layout, plan.recipe
    height, width = plan.tile_shapes
    depth_chunks = _stack(plan, layout.chunk)
    depth_shards = _stack(plan, layout.shard)
    chunks = int((-(-height // layout.chunk[2]) * -(-width // layout.chunk[3])).sum()) * depth_chunks
    down, across = layout.shard[2], layout.shard[3]
    y, x = plan.rows * plan.tile_size, plan.cols * plan.tile_size
    spread_y, spread_x = (y + height - 1) // down - y // down + 1, (x + width - 1) // across - x // across + 1
    indexes = int((spread_y * spread_x).sum()) * depth_shards if layout.sharded else 0
    if plan.tile_size <= min(down, across):
        objects = len(np.unique((y // down) * (plan.grid.width + 1) + x // across)) * depth_shards
    else:
        objects = int((spread_y * spread_x).sum()) * depth_shards
    raw = chunks * layout.chunk_bytes
    pixels = int(plan.tile_pixels.sum())
    memory = task_memory(plan.mosaic, recipe, plan.tile_size, plan.window, plan.params.polygons.min_pixels)
    return Estimate(
        input_objects=objects,
        input_requests=chunks + indexes,
        input_bytes=raw,
        input_bytes_stored_estimate=int(raw * _stored_share(plan)),
        output_bytes=math.ceil(pixels * (4 * len(plan.years) * len(recipe.annual) + 11) * pyramid_share(plan.grid, plan.window)),
        task_memory_bytes=memory.bytes,
        task_memory_stage=memory.stage,
    )


def sampled_keys(plan: Plan) -> list[str]:
    """Keys of up to SAMPLED_OBJECTS objects under the tiles, evenly spread over ground and years."""
    layout = plan.mosaic.layout
    n = min(SAMPLED_OBJECTS, plan.n_tiles * len(plan.years))
    keys = set()
    for k in range(n):
        window = plan.tile_window(k * plan.n_tiles // n)
        time = plan.mosaic.years.index(plan.years[k % len(plan.years)])
        keys.add(layout.key((time // layout.shard[0], 0, window.y0 // layout.shard[2], window.x0 // layout.shard[3])))
    return sorted(keys)


def _stack(plan: Plan, extent: tuple[int, ...]) -> int:
    """Chunks or shards of one position of ground that hold the wanted years and all bands."""
    times = {plan.mosaic.years.index(year) // extent[0] for year in plan.years}
    return len(times) * math.ceil(plan.mosaic.layout.shape[1] / extent[1])


def _stored_share(plan: Plan) -> float:
    """Stored bytes of sampled objects over their bytes when full and decompressed."""
    layout = plan.mosaic.layout
    sizes = [plan.mosaic.store.size(key) or 0 for key in sampled_keys(plan)]
    # an object at the array's edge covers less ground than a whole one
    covered = math.prod(min(part, whole) for part, whole in zip(layout.shard, layout.shape, strict=True))
    return min(1.0, sum(sizes) / (covered * layout.dtype.itemsize * len(sizes))) if sizes else 0.0
