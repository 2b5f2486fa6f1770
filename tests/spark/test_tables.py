"""From merged polygons to published tables: laws of the geometry, counts, and what other programs read."""

from __future__ import annotations

import json
import logging.config
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extension_spatial
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pyproj
import pyspark
import pytest
import rasterio.features
import shapely
from pyspark.sql import DataFrame, SparkSession
from scipy import ndimage

from terradrift.errors import InputError
from terradrift.records import Ledger
from terradrift.refine import RefineSettings
from terradrift.sealed import seal
from terradrift.spark import tables
from terradrift.spark.java import find_java
from terradrift.spark.schemas import CHANGE_POLYGONS, MERGED_POLYGONS, POLYGON_PARTS, RAW_POLYGONS
from terradrift.spark.session import FAST_START
from terradrift.spark.tables import (
    SQL,
    TABLES,
    RefineReport,
    declare_variables,
    refine_polygons,
    register_tables,
    run_checks,
    run_query,
    set_variables,
)

ROOT = Path(__file__).parents[2]
PIXEL_M = 10.0
UTM = RefineSettings(
    transform=(PIXEL_M, 0.0, 500_000.0, 0.0, -PIXEL_M, 5_900_000.0),
    source_crs="EPSG:32633",
    target_crs="EPSG:4326",
    simplify_m=7.5,
    precision_m=0.1,
    max_vertices=16,
    pixel_m=PIXEL_M,
    years=(2019, 2020, 2021),
    zones=1,
)

EUROPE = replace(UTM, target_crs="EPSG:3035")


def outlines(seed: int = 3, size: int = 160) -> list[shapely.Polygon]:
    """Traced polygons of a random mask, with holes and corners that touch, in pixels far from the mosaic's corner."""
    noise = np.random.default_rng(seed).normal(size=(size, size))
    mask = ndimage.gaussian_filter(noise, 1.2) > 0.12
    labels = ndimage.label(mask)[0].astype(np.int32)
    traced = rasterio.features.shapes(labels, mask=mask, connectivity=4)
    return [shapely.transform(shapely.geometry.shape(shape), lambda xy: xy + np.array([4000, 3000])) for shape, _ in traced]


def merged(spark: SparkSession, polygons: list[shapely.Polygon]) -> DataFrame:
    """The polygons as merged_polygons, numbered from 1: every pixel scored 1, a step of 2020."""
    rows = []
    for change_id, polygon in enumerate(polygons, start=1):
        n = max(1, round(polygon.area))
        area_mm2 = n * int(PIXEL_M**2) * 10**6
        head = (change_id, change_id, 0, 1, n, n, n << 20, 1.0, n << 18, float("nan"), area_mm2)
        rows.append((*head, [0, n, 0], [0, n, 0, 0, 0], shapely.to_wkb(polygon), None, False))
    return spark.createDataFrame(rows, MERGED_POLYGONS)


def placed(spark: SparkSession, polygons: list[shapely.Polygon], settings: RefineSettings) -> list[shapely.Geometry]:
    """The polygons after the steps up to the target CRS, nothing written."""
    declare_variables(spark)
    set_variables(spark, settings.variables())
    merged(spark, polygons).createOrReplaceTempView("merged_polygons")
    for name in TABLES[:4]:
        spark.sql((SQL / "tables" / f"{name}.sql").read_text()).createOrReplaceTempView(name)
    return [row.geometry for row in sorted(spark.table("placed_polygons").collect(), key=lambda row: row.change_id)]


def read(folder: Path) -> gpd.GeoDataFrame:
    return gpd.read_parquet(folder).sort_values("change_id").set_index("change_id")


@pytest.fixture(scope="module")
def traced() -> list[shapely.Polygon]:
    return outlines()


@pytest.fixture(scope="module")
def published(
    spark: SparkSession, traced: list[shapely.Polygon], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, RefineReport]:
    """A finished run of one output folder, and what its refinement reported."""
    out = tmp_path_factory.mktemp("out")
    run = out / "runs" / "0123456789abcdef"
    report = refine_polygons(spark, merged(spark, traced), Ledger(str(run)), EUROPE)
    zones = gpd.GeoDataFrame({"zone": [0], "name": ["all"]}, geometry=[shapely.box(15, 52, 16, 53)], crs=4326)
    (run / "tables" / "zones").mkdir()
    zones.to_parquet(run / "tables" / "zones" / "part-0.parquet", write_covering_bbox=True)
    tiles = out / "scores" / "fedcba9876543210" / "tiles"
    tiles.mkdir(parents=True)
    pd.DataFrame({"tile_id": ["r000000_c000000"]}).to_parquet(tiles / "part-0.parquet")
    (run / "run.json").write_bytes(seal({"score_id": "fedcba9876543210"}))
    (out / "latest.json").write_text(json.dumps({"run_id": run.name, "path": f"runs/{run.name}"}))
    return out, report


