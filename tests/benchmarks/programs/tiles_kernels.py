"""Our tiler in one process, all in memory: polygons to pairs, sorted, encoded, archived; what the work costs without Spark."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas  # noqa: F401  (pyarrow loads it with its first array: an import, not work)
import pyarrow as pa
import pyarrow.parquet as pq
from tree_figures import report

from terradrift.maps.pmtiles import TileIndex, write_archive
from terradrift.maps.tile_columns import SORTED_BY, archive_metadata
from terradrift.maps.tile_options import TileOptions
from terradrift.maps.tile_pairs import tile_pairs
from terradrift.maps.vector_tiles import encode_tiles

table, archive = Path(sys.argv[1]), Path(sys.argv[2])
ROWS = 10_000
OPTIONS = TileOptions(layer="changes", id_column="fid", min_zoom=4, max_zoom=13)
BOUNDS = (-180.0, -85.0, 180.0, 85.0)


def work(rows: int = sys.maxsize) -> dict[str, float | str]:
    """Tiles of the first `rows` polygons."""
    file = pq.ParquetFile(table)
    pairs, read = [], 0
    for batch in file.iter_batches(batch_size=min(rows, ROWS)):
        pairs += [rows.pairs for rows in tile_pairs(batch, OPTIONS)]
        read += batch.num_rows
        if read >= rows:
            break
    ordered = pa.Table.from_batches(pairs).sort_by([(name, "ascending") for name in SORTED_BY]).combine_chunks()
    blob = archive.with_suffix(".blob")
    tiles, offset = [], 0
    with blob.open("wb") as out:
        for tile in encode_tiles(ordered.to_batches(max_chunksize=ROWS), OPTIONS):
            out.write(tile.data)
            tiles.append((tile.tile_id, offset, len(tile.data), tile.digest))
            offset += len(tile.data)
    ids, offsets, lengths = (np.array([tile[k] for tile in tiles]) for k in range(3))
    digests = np.frombuffer(b"".join(tile[3] for tile in tiles), np.uint64).reshape(-1, 2)
    index = TileIndex(ids, np.zeros(ids.size, np.int64), offsets, lengths, digests)
    told = {OPTIONS.layer: {"count": read, "fields": {}, "attributes": []}}
    write_archive(archive, index, [blob], BOUNDS, archive_metadata(OPTIONS, told, {}))
    blob.unlink()
    return {}


work(300)
report(work)
