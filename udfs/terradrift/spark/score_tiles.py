"""Stage 1: embeddings to scores, one tile a task."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext
from pyspark.sql import SparkSession

from terradrift.errors import ChangedError, IncompleteError, KilledError, TerradriftError
from terradrift.grid import Tile
from terradrift.input_check import unchanged_input
from terradrift.kernels.score_block import Recipe
from terradrift.kernels.strata import Strata
from terradrift.ledger import ScoreLedger, TileRecord
from terradrift.mosaic import Mosaic
from terradrift.run import Run
from terradrift.score_tile import ScoreRasters, failed_record, score_tile
from terradrift.spark.arrow_tasks import ArrowFunction, Batches, describe, spark_schema, tiles_of, zones_of
from terradrift.spark.parts import table_format
from terradrift.spark.sample_strata import sample_strata
from terradrift.spark.schemas import TILES
from terradrift.strata_map import StrataMap
from terradrift.table_parts import finish_table, part_key, read_table, table_is_there, write_part

T = TypeVar("T")

SCORED_SCHEMA = pa.schema([("tile_id", pa.string()), ("state", pa.string())])

TABLE_BATCH_ROWS = 4096
"""Records turned into rows at a time."""

MAX_TASK_FAILURES = "4"  # Spark's default


def score_tiles(spark: SparkSession, run: Run) -> dict[str, Any]:
    """Score every tile that has no record, then write the `tiles` table from the records; gives counts of tiles.

    Raises IncompleteError where tiles failed, unless the run allows a partial result; ChangedError where one failed because the
    mosaic was written to.
    """
    tiles = run.unfinished()
    if len(tiles):
        plan = run.plan
        rasters = ScoreRasters(run.scores, run.decoys if plan.recipe.lattice else None)
        strata = sample_strata(spark, run) if plan.recipe.lattice else None
        zones, ledger = plan.zones.to_bytes(), run.folder.ledger
        function = _scoring(plan.mosaic, zones, plan.recipe, rasters, ledger, strata, plan.strata_map, _attempts(spark))
        describe(spark, "score tiles")
        one_a_task = spark.createDataFrame(tiles).repartitionByRange(len(tiles), "seq")
        with unchanged_input(plan, ledger, is_first=len(tiles) == plan.n_tiles):
            one_a_task.mapInArrow(function, spark_schema(SCORED_SCHEMA)).write.format("noop").mode("overwrite").save()
        run.look_again()
    if len(tiles) or not table_is_there(run.folder.ledger, "tiles"):
        write_tiles_table(run)
    counts = tile_counts(run)
    if counts["failed"]:
        failure = _failure(run, counts["failed"])
        if isinstance(failure, ChangedError) or not run.allow_partial:
            raise failure
    return {"tiles": counts, "warnings": _gaps(counts)}


def batched(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Lists of `size` rows."""
    rows = iter(rows)
    while some := list(islice(rows, size)):
        yield some


def write_tiles_table(run: Run) -> None:
    """The table `tiles` of the scores, from the records of the run's tiles."""
    form = table_format(TILES)
    wanted = set(run.plan.tile_ids())
    rows = (record for _, record in run.folder.ledger.records() if record is not None and record["name"] in wanted)
    batches = (pa.RecordBatch.from_pylist(some, form.schema) for some in batched(rows, TABLE_BATCH_ROWS))
    part = write_part(run.folder.ledger.store, part_key("tiles", 0), batches, form)
    finish_table(run.folder.ledger, "tiles", [part])


def tile_counts(run: Run) -> dict[str, int]:
    """Tiles by state, pixel-years of a bad norm, missing objects, those that other years have, those that are forbidden."""
    sums = ("n_bad_norm", "missing_objects", "absent_years", "forbidden_objects")
    tiles = read_table(run.folder.ledger, "tiles", ["state", *sums])
    states = {state: pc.sum(pc.equal(tiles["state"], state)).as_py() or 0 for state in ("done", "empty", "failed")}
    return states | {name: pc.sum(tiles[name]).as_py() or 0 for name in sums}


