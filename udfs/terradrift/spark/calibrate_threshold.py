"""The false discovery rate of every score, by stratum: two passes over the small rasters, none over the embeddings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)

from terradrift.calibration import (
    Calibration,
    Candidates,
    Counts,
    calibrate,
    count_all,
    count_competition,
    strata_groups,
    tail_factors,
)
from terradrift.grid import Tile
from terradrift.kernels.calibrate import BINS, EDGES
from terradrift.kernels.strata import MAX_STRATA
from terradrift.run import Run
from terradrift.score_store import RasterStore
from terradrift.spark.arrow_tasks import ArrowFunction, Batches, describe, scored_tiles, spark_schema, tiles_of
from terradrift.spark.find_threshold import write_thresholds
from terradrift.strata_sample import read_strata

PIXELS = BINS
"""The bin beyond the scores' holds the number of scored pixels (as targets)."""

COUNTED = ("target", "decoy", "area", "won")

COUNT_SCHEMA = pa.schema([("stratum", pa.int32()), ("bin", pa.int32()), *((name, pa.int64()) for name in COUNTED)])

TileCounts = Callable[[Tile], npt.NDArray[np.int64]]
"""Counts of a tile: (COUNTED, stratum, bin)."""


def calibrate_threshold(spark: SparkSession, run: Run) -> tuple[Calibration, int]:
    """q-values for the run's rule, and the number of scored pixels; writes the `thresholds` table."""
    change, step = run.plan.params.change, run.plan.recipe.lattice
    fdr = change.rule.fdr or 0.0
    strata = read_strata(run.folder.ledger.store)
    n = 1 if strata is None else len(strata)
    describe(spark, "count scores and decoys")
    bulk = _sum(spark, run, _bulk_counter(run.scores, run.decoys, step))
    pixels = bulk[0, :, PIXELS]
    group = strata_groups(pixels, n)
    factor = tail_factors(Counts(*bulk[:, :n, :BINS]), group)
    describe(spark, "count decoys that win")
    candidates = Candidates(change.min_effect, change.kinds)
    won = _sum(spark, run, _competition_counter(run.scores, run.decoys, step, candidates, factor))
    calibration = calibrate(Counts(*won[:, :, :BINS]), pixels, group, factor, fdr)
    rows = [
        (
            row["stratum"], change.detector, "fdr", fdr,
            float(EDGES[row["first_bin"]]) if row["first_bin"] < BINS else None,
            row["expected_false_rate"], row["n_pixels"], row["n_mapped"],
            row["mapped_area_m2"], row["expected_false_area_m2"], row["calibrated_with"], row["tail_factor"],
        )
        for row in calibration.rows
    ]  # fmt: skip
    write_thresholds(run, rows)
    return calibration, int(pixels.sum())


def _sum(spark: SparkSession, run: Run, counter: TileCounts) -> npt.NDArray[np.int64]:
    """(COUNTED, stratum, bin) summed over the scored tiles."""
    counted = scored_tiles(spark, run).mapInArrow(_counting(run.scores, counter), spark_schema(COUNT_SCHEMA))
    table = counted.groupBy("stratum", "bin").agg(*(F.sum(name).alias(name) for name in COUNTED)).toArrow()
    total = np.zeros((len(COUNTED), MAX_STRATA, BINS + 1), np.int64)
    for counts, name in zip(total, COUNTED, strict=True):
        counts[table["stratum"].to_numpy(), table["bin"].to_numpy()] = table[name].to_numpy()
    return total


def _counting(raster: RasterStore, counter: TileCounts) -> ArrowFunction:
    """Tiles (row, col) -> COUNT_SCHEMA, empty bins left out."""

    def count(batches: Batches) -> Batches:
        for batch in batches:
            for tile in tiles_of(batch, raster):
                found = counter(tile)
                stratum, bin_ = np.nonzero(found.any(axis=0))
                columns = (stratum.astype(np.int32), bin_.astype(np.int32), *(counts[stratum, bin_] for counts in found))
                yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=COUNT_SCHEMA)

    return count


def _bulk_counter(scores: RasterStore, decoys: RasterStore, step: int) -> TileCounts:
    def counter(tile: Tile) -> npt.NDArray[np.int64]:
        counts, pixels = count_all(scores, decoys, tile, step)
        return _stacked(counts, pixels)

    return counter


def _competition_counter(
    scores: RasterStore, decoys: RasterStore, step: int, candidates: Candidates, factor: npt.NDArray[np.float64]
) -> TileCounts:
    def counter(tile: Tile) -> npt.NDArray[np.int64]:
        counts = count_competition(scores, decoys, tile, step, candidates, factor)
        return _stacked(counts, np.zeros(MAX_STRATA, np.int64))

    return counter


def _stacked(counts: Counts, pixels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    beyond = np.zeros((len(COUNTED), MAX_STRATA, 1), np.int64)
    beyond[0, :, 0] = pixels
    return np.concatenate([np.stack([getattr(counts, name) for name in COUNTED]), beyond], axis=2)
