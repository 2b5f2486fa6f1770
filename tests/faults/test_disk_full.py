"""R11: the disk is full at some point of a job; what is there stays whole, and the job ends well once there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mosaics import unit_codes, write_mosaic
from plain_job import STAGES, run_plain, summary
from terradrift.errors import StoreError
from terradrift.params import params_from
from terradrift.planning import Plan, plan_run
from terradrift.spark import detect_changes as driver
from terradrift.store import open_store
from terradrift.verify import verify

POINTS, QUICK_POINTS = 10, 2
PAGE = 4096


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plan]:
    folder = tmp_path_factory.mktemp("disk")
    codes = unit_codes(1, 3, 128, 320, bands=4)
    codes[2, :, 50:80, 120:140] = -codes[0, :, 50:80, 120:140].clip(-127)
    settings = {
        "mosaic": str(write_mosaic(folder / "mosaic.zarr", codes, chunk=64, shard=128)),
        "output": str(folder / "clean"),
        "tile_size": 128,
        "scores": {"annual": [], "robust_z": False},
        "change": {"detector": "bitemporal", "threshold": {"score": 0.15}},
        "polygons": {"min_pixels": 3},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "STAGES", STAGES)
        patch.setattr(driver, "summarize", summary)
        found = plan_run(params_from(settings))
        run_plain(found, str(folder / "clean"))
        yield found
    open_store.cache_clear()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, whose size is changed with `resize`."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, check=False).returncode:
        pytest.skip("a file system cannot be mounted here: not root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def resize(disk: Path, pages: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={pages * PAGE}", disk], check=True)


def results(folder: Path) -> dict[str, bytes]:
    keys = [path for path in folder.rglob("*") if path.is_file()]
    named = {str(path.relative_to(folder)): path for path in keys}
    return {key: path.read_bytes() for key, path in named.items() if ".zarr/" in key or "/tables/" in key or "/maps/" in key}


@pytest.mark.parametrize("points", [QUICK_POINTS, pytest.param(POINTS, marks=pytest.mark.whole)])
def test_a_full_disk_is_an_error_of_storage_and_no_loss(plan: Plan, disk: Path, points: int, tally: Callable[..., None]) -> None:
    clean = Path(plan.params.output)
    pages = sum(-(-path.stat().st_size // PAGE) for path in clean.rglob("*") if path.is_file())
    wrong = {}
    for point in range(points):
        out = disk / str(point)
        resize(disk, pages * (point + 1) // (points + 1))
        ended = None
        try:
            run_plain(plan, str(out))
        except StoreError as cause:
            ended = cause
        partials = [path.name for path in out.rglob("*.partial")]
        published = (out / "latest.json").exists()
        resize(disk, 4 * pages)
        if ended is None or "No space left" not in str(ended) or ended.exit_code != 4 or partials or published:
            wrong[point] = (ended, partials, published)
            continue
        run_plain(plan, str(out))
        if results(out) != results(clean) or verify(str(out)).differences:
            wrong[point] = "other results"
        subprocess.run(["rm", "-r", out], check=True)
    tally("R11", right=points - len(wrong), wrong=len(wrong))
    assert not wrong
