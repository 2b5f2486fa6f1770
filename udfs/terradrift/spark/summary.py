"""What a run found, in a few lines: area by year, the largest changes, where the files are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)
from rich.console import Console
from rich.table import Table

from terradrift.records import Ledger
from terradrift.spark.arrow_tasks import describe
from terradrift.spark.parts import read_frame
from terradrift.stage_names import in_order

LARGEST = 5


@dataclass(frozen=True)
class Summary:
    """Figures of a finished run."""

    polygons: int
    by_year: list[tuple[int | None, int, float]]
    """year, polygons, hectares"""
    largest: list[dict[str, Any]]


def summarize(spark: SparkSession, ledger: Ledger, crs: str) -> Summary:
    """Read the published polygons."""
    describe(spark, "summarize")
    polygons = read_frame(spark, ledger, "tables/change_polygons")
    years = polygons.groupBy(F.col("year_mode").alias("year")).agg(
        F.count("*").alias("n"), (F.sum("area_m2") / 10_000).alias("hectares")
    )
    by_year = sorted(((row["year"], row["n"], row["hectares"]) for row in years.collect()), key=lambda row: row[0] or 0)
    rows = largest_changes(polygons, LARGEST, ("change_id", "year_mode", "kind", "area_m2", "effect_mean"), crs)
    return Summary(sum(n for _, n, _ in by_year), by_year, rows)


def largest_changes(polygons: DataFrame, most: int, columns: Sequence[str], crs: str) -> list[dict[str, Any]]:
    """The `most` largest of change_polygons, largest first: `columns`, and `lon` and `lat` of a point in each."""
    point = F.call_function("ST_PointOnSurface", F.col("geometry"))
    if crs != "EPSG:4326":
        point = F.call_function("ST_Transform", point, F.lit(crs), F.lit("EPSG:4326"))
    largest = polygons.orderBy(F.desc("area_m2"), "change_id").limit(most).select(*columns, point.alias("point"))
    place = (F.call_function(f"ST_{axis}", "point").alias(name) for axis, name in (("X", "lon"), ("Y", "lat")))
    return [row.asDict() for row in largest.select(*columns, *place).collect()]


def _rule(counts: dict[str, Any]) -> str:
    if counts.get("fdr") is not None:
        return f"an expected share of false pixels <= {counts['fdr']:g}"
    return f"score >= {counts['threshold']:.4g}"


def _largest(rows: list[dict[str, Any]], tells_kinds: bool) -> Table:
    """The kind is left out where the detector tells none: every row would say `unconfirmed`."""
    kinds = ["kind"] if tells_kinds else []
    table = Table("change_id", "year", *kinds, "hectares", "effect", "lon, lat", title="largest changes", title_justify="left")
    for row in rows:
        where, hectares = f"{row['lon']:.5f}, {row['lat']:.5f}", f"{row['area_m2'] / 10_000:,.2f}"
        kind = [row["kind"]] if tells_kinds else []
        table.add_row(str(row["change_id"]), str(row["year_mode"]), *kind, hectares, f"{row['effect_mean']:.3f}", where)
    return table


def print_summary(
    manifest: dict[str, Any], url: str, console: Console, waited: Mapping[str, float] = MappingProxyType({})
) -> None:
    """Write the summary of run.json for a person; `waited`: seconds before the first stage, by what they were for."""
    counts, summary, seconds = manifest["counts"], manifest["summary"], in_order({**waited, **manifest["seconds"]})
    console.print(
        f"{counts['tiles']['done']:,} tiles, {counts['pixels_scored']:,} pixels scored, "
        f"{summary['polygons']:,} changes at {_rule(counts)}"
    )
    if summary["by_year"]:
        table = Table("year", "changes", "hectares", title="area changed by year", title_justify="left")
        for year, n, hectares in summary["by_year"]:
            table.add_row(str(year), f"{n:,}", f"{hectares:,.1f}")
        console.print(table)
        console.print(_largest(summary["largest"], manifest["parameters"]["change"]["kinds"] is not None))
    for warning in manifest["warnings"]:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)
    parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    console.print(f"{sum(seconds.values()):.0f} s: {parts}", soft_wrap=True)
    console.print(f"results: {url}", markup=False, soft_wrap=True)
    for name, verb in (("map", "serve"), ("report", "report")):
        console.print(f"{name}: terradrift {verb} {url.rpartition('/runs/')[0]}", markup=False, soft_wrap=True)