@pytest.fixture(scope="module")
def folder(published: tuple[Path, RefineReport]) -> Path:
    return published[0] / "runs" / "0123456789abcdef" / "tables"


# Laws


def test_equal_outlines_stay_equal_wherever_their_rings_start(spark: SparkSession) -> None:
    polygons = [polygon for polygon in outlines(5, 64) if polygon.area > 20][:20]
    random = np.random.default_rng(0)

    def turned(polygon: shapely.Polygon) -> shapely.Polygon:
        rings = [np.asarray(ring.coords)[:-1] for ring in (polygon.exterior, *polygon.interiors)]
        rings = [np.roll(ring, random.integers(len(ring)), axis=0)[:: random.choice([1, -1])] for ring in rings]
        return shapely.Polygon(rings[0], rings[1:][::-1])

    def spelled_out(polygon: shapely.Polygon) -> shapely.Polygon:
        return shapely.segmentize(polygon, 1)

    copies = [*polygons, *map(turned, polygons), *map(turned, polygons), *map(spelled_out, polygons)]
    written = shapely.to_wkb(placed(spark, copies, replace(UTM, simplify_m=15.0))).reshape(4, len(polygons))
    assert (written == written[0]).all()


def test_simplified_polygons_stay_valid_and_near(traced: list[shapely.Polygon], folder: Path) -> None:
    found = read(folder / "change_polygons").to_crs(UTM.source_crs).geometry
    given = shapely.transform(np.array(traced), lambda xy: xy * (PIXEL_M, -PIXEL_M) + (500_000, 5_900_000))
    assert found.is_valid.all()
    assert shapely.is_ccw(shapely.get_exterior_ring(found.values)).all()
    assert shapely.get_num_interior_rings(found.values).tolist() == shapely.get_num_interior_rings(given).tolist()
    assert shapely.hausdorff_distance(shapely.boundary(given), shapely.boundary(found.values)).max() <= PIXEL_M
    assert shapely.get_num_coordinates(found.values).sum() < 0.8 * shapely.get_num_coordinates(given).sum()


def test_parts_are_the_polygon(folder: Path) -> None:
    whole, parts = read(folder / "change_polygons"), read(folder / "polygon_parts")
    assert parts.geometry.count_coordinates().max() <= UTM.max_vertices
    assert len(parts) > len(whole)
    area = pd.Series(shapely.area(parts.geometry.values), parts.index).groupby("change_id").sum()
    assert area.to_numpy() == pytest.approx(shapely.area(whole.geometry.values), rel=1e-6)
    assert (parts.groupby("change_id").part.max() + 1 == parts.groupby("change_id").size()).all()


LAEA = pyproj.CRS.from_proj4("+proj=laea +lat_0=52 +lon_0=14 +datum=WGS84").to_wkt()  # without a code, quotes inside


@pytest.mark.parametrize(
    ("source", "origin", "step", "target", "tolerance"),
    [
        ("EPSG:32633", (500_000.0, 5_900_000.0), 10.0, "EPSG:4326", 1e-6),
        (LAEA, (-20_000.0, 30_000.0), 10.0, "EPSG:4326", 1e-6),
        ("EPSG:4326", (13.0, 53.0), 1e-4, "EPSG:32633", 0.01),
        ("EPSG:4326", (13.0, 53.0), 1e-4, "EPSG:3035", 0.01),
        ("EPSG:32633", (500_000.0, 5_900_000.0), 10.0, "EPSG:32633", 0.01),
    ],
    ids=["utm_degrees", "wkt_degrees", "degrees_utm", "degrees_laea", "same"],
)
def test_places_agree_with_proj(
    spark: SparkSession,
    source: str,
    origin: tuple[float, float],
    step: float,
    target: str,
    tolerance: float,
) -> None:
    polygon = shapely.Polygon([(4000, 3000), (4000, 3400), (4100, 3400), (4100, 3200), (4700, 3200), (4700, 3000)])
    transform = (step, 0.0, origin[0], 0.0, -step, origin[1])
    settings = replace(UTM, transform=transform, source_crs=source, target_crs=target, simplify_m=0.0, precision_m=0.001)
    found = placed(spark, [polygon], settings)
    to_target = pyproj.Transformer.from_crs(source, target, always_xy=True)
    xy = shapely.get_coordinates(polygon) * (step, -step) + origin
    expected = np.column_stack(to_target.transform(xy[:, 0], xy[:, 1]))
    vertices = shapely.get_coordinates(found)
    apart = np.abs(vertices[:, None] - expected[None]).max(axis=2)
    assert len(vertices) == len(expected)
    assert apart.min(axis=0).max() <= tolerance


