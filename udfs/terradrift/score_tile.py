"""One tile: read its embeddings once, score them, write its shards, then its record."""

from __future__ import annotations

import math
import resource
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from terradrift.aoi import Zones
from terradrift.buffers import BUFFERS
from terradrift.grid import Tile
from terradrift.kernels.score_block import Recipe, ScoreBlock, score_pixels
from terradrift.kernels.strata import Strata
from terradrift.ledger import ScoreLedger, TileRecord
from terradrift.mosaic import Mosaic, ReadReport
from terradrift.score_store import RasterStore
from terradrift.sealed import under
from terradrift.strata_map import StrataMap


@dataclass(frozen=True)
class ScoreRasters:
    """Where a tile goes."""

    scores: RasterStore
    decoys: RasterStore | None
    """Only with calibration."""


def score_tile(
    tile: Tile,
    mosaic: Mosaic,
    zones: Zones,
    recipe: Recipe,
    rasters: ScoreRasters,
    ledger: ScoreLedger,
    strata: Strata | None = None,
    strata_map: StrataMap | None = None,
    attempt: int = 0,
) -> TileRecord:
    """Score a tile; the same bytes for the same tile and parameters, whoever does it and however often.

    Pixels whose centre is outside the area of interest are no data; chunks without such a pixel are not read. Raises
    StoreError where the mosaic cannot be read or the raster not written; nothing is recorded then.
    """
    started, report = time.monotonic(), ReadReport()
    inside = zones.mask(tile.window) >= 0
    scored = ScoreBlock.empty(recipe, *tile.window.shape, BUFFERS.array)
    n_valid = n_bad_norm = 0
    for block in mosaic.read_blocks(tile.window, recipe.years, report, _chunks_with(inside, mosaic.chunk_shape)):
        y, x = block.window.slices(tile.window)
        classes = None if strata_map is None else strata_map.classes(block.window)
        part = scored.part(y, x, recipe.lattice)
        _, valid, bad = score_pixels(block.codes, recipe, inside[y, x], strata, classes, part)
        n_valid += valid
        n_bad_norm += bad
    objects = under(rasters.scores.name, rasters.scores.write_tile(tile, scored.rasters))
    if (decoys := rasters.decoys) is not None:
        objects |= under(decoys.name, decoys.write_tile(decoys.tile(tile.row, tile.col), scored.decoys))
    for raster in (*scored.rasters.values(), *scored.decoys.values()):
        BUFFERS.give(raster)
    record = TileRecord(
        tile_id=tile.id,
        row=tile.row,
        col=tile.col,
        y0=tile.window.y0,
        x0=tile.window.x0,
        height=tile.window.height,
        width=tile.window.width,
        state="done" if n_valid else "empty",
        error=None,
        n_valid=n_valid,
        n_bad_norm=n_bad_norm,
        missing_objects=report.missing_objects,
        absent_years=report.absent_years,
        forbidden_objects=report.forbidden_objects,
        attempts=attempt + 1,
        seconds=round(time.monotonic() - started, 3),
        bytes_read=report.bytes_read,
        peak_rss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        objects=objects,
    )
    ledger.record(record)
    return record


def failed_record(tile: Tile, attempt: int, error: str) -> TileRecord:
    """The record of a tile that could not be scored."""
    window = tile.window
    return TileRecord(
        tile.id, tile.row, tile.col, window.y0, window.x0, window.height, window.width,
        "failed", error, 0, 0, 0, 0, 0, attempt + 1, 0.0, 0, 0, {},
    )  # fmt: skip


def _chunks_with(inside: npt.NDArray[np.bool_], chunk_shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """(chunk rows, chunk columns): which chunks hold a pixel of the mask."""
    height, width = chunk_shape
    down, across = math.ceil(inside.shape[0] / height), math.ceil(inside.shape[1] / width)
    padded = np.zeros((down * height, across * width), np.bool_)
    padded[: inside.shape[0], : inside.shape[1]] = inside
    return np.asarray(padded.reshape(down, height, across, width).any(axis=(1, 3)))
