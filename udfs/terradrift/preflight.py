"""What is refused on the driver after the run file is sound and before Spark starts: an output without room.

That it can be written, with these credentials, is known by then: its lock was.
"""

from __future__ import annotations

import shutil

from terradrift.cost import DEFAULT_UNITS, GIB
from terradrift.errors import StoreError
from terradrift.estimate import estimate
from terradrift.run import Run


def check_room(run: Run) -> None:
    """Raise StoreError where the disk of a folder has less room than the tiles not scored yet are projected to take."""
    path = run.folder.store.local_path
    if path is None:
        return
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    share = len(run.unfinished()) / run.plan.n_tiles * DEFAULT_UNITS.output_share
    needed, free = int(estimate(run.plan).output_bytes * share), shutil.disk_usage(there).free
    if needed > free:
        raise StoreError(
            f"output: found {free / GIB:.1f} GiB free at {there}; expected about {needed / GIB:.1f} GiB for the scores; "
            "free space or name another output"
        )
