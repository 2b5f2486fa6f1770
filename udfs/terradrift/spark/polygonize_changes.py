"""Stage 2: scores to whole polygons, equal for every tiling: fragments tile by tile, then what crosses a seam is merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)

from terradrift.calibration import Candidates
from terradrift.decision import DecisionRule
from terradrift.drawing import Drawing
from terradrift.fragments import FRAGMENT_SCHEMA, POLYGON_SCHEMA, fragments, merge_fragments
from terradrift.kernels.seams import STRAIGHT, components
from terradrift.params import Polygons
from terradrift.run import Run
from terradrift.score_store import RasterStore
from terradrift.spark.arrow_tasks import ArrowFunction, Batches, describe, scored_tiles, spark_schema, tiles_of, zones_of
from terradrift.spark.calibrate_threshold import calibrate_threshold
from terradrift.spark.find_threshold import find_threshold

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


def merged_polygons(run: Run) -> Path:
    """Folder of the whole polygons before SQL."""
    return run.folder.work / "merged_polygons"


def polygonize_changes(spark: SparkSession, run: Run) -> dict[str, Any]:
    """Choose the threshold, write the mapped pixels and the whole polygons; gives the threshold and the scored pixels."""
    plan, parts_folder = run.plan, str(run.folder.work / "fragments")
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
    parts = scored_tiles(spark, run).mapInArrow(_cutting(rule, plan.zones.to_bytes(), drawing), spark_schema(FRAGMENT_SCHEMA))
    parts.write.mode("overwrite").parquet(parts_folder)

    describe(spark, "merge polygons across seams")
    written = spark.read.parquet(parts_folder)
    whole = written.where("NOT seam").select(POLYGON_COLUMNS).unionByName(merge_seams(written.where("seam"), run, drawing))
    renamed = whole.withColumnsRenamed({"gid": "change_id", "whole": "whole_id"})
    renamed.write.mode("overwrite").parquet(str(merged_polygons(run)))
    return {"threshold": threshold, "fdr": change.rule.fdr, "pixels_scored": n_scored}


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


def _cutting(rule: DecisionRule, zones: bytes, drawing: Drawing) -> ArrowFunction:
    """Tiles (row, col) -> FRAGMENT_SCHEMA; writes the tile's shard of the decision on the way."""

    def cut_polygons(batches: Batches) -> Batches:
        grid = rule.scores.grid
        for batch in batches:
            for tile in tiles_of(batch, rule.scores):
                around = drawing.around(tile.window, rule.scores.window)
                wide = rule.decide(around)
                decision = wide.cut(tile.window.slices(around))
                rule.decision.write_tile(tile, decision.rasters())
                if not decision.classes.any():
                    continue
                yield fragments(
                    tile.window,
                    rule.scores.window,
                    decision.classes,
                    score=decision.score,
                    effect=decision.effect,
                    year=decision.year,
                    kind=decision.kind,
                    q=decision.q,
                    zones=zones_of(zones).mask(tile.window),
                    years=rule.years,
                    pixel_area=grid.pixel_area,
                    mosaic_width=grid.width,
                    connectivity=rule.polygons.connectivity,
                    min_pixels=rule.polygons.min_pixels,
                    fill_holes_pixels=rule.polygons.fill_holes_pixels,
                    high=rule.high,
                    drawing=drawing,
                    marks=drawing.marks(wide.classes, wide.surface, around, tile.window),
                )

    return cut_polygons


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
