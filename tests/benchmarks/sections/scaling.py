"""The score stage through Spark on more and more ground: what a megapixel costs must not depend on how many there are."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
from rows import Row, Section, run_program

SIDES = ((4, 1), (8, 1), (16, 4), (32, 16))
"""Shards of 1024 pixels along a side, and the scale from which on they are measured: 16 and 64 megapixels, 256 with `--scale 4`,
1024 with `--scale 16`."""

OURS = "17 Mpx, 2 cores"


def measure(folder: Path, scale: float) -> Section:
    """Every area is made of the same shard, by name only: the disk holds it once."""
    import terradrift as td

    td.write_scene(folder / "scene", kind="quiet", size=512, seed=0)
    shards = folder / "shards"
    write_shard(folder / "scene" / "mosaic.zarr", shards)
    rows: list[Row] = []
    for side, cores in ((4, 1), *((side, 2) for side, least in SIDES if scale >= least)):
        mosaic, out = folder / f"{side}.zarr", folder / "out"
        repeat(shards, mosaic, side)
        rows.append(
            run_program(
                f"{side * side * 1024**2 / 1e6:.0f} Mpx, {cores} core{'s' * (cores > 1)}", "score_stage.py", mosaic, out, cores
            )
        )
        shutil.rmtree(out)
        shutil.rmtree(mosaic)
    return Section("score stage through Spark, the default detector without annual bands", tuple(rows), OURS, "run", 1)


def write_shard(scene: Path, mosaic: Path) -> None:
    """One shard a year of 4 x 4 equal chunks: the one of the scene that has most data."""
    import zarr

    source = zarr.open_group(scene, mode="r")
    group = zarr.create_group(mosaic, attributes=dict(source.attrs))
    years = source["time"][:]
    time = group.create_array("time", shape=years.shape, dtype="int32", dimension_names=("time",))
    time[:] = years
    codes = source["embeddings"]
    known = codes[-1, 0] != -128
    height, width = known.shape
    share = known[: height // 256 * 256, : width // 256 * 256].reshape(height // 256, 256, width // 256, 256).mean(axis=(1, 3))
    y, x = (int(i) * 256 for i in np.unravel_index(share.argmax(), share.shape))
    chunk = codes[:, :, y : y + 256, x : x + 256]
    array = group.create_array(
        "embeddings",
        shape=(len(years), 64, 1024, 1024),
        chunks=(1, 64, 256, 256),
        shards=(1, 64, 1024, 1024),
        dtype="int8",
        fill_value=-128,
        compressors=zarr.codecs.ZstdCodec(level=3),
        dimension_names=("time", "band", "y", "x"),
    )
    array[:] = np.tile(chunk, (1, 1, 4, 4))


def repeat(shards: Path, mosaic: Path, side: int) -> None:
    """A mosaic of side x side shards that are links to the same files."""
    shutil.copytree(shards, mosaic, ignore=lambda folder, names: ["c"] if Path(folder).name == "embeddings" else [])
    file = mosaic / "embeddings" / "zarr.json"
    document = json.loads(file.read_text())
    document["shape"][2:] = [side * 1024, side * 1024]
    file.write_text(json.dumps(document))
    for year in range(document["shape"][0]):
        source = shards / "embeddings" / "c" / str(year) / "0" / "0" / "0"
        for row in range(side):
            folder = mosaic / "embeddings" / "c" / str(year) / "0" / str(row)
            folder.mkdir(parents=True)
            for col in range(side):
                os.link(source, folder / str(col))
