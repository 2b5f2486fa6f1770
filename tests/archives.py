"""The checks of `pmtiles verify` and of the specification, of any archive."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from pmtiles.tile import TileType, deserialize_directory, deserialize_header, tileid_to_zxy


def verify(path: Path) -> dict[str, Any]:
    """Assert what the specification asks of an archive; its header."""
    data = path.read_bytes()
    header: dict[str, Any] = deserialize_header(data[:127])
    sections = ["root", "metadata", "leaf_directory", "tile_data"]
    starts, lengths = ([header[f"{s}_{what}"] for s in sections] for what in ("offset", "length"))
    assert all(starts)
    assert starts[0] == 127
    assert starts[0] + lengths[0] <= 16384
    assert starts == [127, *(127 + np.cumsum(lengths)[:-1]).tolist()]
    assert len(data) == 127 + sum(lengths)
    root = deserialize_directory(data[127 : 127 + lengths[0]])
    entries = []
    for entry in root:
        if entry.run_length == 0:
            assert entry.offset + entry.length <= lengths[2]
            leaf = deserialize_directory(data[starts[2] + entry.offset :][: entry.length])
            assert leaf[0].tile_id == entry.tile_id
            entries += leaf
        else:
            entries.append(entry)
    assert all(a.tile_id + a.run_length <= b.tile_id for a, b in itertools.pairwise(entries))
    assert all(e.length > 0 and e.run_length > 0 and e.offset + e.length <= lengths[3] for e in entries)
    assert header["clustered"]
    end = 0
    for entry in entries:
        assert entry.offset <= end
        end = max(end, entry.offset + entry.length)
    assert end == lengths[3]
    assert header["addressed_tiles_count"] == sum(e.run_length for e in entries)
    assert header["tile_entries_count"] == len(entries)
    assert header["tile_contents_count"] == len({e.offset for e in entries})
    if entries:
        assert header["min_zoom"] == tileid_to_zxy(entries[0].tile_id)[0]
        assert header["max_zoom"] == tileid_to_zxy(entries[-1].tile_id + entries[-1].run_length - 1)[0]
    assert header["min_zoom"] <= header["center_zoom"] <= header["max_zoom"]
    assert header["min_lon_e7"] < header["max_lon_e7"]
    assert header["min_lat_e7"] < header["max_lat_e7"]
    assert header["min_lon_e7"] <= header["center_lon_e7"] <= header["max_lon_e7"]
    assert header["min_lat_e7"] <= header["center_lat_e7"] <= header["max_lat_e7"]
    metadata = json.loads(gzip.decompress(data[starts[1] : starts[1] + lengths[1]]))
    assert header["tile_type"] != TileType.MVT or isinstance(metadata["vector_layers"], list)
    return header
