"""What an output folder holds, read from its records alone: it answers while a run is at work and after it died."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from terradrift.errors import InputError
from terradrift.ledger import ScoreLedger


def read_status(out: Path) -> dict[str, Any]:
    """Runs and their scores: published or not, tiles by state. Raises InputError where `out` is no output folder."""
    if not any((out / name).is_dir() for name in ("scores", "runs")):
        raise InputError(f"output: found no scores or runs in {out}; expected the output folder of a run")
    latest = _json(out / "latest.json").get("run_id")
    scores = [_score_status(path) for path in sorted((out / "scores").glob("*")) if path.is_dir()]
    runs = [_run_status(path, latest) for path in sorted((out / "runs").glob("*")) if path.is_dir()]
    return {"output": str(out), "latest": latest, "scores": scores, "runs": runs}


def print_status(status: dict[str, Any], console: Console) -> None:
    """Print it as two tables."""
    table = Table("scores", "done", "empty", "failed", "tile seconds", "bytes read")
    for row in status["scores"]:
        numbers = [f"{row[name]:,}" for name in ("done", "empty", "failed")]
        table.add_row(row["score_id"], *numbers, f"{row['seconds']:,.1f}", f"{row['bytes_read']:,}")
    console.print(table)
    table = Table("run", "scores", "state", "polygons", "seconds")
    for row in status["runs"]:
        table.add_row(row["run_id"], row["score_id"] or "", row["state"], str(row["polygons"] or ""), str(row["seconds"] or ""))
    console.print(table)


def _score_status(path: Path) -> dict[str, Any]:
    ledger, states, seconds, read = ScoreLedger(str(path)), Counter[str](), 0.0, 0
    for key in ledger.store.keys("_ledger"):
        if (record := ledger.read(key)) is not None:
            states[str(record.get("state"))] += 1
            seconds += record.get("seconds", 0.0)
            read += record.get("bytes_read", 0)
    counts = {state: states[state] for state in ("done", "empty", "failed")}
    return {"score_id": path.name, **counts, "seconds": round(seconds, 1), "bytes_read": read}


def _run_status(path: Path, latest: str | None) -> dict[str, Any]:
    manifest = _json(path / "run.json")
    state = "not finished" if not manifest else "latest" if path.name == latest else "finished"
    polygons = manifest.get("counts", {}).get("polygons", {}).get("rows_out")
    seconds = round(sum(manifest.get("seconds", {}).values()), 1) if manifest else None
    return {"run_id": path.name, "score_id": manifest.get("score_id"), "state": state, "polygons": polygons, "seconds": seconds}


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
