"""Polygons to one archive through Spark: the tiles of one process byte for byte, however the work is cut."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mapbox_vector_tile
import numpy as np
import pyarrow as pa
import pytest
import shapely
from pmtiles.reader import MmapSource, Reader, all_tiles
from pmtiles.tile import zxy_to_tileid

from terradrift.errors import InputError
from terradrift.maps.tile_columns import SORTED_BY
from terradrift.maps.tile_options import Thin, TileOptions
from terradrift.maps.tile_pairs import tile_pairs
from terradrift.maps.vector_tiles import encode_tiles
from terradrift.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COUNT = 600
OPTIONS = TileOptions(layer="changes", id_column="change_id", min_zoom=4, max_zoom=9)


def changes() -> pa.Table:
    """Squares of many sizes with holes, in Brazil."""
    rng = np.random.default_rng(0)
    side = 10 ** rng.uniform(-3.5, -0.5, COUNT)
    x, y = rng.uniform(-60, -56, COUNT), rng.uniform(-12, -9, COUNT)
    outer = shapely.box(x, y, x + side, y + side)
    hole = shapely.box(x + side / 4, y + side / 4, x + side / 2, y + side / 2)
    return pa.table(
        {
            "change_id": np.arange(COUNT) * 10**12 + 7,
            "geometry": pa.array(list(shapely.to_wkb(shapely.difference(outer, hole))), pa.binary()),
            "kind": [None, "step", "ramp"] * (COUNT // 3),
            "year_first": pa.array(2018 + np.arange(COUNT) % 8, pa.int32()),
            "score_max": pa.array(np.where(np.arange(COUNT) == 5, np.nan, np.arange(COUNT) / 64), pa.float32()),
            "area_m2": side**2 * 1.2e10,
            "seen": np.arange(COUNT) % 2 == 0,
        }
    )


@pytest.fixture
def partitions(spark: SparkSession) -> Iterator[Any]:
    """Sets the number of partitions of a shuffle, for one test."""
    names = ("spark.sql.shuffle.partitions", "spark.sql.adaptive.enabled", "spark.sql.execution.arrow.maxRecordsPerBatch")
    before = {name: spark.conf.get(name) for name in names}

    def choose(count: int) -> None:
        for name, value in zip(names, (str(count), "false", str(1000 // count)), strict=True):
            spark.conf.set(name, value)

    yield choose
    for name, value in before.items():
        spark.conf.set(name, value)


def export(spark: SparkSession, polygons: DataFrame, folder: Path, options: TileOptions = OPTIONS) -> Any:
    from terradrift.spark.vector_tiles import export_pmtiles

    work = Store(str(folder / "work"))
    return export_pmtiles(spark, polygons, folder / "changes.pmtiles", work, options, {"attribution": "© someone"})


def test_archive_equals_one_process_for_any_number_of_partitions(spark: SparkSession, partitions: Any, tmp_path: Path) -> None:
    polygons = changes()
    pairs = pa.Table.from_batches([rows.pairs for batch in polygons.to_batches() for rows in tile_pairs(batch, OPTIONS)])
    in_order = pairs.sort_by([(name, "ascending") for name in SORTED_BY]).combine_chunks()
    expected = {tile.tile_id: tile for tile in encode_tiles(in_order.to_batches(), OPTIONS)}
    archives = []
    for count in (1, 4):
        partitions(count)
        folder = tmp_path / str(count)
        report = export(spark, spark.createDataFrame(polygons).repartition(count), folder)
        path = folder / "changes.pmtiles"
        archives.append(path.read_bytes())
        assert [p.name for p in folder.iterdir() if p.name != "work"] == ["changes.pmtiles"]
        assert not list((folder / "work").glob("*"))
    assert archives[0] == archives[1]
    with path.open("rb") as file:
        assert {zxy_to_tileid(*zxy): bytes(data) for zxy, data in all_tiles(MmapSource(file))} == {
            i: t.data for i, t in expected.items()
        }
        reader = Reader(MmapSource(file))
        header, metadata = reader.header(), reader.metadata()
    assert (header["min_zoom"], header["max_zoom"]) == (4, 9)
    true = shapely.total_bounds(shapely.from_wkb(polygons["geometry"].to_numpy()))
    assert np.abs(np.array(report.bounds) - true).max() < 0.001
    assert [header[f"{side}_e7"] for side in ("min_lon", "min_lat", "max_lon", "max_lat")] == [
        round(b * 1e7) for b in report.bounds
    ]
    assert (report.size, report.polygons, report.tiles) == (len(archives[0]), COUNT, len(expected))
    assert report.largest_tile == max(len(tile.data) for tile in expected.values())
    assert sum(report.features.values()) == sum(tile.features for tile in expected.values())
    assert report.dropped == {}
    assert max(report.largest.values()) == report.largest_tile
    assert metadata["attribution"] == "© someone"
    (layer,) = metadata["vector_layers"]
    assert (layer["id"], layer["minzoom"], layer["maxzoom"]) == ("changes", 4, 9)
    assert Counter(layer["fields"].values()) == {"Number": 4, "String": 1, "Boolean": 1}
    stats = {a["attribute"]: a for a in metadata["tilestats"]["layers"][0]["attributes"]}
    assert metadata["tilestats"]["layers"][0]["count"] == COUNT
    assert (stats["kind"]["values"], stats["seen"]["values"]) == (["ramp", "step"], [False, True])
    assert (stats["year_first"]["min"], stats["year_first"]["max"]) == (2018, 2025)
    assert (stats["score_max"]["min"], stats["score_max"]["max"]) == (0, 599 / 64), "NaN is no value"


def test_layers_and_thinned_attributes_are_told_as_they_are(spark: SparkSession, tmp_path: Path) -> None:
    options = replace(OPTIONS, layer="default", layer_column="kind", thin=(Thin("score_max", 8, 0), Thin("seen", 20)))
    report = export(spark, spark.createDataFrame(changes()).repartition(3), tmp_path, options)
    assert report.polygons == COUNT
    seen = set()
    with (tmp_path / "changes.pmtiles").open("rb") as file:
        metadata = Reader(MmapSource(file)).metadata()
        for (zoom, _, _), data in all_tiles(MmapSource(file)):
            for name, layer in mapbox_vector_tile.decode(gzip.decompress(data)).items():
                told = {a["attribute"]: a for a in stats_of(metadata, name)["attributes"]}
                for feature in layer["features"]:
                    properties = feature["properties"]
                    assert properties.keys() <= told.keys() == {"change_id", "year_first", "score_max", "area_m2"}
                    assert all(told[key]["min"] <= value <= told[key]["max"] for key, value in properties.items())
                    seen.add((name, zoom < 8 and properties.get("score_max", 0.5) % 1 == 0))
    assert {layer["id"] for layer in metadata["vector_layers"]} == {"default", "step", "ramp"}
    assert [stats_of(metadata, name)["count"] for name in ("default", "step", "ramp")] == [COUNT // 3] * 3
    assert stats_of(metadata, "ramp")["attributes"][2]["count"] == 206  # 199 numbers, 3 of them whole, and 0 .. 9
    assert {True, False} == {rounded for _, rounded in seen}


def stats_of(metadata: dict[str, Any], name: str) -> dict[str, Any]:
    return next(layer for layer in metadata["tilestats"]["layers"] if layer["layer"] == name)


def test_dropped_features_are_counted_by_zoom(spark: SparkSession, tmp_path: Path) -> None:
    options = TileOptions(id_column="change_id", min_zoom=5, max_zoom=6, max_tile_bytes=2000)
    report = export(spark, spark.createDataFrame(changes()), tmp_path, options)
    assert report.largest_tile <= 2000
    assert set(report.dropped) <= {5, 6}
    assert sum(report.dropped.values()) > 100


def test_nothing_changed_is_an_archive_too(spark: SparkSession, tmp_path: Path) -> None:
    report = export(spark, spark.createDataFrame(changes()).where("change_id < 0"), tmp_path)
    assert (report.polygons, report.tiles, report.features, report.dropped) == (0, 0, {}, {})
    with (tmp_path / "changes.pmtiles").open("rb") as file:
        reader = Reader(MmapSource(file))
        assert reader.get(0, 0, 0) is None
        assert [layer["id"] for layer in reader.metadata()["vector_layers"]] == ["changes"]


def test_what_cannot_become_tiles_is_refused_before_anything_runs(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="when: found date32"):
        export(spark, spark.createDataFrame(changes()).selectExpr("*", "current_date() AS when"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_bad_row_ends_the_job_with_its_reason_and_nothing_written(spark: SparkSession, tmp_path: Path) -> None:
    projected = changes().set_column(
        1, "geometry", pa.array([shapely.to_wkb(shapely.box(5e5, 5e6, 6e5, 6e6))] * COUNT, pa.binary())
    )
    with pytest.raises(Exception, match=r"expected degrees \(EPSG:4326\); reproject first"):
        export(spark, spark.createDataFrame(projected).coalesce(1), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
