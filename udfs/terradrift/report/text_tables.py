"""The report's tables and its chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from terradrift.kernels.series import KINDS
from terradrift.pages.charts import legend, stacked_bars
from terradrift.pages.html import TextTable, escaped, table
from terradrift.plan_report import bytes_text
from terradrift.report.read import Report
from terradrift.report.tables import ONE_KIND, SHOWN
from terradrift.stage_names import in_order

KIND_COLOURS = {
    "step": "#2b7bba",
    "ramp": "#e08a1e",
    "unconfirmed": "#8d99a6",
    "blip": "#8e5ea2",
    "none": "#5f6b78",
    ONE_KIND: "#2b7bba",
}

NAMES = ("name", "label", "title", "id", "code")
"""Attributes of a zone by which it is called, the first that is there."""


def kinds_chart(report: Report) -> str:
    """Hectares by year, stacked by kind; for detectors without kinds in one colour."""
    by_kind = report.areas.by_kind
    if not by_kind:
        return "<p>No change was mapped.</p>"
    years = list(report.run.manifest["years"][1:])
    years += sorted({year for sums in by_kind.values() for year in sums} - set(years) - {None})
    kinds = sorted(by_kind, key=lambda kind: KINDS.index(kind) if kind in KINDS else len(KINDS))
    stacks = {kind: [by_kind[kind].get(year, 0.0) for year in years] for kind in kinds}
    chart = stacked_bars([str(year) for year in years], stacks, KIND_COLOURS, "ha")
    return f"<figure>{chart}{legend({kind: KIND_COLOURS[kind] for kind in kinds})}</figure>"


def largest_table(report: Report) -> str:
    """Facts of the largest changes."""
    columns = ("change_id", "kind", "year", "ha", "effect", "score", "q", "zone", "lon, lat")
    rows = (
        (
            str(row["change_id"]),
            str(row["kind"]),
            _span(row["year_first"], row["year_last"]),
            f"{row['area_m2'] / 1e4:,.2f}",
            f"{row['effect_mean']:.3f}",
            f"{row['score_max']:.3g}",
            "" if row["q_min"] is None else f"{row['q_min']:.2g}",
            str(row["zone"]),
            f"{row['lon']:.5f}, {row['lat']:.5f}",
        )
        for row in report.facts
    )
    return table(TextTable("", columns, tuple(rows))) if report.facts else ""


def _span(first: Any, last: Any) -> str:
    return str(first) if first == last else f"{first} to {last}"


def thresholds_table(report: Report) -> str:
    """The table thresholds: what was mapped, and how much of it is expected to be false."""
    rows = report.thresholds
    if any(row["expected_false_rate"] is not None for row in rows):
        return _calibrated(rows)
    first = rows[0]
    text = (
        f"Mapped: pixels with a {first['detector']} score of at least {first['threshold']:.4g} "
        f"({first['rule']} {first['value']:g} in the run file). "
        "This detector is not calibrated: how much of the map is false is not known. "
        "Measure it: terradrift evaluate, or terradrift sample where no sites are known."
    )
    return f"<p>{escaped(text)}</p>"


def _calibrated(rows: Sequence[Mapping[str, Any]]) -> str:
    mapped = sum(row["mapped_area_m2"] or 0 for row in rows)
    false = sum(row["expected_false_area_m2"] or 0 for row in rows)
    said = (
        f"Asked for: at most {100 * rows[0]['value']:.3g} % of the mapped pixels false. "
        f"Expected: {false / 1e4:,.3g} of {mapped / 1e4:,.4g} ha, counted before small polygons are left out. "
        "The expectation comes from the data themselves, the same pixels with their years in other orders; "
        "it is an average over a stratum, not a promise for a polygon."
    )
    columns = ("stratum", "score from", "expected false", "pixels", "mapped", "mapped ha", "false ha", "calibrated with")
    body = tuple(
        (
            str(row["stratum"]),
            "none mapped" if row["threshold"] is None else f"{row['threshold']:.3g}",
            "" if row["expected_false_rate"] is None else f"{100 * row['expected_false_rate']:.1f} %",
            f"{row['n_pixels']:,}",
            f"{row['n_mapped'] or 0:,}",
            f"{(row['mapped_area_m2'] or 0) / 1e4:,.1f}",
            f"{(row['expected_false_area_m2'] or 0) / 1e4:,.1f}",
            str(row["calibrated_with"]),
        )
        for row in rows
    )
    return f"<p>{escaped(said)}</p>{table(TextTable('', columns, body))}"


def zones_table(report: Report) -> str:
    """Hectares changed by zone and year, the most changed zones first."""
    by_zone = report.areas.by_zone
    zones = report.run.zones
    years = sorted({year for sums in by_zone.values() for year in sums})
    order = sorted(zones["zone"], key=lambda zone: (-sum(by_zone.get(zone, {}).values()), zone))
    names = _zone_names(zones)
    rows = [
        (
            str(zone), *((names[zone],) if names else ()),
            *(f"{by_zone.get(zone, {}).get(year, 0.0):,.1f}" for year in years), f"{sum(by_zone.get(zone, {}).values()):,.1f}",
        )
        for zone in order[:SHOWN]
    ]  # fmt: skip
    columns = ("zone", *(("name",) if names else ()), *map(str, years), "all, ha")
    more = f"<p>The {SHOWN} most changed of {len(order):,} zones; all of them: table change_polygons, column zone.</p>"
    return table(TextTable("", columns, tuple(rows)), words=(1,) if names else ()) + (more if len(order) > SHOWN else "")


def _zone_names(zones: Any) -> dict[int, str]:
    """What zones are called: an attribute of NAMES, else the first with text."""
    columns = [name for name in zones.columns if name not in ("zone", "geometry", "bbox")]
    texts = [name for name in columns if zones[name].map(lambda value: isinstance(value, str)).any()]
    called = next((name for wanted in NAMES for name in columns if name.lower() == wanted), texts[0] if texts else None)
    return {} if called is None else dict(zip(zones["zone"], zones[called].astype(str), strict=True))


def gaps_table(report: Report) -> str:
    """Parts of the area without a score."""
    gaps = report.gaps
    if not gaps.by_reason:
        return "<p>None: every tile of the area was scored. Pixels without enough years of data are grey on the maps.</p>"
    number = sum(count for count, _ in gaps.by_reason.values())
    rows = tuple((row["reason"], row["tile_id"] or "", f"{row['hectares']:,.4g}", row["detail"] or "") for row in gaps.rows)
    more = f"<p>The first {len(rows)} of {number:,}; all of them: table gaps.</p>" if number > len(rows) else ""
    return table(TextTable("", ("why", "tile", "ha", "detail"), rows), words=(1, 3)) + more


def tiles_tables(report: Report) -> str:
    """Tiles by state, what they took, and the seconds of every stage."""
    tiles, seconds = report.tiles, in_order(report.run.manifest["seconds"])
    states = ", ".join(f"{tiles.states[state]:,} {state}" for state in ("done", "empty", "failed") if tiles.states.get(state))
    lines = [
        f"{sum(tiles.states.values()):,} tiles: {states}.",
        f"Read {bytes_text(tiles.bytes_read)} in {tiles.seconds:,.1f} seconds of tasks; "
        f"peak memory of a worker {bytes_text(tiles.peak_rss)}.",
    ]
    if tiles.tried_again:
        lines.append(f"{tiles.tried_again:,} tiles needed more than one try.")
    if tiles.n_bad_norm:
        lines.append(f"{tiles.n_bad_norm:,} pixel-years were left out because their vector is not of length one.")
    if tiles.missing_objects:
        lines.append(f"{tiles.missing_objects:,} objects of the mosaic are absent: no data there.")
    whole = sum(seconds.values()) or 1
    rows = tuple((name, f"{value:,.1f}", f"{100 * value / whole:.0f} %") for name, value in seconds.items())
    stages = TextTable("", ("stage", "seconds", "share"), rows)
    slow = tuple(
        (row["tile_id"], f"{row['seconds']:.1f}", f"{row['n_valid']:,}", bytes_text(row["bytes_read"])) for row in tiles.slowest
    )
    text = "".join(f"<p>{escaped(line)}</p>" for line in lines)
    return text + table(stages) + table(TextTable("Slowest tiles", ("tile", "seconds", "pixels scored", "read"), slow), level=3)
