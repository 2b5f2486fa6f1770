"""A whole small job in this process, without Spark: the product's own driver over stages that do what its tasks do.

Only what Spark itself does is done plainly here: rows go from task to task in lists, and the rows that SQL would make are given.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyproj
import shapely

from terradrift.aoi.tables import gaps_frame, write_frame, zones_frame
from terradrift.calibration import Candidates
from terradrift.cut_tile import cut_tile, cut_tiles
from terradrift.decision import DecisionRule
from terradrift.drawing import Drawing
from terradrift.fragments import FRAGMENT_SCHEMA, POLYGON_SCHEMA, merge_fragments
from terradrift.input_check import unchanged_input
from terradrift.kernels.seams import STRAIGHT
from terradrift.kernels.strata import Strata
from terradrift.lock import locked
from terradrift.maps.cog import COGS, write_cog
from terradrift.maps.pair_runs import RUN, open_runs, read_range, tile_ranges, write_runs
from terradrift.maps.pmtiles import TileIndex, write_archive
from terradrift.maps.tile_columns import archive_metadata, field_types
from terradrift.maps.tile_options import TileOptions
from terradrift.maps.tile_stats import LayerStats
from terradrift.maps.vector_tiles import encode_tiles
from terradrift.overviews import blocks_with, coarser_blocks, passes, write_overviews
from terradrift.planning import Plan
from terradrift.run import Run, decision_arrays, open_run
from terradrift.score_store import score_arrays
from terradrift.score_tile import ScoreRasters, score_tile
from terradrift.spark import detect_changes as driver
from terradrift.spark.export_cogs import crop_window
from terradrift.spark.export_maps import export_preview
from terradrift.spark.find_threshold import write_thresholds
from terradrift.spark.polygonize_changes import MERGED, _connect
from terradrift.spark.score_tiles import tile_counts, unscored_tiles, write_tiles_table
from terradrift.spark.summary import Summary
from terradrift.store import open_store
from terradrift.strata_sample import first_round, learn_strata, sample_chunk, sample_order
from terradrift.table_parts import TableFormat, finish_table, part_key, read_part, read_table, write_part, write_table

EDGES = pa.schema([("a", pa.int64()), ("b", pa.int64()), ("diagonal", pa.bool_())])
FORM = TableFormat(POLYGON_SCHEMA)
WGS84 = pyproj.CRS(4326).to_json()


def run_plain(plan: Plan, output: str) -> dict[str, Any]:
    """The job with its output at a URL, from where it stands there; gives run.json."""
    plan = replace(plan, params=plan.params.model_copy(update={"output": output}))
    with locked(open_store(output)) as lock:
        run = open_run(plan)
        if run.folder.is_complete():
            run.folder.point()
            run.folder.clean_work()
            return {}
        return driver.detect_changes(None, run, check=lock.check)  # type: ignore[arg-type]


def score(_: Any, run: Run) -> dict[str, Any]:
    """Every tile without a record."""
    tiles, plan = run.unfinished(), run.plan
    calibrated = plan.recipe.lattice > 0
    rasters = ScoreRasters(run.scores, run.decoys if calibrated else None)
    with unchanged_input(plan, run.folder.ledger, is_first=len(tiles) == plan.n_tiles):
        strata = strata_of(plan) if calibrated else None
        for row, col in zip(tiles["row"].to_pylist(), tiles["col"].to_pylist(), strict=True):
            place = run.scores.tile(row, col)
            score_tile(place, plan.mosaic, plan.zones, plan.recipe, rasters, run.folder.ledger, strata)
    write_tiles_table(run)
    return {"tiles": tile_counts(run)}


def strata_of(plan: Plan) -> Strata:
    """Learnt from the first sample of chunks."""
    order = sample_order(plan)
    chunks = order[: first_round(len(order))].tolist()
    sample = pa.concat_tables([sample_chunk(plan.mosaic, plan.zones, plan.years, row, col) for row, col in chunks])
    return learn_strata(sample, int(plan.params.change.strata or 0), plan.mosaic.n_bands)


def polygonize(_: Any, run: Run) -> dict[str, Any]:
    """Fragments of every tile without a record, merged across seams."""
    plan, ledger = run.plan, run.folder.records
    change = plan.params.change
    threshold = change.rule.score
    write_thresholds(run, [(0, change.detector, "score", threshold, threshold, None, 0, None, None, None, 0, None)])
    candidates = Candidates(change.min_effect, change.kinds)
    rule = DecisionRule(run.scores, run.decision, plan.years, candidates, threshold, None, None, None, plan.params.polygons)
    tiles = read_table(run.folder.ledger, "tiles", ["tile_id", "row", "col", "state"])
    cut = {name for name, _ in cut_tiles(ledger, rule.identity)}
    for tile in tiles.filter(pc.equal(tiles["state"], "done")).to_pylist():
        if tile["tile_id"] not in cut:
            cut_tile(run.scores.tile(tile["row"], tile["col"]), rule, rule.identity, plan.zones, ledger, drawing_of(plan))
    keys = sorted(key for _, key in cut_tiles(ledger, rule.identity) if key is not None)
    parts = pa.concat_tables([read_part(ledger.store, key).cast(FRAGMENT_SCHEMA) for key in keys])
    whole = parts.filter(pc.invert(parts["seam"])).select(POLYGON_SCHEMA.names)
    merged = pa.concat_tables([whole, _merged(parts.filter(parts["seam"]), run)]).sort_by("gid")
    write_table(run.folder.work_records, MERGED, merged, FORM)
    return {"threshold": threshold, "fdr": None, "pixels_scored": 0}


def drawing_of(plan: Plan) -> Drawing:
    """Along the edges of pixels."""
    return Drawing(plan.grid.width, 1 << 16, 512, plan.refine_settings().simplify_pixels)


def _merged(seams: pa.Table, run: Run) -> pa.Table:
    found: dict[tuple[int, int], list[int]] = {}
    for row in seams.select(["gid", "class", "links"]).to_pylist():
        for link in row["links"]:
            found.setdefault((link, row["class"]), []).append(row["gid"])
    pairs = [(min(gids), max(gids), link % 4 >= STRAIGHT) for (link, _), gids in sorted(found.items()) if len(gids) == 2]
    edges = pa.Table.from_pylist([dict(zip(EDGES.names, pair, strict=True)) for pair in pairs], EDGES)
    known = {row["gid"]: row for batch in _connect(edges.to_batches()) for row in batch.to_pylist()}
    for name in ("component4", "component8"):
        seams = seams.append_column(name, pa.array([known.get(g, {}).get(name, g) for g in seams["gid"].to_pylist()], pa.int64()))
    polygons = run.plan.params.polygons
    batch = merge_fragments(
        seams, run.plan.grid.pixel_area, min_pixels=polygons.min_pixels, fill_holes_pixels=0, drawing=drawing_of(run.plan)
    )  # fmt: skip
    return pa.Table.from_batches([batch])


def refine(_: Any, run: Run) -> dict[str, Any]:
    """The tables; instead of SQL, the outlines as they are."""
    plan, ledger = run.plan, run.folder.records
    merged = read_table(run.folder.work_records, MERGED)
    rows = merged.select(["gid", "n_pixels", "score_max", "geometry"]).rename_columns(
        ["change_id", "n_pixels", "score_max", "geometry"]
    )
    write_table(ledger, "tables/raw_polygons", rows, TableFormat(rows.schema))
    a, _b, c, _d, e, f = plan.grid.transform
    shapes = shapely.transform(shapely.from_wkb(rows["geometry"].to_numpy()), lambda xy: xy * (a, e) + (c, f))
    sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), shapely.bounds(shapes).T, strict=True))
    table = rows.drop_columns("geometry").append_column("bbox", pa.StructArray.from_arrays([*sides.values()], [*sides]))
    table = table.append_column("geometry", pa.array(shapely.to_wkb(shapes), pa.binary()))
    half, form = len(table) // 2, TableFormat(table.schema, WGS84)
    for name in ("tables/change_polygons", "tables/polygon_parts"):
        pieces = (table.slice(0, half), table.slice(half))
        parts = [write_part(ledger.store, part_key(name, k), piece.to_batches(), form) for k, piece in enumerate(pieces)]
        finish_table(ledger, name, parts)
    write_frame(ledger, "tables/zones", zones_frame(plan.zones, plan.grid, "EPSG:4326"))
    write_frame(ledger, "tables/gaps", gaps_frame(plan.zones, plan.grid, "EPSG:4326", unscored_tiles(run)))
    return {"polygons": {"rows_out": len(table)}}


def overviews(_: Any, run: Run) -> dict[str, Any]:
    """Every block, with its record."""
    tiles = read_table(run.folder.ledger, "tiles", ["y0", "x0", "height", "width"])
    windows = np.stack([tiles[name].to_numpy().astype(np.int64) for name in tiles.column_names], axis=1)
    rasters = (
        (run.scores, run.folder.ledger, score_arrays(run.plan.recipe)),
        (run.decision, run.folder.records, decision_arrays(run.plan)),
    )
    for raster, ledger, arrays in rasters:
        blocks = blocks_with(windows, raster.window)
        for made in passes(raster):
            for row, col in blocks.tolist():
                list(write_overviews(raster, arrays, made, row, col, ledger))
            blocks = coarser_blocks(blocks)
    return {"overviews": len(run.scores.levels) - 1}


def maps(_: Any, run: Run) -> dict[str, Any]:
    """Vector tiles, GeoTIFFs and the picture."""
    records = run.folder.records
    _vector_tiles(run)
    tiles = read_table(run.folder.ledger, "tiles", ["row", "col"]).to_pylist()
    for name in ("change_score.tif", "change_year.tif"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            write_cog(run.scores, COGS[name], (run.scores.tile(**tile) for tile in tiles), crop_window(run), path, {})
            records.put_file(f"maps/{path.name}", path)
    export_preview(run)
    return {"vector_tiles": {}}


def _vector_tiles(run: Run) -> None:
    records, options = run.folder.records, TileOptions(layer="changes", id_column="change_id", min_zoom=9, max_zoom=10)
    table = read_table(records, "tables/change_polygons").drop_columns("bbox")
    own = records.store.at(f"_work/vector_tiles/{uuid.uuid4().hex}")
    try:
        cut = pa.Table.from_batches(list(write_runs(own, options, table.to_batches())), RUN)
        ranges = tile_ranges(cut, 2)
        runs = open_runs(own, cut, ranges)
        pairs = (rows for tiles in ranges if (rows := read_range(runs, tiles)) is not None)
        made = list(encode_tiles(pairs, options))
        own.put("blob", b"".join(tile.data for tile in made))
        length = np.array([len(tile.data) for tile in made])
        digest = np.frombuffer(b"".join(tile.digest for tile in made), np.uint64).reshape(-1, 2)
        ids = np.array([tile.tile_id for tile in made])
        index = TileIndex(ids, np.zeros_like(ids), np.cumsum(length) - length, length, digest)
        stats = LayerStats(options.layer_names, field_types(table.schema, options))
        stats.merge(map(json.loads, cut["stats"].drop_null().to_pylist()))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "changes.pmtiles"
            blob = own.copy_to("blob", Path(folder) / "blob")
            write_archive(path, index, [blob], (0.0, 0.0, 1.0, 1.0), archive_metadata(options, stats.tilestats(), {}))
            records.put_file(f"maps/{path.name}", path)
    finally:
        own.clear("")


STAGES = {
    "score_tiles": score,
    "polygonize_changes": polygonize,
    "refine_polygons": refine,
    "build_overviews": overviews,
    "export_maps": maps,
}


def summary(*_: Any) -> Summary:
    return Summary(0, [], [])
