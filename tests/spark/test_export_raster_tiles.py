"""Rasters to one archive of pictures through Spark: the tiles of one process byte for byte, however the work is cut."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pmtiles.reader import MmapSource, Reader, all_tiles
from pmtiles.tile import Compression, TileType, zxy_to_tileid

from archives import verify
from small_rasters import WGS84, WINDOW, store
from terradrift.grid import Window
from terradrift.maps.raster_tiles import block_tiles, blocks, mercator_bounds, score_legend
from terradrift.store import open_store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_archive_equals_one_process_for_any_number_of_tasks(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from terradrift.spark import raster_tiles

    raster, _, _ = store(tmp_path, WGS84)
    legend = score_legend(raster)
    crop = Window(300, 600, 400, 500)
    bounds = mercator_bounds(WGS84, crop)
    expected = {
        tile.tile_id: tile.data
        for zoom in range(4, 14)
        for x, y in blocks(bounds, zoom)
        for tile in block_tiles(raster, legend, zoom, x, y)
    }
    archives = []
    for tasks in (1, 5):
        monkeypatch.setattr(raster_tiles, "TASKS_A_CORE", tasks)
        out, work = tmp_path / f"{tasks}.pmtiles", open_store(str(tmp_path / "work"))
        report = raster_tiles.export_raster_tiles(spark, raster, crop, legend, out, work, (4, 18), {"name": "change_score"})
        archives.append(out.read_bytes())
        assert list(work.keys("")) == []
    assert archives[0] == archives[1]
    assert (report.size, report.tiles) == (len(archives[0]), len(expected))
    assert report.largest_tile == max(map(len, expected.values()))
    header = verify(out)
    assert (header["tile_type"], header["tile_compression"]) == (TileType.PNG, Compression.NONE)
    assert (header["min_zoom"], header["max_zoom"]) == (4, 13)
    edges = [header[f"{side}_e7"] / 1e7 for side in ("min_lon", "min_lat", "max_lon", "max_lat")]
    np.testing.assert_allclose(edges, WGS84.window_bounds(crop), atol=1e-6)
    with out.open("rb") as file:
        assert {zxy_to_tileid(*zxy): bytes(data) for zxy, data in all_tiles(MmapSource(file))} == expected
        metadata = Reader(MmapSource(file)).metadata()
    assert (metadata["name"], metadata["format"], len(metadata["classes"])) == ("change_score", "png", 32)
    assert WINDOW.intersection(crop) == crop
