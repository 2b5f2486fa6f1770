"""R6: whatever happens to an object that was written is found, by verify and by who reads it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

import terradrift as td
from published import make_run
from terradrift.cli import main
from terradrift.errors import StoreError, TerradriftError
from terradrift.run import Run
from terradrift.score_store import RasterStore, raster_store
from terradrift.verify import verify
from terradrift.zarr_planes import PlaneReader

ROUNDS = {"flipped": 3, "cut": 3, "emptied": 1, "longer": 1, "removed": 1}
"""How often every object is damaged so, each time elsewhere: with the swaps, some thousand cases."""

DOCUMENTS = ("run.json", "manifest.json", "latest.json")
"""Without one of them nothing else is looked at."""


def flip(data: bytes, at: random.Random) -> bytes:
    spoiled = bytearray(data)
    spoiled[at.randrange(len(data))] ^= 1 << at.randrange(8)
    return bytes(spoiled)


HARM: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flipped": flip,
    "cut": lambda data, at: data[: at.randrange(1, len(data))],
    "emptied": lambda data, at: b"",
    "longer": lambda data, at: data + b"\0",
}


def harm(path: Path, kind: str, at: random.Random) -> None:
    if kind == "removed":
        path.unlink()
    else:
        path.write_bytes(HARM[kind](path.read_bytes(), at))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def out(made: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the output to do harm to, and to mend."""
    return Path(shutil.copytree(made.folder.root, tmp_path_factory.mktemp("copy") / "out"))


@contextmanager
def mended(paths: Sequence[Path]) -> Iterator[None]:
    """Whatever is done to files is undone."""
    whole = {path: path.read_bytes() for path in paths}
    try:
        yield
    finally:
        for path, data in whole.items():
            path.write_bytes(data)


def files(out: Path) -> list[Path]:
    """Shards, metadata, coordinates, tables, maps, records, documents."""
    return sorted(path for path in out.rglob("*") if path.is_file())


def is_record(path: Path) -> bool:
    return bool({"_ledger", "_records"} & set(path.parts))


def named(out: Path) -> set[str]:
    """Keys of the objects that verify has something to say of."""
    return {line.split(": ")[0] for line in verify(str(out)).differences}


def unnoticed(out: Path, paths: Sequence[Path], kind: str, at: random.Random) -> list[str]:
    """Of files that are damaged together, those that verify does not name."""
    with mended(paths):
        for path in paths:
            harm(path, kind, at)
        found = named(out)
    return [str(path.relative_to(out)) for path in paths if str(path.relative_to(out)) not in found]


@pytest.mark.parametrize("kind", list(ROUNDS))
def test_verify_names_every_damaged_object(out: Path, kind: str, tally: Callable[..., None]) -> None:
    at, missed, cases = random.Random(kind), [], 0
    objects = [path for path in files(out) if not is_record(path) and path.name not in DOCUMENTS]
    records = [path for path in files(out) if is_record(path)]
    for _ in range(ROUNDS[kind]):
        missed += unnoticed(out, objects, kind, at)
        cases += len(objects)
        if kind != "removed":  # nothing is left that could be named
            missed += unnoticed(out, records, kind, at)
            cases += len(records)
    tally("R6", cases - len(missed), len(missed))
    assert not missed
    assert named(out) == set()


@pytest.mark.parametrize("kind", list(ROUNDS))
def test_a_damaged_document_and_a_lost_record_are_found(out: Path, kind: str, tally: Callable[..., None]) -> None:
    at, missed, cases = random.Random(kind), [], 0
    alone = [path for path in files(out) if path.name in DOCUMENTS or (kind == "removed" and is_record(path))]
    for path in alone * ROUNDS[kind]:
        with mended([path]):
            harm(path, kind, at)
            try:
                found = bool(verify(str(out)).differences)
            except TerradriftError as error:
                found = error.exit_code in (2, 4) and "\n" not in str(error)
        cases += 1
        missed += [] if found else [path]
    tally("R6", cases - len(missed), len(missed))
    assert not missed


def test_shards_that_changed_places_are_found(out: Path, tally: Callable[..., None]) -> None:
    shards = sorted(path for path in out.rglob("c/*/*") if path.is_file() and path.parents[1].name == "c")
    pairs = [(a, b) for a, b in pairwise(shards) if a.read_bytes() != b.read_bytes()]
    missed, cases = [], 0
    for some in (pairs[0::2], pairs[1::2]):  # each shard once
        paths = [path for pair in some for path in pair]
        with mended(paths):
            for one, other in some:
                first, second = one.read_bytes(), other.read_bytes()
                one.write_bytes(second)
                other.write_bytes(first)
            found = named(out)
        missed += [path for path in paths if str(path.relative_to(out)) not in found]
        cases += len(paths)
    tally("R6", cases - len(missed), len(missed))
    assert cases > 50
    assert not missed


# --- reading, without verify ----------------------------------------------------------------------------------------------


