"""Polygons in mosaic pixels to published tables: the SELECTs of `sql/` in order, what they lose, and what checks find.

Each file of `sql/tables` is one SELECT over the views before it. Values reach SQL as typed session variables; no text is ever
pasted into a statement. `run_query` alone takes SQL text from a person.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyproj
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name everyone knows)
from pyspark.sql.types import StructType

from terradrift.errors import InputError
from terradrift.grid import AREA_UNIT_M2
from terradrift.kernels.part_statistics import SCORE_UNIT
from terradrift.kernels.series import KINDS
from terradrift.ledger import WORK, latest_run
from terradrift.records import Ledger
from terradrift.refine import RefineSettings, SessionValue, crs_of
from terradrift.spark.parts import read_frame, read_plain, stored, write_frame
from terradrift.spark.schemas import CHANGE_POLYGONS, MERGED_POLYGONS, POLYGON_PARTS, RAW_POLYGONS
from terradrift.table_parts import geo_metadata, record_name

TABLES = (
    "raw_polygons",
    "valid_polygons",
    "simplified_polygons",
    "placed_polygons",
    "change_polygons",
    "polygon_parts",
)
"""Files of `sql/tables` in the order they run; each reads the one before."""

GEOMETRY_STEPS = TABLES[1:4]
"""Steps that may leave a polygon EMPTY: counted, dropped by the step after."""

CONSTANTS: Mapping[str, SessionValue] = {
    "kinds": list(KINDS),
    "sum_units": round(1 / SCORE_UNIT),
    "area_units_m2": round(1 / AREA_UNIT_M2),
}
"""Session variables that hold for every run."""

ROWS_PER_FILE = 500_000
"""Rows of one published file: few large files, and few enough rows for one task to sort."""

PLACE_TOLERANCE_PIXELS = 0.1  # of Sedona's transform against PROJ's

SPATIAL_CELL = """
ST_GeoHash(
  CASE WHEN session.target_crs = 'EPSG:4326' THEN ST_Centroid(geometry)
  ELSE ST_Transform(ST_Centroid(geometry), session.target_crs, 'EPSG:4326') END, 12)
