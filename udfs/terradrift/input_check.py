"""Whether the mosaic stays what it was while it is read: its objects are looked up before and after."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from terradrift.errors import StoreError
from terradrift.planning import Plan
from terradrift.records import Ledger
from terradrift.store import Version

MOST_OBJECTS = 4096
"""Objects looked up at most, evenly spread over the tiles: of a continent's, a sample."""

RECORD = "input"


@contextmanager
def unchanged_input(plan: Plan, ledger: Ledger, is_first: bool) -> Iterator[None]:
    """Raise StoreError where the mosaic differs before or after from what it was when these scores were begun.

    is_first: nothing of them is there yet, so that what there is now counts.
    """
    now = look_up(plan)
    known = None if is_first else ledger.read(RECORD)
    if known is None:
        ledger.write(RECORD, {}, url=plan.mosaic.url, versions=now)
    else:
        _compare(plan, known["versions"], now, same_place=known["url"] == plan.mosaic.url)
    yield
    _compare(plan, now, look_up(plan), same_place=True)


def look_up(plan: Plan) -> dict[str, list[int | str] | None]:
    """Size and tag of the metadata and of the objects under the tiles; None for one that is not there."""
    store, keys = plan.mosaic.store, input_keys(plan)
    return {key: _listed(version) for key, version in zip(keys, store.each(store.version, keys), strict=True)}


def input_keys(plan: Plan, most: int = MOST_OBJECTS) -> list[str]:
    """Keys of the metadata and of the objects that the tiles are read from, `most` objects at most."""
    layout = plan.mosaic.layout
    down, across = layout.shard[2:]
    times = sorted({plan.mosaic.years.index(year) // layout.shard[0] for year in plan.years})
    depth = [(time, band) for time in times for band in range(math.ceil(layout.shape[1] / layout.shard[1]))]
    places: set[tuple[int, int]] = set()
    for k in np.unique(np.linspace(0, plan.n_tiles - 1, min(plan.n_tiles, most)).astype(int)).tolist():
        tile = plan.tile_window(k)
        rows, cols = range(tile.y0 // down, (tile.y1 - 1) // down + 1), range(tile.x0 // across, (tile.x1 - 1) // across + 1)
        places.update((row, col) for row in rows for col in cols)
    keys = sorted(layout.key((*at, *place)) for at in depth for place in places)
    chosen = np.unique(np.linspace(0, len(keys) - 1, min(len(keys), most)).astype(int)).tolist()
    return ["zarr.json", f"{layout.path}/zarr.json", *(keys[k] for k in chosen)]


def _listed(version: Version | None) -> list[int | str] | None:
    return None if version is None else [version.size, version.tag]


def _compare(
    plan: Plan, before: dict[str, list[int | str] | None], now: dict[str, list[int | str] | None], same_place: bool
) -> None:
    for key in before.keys() & now.keys():
        old, new = before[key], now[key]
        if old != new and (same_place or old is None or new is None or old[0] != new[0]):
            where = f"{plan.mosaic.url.split('?')[0]}/{key}"
            raise StoreError(
                f"{where}: found {_said(new)}; expected {_said(old)}, as when these scores were begun: the mosaic changes under "
                "the run; run again with --fresh when it is complete"
            )


def _said(version: list[int | str] | None) -> str:
    return "no object" if version is None else f"{version[0]} bytes of version {version[1]}"
