"""R1: whatever storage operation of a job fails, and however, running it again ends with the very same results."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from faulty_store import MODES, Buckets, Crash, Fault

from mosaics import unit_codes, write_mosaic
from plain_job import STAGES, run_plain, summary
from terradrift import lock
from terradrift.errors import StoreError
from terradrift.params import params_from
from terradrift.planning import Plan, plan_run
from terradrift.raster_template import Template
from terradrift.spark import detect_changes as driver
from terradrift.store import folder as folders
from terradrift.store import open_store
from terradrift.store import store as stores
from terradrift.verify import verify

QUICK = 12
"""Cases of the quick set; the whole set has every operation in every mode."""

SEED = 20


@dataclass
class Setting:
    """A small job, what its clean run leaves, and how often a case was tried."""

    plan: Plan
    buckets: Buckets
    clean: dict[str, bytes]
    operations: list[str]
    attempts: list[int]

    def attempt(self, name: str, fault: Fault) -> BaseException | None:
        """Run the job as a new process would; gives what ended it."""
        self.attempts[0] += 1
        self.buckets.fault = fault
        try:
            run_plain(self.plan, f"{Buckets.SCHEME}{name}")
        except (Crash, StoreError) as ending:
            return ending
        finally:
            self.buckets.fault = Fault()
        return None


def once(objects: Callable[[Template], dict[str, bytes]]) -> Callable[[Template], dict[str, bytes]]:
    """Metadata of equal templates are equal: a third of what a case would take."""
    known: dict[str, dict[str, bytes]] = {}

    def found(template: Template) -> dict[str, bytes]:
        key = repr(template)
        if key not in known:
            known[key] = objects(template)
        return dict(known[key])

    return found


def results(buckets: Buckets, name: str) -> dict[str, bytes]:
    """What a reader of the output sees, but times: rasters, tables and maps byte for byte."""
    found = dict(buckets.objects(name))
    return {key: data for key, data in found.items() if ".zarr/" in key or "/tables/" in key or "/maps/" in key}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """In memory where there is such a place: a case makes and removes a hundred folders."""
    with tempfile.TemporaryDirectory(prefix="faults-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def setting(folder: Path) -> Iterator[Setting]:
    codes = unit_codes(1, 3, 128, 320, bands=4)
    codes[..., 160:] = -128  # one of three tiles is empty
    codes[2, :, 50:80, 120:140] = -codes[0, :, 50:80, 120:140].clip(-127)  # a change across the seam of the others
    settings = {
        "mosaic": str(write_mosaic(folder / "mosaic.zarr", codes, chunk=64, shard=128)),
        "output": "s3://faults/plan",
        "tile_size": 128,
        "scores": {"annual": [], "robust_z": False},
        "change": {"detector": "bitemporal", "threshold": {"score": 0.15}},
        "polygons": {"min_pixels": 3},
    }
    attempts = [0]
    with pytest.MonkeyPatch.context() as patch:
        buckets = Buckets(folder / "buckets", stores.open_objects)
        patch.setattr(stores, "open_objects", buckets)
        patch.setattr(stores, "CONFIRM_SECONDS", 0.0)
        patch.setattr("terradrift.store.store.REQUESTS", 1)
        patch.setattr(folders.os, "fsync", lambda handle: None)  # no power is cut here
        patch.setattr(driver, "STAGES", STAGES)
        patch.setattr(driver, "summarize", summary)
        patch.setattr(Template, "objects", once(Template.objects))
        patch.setattr(lock, "_born", lambda pid: str(attempts[0]))  # every attempt is a process of its own
        open_store.cache_clear()
        plan = plan_run(params_from(settings))
        made = Setting(plan, buckets, {}, [], attempts)
        fault = Fault()
        assert made.attempt("clean", fault) is None
        made.clean, made.operations = results(buckets, "clean"), fault.names
        yield made
    open_store.cache_clear()


def outcome(setting: Setting, at: int, mode: str) -> str:
    """What is wrong after a fault and a second run; nothing where all is right."""
    name = f"case-{at}-{MODES.index(mode)}"
    fault = Fault(at, mode)
    ended = setting.attempt(name, fault)
    if at < fault.count and ended is None and "crash" in mode:
        return "the process went on after its end"
    again = Fault()
    if (second := setting.attempt(name, again)) is not None:
        return f"the second run ended with {second!r}"
    found = results(setting.buckets, name)
    if found != setting.clean:
        differing = sorted(key for key in found.keys() | setting.clean.keys() if found.get(key) != setting.clean.get(key))
        return f"differs: {differing[:5]}"
    left = [key for key, _ in setting.buckets.objects(name) if "_work" in key or key == lock.LOCK]
    if left:
        return f"left behind: {left[:5]}"
    if faults := verify(f"{Buckets.SCHEME}{name}").differences:
        return f"verify: {faults[:5]}"
    shutil.rmtree(setting.buckets.root / name)
    return ""


def test_the_clean_run_is_a_whole_one(setting: Setting) -> None:
    kinds = Counter(operation.split()[0] for operation in setting.operations)
    assert len(setting.operations) * len(MODES) >= 1000
    assert {"get", "head", "put", "put_file", "put_new", "delete", "entries"} <= set(kinds)
    pointer = json.loads(dict(setting.buckets.objects("clean"))["latest.json"])
    names = [key.removeprefix(f"{pointer['path']}/") for key in setting.clean]
    for wanted in ("maps/changes.pmtiles", "maps/change_score.tif", "maps/preview.png", "tables/gaps/part-00000.parquet"):
        assert wanted in names
    assert any("scores.zarr/1/" in name for name in names)
    again = Fault()
    assert setting.attempt("clean", again) is None
    assert len(again.names) < 40, "a finished run is not done again"
    assert setting.attempt("other", Fault()) is None
    assert results(setting.buckets, "other") == setting.clean


def _check(setting: Setting, cases: list[tuple[int, str]], tally: Callable[..., None]) -> None:
    wrong = {}
    for at, mode in cases:
        if found := outcome(setting, at, mode):
            wrong[f"{mode}: {at} {setting.operations[at]}"] = found
    tally("R1", right=len(cases) - len(wrong), wrong=len(wrong))
    assert not wrong, json.dumps(wrong, indent=1)


def test_a_fault_at_some_operations(setting: Setting, tally: Callable[..., None]) -> None:
    """The quick set: a random sample, and the operations that decide who owns and what is published."""
    every = [(at, mode) for at in range(len(setting.operations)) for mode in MODES]
    cases = random.Random(SEED).sample(every, QUICK)
    last = len(setting.operations) - 1
    pointer = max(at for at, operation in enumerate(setting.operations) if operation == "put latest.json")
    cases += [(1, "reply lost"), (pointer, "crash before"), (pointer, "crash after"), (last, "reply lost")]
    _check(setting, cases, tally)


@pytest.mark.whole
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("part", range(8))
def test_a_fault_at_every_operation(setting: Setting, tally: Callable[..., None], mode: str, part: int) -> None:
    _check(setting, [(at, mode) for at in range(part, len(setting.operations), 8)], tally)


def test_a_second_fault_on_the_way_back(setting: Setting, tmp_path: Path, tally: Callable[..., None]) -> None:
    """Two faults, one after the other, then a run to the end."""
    draw = random.Random(SEED)
    wrong = []
    for number in range(3):
        name = f"pair-{number}"
        for _ in range(2):
            setting.attempt(name, Fault(draw.randrange(len(setting.operations)), draw.choice(MODES)))
        ended = setting.attempt(name, Fault())
        if ended is not None or results(setting.buckets, name) != setting.clean:
            wrong.append((name, ended))
    tally("R1", right=3 - len(wrong), wrong=len(wrong))
    assert not wrong