"""
"""Sort key of the published tables: neighbours on the ground share files and row groups, so that a bbox skips the others."""

_packaged_sql = Path(__file__).parents[1] / "sql"
SQL = _packaged_sql if _packaged_sql.is_dir() else Path(__file__).parents[3] / "sql"
"""The folder of SQL files: inside an installed wheel, or in the repository."""


@dataclass(frozen=True)
class RefineReport:
    """What the SQL did to the polygons. Every polygon that went in came out or is counted in `lost`."""

    rows_in: int
    lost: dict[str, int]
    """Polygons left EMPTY by each step of GEOMETRY_STEPS."""
    rows_out: int
    parts: int
    vertices_in: int
    """Vertices of the valid outlines, closing ones included."""
    vertices_out: int


@dataclass(frozen=True)
class CheckResult:
    """One file of `sql/checks`: how many rows offend, and the lowest change_id of them."""

    name: str
    claim: str
    n_rows: int
    first_change_id: int | None

    @property
    def passed(self) -> bool:
        return self.n_rows == 0


def refine_polygons(spark: SparkSession, merged: DataFrame, out: Ledger, settings: RefineSettings) -> RefineReport:
    """Write the tables `raw_polygons`, `change_polygons` and `polygon_parts` of a run, over what was there.

    `merged` is the table MERGED_POLYGONS. Raises InputError where its columns differ, or where Sedona
    and PROJ place the polygons differently in the target CRS.
    """
    declare_variables(spark)
    set_variables(spark, {**CONSTANTS, **settings.variables()})
    _as(merged, MERGED_POLYGONS, "merged_polygons").createOrReplaceTempView("merged_polygons")

    write_frame(_as(_select(spark, "raw_polygons"), RAW_POLYGONS, "raw_polygons"), out, "tables/raw_polygons")
    raw = read_frame(spark, out, "tables/raw_polygons")
    rows_in = raw.count()
    _require_same_place(spark, raw, settings)
    raw.repartition("change_id").createOrReplaceTempView("raw_polygons")  # huge polygons lie together: spread them

    counts = [_observed_view(spark, name) for name in GEOMETRY_STEPS]
    rows_out = _write_sorted(spark, "change_polygons", CHANGE_POLYGONS, out, settings)
    parts = _write_sorted(spark, "polygon_parts", POLYGON_PARTS, out, settings)

    seen = [count.get for count in counts]
    left = [rows_in, *(int(step["rows"]) for step in seen)]
    lost = {name: left[i] - left[i + 1] for i, name in enumerate(GEOMETRY_STEPS)}
    return RefineReport(rows_in, lost, rows_out, parts, int(seen[0]["vertices"]), int(seen[-1]["vertices"]))


def run_checks(spark: SparkSession, out: Ledger, settings: RefineSettings) -> list[CheckResult]:
    """Every file of `sql/checks` over the tables of a run, in the order of their names."""
    declare_variables(spark)
    set_variables(spark, {**CONSTANTS, **settings.variables()})
    for name in ("raw_polygons", "change_polygons", "polygon_parts"):
        read_frame(spark, out, f"tables/{name}").createOrReplaceTempView(name)
    results = []
    for file in sorted((SQL / "checks").glob("*.sql")):
        text = file.read_text()
        rows = spark.sql(text).agg(F.count("*"), F.min("change_id")).collect()[0]
        claim = text.splitlines()[0].removeprefix("--").strip()
        results.append(CheckResult(file.stem, claim, rows[0], rows[1]))
    return results


def register_tables(spark: SparkSession, out: Path | str) -> list[str]:
    """The tables of the newest run of an output as temporary views, ready for `run_query`; their names, sorted.

    The scores' table of tiles becomes `tiles`. Raises InputError where nothing is published.
    """
    run = latest_run(out)
    found = {key.split("/")[1] for key in run.records.store.keys("tables")}
    names = sorted(name for name in found if re.fullmatch(r"[a-z]\w*", name))
    declare_variables(spark)
    for name in names:
        read_frame(spark, run.records, f"tables/{name}").createOrReplaceTempView(name)
    read_frame(spark, run.ledger, "tiles").createOrReplaceTempView("tiles")
    geometry = geo_metadata(run.records, "tables/change_polygons")["columns"]["geometry"]
    crs = crs_of(geometry["crs"], "change_polygons")
    set_variables(spark, {"target_crs": crs.to_string(), "target_srid": int(crs.to_epsg() or 0)})
    return sorted([*names, "tiles"])


def run_query(spark: SparkSession, text: str) -> DataFrame:
    """One SQL statement of the person at the keyboard. Raises InputError with the cause where Spark cannot read it."""
    try:
        return spark.sql(text.strip().rstrip(";"))
    except AnalysisException as cause:
        raise InputError(f"sql: {' '.join(str(cause.getMessage() or cause).split())}") from cause


def declare_variables(spark: SparkSession) -> None:
    """Every session variable of `sql/params.sql` at its default."""
    lines = (SQL / "params.sql").read_text().splitlines()
    code = "\n".join(line for line in lines if not line.startswith("--"))
    for statement in code.split(";"):
        if statement.strip():
            spark.sql(statement)


def set_variables(spark: SparkSession, values: Mapping[str, SessionValue]) -> None:
    """Set session variables by name; values travel as typed arguments, never as text of a statement."""
    for name, value in values.items():
        spark.sql(f"SET VAR {name} = :value", args={"value": value})


def _select(spark: SparkSession, name: str) -> DataFrame:
    return spark.sql((SQL / "tables" / f"{name}.sql").read_text())


def _as(frame: DataFrame, schema: StructType, name: str) -> DataFrame:
    """The columns of `schema`, in its order and with its comments."""
    found = {field.name: field.dataType.simpleString() for field in frame.schema}
    for field in schema:
        expected = field.dataType.simpleString()
        if found.get(field.name) != expected:
            raise InputError(
                f"{name}.{field.name}: found {found.get(field.name, 'no such column')}, expected {expected}; write the column so"
            )
    return frame.to(schema)


def _observed_view(spark: SparkSession, name: str) -> Observation:
    """Make the table's view and count what passes through it: polygons not EMPTY, and their vertices.

    Counting inside the plan takes no second run, and keeps the optimizer from merging two SELECTs, which would evaluate a
    geometry once for the filter and once for the column.
    """
    whole = F.expr("coalesce(NOT ST_IsEmpty(geometry), FALSE)")
    seen = Observation(name)
    _select(spark, name).observe(
        seen,
        F.count_if(whole).alias("rows"),
        F.coalesce(F.sum(F.expr("ST_NPoints(geometry)").cast("long")), F.lit(0)).alias("vertices"),
    ).createOrReplaceTempView(name)
    return seen


def _write_sorted(spark: SparkSession, name: str, schema: StructType, out: Ledger, settings: RefineSettings) -> int:
    """Write a geometry table sorted in space, make its view, return its rows.

    It is written twice: a sort samples its input, which would run everything before it a second time.
    """
    staged, crs = Ledger(f"{out.url}/{WORK}"), settings.target.to_json()
    n_rows = write_frame(_select(spark, name).withColumn("cell", F.expr(SPATIAL_CELL)), staged, name, crs)
    rows = read_plain(spark, staged, name)
    order = [column for column in ("cell", "change_id", "part") if column in rows.columns]
    table = rows.repartitionByRange(max(1, math.ceil(n_rows / ROWS_PER_FILE)), *order).sortWithinPartitions(*order)
    write_frame(_as(table.drop("cell"), stored(schema), name), out, f"tables/{name}", crs)
    staged.remove(record_name(name))
    staged.store.clear(name)
    read_frame(spark, out, f"tables/{name}").createOrReplaceTempView(name)
    return n_rows


def _require_same_place(spark: SparkSession, raw: DataFrame, settings: RefineSettings) -> None:
    """Refuse a pair of CRS that Sedona (GeoTools) cannot relate, or relates otherwise than PROJ: tried on one polygon."""
    if settings.source_text == settings.target_crs:
        return
    centre = raw.selectExpr("ST_Centroid(ST_GeomFromWKB(geometry)) AS p").selectExpr("ST_X(p) AS col", "ST_Y(p) AS row")
    pixel = centre.dropna().first()
    if pixel is None:
        return
    a, b, c, d, e, f = settings.transform
    x, y = a * pixel.col + b * pixel.row + c, d * pixel.col + e * pixel.row + f
    pair = f"{settings.source.name} to {settings.target_crs}"
    try:
        placed = spark.sql(
            "SELECT ST_X(p) AS x, ST_Y(p) AS y FROM "
            "(SELECT ST_Transform(ST_Point(:x, :y), session.source_crs, session.target_crs) AS p)",
            args={"x": x, "y": y},
        ).collect()[0]
    except (PySparkException, Py4JError) as cause:
        raise InputError(f"refine.crs: Sedona cannot transform {pair}; choose another CRS, for example EPSG:4326") from cause
    proj = pyproj.Transformer.from_crs(settings.source, settings.target, always_xy=True).transform(x, y)
    apart_m = math.hypot(placed.x - proj[0], placed.y - proj[1]) * settings.target_unit_m
    if not apart_m <= settings.pixel_m * PLACE_TOLERANCE_PIXELS:
        raise InputError(
            f"refine.crs: Sedona and PROJ place {pair} {apart_m:.3g} m apart; choose another CRS, for example the mosaic's own"
        )