# Counts


def test_report_counts_rows_and_vertices(
    traced: list[shapely.Polygon], published: tuple[Path, RefineReport], folder: Path
) -> None:
    report = published[1]
    whole, parts = read(folder / "change_polygons"), read(folder / "polygon_parts")
    assert report == RefineReport(
        rows_in=len(traced),
        lost={"valid_polygons": 0, "simplified_polygons": 0, "placed_polygons": 0},
        rows_out=len(whole),
        parts=len(parts),
        vertices_in=int(shapely.get_num_coordinates(traced).sum()),
        vertices_out=int(whole.geometry.count_coordinates().sum()),
    )
    assert len(whole) == len(traced)


def test_checks_name_what_offends(spark: SparkSession, traced: list[shapely.Polygon], folder: Path) -> None:
    results = run_checks(spark, Ledger(str(folder.parent)), replace(EUROPE, years=(2017, 2018, 2019)))
    assert [result.name for result in results] == sorted(file.stem for file in (SQL / "checks").glob("*.sql"))
    offended = [(result.name, result.n_rows, result.first_change_id) for result in results if not result.passed]
    assert offended == [("years_are_in_order", len(traced), 1)]
    assert all(result.claim.endswith(".") for result in results)


def test_polygons_that_collapse_are_counted_and_stay_in_raw(spark: SparkSession, tmp_path: Path) -> None:
    polygons = [
        shapely.box(4000, 3000, 4030, 3030),
        shapely.box(4101, 3001, 4102, 3002),  # 10 m, all its corners within 50 m of (541000, 5870000)
        shapely.Polygon([(1, 1), (5, 1), (1, 1), (1, 1)]),
        shapely.Polygon(),
    ]
    settings = replace(UTM, target_crs="EPSG:32633", precision_m=100.0)
    report = refine_polygons(spark, merged(spark, polygons), Ledger(str(tmp_path)), settings)
    assert report.lost == {"valid_polygons": 2, "simplified_polygons": 0, "placed_polygons": 1}
    assert (report.rows_in, report.rows_out, report.parts) == (4, 1, 1)
    kept = read(tmp_path / "tables/change_polygons")
    assert kept.index.tolist() == [1]
    assert kept.crs == pyproj.CRS("EPSG:32633")
    assert sorted(pq.read_table(tmp_path / "tables/raw_polygons")["change_id"].to_pylist()) == [1, 2, 3, 4]


@pytest.mark.parametrize("polygons", [[], [shapely.Polygon()]], ids=["no_rows", "only_empty"])
def test_tables_without_rows_are_tables(spark: SparkSession, tmp_path: Path, polygons: list[shapely.Polygon]) -> None:
    report = refine_polygons(spark, merged(spark, polygons), Ledger(str(tmp_path)), UTM)
    assert (report.rows_in, report.lost["valid_polygons"]) == (len(polygons), len(polygons))
    assert (report.rows_out, report.parts, report.vertices_in, report.vertices_out) == (0, 0, 0, 0)
    for name, schema in [("change_polygons", CHANGE_POLYGONS), ("polygon_parts", POLYGON_PARTS)]:
        frame = gpd.read_parquet(tmp_path / "tables" / name)
        assert frame.crs == pyproj.CRS(4326)
        assert list(frame.columns) == [field for field in schema.names if field != "bbox"]
        assert spatial_duckdb().sql(f"SELECT count(*) FROM '{tmp_path}/tables/{name}/*.parquet'").fetchall() == [(0,)]
    if not polygons:
        assert all(result.passed for result in run_checks(spark, Ledger(str(tmp_path)), UTM))


