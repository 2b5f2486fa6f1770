"""Overviews of any georeferenced Zarr store, into a new store beside it; those of a run's own rasters in place."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

import numpy as np
from pyspark.sql import SparkSession

from terradrift.errors import InputError
from terradrift.overviews import coarser_blocks, passes, write_levels
from terradrift.params.locations import mosaic_location
from terradrift.pyramid import BLOCK, MAX_CHUNK, Level
from terradrift.raster_template import Template
from terradrift.score_store import RasterStore
from terradrift.spark.arrow_tasks import describe
from terradrift.spark.build_overviews import build_levels, run_blocks
from terradrift.spark.progress import watch
from terradrift.spark.session import explained, spark_session
from terradrift.store import open_store
from terradrift.zarr_source import ZarrSlabs, ZarrSource, is_ours, open_raster, open_source


def store_overviews(location: str, method: str | None = None, output: str | None = None, master: str | None = None) -> None:
    """Write the overviews of a store. Raises InputError before Spark starts."""
    try:
        url = mosaic_location(location)
    except ValueError as cause:
        raise InputError(f"store: {cause}") from None
    if is_ours(url):
        if method or output:
            raise InputError(f"store: {url} is a run's own: its levels are made in place, without --method and --output")
        with spark_session("terradrift build_overviews", master) as spark, watch(spark) as progress, explained():
            progress("build_overviews")
            raster, arrays = open_raster(url)
            build_levels(spark, raster, arrays, np.array([[0, 0, *raster.window.shape]]))
        sys.stdout.write(f"{url}: levels 1 to {raster.levels[-1].number} of {', '.join(array.name for array in arrays)}\n")
        return
    source = open_source(url, method)
    target = _target(source.url, output)
    with spark_session("terradrift build_overviews", master) as spark, watch(spark) as progress, explained():
        progress("build_overviews")
        found = build_store(spark, source, target)
    sys.stdout.write(f"{target}: levels 0 to {found[-1].number} of {', '.join(array.name for array in source.arrays)}\n")


def _target(url: str, output: str | None) -> str:
    """Where the new store goes: beside the source, unless said otherwise; never where something is."""
    if output is None and url.startswith("http"):
        raise InputError(f"--output: found none for {url}; expected a folder or s3://")
    try:
        target = mosaic_location(output or f"{url.removesuffix('.zarr')}_overviews.zarr")
    except ValueError as cause:
        raise InputError(f"--output: {cause}") from None
    if target.startswith(f"{url}/") or target == url:
        raise InputError(f"--output: found {target}, which lies in the input; expected another place")
    if open_store(target).size("zarr.json") is not None:
        raise InputError(f"--output: found a store at {target}; expected none; remove it or give another name")
    return target


def build_store(spark: SparkSession, source: ZarrSource, target: str) -> tuple[Level, ...]:
    """Write a new store with level 0, a copy, and all levels after it; its root is put last. The same bytes every time."""
    raster = RasterStore(target, source.grid, source.grid.window, BLOCK, MAX_CHUNK)
    attributes = {**source.attributes, "source": source.url}
    template = Template(raster.levels, source.arrays, MAX_CHUNK, BLOCK, source.coordinates, source.depth, attributes)
    objects = template.objects()
    root = objects.pop("zarr.json")
    for key, data in objects.items():
        raster.store.put(key, data)
    rows, cols = -(-source.grid.height // BLOCK), -(-source.grid.width // BLOCK)
    blocks = np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"), axis=-1).reshape(-1, 2)
    coarser, copied = list(passes(raster)), raster.levels[:1]
    for made in coarser or [()]:
        describe(spark, f"levels of {target.rsplit('/', 1)[-1]}")
        run_blocks(spark, blocks, partial(_write_block, raster, source, (*copied, *made)))
        blocks, copied = coarser_blocks(blocks), ()
    raster.store.put("zarr.json", root)
    return raster.levels


def _write_block(raster: RasterStore, source: ZarrSource, made: Sequence[Level], row: int, col: int) -> tuple[()]:
    for array in source.arrays:
        if made[0].number:
            slabs = ZarrSlabs(raster.url, f"{made[0].source}/{array.name}")
        else:
            slabs = ZarrSlabs(source.url, source.paths[array.name])
        write_levels(raster, array, made, slabs, row, col)
    return ()
