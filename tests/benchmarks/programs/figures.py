"""CPU, wall clock and memory of a piece of work, printed for run.py."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def report(work: Callable[[], object], notes: Callable[[], Mapping[str, float]] = dict) -> None:
    """Run `work` and print what it took, and what `notes` tells of the result."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    figures = {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **notes(),
    }
    print(json.dumps(figures))


CHUNK = 256


def ground(scene: Path) -> tuple[slice, slice]:
    """Rows and columns of the whole chunks that the scene lies in; the rest of the array holds nothing."""
    import zarr

    kind = zarr.open_group(scene / "mosaic.zarr", mode="r")["embeddings"][-1, 0]
    rows, cols = (kind != -128).any(axis=1).nonzero()[0], (kind != -128).any(axis=0).nonzero()[0]
    return tuple(slice(int(axis[0]) // CHUNK * CHUNK, (int(axis[-1]) // CHUNK + 1) * CHUNK) for axis in (rows, cols))


def megapixels(scene: Path) -> float:
    """Millions of pixels of those chunks."""
    rows, cols = ground(scene)
    return (rows.stop - rows.start) * (cols.stop - cols.start) / 1e6
