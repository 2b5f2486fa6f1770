"""What the driver takes to plan many tiles of a mosaic of all land."""

from __future__ import annotations

import json
from pathlib import Path

from rows import Section, run_program

SHAPE = (9, 64, 1_859_584, 4_009_984)
"""Years, bands, rows and columns of the public mosaic."""

OURS = "1 M tiles"


def measure(folder: Path, scale: float) -> Section:
    """10 k, 100 k and 1 M tiles of 1024 pixels, whatever the scale."""
    mosaic = folder / "mosaic.zarr"
    write_metadata(mosaic)
    counts = {"10 k tiles": 10**4, "100 k tiles": 10**5, OURS: 10**6}
    rows = tuple(run_program(name, "plan_tiles.py", mosaic, n) for name, n in counts.items())
    return Section("plan: every tile of an area, before Spark starts", rows, OURS, "plan", 1)


def write_metadata(mosaic: Path) -> None:
    """The metadata of the public mosaic's layout without a single chunk of embeddings."""
    import numpy as np
    import zarr

    attributes = {
        "proj:code": "EPSG:4326",
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": [8.983111749910169e-05, 0.0, -180.0, 0.0, -8.983111749910169e-05, 83.68570533713473],
        "spatial:registration": "pixel",
        "geoemb:quantization": {"method": "signed_square"},
    }
    group = zarr.create_group(mosaic, attributes=attributes)
    time = group.create_array("time", shape=(SHAPE[0],), dtype="int32", dimension_names=("time",))
    time[:] = np.arange(2017, 2026)
    chunk = (1, 64, 256, 256)
    array = group.create_array("embeddings", shape=chunk, chunks=chunk, dtype="int8", fill_value=-128)
    file = mosaic / "embeddings" / "zarr.json"
    document = json.loads(file.read_text()) | {"shape": SHAPE, "dimension_names": ["time", "band", "y", "x"]}
    shards = zarr.create_array(zarr.storage.MemoryStore(), shape=chunk, chunks=chunk, shards=(1, 64, 4096, 4096), dtype="int8")
    codecs = [codec.to_dict() for codec in shards.metadata.codecs]
    grid = {"name": "regular", "configuration": {"chunk_shape": [1, 64, 4096, 4096]}}
    file.write_text(json.dumps(document | {"codecs": codecs, "chunk_grid": grid}))
    assert array.dtype == np.int8
