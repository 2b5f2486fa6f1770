"""Stage 2: scores to whole polygons, equal for every tiling: fragments tile by tile, then what crosses a seam is merged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)

from terradrift.calibration import Candidates
from terradrift.cut_tile import cut_tile, cut_tiles
from terradrift.decision import DecisionRule
from terradrift.drawing import Drawing
from terradrift.fragments import FRAGMENT_SCHEMA, POLYGON_SCHEMA, merge_fragments
from terradrift.kernels.seams import STRAIGHT, components
from terradrift.ledger import identity
from terradrift.params import Polygons
from terradrift.records import Ledger
from terradrift.run import Run
from terradrift.score_store import RasterStore
from terradrift.spark.arrow_tasks import ArrowFunction, Batches, describe, spark_schema, spread, tiles_of, zones_of
from terradrift.spark.calibrate_threshold import calibrate_threshold
from terradrift.spark.find_threshold import find_threshold
from terradrift.spark.parts import read_parts, read_plain, write_frame
from terradrift.table_parts import read_table

CUT_SCHEMA = pa.schema([("tile_id", pa.string())])
EDGE_SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.int64()), ("diagonal", pa.bool_())])
COMPONENT_SCHEMA = pa.schema([("gid", pa.int64()), ("component4", pa.int64()), ("component8", pa.int64())])
POLYGON_COLUMNS = [field.name for field in POLYGON_SCHEMA]

MERGE_BATCH_ROWS = 4096
"""Seam fragments merged at a time; a component is never split."""

MAX_CORNERS = 65_536
"""Corners of the largest outline that is handed to SQL whole: its simplification takes time that grows with their square."""

CELL_PIXELS = 512
"""Cells that larger outlines are cut along and shared borders simplified in. A vertex stays where a shared border crosses their
lines; a tile that is no multiple of them reads more of its neighbours than a row of pixels."""


MERGED = "merged_polygons"


def merged_polygons(spark: SparkSession, run: Run) -> DataFrame:
    """The whole polygons before SQL."""
    return read_plain(spark, run.folder.work_records, MERGED)


def polygonize_changes(spark: SparkSession, run: Run) -> dict[str, Any]:
    """Choose the threshold, write the mapped pixels and the whole polygons; gives the threshold and the scored pixels."""
    plan, ledger = run.plan, run.folder.records
    change, threshold, calibration = plan.params.change, None, None
    if change.rule.fdr is None:
        threshold, n_scored = find_threshold(spark, run)
    else:
        calibration, n_scored = calibrate_threshold(spark, run)
    candidates = Candidates(change.min_effect, change.kinds)
    rule = DecisionRule(
        run.scores, run.decision, plan.years, candidates, threshold, change.rule.high, calibration, change.rule.fdr,
        plan.params.polygons,
    )  # fmt: skip
    polygons = plan.params.polygons
    drawing = Drawing(
        plan.grid.width,
        MAX_CORNERS,
        CELL_PIXELS,
        plan.refine_settings().simplify_pixels,
        shared=polygons.group_by != "none",
        contour=threshold if polygons.outline == "contour" else None,
    )
    describe(spark, "polygonize tiles")
    keys = dict.fromkeys(cut_all(spark, run, rule, drawing))
    describe(spark, "merge polygons across seams")
    whole = read_parts(spark, ledger, keys, FRAGMENT_SCHEMA, seam=False).select(POLYGON_COLUMNS)
    seams = read_parts(spark, ledger, keys, FRAGMENT_SCHEMA, seam=True)
    merged = whole.unionByName(merge_seams(seams, run, drawing)).sortWithinPartitions("gid")
    write_frame(merged.withColumnsRenamed({"gid": "change_id", "whole": "whole_id"}), run.folder.work_records, MERGED)
    return {"threshold": threshold, "fdr": change.rule.fdr, "pixels_scored": n_scored}


def cut_all(spark: SparkSession, run: Run, rule: DecisionRule, drawing: Drawing) -> list[str]:
    """Cut the scored tiles that are not cut yet; gives the keys of all fragments."""
    ledger, rule_id = run.folder.records, identity(rule.identity, repr(drawing))
    tiles = read_table(run.folder.ledger, "tiles", ["tile_id", "row", "col", "state"])
    tiles = tiles.filter(pc.equal(tiles["state"], "done"))
    cut = [name for name, _ in cut_tiles(ledger, rule_id)]
    open_ = tiles.filter(pc.invert(pc.is_in(tiles["tile_id"], pa.array(cut, pa.string()))))
    if len(open_):
        function = _cutting(rule, rule_id, run.plan.zones.to_bytes(), ledger, drawing)
        tasks = spread(spark, open_.select(["row", "col"])).mapInArrow(function, spark_schema(CUT_SCHEMA))
        tasks.write.format("noop").mode("overwrite").save()
    scored = set(tiles["tile_id"].to_pylist())
    return sorted(key for name, key in cut_tiles(ledger, rule_id) if key is not None and name in scored)


def merge_seams(parts: DataFrame, run: Run, drawing: Drawing) -> DataFrame:
    """Fragments that reach a seam -> one row a polygon. Equal link keys of two fragments of one class are an edge."""
    links = parts.select("gid", "class", F.explode("links").alias("link"))
    pairs = links.groupBy("link", "class").agg(F.min("gid").alias("a"), F.max("gid").alias("b"), F.count("*").alias("n"))
    across = pairs.where("n = 2").select("a", "b", (F.col("link") % 4 >= STRAIGHT).alias("diagonal"))
    within = parts.where("gid != `group`").select(
        F.col("gid").alias("a"), F.col("group").alias("b"), F.lit(True).alias("diagonal")
    )
    edges = across.unionByName(within).distinct()
    # in one task, not on the driver: its memory is that of the fragments on seams
    joined = edges.repartition(1).mapInArrow(_connect, spark_schema(COMPONENT_SCHEMA))
    known = parts.join(joined, "gid", "left")
    for name in ("component4", "component8"):
        known = known.withColumn(name, F.coalesce(name, "gid"))
    by_component = known.select(*POLYGON_COLUMNS, "marks", "component4", "component8").repartition("component8")
    params = run.plan.params
    merging = _merging(run.scores, params.polygons, params.change.rule.high, drawing)
    return by_component.sortWithinPartitions("component8").mapInArrow(merging, spark_schema(POLYGON_SCHEMA))


def _cutting(rule: DecisionRule, rule_id: str, zones: bytes, ledger: Ledger, drawing: Drawing) -> ArrowFunction:
    """Tiles (row, col) -> CUT_SCHEMA; writes each tile's shard of the decision, its fragments and its record."""

    def cut(batches: Batches) -> Batches:
        for batch in batches:
            for tile in tiles_of(batch, rule.scores):
                cut_tile(tile, rule, rule_id, zones_of(zones), ledger, drawing)
                yield pa.RecordBatch.from_pylist([{"tile_id": tile.id}], CUT_SCHEMA)

    return cut


