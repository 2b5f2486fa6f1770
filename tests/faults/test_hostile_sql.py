"""R8: SQL, markup and shell text in what users and their files bring along, through a whole job: text it stays."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import geopandas as gpd
import mapbox_vector_tile
import pytest
from pmtiles.reader import MmapSource, Reader, all_tiles
from pyspark.sql import SparkSession

import finished
import terradrift as td
from terradrift.cli import main
from terradrift.spark.tables import SQL, register_tables, run_query

pytestmark = [pytest.mark.row("R8"), pytest.mark.spark]


@pytest.fixture(scope="module")
def out(finished_run: Path) -> Path:
    return finished_run / "out"


@pytest.fixture(autouse=True)
def _nothing_ran(spark: SparkSession) -> Any:
    """What the texts would do if anybody evaluated them."""
    yield
    assert spark._jvm is not None
    assert spark._jvm.java.lang.System.getProperty(finished.CANARY) is None
    assert not Path(f"/tmp/{finished.CANARY}").exists()


def test_zones_keep_their_attributes_to_the_letter(out: Path) -> None:
    zones = td.open_run(out).table("zones").to_pandas()
    for name, values in finished.HOSTILE.items():
        assert zones[name].tolist() == list(values)


def test_the_attribution_is_told_as_it_is(out: Path) -> None:
    run = td.open_run(out)
    assert run.manifest["attribution"] == finished.ATTRIBUTION
    with (run.folder.maps / "changes.pmtiles").open("rb") as file:
        assert Reader(MmapSource(file)).metadata()["attribution"] == finished.ATTRIBUTION


def test_sql_reads_them_as_values(out: Path, spark: SparkSession) -> None:
    register_tables(spark, str(out))
    rows = run_query(spark, (SQL / "examples" / "changes_by_zone.sql").read_text()).collect()
    for name, values in finished.HOSTILE.items():
        assert [row[name] for row in rows] == list(values)


def test_the_shell_prints_them(out: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sql", str(out), "SELECT * EXCEPT (geometry, bbox) FROM zones"]) == 0
    said = capsys.readouterr().out
    assert all(value[:70] in said for values in finished.HOSTILE.values() for value in values)


@pytest.mark.parametrize("layer", finished.TEXTS)
def test_names_of_layers_and_columns(spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], layer: str) -> None:
    column = layer.replace("${", "{")  # Hadoop replaces ${...} in the names of columns that Spark asks for: nothing is found
    columns = {"id": [1, 2], column: [layer, "plain"]}
    frame = gpd.GeoDataFrame(columns, geometry=gpd.points_from_xy([7.0, 7.1], [46.0, 46.1]).buffer(0.01), crs="EPSG:4326")
    frame.to_parquet(tmp_path / "in.parquet")
    code = main(
        [
            "tiles",
            str(tmp_path / "in.parquet"),
            str(tmp_path / "out.pmtiles"),
            "--layer",
            layer,
            "--min-zoom",
            "8",
            "--max-zoom",
            "8",
        ]
    )
    assert code == 0, capsys.readouterr().err
    with (tmp_path / "out.pmtiles").open("rb") as file:
        assert [found["id"] for found in Reader(MmapSource(file)).metadata()["vector_layers"]] == [layer]
        tiles = [mapbox_vector_tile.decode(gzip.decompress(data)) for _, data in all_tiles(MmapSource(file))]
    values = {feature["properties"][column] for tile in tiles for feature in tile[layer]["features"]}
    assert values == {layer, "plain"}
