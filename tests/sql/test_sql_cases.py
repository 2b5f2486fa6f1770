"""Every SQL file against its case folders, tests/sql/<file>/<case>/.

input.yaml holds session variables and the rows of the views the file reads, expected.yaml the rows it must return. Geometries
are WKT; a column left out of the expected rows is not compared.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import shapely
import yaml
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import BinaryType, StringType, StructField, StructType

from terradrift.kernels.series import KINDS
from terradrift.spark.schemas import (
    ATTRIBUTES,
    BBOX,
    CHANGE_POLYGONS,
    GEOMETRY,
    MERGED_POLYGONS,
    POLYGON_PARTS,
    RAW_POLYGONS,
    ZONE,
)
from terradrift.spark.tables import CONSTANTS, SQL, TABLES, declare_variables, set_variables

HERE = Path(__file__).parent
FILES = {file.stem: file for folder in ("tables", "checks", "examples") for file in sorted((SQL / folder).glob("*.sql"))}
CASES = sorted(path.parent for path in HERE.glob("*/*/input.yaml"))
IN_STEPS = StructType([*ATTRIBUTES, GEOMETRY])
SIMPLIFIED = RAW_POLYGONS["simplified"]
VIEWS = {
    "merged_polygons": MERGED_POLYGONS,
    "raw_polygons": RAW_POLYGONS,
    "valid_polygons": StructType([*IN_STEPS, SIMPLIFIED]),
    "simplified_polygons": IN_STEPS,
    "placed_polygons": IN_STEPS,
    "change_polygons": CHANGE_POLYGONS,
    "polygon_parts": POLYGON_PARTS,
    "zones": StructType([ZONE, StructField("name", StringType()), BBOX, GEOMETRY]),
}


def view(spark: SparkSession, name: str, rows: list[dict[str, Any]]) -> None:
    """A temporary view of the rows, missing columns null."""
    schema = VIEWS[name]
    as_wkb = schema["geometry"].dataType == BinaryType()

    def value(row: dict[str, Any], column: str) -> Any:
        given = row.get(column)
        if column in ("geometry", "outline") and given is not None:
            geometry = shapely.from_wkt(given)
            return shapely.to_wkb(geometry) if as_wkb else geometry
        return given

    data = [tuple(value(row, column) for column in schema.names) for row in rows]
    spark.createDataFrame(data, schema).limit(len(data)).createOrReplaceTempView(name)  # limit(0) is planned away


def answer(spark: SparkSession, name: str, given: dict[str, Any]) -> DataFrame:
    """The SELECT of a file over the views and variables of a case; a view it reads and the case does not name is empty."""
    text = FILES[name].read_text()
    declare_variables(spark)
    set_variables(spark, given.get("variables", {}))
    for table in VIEWS:
        if re.search(rf"\b(FROM|JOIN) {table}\b", text):
            view(spark, table, given.get(table, []))
    return spark.sql(text)


def comparable(value: Any) -> Any:
    """Geometries as normalised WKT, structs as dicts, floats to 12 digits."""
    if isinstance(value, bytes | bytearray):
        return comparable(shapely.from_wkb(bytes(value)))
    if isinstance(value, shapely.Geometry):
        return f"{value.geom_type} EMPTY" if value.is_empty else shapely.to_wkt(value.normalize(), rounding_precision=9)
    if hasattr(value, "asDict"):
        return value.asDict()
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.12g}")
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_case(spark: SparkSession, case: Path) -> None:
    given = yaml.safe_load((case / "input.yaml").read_text())
    expected = yaml.safe_load((case / "expected.yaml").read_text())
    name = case.parent.name
    rows = [row.asDict() for row in answer(spark, name, given).collect()]
    if FILES[name].parent.name != "examples":  # tables and checks promise no order
        rows.sort(key=lambda row: (row["change_id"], row.get("part")))
    assert [row.get("change_id") for row in rows] == [row.get("change_id") for row in expected]
    for row, wanted in zip(rows, expected, strict=True):
        for column, want in wanted.items():
            want = shapely.from_wkt(want) if column == "geometry" else want
            assert comparable(row[column]) == comparable(want), (row, column)


def test_every_file_has_a_case() -> None:
    assert {case.parent.name for case in CASES} == set(FILES)
    assert {file.stem for file in (SQL / "tables").glob("*.sql")} == set(TABLES)


def test_nothing_in_gives_nothing_out(spark: SparkSession) -> None:
    assert {name: answer(spark, name, {}).collect() for name in FILES} == {name: [] for name in FILES}


@pytest.mark.parametrize("counts", [[1], [1, 0, 0, 0]], ids=["too_few", "too_many"])
def test_year_counts_of_other_years_are_refused(spark: SparkSession, counts: list[int]) -> None:
    given = {"variables": {"years": [2019, 2020, 2021]}, "merged_polygons": [{"change_id": 1, "year_counts": counts}]}
    with pytest.raises(Exception, match="same length"):
        answer(spark, "raw_polygons", given).collect()


def test_defaults_are_the_constants_of_a_run(spark: SparkSession) -> None:
    declare_variables(spark)
    row = spark.sql("SELECT session.kinds, session.sum_units, session.area_units_m2").collect()[0]
    assert row.asDict() == CONSTANTS
    assert row["kinds"] == list(KINDS)