def _connect(batches: Batches) -> Batches:
    """Edges of all seams -> COMPONENT_SCHEMA: the 4- and the 8-connected component of every fragment."""
    edges = pa.Table.from_batches(batches, EDGE_SCHEMA)
    a, b, diagonal = (edges[name].to_numpy() for name in EDGE_SCHEMA.names)
    if not len(a):
        return
    gid, component8 = components(a, b)
    straight, component = components(a[~diagonal], b[~diagonal])
    component4 = gid.copy()
    component4[np.searchsorted(gid, straight)] = component
    yield pa.RecordBatch.from_arrays([pa.array(column) for column in (gid, component4, component8)], schema=COMPONENT_SCHEMA)


def _merging(raster: RasterStore, polygons: Polygons, high: float | None, drawing: Drawing) -> ArrowFunction:
    """Seam fragments sorted by component8 -> POLYGON_SCHEMA; the last component waits for the next batch."""

    def merge(table: pa.Table) -> pa.RecordBatch:
        return merge_fragments(
            table,
            raster.grid.pixel_area,
            min_pixels=polygons.min_pixels,
            fill_holes_pixels=polygons.fill_holes_pixels,
            high=high,
            drawing=drawing,
        )

    def merge_parts(batches: Batches) -> Batches:
        held: list[pa.RecordBatch] = []
        for batch in batches:
            held += [batch] if batch.num_rows else []
            if sum(part.num_rows for part in held) < MERGE_BATCH_ROWS:
                continue
            table = pa.Table.from_batches(held)
            component = table["component8"].to_numpy()
            whole = int(np.searchsorted(component, component[-1]))
            if whole:
                yield merge(table.slice(0, whole))
                held = table.slice(whole).to_batches()
        if held:
            yield merge(pa.Table.from_batches(held))

    return merge_parts