def test_a_second_run_replaces_the_first_and_runs_its_input_once(
    spark: SparkSession, tmp_path: Path, traced: list[shapely.Polygon], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spark.sparkContext.accumulator(0)

    def counted(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            seen.add(batch.num_rows)
            yield batch

    refine_polygons(spark, merged(spark, traced[:30]), Ledger(str(tmp_path)), UTM)
    once = read(tmp_path / "tables/change_polygons")
    monkeypatch.setattr(tables, "ROWS_PER_FILE", 10)
    source = merged(spark, traced[:20]).repartition(3).mapInArrow(counted, MERGED_POLYGONS)
    refine_polygons(spark, source, Ledger(str(tmp_path)), UTM)
    assert seen.value == 20
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == ["change_polygons", "polygon_parts", "raw_polygons"]
    again = read(tmp_path / "tables/change_polygons")
    files = (tmp_path / "tables/change_polygons").glob("*.parquet")
    assert sorted(pq.read_metadata(file).num_rows for file in files) == [10, 10]
    pd.testing.assert_frame_equal(pd.DataFrame(again.to_wkb()), pd.DataFrame(once[once.index <= 20].to_wkb()))


# What other programs read


def spatial_duckdb() -> duckdb.DuckDBPyConnection:
    extensions = Path(duckdb_extension_spatial.__file__).parent / "extensions"
    extension = next(extensions.rglob(f"v{duckdb.__version__}/spatial.duckdb_extension"))
    settings = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    connection = duckdb.connect(config=settings)
    connection.load_extension(str(extension))
    return connection


def test_files_say_what_they_hold(folder: Path) -> None:
    for name, schema in [("change_polygons", CHANGE_POLYGONS), ("polygon_parts", POLYGON_PARTS)]:
        files = sorted((folder / name).glob("*.parquet"))
        assert len(files) == 1
        footer = pq.read_metadata(files[0])
        geo = json.loads(footer.metadata[b"geo"])
        column = geo["columns"]["geometry"]
        assert (geo["version"], geo["primary_column"], column["encoding"]) == ("1.1.0", "geometry", "WKB")
        assert pyproj.CRS.from_json_dict(column["crs"]) == pyproj.CRS(3035)
        assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
        assert {footer.row_group(0).column(i).compression for i in range(footer.num_columns)} == {"ZSTD"}
        assert pq.read_schema(files[0]).names == schema.names
    assert pq.read_schema(next((folder / "raw_polygons").glob("*.parquet"))).names == RAW_POLYGONS.names


def test_geopandas_reads_by_bbox(folder: Path) -> None:
    whole = read(folder / "change_polygons")
    west, south, east, north = whole.total_bounds
    corner = (west, south, (west + east) / 2, (south + north) / 2)
    some = gpd.read_parquet(folder / "change_polygons", bbox=corner)
    assert 0 < len(some) < len(whole)
    assert set(some.change_id) == set(
        whole.index[shapely.intersects(shapely.box(*corner), shapely.envelope(whole.geometry.values))]
    )
    assert whole.crs == pyproj.CRS("EPSG:3035")
    assert set(whole.kind) == {"step"}
    assert whole.q_min.isna().all()


def test_duckdb_reads_geometry_and_bbox(folder: Path) -> None:
    whole = read(folder / "change_polygons")
    n, area, inside, crs = (
        spatial_duckdb()
        .sql(
            f"""SELECT count(*), sum(ST_Area(geometry)),
            bool_and(bbox.xmin = ST_XMin(geometry) AND bbox.ymax = ST_YMax(geometry)), any_value(typeof(geometry))
            FROM '{folder}/change_polygons/*.parquet'"""
        )
        .fetchall()[0]
    )
    assert (n, inside) == (len(whole), True)
    assert area == pytest.approx(shapely.area(whole.geometry.values).sum(), rel=1e-12)
    assert crs == "GEOMETRY('EPSG:3035')"


def test_rows_are_sorted_in_space(spark: SparkSession, folder: Path) -> None:
    cell = "ST_GeoHash(ST_Transform(ST_Centroid(geometry), 'EPSG:3035', 'EPSG:4326'), 12)"
    for name, order in [("change_polygons", ["cell", "change_id"]), ("polygon_parts", ["cell", "change_id", "part"])]:
        frame = spark.read.format("geoparquet").load(str(folder / name)).selectExpr("*", f"{cell} AS cell")
        rows = frame.select(*order).toPandas()
        assert rows.equals(rows.sort_values(order).reset_index(drop=True))


# Doors


def test_registered_tables_answer_queries_and_examples(spark: SparkSession, published: tuple[Path, RefineReport]) -> None:
    out, report = published
    names = register_tables(spark, out)
    assert names == ["change_polygons", "polygon_parts", "raw_polygons", "tiles", "zones"]
    assert run_query(spark, "SELECT count(*) AS n FROM change_polygons;").collect()[0].n == report.rows_out
    assert run_query(spark, "SELECT session.target_crs AS crs").collect()[0].crs == "EPSG:3035"
    comments = {row.col_name: row.comment for row in run_query(spark, "DESCRIBE change_polygons").collect()}
    assert comments["area_m2"] == "geodesic area, summed from the pixels [m2]"
    for name, value in [("lon", 15.61), ("lat", 52.97), ("radius_m", 5000)]:  # in the middle of the mask
        run_query(spark, f"SET VAR {name} = {value}")
    found = {file.stem: run_query(spark, file.read_text()).collect() for file in (SQL / "examples").glob("*.sql")}
    assert len(found["changes_near_point"]) == report.rows_out
    assert [(row["name"], row["n_polygons"]) for row in found["changes_by_zone"]] == [("all", report.rows_out)]
    assert [row["n_polygons"] for row in found["area_by_year"]] == [report.rows_out]
    assert len(found["largest_changes"]) == 20


@pytest.mark.parametrize("text", ["SELEC 1", "SELECT * FROM nowhere", "SELECT 1; SELECT 2"])
def test_a_query_that_spark_cannot_read_is_refused_in_one_line(spark: SparkSession, text: str) -> None:
    with pytest.raises(InputError, match=r"^sql: ") as refused:
        run_query(spark, text)
    assert "\n" not in str(refused.value)


def test_a_refused_query_stays_one_line_after_logging_is_configured(
    spark: SparkSession, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})  # as libraries do: enables every logger
    with pytest.raises(InputError, match=r"^sql: \[TABLE_OR_VIEW_NOT_FOUND\]"):
        run_query(spark, "SELECT * FROM nowhere")
    assert "errorClass" not in "".join(capfd.readouterr())


def test_an_output_without_a_run_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finished run"):
        register_tables(spark, tmp_path)


def test_other_columns_are_refused(spark: SparkSession, tmp_path: Path, traced: list[shapely.Polygon]) -> None:
    frame = merged(spark, traced[:1])
    with pytest.raises(InputError, match=r"merged_polygons.zone: found no such column, expected int"):
        refine_polygons(spark, frame.drop("zone"), Ledger(str(tmp_path)), UTM)
    with pytest.raises(InputError, match=r"merged_polygons.zone: found bigint, expected int"):
        refine_polygons(spark, frame.withColumn("zone", frame.zone.cast("long")), Ledger(str(tmp_path)), UTM)


def test_places_that_differ_from_proj_are_refused(
    spark: SparkSession, tmp_path: Path, traced: list[shapely.Polygon], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PLACE_TOLERANCE_PIXELS", -1)
    with pytest.raises(InputError, match=r"refine.crs: Sedona and PROJ place .* apart"):
        refine_polygons(spark, merged(spark, traced[:1]), Ledger(str(tmp_path)), UTM)


def test_a_crs_that_sedona_does_not_know_is_refused(spark: SparkSession, tmp_path: Path, traced: list[shapely.Polygon]) -> None:
    settings = replace(UTM, target_crs="EPSG:6933")  # PROJ has its projection, GeoTools does not
    with pytest.raises(InputError, match=r"refine.crs: Sedona cannot transform WGS 84 / UTM zone 33N to EPSG:6933"):
        refine_polygons(spark, merged(spark, traced[:1]), Ledger(str(tmp_path)), settings)


def test_sql_runs_by_hand(tmp_path: Path, folder: Path) -> None:
    """spark-sql with the files of the repository alone, as sql/params.sql describes."""
    views = tmp_path / "views.sql"
    views.write_text(
        f"SET VAR simplify_pixels = 0;\nCREATE TEMPORARY VIEW raw_polygons AS SELECT * FROM parquet.`{folder}/raw_polygons`;\n"
    )
    home = find_java().home
    spark_home = Path(pyspark.__file__).parent
    command = [spark_home / "bin" / "spark-sql", "--master", "local[1]", "--properties-file", "conf/spark-defaults.conf"]
    command += [f"--conf={key}={value}" for key, value in FAST_START.items()]
    command += [f"--conf=spark.sql.warehouse.dir={tmp_path}/warehouse"]
    command += ["-i", "sql/params.sql", "-i", str(views), "-f", "sql/tables/valid_polygons.sql"]
    environment = os.environ | {"SPARK_HOME": str(spark_home), "SPARK_LOCAL_IP": "127.0.0.1"}
    environment |= {"JAVA_HOME": str(home)} if home else {}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.count("MULTIPOLYGON") == len(gpd.read_parquet(folder / "change_polygons"))
