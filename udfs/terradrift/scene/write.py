"""A scene on disk: the mosaic, its truth, an area of interest, and the arguments they are a function of."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from terradrift.errors import InputError, near_miss
from terradrift.scene.changes import CHANGES
from terradrift.scene.draw import draw_scene
from terradrift.scene.embeddings import BANDS
from terradrift.scene.landscape import KINDS
from terradrift.scene.pipeline import write_chunks
from terradrift.scene.store import Layout, write_mosaic_metadata, write_object, write_raster_metadata
from terradrift.scene.truth import RASTERS, write_aoi, write_truth_polygons

LAST_YEAR = 2025

_MOSAIC, _TRUTH_RASTERS, _TRUTH, _AOI, _MANIFEST = (
    "mosaic.zarr",
    "truth.zarr",
    "truth.parquet",
    "aoi.geojson",
    "scene.json",
)


@dataclass(frozen=True)
class SceneReport:
    """What was written, and where."""

    directory: Path
    mosaic: Path
    aoi: Path
    truth: Path
    shape: tuple[int, int, int, int]
    """(time, band, y, x) of the mosaic's array; the scene is a window of it."""
    years: tuple[int, ...]
    polygons: dict[str, int]
    """Planted changes by kind."""
    pixels: dict[str, int]
    """Pixels of planted changes by kind."""
    bytes_written: int
    """Size of the embeddings on disk."""


def write_scene(
    directory: Path | str,
    *,
    kind: str = "quiet",
    size: int = 1024,
    years: int = 9,
    seed: int = 0,
    shard: int = 512,
    chunk: int = 256,
    threads: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> SceneReport:
    """Writes a scene of size x size pixels and `years` years, the last of them 2025, and says what was planted.

    directory gets mosaic.zarr (int8 embeddings, -128 no data), truth.parquet and truth.zarr (what was planted, and what merely
    looks like change), aoi.geojson and scene.json. It must be new or empty, or hold a scene, which is replaced.
    kind: quiet, tropical (noisier) or agri (crops in rotation). shard, chunk: pixels a side of the objects and of the chunks in
    them; the public mosaic has 4096 and 256. threads: all cores if None; the bytes written do not depend on it. progress is
    told the share done, 0..1. Memory grows with chunk, years and threads, not with size.
    InputError: an argument out of range, or a directory that holds something else.
    """
    _check_arguments(kind, size, years, seed, shard, chunk, threads)
    directory = Path(directory)
    _check_directory(directory)
    arguments: dict[str, str | int] = {"kind": kind, "size": size, "years": years, "seed": seed, "shard": shard, "chunk": chunk}
    _write_manifest(directory, arguments, complete=False)
    _remove_parts(directory)
    layout = Layout(size, tuple(range(LAST_YEAR - years + 1, LAST_YEAR + 1)), shard, chunk)
    mosaic, rasters = directory / _MOSAIC, directory / _TRUTH_RASTERS
    write_mosaic_metadata(mosaic, layout)
    write_raster_metadata(rasters, layout, RASTERS)
    scene = draw_scene(kind, size, years, seed)
    blobs, bytes_written = write_chunks(scene, layout, mosaic, rasters, threads or os.cpu_count() or 1, progress)
    write_truth_polygons(directory / _TRUTH, blobs, layout)
    write_aoi(directory / _AOI, layout, f"{kind} scene {seed}", seed)
    _write_manifest(directory, arguments, complete=True)
    return SceneReport(
        directory=directory,
        mosaic=mosaic,
        aoi=directory / _AOI,
        truth=directory / _TRUTH,
        shape=(years, BANDS, layout.grid.height, layout.grid.width),
        years=layout.years,
        polygons={name: sum(blob.kind == code for blob in blobs) for code, name in enumerate(CHANGES, 1)},
        pixels={name: sum(int(b.mask.sum()) for b in blobs if b.kind == code) for code, name in enumerate(CHANGES, 1)},
        bytes_written=bytes_written,
    )


def _check_arguments(kind: str, size: int, years: int, seed: int, shard: int, chunk: int, threads: int | None) -> None:
    if kind not in KINDS:
        raise InputError(f"kind: unknown kind {kind!r}{near_miss(str(kind), KINDS)}")
    for name, value, low, high in (
        ("size", size, 64, 100_000),
        ("years", years, 2, 60),
        ("seed", seed, 0, 2**63 - 1),
        ("chunk", chunk, 8, 4096),
        ("shard", shard, 8, 4096),
        ("threads", 1 if threads is None else threads, 1, 256),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InputError(f"{name}: found {value!r}; expected a whole number from {low} to {high}")
    if shard % chunk:
        raise InputError(f"shard: found {shard}; expected a multiple of the chunk, {chunk}")


def _check_directory(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise InputError(f"directory: found a file, {directory}; expected a new directory; give another name")
    if directory.is_dir() and any(directory.iterdir()) and not (directory / _MANIFEST).is_file():
        raise InputError(
            f"directory: found other files in {directory}; expected an empty directory or a scene; give another name"
        )


def _write_manifest(directory: Path, arguments: dict[str, str | int], *, complete: bool) -> None:
    """Written before anything else too: what an interrupted scene left may be replaced."""
    manifest = {"arguments": arguments, "version": version("terradrift"), "complete": complete}
    write_object(directory / _MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())


def _remove_parts(directory: Path) -> None:
    for name in (_MOSAIC, _TRUTH_RASTERS):
        shutil.rmtree(directory / name, ignore_errors=True)
    for name in (_TRUTH, _AOI):
        (directory / name).unlink(missing_ok=True)
