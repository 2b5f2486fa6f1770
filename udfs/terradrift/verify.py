"""Whether an output is what was written: every object read again and hashed, some tiles scored again."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from terradrift.errors import DamagedError, InputError, StoreError
from terradrift.ledger import POINTER, RecordsDigest, RunFolder, code_version, is_published, latest_run
from terradrift.params import params_from
from terradrift.planning import plan_run
from terradrift.records import Ledger, record_key
from terradrift.run import open_run, run_folder
from terradrift.score_tile import ScoreRasters, score_tile
from terradrift.sealed import ABSENT, Objects, Written, unseal, written
from terradrift.store import Store, open_store
from terradrift.strata_sample import read_strata

READ_WHOLE = ("scores.zarr", "decoys.zarr", "change.zarr", "tables", "tiles", "maps")
"""Folders whose readers take all that is there: an object nobody recorded is a fault there."""


@dataclass
class Verification:
    """What was looked at, and what is wrong."""

    runs: int = 0
    objects: int = 0
    bytes: int = 0
    recomputed: int = 0
    differences: list[str] = field(default_factory=list)
    """`key: found …, expected …`, keys from the output's root."""


def verify(out: str, recompute: int = 0, seed: int = 0) -> Verification:
    """Hash every object of all published runs and their scores, and score `recompute` random tiles of the latest run again.

    Raises InputError where nothing is published, StoreError where the store or the mosaic cannot be read.
    """
    store, found = open_store(str(out)), Verification()
    latest = latest_run(out)
    found.objects += 1
    if (pointer := store.get(POINTER)) != latest.pointer():
        found.differences.append(f"{POINTER}: found {pointer!r}; expected {latest.pointer()!r}")
    scores: set[str] = set()
    for run_id in published_runs(store):
        found.runs += 1
        if (score_id := _verify_run(store, run_id, found)) is not None:
            scores.add(score_id)
    for score_id in sorted(scores | {latest.score_id}):
        _verify_scores(store, score_id, found)
    if recompute:
        _recompute(latest, recompute, seed, found)
    return found


def verify_and_tell(out: str, recompute: int, as_json: bool, say: Callable[[str], None]) -> None:
    """Verify and say what was looked at and what differs. Raises StoreError where anything does."""
    found = verify(out, recompute)
    if as_json:
        say(json.dumps(asdict(found), indent=1))
    else:
        for line in found.differences:
            say(line)
        again = f", {found.recomputed} tiles scored again" if found.recomputed else ""
        say(f"{out}: {found.runs} runs, {found.objects:,} objects, {found.bytes:,} bytes{again}")
    if found.differences:
        raise StoreError(f"{out}: {len(found.differences)} differences: what is there is not what was written; run with --fresh")


def published_runs(store: Store) -> list[str]:
    """Ids of the runs with a run.json."""
    return sorted(key.split("/")[1] for key in store.keys("runs") if key.count("/") == 2 and key.endswith("/run.json"))


def _verify_run(store: Store, run_id: str, found: Verification) -> str | None:
    """Check a run; gives the id of its scores."""
    ledger, at = Ledger(f"{store.url}/runs/{run_id}"), f"runs/{run_id}"
    document = _sealed(ledger.store, "run.json", at, found)
    if document is None:
        return None
    if document.get("run_id") != run_id:
        found.differences.append(f"{at}/run.json: found the file of run {document.get('run_id')}; expected that of {run_id}")
    files = {key: (None, sha256) for key, sha256 in document.get("files", {}).items()}
    _compare(ledger, at, files, document.get("records"), found)
    return str(document.get("score_id"))


def _verify_scores(store: Store, score_id: str, found: Verification) -> None:
    ledger, at = Ledger(f"{store.url}/scores/{score_id}"), f"scores/{score_id}"
    document = _sealed(ledger.store, "manifest.json", at, found)
    if document is None:
        return
    if document.get("score_id") != score_id:
        found.differences.append(f"{at}/manifest.json: found that of scores {document.get('score_id')}; expected {score_id}")
    files = {key: (value["bytes"], value["sha256"]) for key, value in document.get("files", {}).items()}
    _compare(ledger, at, files, document.get("records"), found)


