"""What an output folder holds, read from its records alone: it answers while a run is at work and after it died."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from terradrift.errors import DamagedError, InputError
from terradrift.lock import LOCK
from terradrift.records import ScoreLedger
from terradrift.store import Store, open_store


def read_status(out: Path | str) -> dict[str, Any]:
    """Runs and their scores: published or not, tiles by state, the lock. Raises InputError where `out` is no output."""
    store = open_store(str(out))
    found: dict[str, set[str]] = {"scores": set(), "runs": set()}
    for kind, names in found.items():
        names.update(key.split("/")[1] for key in store.keys(kind) if key.count("/") > 1)
    if not any(found.values()):
        raise InputError(f"output: found no scores or runs in {out}; expected the output folder of a run")
    latest = _json(store, "latest.json").get("run_id")
    scores = [_score_status(ScoreLedger(f"{store.url}/scores/{name}"), name) for name in sorted(found["scores"])]
    runs = [_run_status(store.at(f"runs/{name}"), name, latest) for name in sorted(found["runs"])]
    return {"output": str(out), "latest": latest, "lock": _json(store, LOCK) or None, "scores": scores, "runs": runs}


def print_status(status: dict[str, Any], console: Console) -> None:
    """Print it as two tables."""
    table = Table("scores", "done", "empty", "failed", "tile seconds", "bytes read")
    for row in status["scores"]:
        numbers = [f"{row[name]:,}" for name in ("done", "empty", "failed")]
        table.add_row(row["score_id"], *numbers, f"{row['seconds']:,.1f}", f"{row['bytes_read']:,}")
    console.print(table)
    if (lock := status["lock"]) is not None:
        alive = max(0, round(time.time() - float(lock.get("heartbeat") or 0)))
        console.print(f"at work: process {lock.get('pid')} on {lock.get('host')}, last sign of life {alive} s ago", markup=False)
    table = Table("run", "scores", "state", "polygons", "seconds")
    for row in status["runs"]:
        table.add_row(row["run_id"], row["score_id"] or "", row["state"], str(row["polygons"] or ""), str(row["seconds"] or ""))
    console.print(table)


def _score_status(ledger: ScoreLedger, name: str) -> dict[str, Any]:
    states, seconds, read = Counter[str](), 0.0, 0
    for _, record in ledger.records():
        if record is not None and "tile_id" in record:
            states[str(record.get("state"))] += 1
            seconds += record.get("seconds", 0.0)
            read += record.get("bytes_read", 0)
    counts = {state: states[state] for state in ("done", "empty", "failed")}
    return {"score_id": name, **counts, "seconds": round(seconds, 1), "bytes_read": read}


def _run_status(store: Store, name: str, latest: str | None) -> dict[str, Any]:
    manifest = _json(store, "run.json")
    state = "not finished" if not manifest else "latest" if name == latest else "finished"
    polygons = manifest.get("counts", {}).get("polygons", {}).get("rows_out")
    seconds = round(sum(manifest.get("seconds", {}).values()), 1) if manifest else None
    return {"run_id": name, "score_id": manifest.get("score_id"), "state": state, "polygons": polygons, "seconds": seconds}


def _json(store: Store, key: str) -> dict[str, Any]:
    try:
        document = json.loads(store.get(key) or b"")
    except (ValueError, DamagedError):
        return {}
    return document if isinstance(document, dict) else {}