def _gaps(counts: dict[str, int]) -> list[str]:
    """What to say where ground has objects in some years and none in others, and where nobody may know."""
    found = []
    if n := counts["absent_years"]:
        found.append(
            f"mosaic: {n} objects are absent, twice asked for, where other years have one: no data in those years; the table of "
            "tiles says where (absent_years); if they should be there, run again with --fresh"
        )
    if n := counts["forbidden_objects"]:
        found.append(
            f"mosaic: {n} objects were answered with 403 and count as no data (forbidden_means_missing); the table of tiles says "
            "where (forbidden_objects); if you should be allowed to read them, get permission and run again with --fresh"
        )
    return found


def unscored_tiles(run: Run) -> Iterator[dict[str, Any]]:
    """Rows of the tiles table that gave no score, empty or failed, or that lack years which their ground has elsewhere."""
    columns = ["tile_id", "state", "error", "absent_years", "y0", "x0", "height", "width"]
    tiles = read_table(run.folder.ledger, "tiles", columns)
    yield from tiles.filter(pc.or_(pc.not_equal(tiles["state"], "done"), pc.greater(tiles["absent_years"], 0))).to_pylist()


def _failure(run: Run, n_failed: int) -> TerradriftError:
    failed = [tile for tile in unscored_tiles(run) if tile["state"] == "failed"]
    for tile in failed:
        name, _, message = str(tile["error"]).partition(": ")
        if name == ChangedError.__name__:
            return ChangedError(f"{message}; run again with --fresh when the mosaic is complete")
    first = failed[0]
    return IncompleteError(
        f"{n_failed} of {run.plan.n_tiles} tiles failed, nothing was published; first {first['tile_id']}: {first['error']}; "
        "run again to try them once more, or add --allow-partial"
    )


def _attempts(spark: SparkSession) -> int:
    """How often Spark tries a task before it gives up the job."""
    master = str(spark.sparkContext.master)
    if master.startswith("local[") and "," in master:
        return int(master.rstrip("]").rsplit(",", 1)[1])
    if master == "local" or master.startswith("local["):
        return 1
    return int(spark.conf.get("spark.task.maxFailures", MAX_TASK_FAILURES) or MAX_TASK_FAILURES)


def _scoring(
    mosaic: Mosaic,
    zones: bytes,
    recipe: Recipe,
    rasters: ScoreRasters,
    ledger: ScoreLedger,
    strata: Strata | None,
    strata_map: StrataMap | None,
    attempts: int,
) -> ArrowFunction:
    """Tiles (row, col) -> SCORED_SCHEMA. A tile that fails is tried again by Spark; the last attempt records the failure.

    It is made in a process of its own: a tile that kills whoever scores it must not take all the others with it. One whose
    input changed is not tried again: what it would find is another mosaic than the other tiles had.
    """

    def score(batches: Batches) -> Batches:
        context = TaskContext.get()
        attempt = context.attemptNumber() if context else 0
        for batch in batches:
            for tile in tiles_of(batch, rasters.scores):
                work = (tile, mosaic, zones, recipe, rasters, ledger, strata, strata_map, attempt)
                try:
                    record = in_own_process(_score, *work) if attempt + 1 >= attempts > 1 else _score(*work)
                except Exception as cause:
                    if attempt + 1 < attempts and not isinstance(cause, ChangedError):
                        raise
                    record = failed_record(tile, attempt, " ".join(f"{type(cause).__name__}: {cause}".split())[:500])
                    ledger.record(record)
                yield pa.RecordBatch.from_pylist([{"tile_id": record.tile_id, "state": record.state}], SCORED_SCHEMA)

    return score


def _score(tile: Tile, mosaic: Mosaic, zones: bytes, *rest: Any) -> TileRecord:
    return score_tile(tile, mosaic, zones_of(zones), *rest)


def in_own_process(work: Callable[..., T], *arguments: Any) -> T:
    """Do `work` in a new process. Raises KilledError where that is killed, as when memory runs out."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except BrokenProcessPool as cause:
            raise KilledError("whoever scores this tile is killed; is there memory enough for a task?") from cause