def _compare(ledger: Ledger, at: str, files: Mapping[str, tuple[int | None, str]], records: Any, found: Verification) -> None:
    """Files of a document and objects of records against what is there."""
    sizes = dict(ledger.store.entries(""))
    expected: dict[str, tuple[int | None, str] | str] = dict(files)
    sound = RecordsDigest()
    for name, record in ledger.records():
        if record is None:
            found.differences.append(f"{at}/{record_key(name)}: found a record that was cut or altered; expected its seal")
            continue
        sound.add(name, record)
        for key, value in record["objects"].items():
            if is_published(key):
                expected.setdefault(key, (value.bytes, value.sha256) if isinstance(value, Written) else value)
    if records is not None and sound.told() != records:
        found.differences.append(f"{at}: found {sound.count} sound records; expected the {records['count']} of the manifest")
    for key in sizes:
        if key not in expected and key.split("/")[0] in READ_WHOLE and is_published(key):
            found.differences.append(f"{at}/{key}: found an object that no record names; expected none")
    _hash(ledger.store, at, expected, sizes, found)


def _hash(
    store: Store, at: str, expected: Mapping[str, tuple[int | None, str] | str], sizes: Mapping[str, int], found: Verification
) -> None:
    def look(key: str) -> tuple[str, int, str | None]:
        want = expected[key]
        if isinstance(want, str):
            return key, 0, f"found {sizes[key]} bytes; expected no object" if want == ABSENT and key in sizes else None
        try:
            data = store.get(key)
        except DamagedError:
            return key, 0, "found an empty object; expected data"
        if data is None:
            return key, 0, "found nothing; expected the object"
        have = written(data)
        if want[0] not in (None, have.bytes):
            return key, have.bytes, f"found {have.bytes} bytes; expected {want[0]}"
        return key, have.bytes, None if have.sha256 == want[1] else f"found sha256 {have.sha256}; expected {want[1]}"

    for key, size, fault in store.each(look, sorted(expected)):
        found.objects += 1
        found.bytes += size
        if fault is not None:
            found.differences.append(f"{at}/{key}: {fault}")


def _sealed(store: Store, key: str, at: str, found: Verification) -> dict[str, Any] | None:
    found.objects += 1
    try:
        data = store.get(key)
    except DamagedError:
        data = b""
    found.bytes += len(data or b"")
    document = unseal(data)
    if document is None:
        what = "nothing" if data is None else "a document that was cut or altered"
        found.differences.append(f"{at}/{key}: found {what}; expected its seal")
    return document


def _recompute(run: RunFolder, count: int, seed: int, found: Verification) -> None:
    """Score tiles of a run again, beside, and compare the bytes."""
    document = unseal(run.records.store.get("run.json"))
    if document is None:
        return
    if document["versions"]["terradrift"] != code_version():
        made = document["versions"]["terradrift"]
        raise InputError(f"--recompute: found scores of terradrift {made}; expected those of this one, {code_version()}")
    plan = plan_run(params_from({**document["run_file"], "output": run.root}))
    if run_folder(plan).score_id != run.score_id:
        raise StoreError(
            f"{plan.mosaic.url.split('?')[0]}: found another mosaic than was scored; expected the same; nothing compared"
        )
    records = [record for _, record in run.ledger.records() if record is not None and record.get("state") in ("done", "empty")]
    chosen = random.Random(seed).sample(records, min(count, len(records)))  # noqa: S311  (a sample, no secret)
    strata = read_strata(run.ledger.store)
    with tempfile.TemporaryDirectory(prefix="terradrift-verify-") as folder:
        again = open_run(replace(plan, params=plan.params.model_copy(update={"output": folder})))
        rasters = ScoreRasters(again.scores, again.decoys if plan.recipe.lattice else None)
        for record in chosen:
            tile = again.scores.tile(record["row"], record["col"])
            made_now = score_tile(
                tile, plan.mosaic, plan.zones, plan.recipe, rasters, again.folder.ledger, strata, plan.strata_map
            )
            found.recomputed += 1
            for key in _differing(record["objects"], made_now.objects):
                found.differences.append(f"scores/{run.score_id}/{key}: found other values than scoring {tile.id} again gives")


def _differing(one: Objects, other: Objects) -> list[str]:
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