def rasters(made: Run, out: Path) -> list[tuple[RasterStore, str]]:
    """Every array of both stores."""
    plan, found = made.plan, []
    for url in (out / "scores" / made.folder.score_id / "scores.zarr", out / "runs" / made.folder.run_id / "change.zarr"):
        raster = raster_store(str(url), plan.grid, plan.window, plan.tile_size)
        found += [(raster, path.parent.name) for path in sorted(url.glob("0/*/c"))]
    return [(raster, name) for raster, name in found if name not in ("time", "band", "x", "y", "spatial_ref")]


@pytest.mark.parametrize("kind", list(HARM))
def test_a_damaged_shard_is_never_read_as_values(made: Run, out: Path, kind: str, tally: Callable[..., None]) -> None:
    """By tile and by plane: an error, or the values that were there."""
    at, plan = random.Random(kind), made.plan
    cases, silent = 0, []
    for raster, name in rasters(made, out):
        layout = raster.layout(name)
        lead = (0,) * (len(layout.shape) - 2)
        for row, col in zip(plan.rows.tolist(), plan.cols.tolist(), strict=True):
            tile = raster.tile(row, col)
            shard = Path(raster.url) / layout.key((*lead, row, col))
            if not shard.exists():
                continue

            def by_tile() -> np.ndarray:
                return raster.read_tile(tile, name)  # noqa: B023

            def by_plane() -> np.ndarray:
                return PlaneReader(raster.store, layout).read(lead, tile.window)  # noqa: B023

            for read in (by_tile, by_plane):
                values = read()
                with mended([shard]):
                    harm(shard, kind, at)
                    try:
                        same = np.array_equal(read(), values, equal_nan=values.dtype.kind == "f")
                    except StoreError:
                        same = True
                cases += 1
                silent += [] if same else [f"{read.__name__} {shard}"]
    tally("R6", cases - len(silent), len(silent))
    assert cases >= 60
    assert not silent


def test_shards_that_changed_places_are_never_read_as_values(made: Run, out: Path, tally: Callable[..., None]) -> None:
    """By tile and by plane: a shard says which it is."""
    cases = 0
    for raster, name in rasters(made, out):
        layout = raster.layout(name)
        planes, lead = PlaneReader(raster.store, layout), (0,) * (len(layout.shape) - 2)
        shards = [path for path in sorted((Path(raster.url) / layout.path / "c").rglob("*/*")) if path.is_file()]
        for one, other in pairwise(shards):
            with mended([one, other]):
                first = one.read_bytes()
                one.write_bytes(other.read_bytes())
                other.write_bytes(first)
                for path in (one, other):
                    tile = raster.tile(*map(int, path.parts[-2:]))
                    with pytest.raises(StoreError, match="written elsewhere"):
                        raster.read_tile(tile, name)
                    with pytest.raises(StoreError, match="written elsewhere"):
                        planes.read(lead, tile.window)
                    cases += 2
    tally("R6", cases, 0)
    assert cases >= 60


@pytest.mark.parametrize("kind", list(HARM))
def test_a_damaged_table_or_document_is_never_read(made: Run, out: Path, kind: str, tally: Callable[..., None]) -> None:
    at = random.Random(kind)
    run, scores = out / "runs" / made.folder.run_id, out / "scores" / made.folder.score_id
    readers: dict[Path, Callable[[], object]] = {
        run / "run.json": lambda: td.open_run(out).manifest,
        run / "tables/zones/part-00000.parquet": lambda: td.open_run(out).zones,
        run / "tables/thresholds/part-00000.parquet": lambda: td.open_run(out).thresholds,
        scores / "tiles/part-00000.parquet": lambda: td.open_run(out).tiles,
    }
    silent, cases = [], 0
    for path, read in readers.items():
        for _ in range(10):
            with mended([path]):
                harm(path, kind, at)
                try:
                    read()
                    silent.append(path)
                except TerradriftError:
                    pass
            cases += 1
    tally("R6", cases - len(silent), len(silent))
    assert not silent


@pytest.mark.spark
@pytest.mark.parametrize(
    "kind", ["emptied", *(pytest.param(kind, marks=pytest.mark.whole) for kind in ROUNDS if kind != "emptied")]
)
def test_a_damaged_table_is_never_answered_from(
    finished_run: Path,
    spark: SparkSession,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    kind: str,
    tally: Callable[..., None],
) -> None:
    """By `terradrift sql`: every column of what is published, as text."""
    at, cases, silent = random.Random(kind), 0, []
    out = Path(shutil.copytree(finished_run / "out", tmp_path / "out"))
    parts = sorted((out / "runs").glob("*/tables/*_polygons/*.parquet"))
    for path in parts:
        query = ["sql", str(out), f"SELECT to_json(struct(*)) AS a FROM {path.parent.name} ORDER BY 1"]
        assert main(query) == 0
        expected = capsys.readouterr().out
        for _ in range(ROUNDS[kind]):
            with mended([path]):
                harm(path, kind, at)
                code = main(query)
                told = capsys.readouterr()
            right = (code in (2, 4) and told.err.count("\n") == 1) if code else told.out == expected
            cases += 1
            silent += [] if right else [(path, code, told.err)]
    tally("R6", cases - len(silent), len(silent))
    assert cases
    assert not silent
