"""Removing what no finished run needs: other runs and scores, what runs leave behind on their way, objects half written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from terradrift.ledger import latest_run
from terradrift.lock import locked
from terradrift.records import OTHER_RECORDS, TILE_RECORDS
from terradrift.sealed import unseal
from terradrift.store import Store, open_store
from terradrift.verify import published_runs


@dataclass
class Removed:
    """What was removed, or would be."""

    items: list[tuple[str, int, int]] = field(default_factory=list)
    """Prefix, objects, bytes."""

    @property
    def bytes(self) -> int:
        return sum(size for _, _, size in self.items)


def clean(out: str, keep: int = 1, dry_run: bool = False) -> Removed:
    """Remove all runs but the latest and the `keep` - 1 published before it, and scores that these do not need.

    Raises InputError where nothing is published: an interrupted run is resumed, not cleaned; LockedError while a run is at work.
    """
    store, removed = open_store(str(out)), Removed()
    latest = latest_run(out)
    with locked(store):
        runs = {latest.run_id: latest.score_id} | _newest(store, latest.run_id, keep - 1)
        for kind, needed in (("runs", set(runs)), ("scores", set(runs.values()))):
            for name in _names(store, kind):
                prefix = f"{kind}/{name}"
                _remove(store, f"{prefix}/_work" if name in needed else prefix, removed, dry_run)
        for key, size in store.leftovers():
            removed.items.append((key, 1, size))
        if not dry_run:
            store.sweep()
    return removed


def clean_and_tell(out: str, keep: int, dry_run: bool, say: Callable[[str], None]) -> None:
    """Clean and say what was removed, or would be."""
    removed = clean(out, keep, dry_run)
    for prefix, objects, size in removed.items:
        say(f"{prefix}: {objects:,} objects, {size:,} bytes")
    say(f"{out}: {removed.bytes:,} bytes {'would be ' if dry_run else ''}removed")


def _names(store: Store, kind: str) -> list[str]:
    return sorted({key.split("/")[1] for key in store.keys(kind)})


def _newest(store: Store, latest: str, count: int) -> dict[str, str]:
    """The runs published last besides the latest, with their scores."""
    found = []
    for run_id in published_runs(store):
        document = unseal(store.get(f"runs/{run_id}/run.json"))
        if document is not None and run_id != latest:
            found.append((str(document.get("finished") or ""), run_id, str(document["score_id"])))
    return {run_id: score_id for _, run_id, score_id in sorted(found, reverse=True)[: max(0, count)]}


def _remove(store: Store, prefix: str, removed: Removed, dry_run: bool) -> None:
    """What says that the rest is whole goes first."""
    found = list(store.entries(prefix))
    if not found:
        return
    removed.items.append((prefix, len(found), sum(size for _, size in found)))
    if dry_run:
        return
    for document in ("run.json", "manifest.json"):
        store.delete(f"{prefix}/{document}")
    for records in (TILE_RECORDS, OTHER_RECORDS):
        store.clear(f"{prefix}/{records}")
    store.clear(prefix)
