"""What the report says of a run's tables, one pass each, a part at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyproj
import shapely

from terradrift.records import Ledger
from terradrift.results import RunResult
from terradrift.table_parts import read_parts

LARGEST = 12
"""Changes in the table of the largest."""

SHOWN = 50
"""Rows of a table of the page."""

LARGE_UNION = 1000
"""With more zones their areas are added, overlaps and all."""

ONE_KIND = "change"
"""What every change is called where the detector tells no kinds."""

FACTS = ("change_id", "whole_id", "zone", "kind", "year_first", "year_last", "year_mode", "effect_mean", "score_max", "q_min",
         "n_pixels", "area_m2")  # fmt: skip


@dataclass(frozen=True)
class Areas:
    """Mapped polygons added up; hectares."""

    polygons: int
    hectares: float
    by_kind: Mapping[str, Mapping[int, float]]
    """kind -> year -> hectares"""
    by_zone: Mapping[int, Mapping[int, float]]
    """zone -> year -> hectares"""


@dataclass(frozen=True)
class Gaps:
    """What of the area was not scored."""

    by_reason: Mapping[str, tuple[int, float]]
    """reason -> number, hectares"""
    rows: Sequence[Mapping[str, Any]]
    """The first SHOWN of them: reason, tile_id, detail, hectares, geometry in the tables' CRS."""


@dataclass(frozen=True)
class Tiles:
    """The tiles of the scores, added up."""

    states: Mapping[str, int]
    n_valid: int
    n_bad_norm: int
    missing_objects: int
    seconds: float
    bytes_read: int
    peak_rss: int
    tried_again: int
    slowest: Sequence[Mapping[str, Any]]
    failed: Sequence[Mapping[str, Any]]


def batches(ledger: Ledger, table: str, columns: Sequence[str], rows: Any = None) -> Iterator[pa.RecordBatch]:
    """Rows of a table (those of an expression) without the empty batches; memory is that of a part.

    Raises StoreError where it cannot be read or is not what was published.
    """
    for part in read_parts(ledger, table, columns):
        yield from (batch for batch in (part if rows is None else part.filter(rows)).to_batches() if len(batch))


def add_areas(run: RunResult) -> Areas:
    """The table change_polygons by kind, zone and year."""
    by_kind: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    by_zone: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    polygons, area = 0, 0.0
    called = kinds_of(run)
    for batch in batches(run.folder.records, "tables/change_polygons", ("kind", "zone", "year_mode", "area_m2")):
        rows = pa.Table.from_batches([batch])
        for row in rows.group_by(["kind", "zone", "year_mode"]).aggregate([("area_m2", "sum")]).to_pylist():
            hectares = row["area_m2_sum"] / 1e4
            by_kind[called(row["kind"])][row["year_mode"]] += hectares
            by_zone[row["zone"]][row["year_mode"]] += hectares
        polygons, area = polygons + len(batch), area + pc.sum(batch["area_m2"]).as_py() / 1e4
    return Areas(polygons, area, by_kind, by_zone)


def kinds_of(run: RunResult) -> Callable[[str], str]:
    """What to call the kind of a polygon of this run."""
    tells_kinds = run.manifest["parameters"]["change"]["kinds"] is not None
    return lambda kind: kind if tells_kinds else ONE_KIND


def largest_changes(run: RunResult) -> list[dict[str, Any]]:
    """FACTS of the LARGEST changes, those that come in pieces as a whole; largest first."""
    table = run.folder.records, "tables/change_polygons"
    top: list[dict[str, Any]] = []
    pieces: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for batch in batches(*table, FACTS):
        is_piece = pc.not_equal(batch["change_id"], batch["whole_id"])
        for row in batch.filter(is_piece).to_pylist():
            pieces[row["whole_id"]].append(row)
        whole = pa.Table.from_batches([batch.filter(pc.invert(is_piece))])
        order = pc.sort_indices(whole, [("area_m2", "descending"), ("change_id", "ascending")])[:LARGEST]
        top = sorted([*top, *whole.take(order).to_pylist()], key=_largest_first)[:LARGEST]
    if pieces:
        firsts = [row for batch in batches(*table, FACTS, ds.field("change_id").isin(list(pieces))) for row in batch.to_pylist()]
        wholes = [_whole([row, *pieces[row["change_id"]]]) for row in firsts]
        top = sorted([*(row for row in top if row["change_id"] not in pieces), *wholes], key=_largest_first)[:LARGEST]
    called = kinds_of(run)
    return [row | {"kind": called(row["kind"])} for row in top]


