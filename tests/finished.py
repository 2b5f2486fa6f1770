"""One finished run for every test that only reads one: calibrated, with maps and two zones, one partly outside the mosaic; the
texts that come with it are hostile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import shapely

import terradrift as td
from terradrift.params import params_from
from terradrift.run import open_run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SIZE, CHUNK, SEED = 192, 64, 4
ZONES = ("west, with a hole in the record", "east")

CANARY = "terradrift_canary"
_CODE = f"reflect('java.lang.System', 'setProperty', '{CANARY}', 'sung')"
TEXTS = (
    "'); DROP TABLE change_polygons; --",
    f"' || {_CODE} || '",
    f"x`, {_CODE} AS `y",
    "text.`/etc/passwd`",
    "${spark.app.id} {{7*7}} :value",
    f"$(touch /tmp/{CANARY}) [/bold] \\[red]",
)
"""What would do something where somebody took it for SQL, a template, a command or markup."""

HOSTILE = {"note": TEXTS[:2], TEXTS[2]: TEXTS[3:5], TEXTS[0]: (TEXTS[5], "plain")}
"""More attributes of the zones: names and values."""

ATTRIBUTION = f"Somebody {TEXTS[1]} {TEXTS[5]}"


def settings(folder: Path) -> dict[str, Any]:
    """The run file."""
    return {
        "mosaic": str(folder / "scene" / "mosaic.zarr"),
        "aoi": str(folder / "zones.geojson"),
        "output": str(folder / "out"),
        "tile_size": CHUNK,
        "maps": {"min_zoom": 8, "max_zoom": 12},
    }


def make(spark: SparkSession, folder: Path) -> None:
    """Write scene, zones and results."""
    from terradrift.spark.detect_changes import detect_changes

    td.write_scene(folder / "scene", kind="tropical", size=SIZE, years=9, seed=SEED, chunk=CHUNK, shard=2 * CHUNK)
    group = folder / "scene" / "mosaic.zarr" / "zarr.json"
    document = json.loads(group.read_text())
    document["attributes"]["attribution"] = ATTRIBUTION
    group.write_text(json.dumps(document))
    west, south, east, north = gpd.read_file(folder / "scene" / "aoi.geojson").total_bounds
    middle, beyond = (west + east) / 2, north + (north - south)
    shapes = [shapely.box(west, south, middle, beyond), shapely.box(middle, south, east, north)]
    gpd.GeoDataFrame({"name": ZONES, **HOSTILE}, geometry=shapes, crs="EPSG:4326").to_file(folder / "zones.geojson")
    detect_changes(spark, open_run(td.plan(params_from(settings(folder)))))
