"""The floor: the zstd library alone on the chunks that ours reads and writes; nothing is computed."""

from __future__ import annotations

import sys
from pathlib import Path

import numcodecs.zstd
import numpy as np
from figures import megapixels, report

from terradrift.mosaic import open_mosaic
from terradrift.raster_template import ZSTD_LEVEL
from terradrift.zarr_chunks import ABSENT
from terradrift.zarr_layout import parse_layout

scene, out = Path(sys.argv[1]), Path(sys.argv[2])
mosaic = open_mosaic(str(scene / "mosaic.zarr"))


def chunks(folder: Path, layout: object) -> list[bytes]:
    """Compressed chunks of every shard of an array."""
    found = []
    for file in sorted((folder / "c").rglob("*")):
        if file.is_file():
            data = file.read_bytes()
            index = layout.parse_index(data[-layout.index_bytes :], str(file))
            found += [data[int(start) : int(start + length)] for start, length in index if start != ABSENT]
    return found


read = chunks(scene / "mosaic.zarr/embeddings", mosaic.layout)
target = np.empty(mosaic.layout.chunk_bytes, np.uint8)
level = next((out / "bitemporal/scores").glob("*")) / "scores.zarr/0"
written = []
for array in ("scores", "change_score", "change_effect", "change_year", "change_kind"):
    layout, _ = parse_layout(array, (level / array / "zarr.json").read_bytes(), array)
    written += [numcodecs.zstd.decompress(chunk) for chunk in chunks(level / array, layout)]


mpx = megapixels(scene)


def work() -> None:
    """Decompress the input, compress the output."""
    for chunk in read:
        numcodecs.zstd.decompress(chunk, target)
    for values in written:
        numcodecs.zstd.compress(values, ZSTD_LEVEL, True)


report(work, lambda: {"mpx": mpx})