def _largest_first(row: Mapping[str, Any]) -> tuple[float, int]:
    return -row["area_m2"], row["change_id"]


def _whole(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return rows[0] | {name: sum(row[name] for row in rows) for name in ("n_pixels", "area_m2")}


def read_gaps(run: RunResult) -> Gaps:
    """The table gaps; areas are geodesic."""
    counts, hectares, rows = Counter[str](), defaultdict[str, float](float), list[dict[str, Any]]()
    measure = Geodesic(run.manifest["parameters"]["refine"]["crs"])
    for batch in batches(run.folder.records, "tables/gaps", ("reason", "tile_id", "detail", "geometry")):
        geometry = shapely.from_wkb(batch["geometry"].to_numpy(zero_copy_only=False))
        for row, shape in zip(batch.drop_columns(["geometry"]).to_pylist(), geometry, strict=True):
            area = measure.hectares(shape)
            counts[row["reason"]] += 1
            hectares[row["reason"]] += area
            if len(rows) < SHOWN:
                rows.append({**row, "hectares": area, "geometry": shape})
    return Gaps({reason: (count, hectares[reason]) for reason, count in counts.items()}, rows)


def read_tiles(run: RunResult) -> Tiles:
    """The table tiles."""
    columns = ("tile_id", "state", "error", "n_valid", "n_bad_norm", "missing_objects", "attempts", "seconds", "bytes_read",
               "peak_rss")  # fmt: skip
    states, sums, again, peak = Counter[str](), Counter[str](), 0, 0
    slowest, failed = list[dict[str, Any]](), list[dict[str, Any]]()
    for batch in batches(run.folder.ledger, "tiles", columns):
        table = pa.Table.from_batches([batch])
        for entry in pc.value_counts(batch["state"]).to_pylist():
            states[entry["values"]] += entry["counts"]
        for name in ("n_valid", "n_bad_norm", "missing_objects", "seconds", "bytes_read"):
            sums[name] += pc.sum(batch[name]).as_py() or 0
        again += pc.sum(pc.greater(batch["attempts"], 1)).as_py() or 0
        peak = max(peak, pc.max(batch["peak_rss"]).as_py() or 0)
        slow = table.take(pc.sort_indices(table, [("seconds", "descending"), ("tile_id", "ascending")])[:5]).to_pylist()
        slowest = sorted([*slowest, *slow], key=lambda row: (-row["seconds"], row["tile_id"]))[:5]
        failed = [*failed, *batch.filter(pc.equal(batch["state"], "failed"))[:SHOWN].to_pylist()][:SHOWN]
    return Tiles(
        states, sums["n_valid"], sums["n_bad_norm"], sums["missing_objects"], float(sums["seconds"]), sums["bytes_read"],
        peak, again, slowest, failed,
    )  # fmt: skip


THRESHOLD_COLUMNS = ("stratum", "detector", "rule", "value", "threshold", "expected_false_rate", "n_pixels", "n_mapped",
                     "mapped_area_m2", "expected_false_area_m2", "calibrated_with")  # fmt: skip


def read_thresholds(run: RunResult) -> list[dict[str, Any]]:
    """The table thresholds: one row a stratum."""
    rows = [row for batch in batches(run.folder.records, "tables/thresholds", THRESHOLD_COLUMNS) for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: row["stratum"])


class Geodesic:
    """Areas on the ellipsoid of geometries in a CRS."""

    def __init__(self, crs: str) -> None:
        found = pyproj.CRS.from_user_input(crs)
        self._geod = found.get_geod() or pyproj.Geod(ellps="WGS84")
        self._to_degrees = pyproj.Transformer.from_crs(found, found.geodetic_crs or "EPSG:4326", always_xy=True)

    def hectares(self, geometry: Any) -> float:
        """Area of a geometry, holes left out; 0 for what has none."""
        degrees = shapely.transform(geometry, lambda xy: np.column_stack(self._to_degrees.transform(*xy.T)))
        return abs(float(self._geod.geometry_area_perimeter(shapely.normalize(degrees))[0])) / 1e4


def area_of_interest(run: RunResult) -> float:
    """Hectares of the zones; where there are few, of their union."""
    zones, measure = run.zones, Geodesic(run.manifest["parameters"]["refine"]["crs"])
    shapes = list(zones.geometry)
    if len(shapes) <= LARGE_UNION:
        return measure.hectares(shapely.union_all(shapes))
    return sum(map(measure.hectares, shapes))
