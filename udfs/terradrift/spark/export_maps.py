"""Stage 5: tables and rasters to maps: vector tiles, raster tiles, GeoTIFFs, a picture."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)

from terradrift.ledger import code_version
from terradrift.maps.display import write_largest, write_zones_geojson
from terradrift.maps.preview import write_preview
from terradrift.maps.raster_tiles import score_legend, year_legend
from terradrift.maps.stac import RunFacts, write_stac
from terradrift.maps.styles import changed_style, kind_style, polygon_style, ramp_style, year_style
from terradrift.maps.tile_options import Thin, TileOptions
from terradrift.run import Run
from terradrift.spark.arrow_tasks import describe
from terradrift.spark.build_overviews import STATISTICS
from terradrift.spark.export_cogs import crop_window, export_cogs
from terradrift.spark.export_vector_files import export_vector_files
from terradrift.spark.parts import read_frame, read_plain
from terradrift.spark.raster_tiles import export_raster_tiles
from terradrift.spark.summary import largest_changes
from terradrift.spark.vector_tiles import export_pmtiles
from terradrift.table_parts import table_keys

WEB_CRS = "EPSG:4326"
"""What vector tiles are made from."""

LISTED = 500
"""Changes in `largest.json`."""

LISTED_COLUMNS = ("change_id", "zone", "kind", "year_first", "year_last", "score_max", "effect_mean", "area_m2")

TILE_ATTRIBUTES = ("change_id", "kind", "year_first", "score_max", "effect_mean", "area_m2")

CHANGES_THIN = (Thin("score_max", 10, 2), Thin("effect_mean", 10, 2), Thin("area_m2", 10, -2))
"""Below zoom 10 two decimals, and areas in hundreds of square metres: a viewer can filter by all of them at every zoom."""


def export_maps(spark: SparkSession, run: Run) -> dict[str, Any]:
    """Write the maps that the run file asks for; gives the counts of the vector tiles."""
    maps = run.plan.params.maps
    report: dict[str, Any] = {}
    if maps.pmtiles:
        report["vector_tiles"] = export_vector_tiles(spark, run)
        export_display(spark, run)
    if maps.raster_tiles:
        report["raster_tiles"] = export_pictures(spark, run)
    if maps.cog:
        export_cogs(spark, run)
        export_preview(run)
    export_vector_files(spark, run)
    write_styles(run)
    write_stac(run_facts(run))
    return report


def export_vector_tiles(spark: SparkSession, run: Run) -> dict[str, Any]:
    """`maps/changes.pmtiles` from change_polygons."""
    params = run.plan.params
    describe(spark, "write vector tiles")
    polygons = read_plain(spark, run.folder.records, "tables/change_polygons")
    shape = F.col("geometry")
    if params.refine.crs != WEB_CRS:
        shape = F.call_function("ST_GeomFromWKB", shape)
        shape = F.call_function("ST_AsBinary", F.call_function("ST_Transform", shape, F.lit(params.refine.crs), F.lit(WEB_CRS)))
    frame = polygons.select(*TILE_ATTRIBUTES, shape.alias("geometry"))
    maps = params.maps
    options = TileOptions(
        layer="changes", id_column="change_id", min_zoom=maps.min_zoom, max_zoom=maps.max_zoom, thin=CHANGES_THIN
    )
    metadata = {"name": "changes", "description": "terradrift change polygons", **credit(run)}
    with tempfile.TemporaryDirectory(prefix="terradrift-tiles-") as folder:
        path = Path(folder) / "changes.pmtiles"
        report = export_pmtiles(spark, frame, path, run.folder.records.store.at("_work/vector_tiles"), options, metadata)
        run.folder.records.put_file(f"maps/{path.name}", path)
    return asdict(report)


def export_pictures(spark: SparkSession, run: Run) -> dict[str, Any]:
    """`maps/change_score.pmtiles` and `change_year.pmtiles` from the levels of scores.zarr."""
    describe(spark, "write raster tiles")
    maps, report = run.plan.params.maps, {}
    with tempfile.TemporaryDirectory(prefix="terradrift-tiles-") as folder:
        for legend in (score_legend(run.scores), year_legend(run.plan.years)):
            path, work = Path(folder) / f"{legend.array}.pmtiles", run.folder.records.store.at("_work/raster_tiles")
            zooms, told = (maps.min_zoom, maps.max_zoom), {"name": legend.array, **credit(run)}
            found = export_raster_tiles(spark, run.scores, crop_window(run), legend, path, work, zooms, told)
            run.folder.records.put_file(f"maps/{path.name}", path)
            report[legend.array] = asdict(found)
    return report


def credit(run: Run) -> dict[str, str]:
    """The line that maps of the mosaic must carry, for the metadata of an archive; nothing where it asks for none."""
    attribution = run.plan.mosaic.attribution
    return {"attribution": attribution} if attribution else {}


def export_display(spark: SparkSession, run: Run) -> None:
    """What the page shows beside tiles and rasters."""
    describe(spark, "list the largest changes")
    records, crs = run.folder.records, run.plan.params.refine.crs
    polygons = read_frame(spark, records, "tables/change_polygons")
    with tempfile.TemporaryDirectory(prefix="terradrift-display-") as name:
        folder = Path(name)
        write_largest(largest_changes(polygons, LISTED, LISTED_COLUMNS, crs), folder / "largest.json")
        records.put_file("maps/largest.json", folder / "largest.json")
        for key in table_keys(records, "tables/zones"):
            zones = records.store.copy_to(key, folder / key)
        write_zones_geojson(zones.parents[1], folder / "zones.geojson")
        records.put_file("maps/zones.geojson", folder / "zones.geojson")


def write_styles(run: Run) -> None:
    """How QGIS shows the files beside them."""
    maps, store = run.plan.params.maps, run.folder.records.store
    styles: dict[str, bytes] = {}
    if maps.cog:
        styles |= {"change_year": year_style(run.plan.years), "change_kind": kind_style(), "changed": changed_style()}
        for name in ("change_score", "change_effect"):
            if (limits := color_limits(run, name)) is not None:
                styles[name] = ramp_style(*limits)
    if maps.pmtiles or maps.gpkg or maps.flatgeobuf:
        styles["changes"] = polygon_style()
    for name, style in styles.items():
        store.put(f"maps/{name}.qml", style)


def color_limits(run: Run, array: str) -> tuple[float, float] | None:
    """From the 2nd to the 99.5th percentile of a score, as in the picture; None without any."""
    found = json.loads(run.folder.ledger.store.get(STATISTICS) or b"{}").get("arrays", {}).get(array)
    return None if found is None else (found["percentiles"]["2"], found["percentiles"]["99.5"])


def run_facts(run: Run) -> RunFacts:
    """What the STAC item says of a run."""
    plan, params = run.plan, run.plan.params
    rule = params.change.rule
    lineage = (
        f"{params.scores.distance} distances of annual embeddings {plan.years[0]} to {plan.years[-1]}; detector "
        f"{params.change.detector}, threshold {rule.name} {getattr(rule, rule.name)}; polygons of at least "
        f"{params.polygons.min_pixels} pixels"
    )
    created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return RunFacts(
        str(run.folder.root), run.folder.score_id, run.folder.run_id, plan.grid, crop_window(run), plan.years,
        plan.mosaic.url, plan.mosaic.attribution, lineage, code_version(), created,
    )  # fmt: skip


def export_preview(run: Run) -> None:
    """`maps/preview.png` of the score with the polygons' outlines."""
    records = run.folder.records
    with tempfile.TemporaryDirectory(prefix="terradrift-preview-") as name:
        folder = Path(name)
        score = records.store.copy_to("maps/change_score.tif", folder / "score.tif")
        keys = table_keys(records, "tables/change_polygons")
        polygons = [records.store.copy_to(key, folder / key) for key in keys]
        write_preview(score, polygons[0].parent, folder / "preview.png")
        records.put_file("maps/preview.png", folder / "preview.png")
