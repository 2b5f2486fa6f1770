"""What the score stage will take and cost: processor time, requests, bytes and money, from unit costs that a probe can replace.

The stages after it read small rasters; what they take depends on how much changed, not on the area.
"""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from terradrift.estimate import Estimate, estimate
from terradrift.kernels.quantize import quantize
from terradrift.kernels.score_block import score_pixels
from terradrift.kernels.strata import Strata
from terradrift.planning import Plan
from terradrift.pyramid import pyramid_share
from terradrift.run import open_run
from terradrift.score_store import DECOY_ARRAYS, score_arrays
from terradrift.score_tile import ScoreRasters, score_tile

PROBED_TILES = 3

GIB = 1 << 30


@dataclass(frozen=True)
class Prices:
    """US dollars, of a public cloud's list; for a user's own, multiply."""

    core_hour: float = 0.05
    """One core with its memory for an hour."""
    thousand_gets: float = 0.0004
    thousand_puts: float = 0.005
    gib_month: float = 0.023
    """One GiB kept for a month. Reading from within the mosaic's region is free; elsewhere its owner or you pay for transfer."""


@dataclass(frozen=True)
class UnitCosts:
    """What one unit of work takes. The defaults: the probe of a synthetic mosaic with data everywhere, on x86_64 in 2026."""

    cpu_s_per_gib: float = 3.2
    """CPU seconds of a GiB of decompressed input."""
    output_share: float = 0.8
    """Bytes of the score rasters as they are stored over those before compression."""
    source: str = "defaults"


DEFAULT_UNITS = UnitCosts()


@dataclass(frozen=True)
class Cost:
    """Of the scores of one run."""

    core_hours: float
    gets: int
    puts: int
    bytes_read: int
    bytes_written: int
    usd: float
    """Without keeping the output."""
    usd_month: float
    """Of keeping the output."""
    units: UnitCosts
    prices: Prices


def cost(plan: Plan, shape: Estimate, units: UnitCosts, prices: Prices) -> Cost:
    """Cost of a plan. Requests and bytes are upper bounds, processor time and money are estimates."""
    cpu_s = units.cpu_s_per_gib * shape.input_bytes / GIB
    arrays = len(score_arrays(plan.recipe)) + (len(DECOY_ARRAYS) if plan.recipe.lattice else 0)
    puts = plan.n_tiles * (arrays + 1)  # the tile's shards and its record
    written = int(shape.output_bytes * units.output_share)
    usd = cpu_s / 3600 * prices.core_hour
    usd += shape.input_requests / 1000 * prices.thousand_gets + puts / 1000 * prices.thousand_puts
    return Cost(
        core_hours=cpu_s / 3600,
        gets=shape.input_requests,
        puts=puts,
        bytes_read=shape.input_bytes_stored_estimate,
        bytes_written=written,
        usd=usd,
        usd_month=written / GIB * prices.gib_month,
        units=units,
        prices=prices,
    )


def probe(plan: Plan) -> UnitCosts:
    """Unit costs of this mosaic on this machine: scores up to three tiles, spread over the area, into a temporary folder.

    Raises StoreError where the mosaic cannot be read.
    """
    strata = Strata(np.ones((1, plan.mosaic.n_bands), np.float32), np.ones(1, np.float32))
    _warm_up(plan, strata)
    tiles = np.unique(np.linspace(0, plan.n_tiles - 1, PROBED_TILES).round().astype(int)).tolist()
    with tempfile.TemporaryDirectory(prefix="terradrift-probe-") as folder:
        run = open_run(replace(plan, params=plan.params.model_copy(update={"output": folder})))
        rasters = ScoreRasters(run.scores, run.decoys if plan.recipe.lattice else None)
        template = _bytes_under(folder)
        started = time.process_time()
        for row, col in zip(plan.rows[tiles].tolist(), plan.cols[tiles].tolist(), strict=True):
            tile = run.scores.tile(row, col)
            score_tile(tile, plan.mosaic, plan.zones, plan.recipe, rasters, run.folder.ledger, strata, plan.strata_map)
        cpu_s = time.process_time() - started
        written = (_bytes_under(folder) - template) * pyramid_share(plan.grid, plan.window)
    part = estimate(replace(plan, rows=plan.rows[tiles], cols=plan.cols[tiles]))
    return UnitCosts(
        cpu_s_per_gib=cpu_s / part.input_bytes * GIB,
        output_share=min(1.0, written / part.output_bytes),
        source=f"measured on {len(tiles)} tile{'s' * (len(tiles) > 1)}",
    )


def _warm_up(plan: Plan, strata: Strata) -> None:
    """Load or compile the kernels, which a run does once a machine."""
    side = max(8, plan.recipe.lattice)
    vector = math.sqrt(1 / plan.mosaic.n_bands)
    shape = (len(plan.years), plan.mosaic.n_bands, side, side)
    dtype = np.int8 if plan.mosaic.quantization == "signed_square" else np.float32
    value = quantize(np.array(vector)) if dtype == np.int8 else np.float32(vector)
    score_pixels(np.full(shape, value, dtype), plan.recipe, strata=strata)
    plan.zones.mask(plan.tile_window(0))


def _bytes_under(folder: str) -> int:
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
