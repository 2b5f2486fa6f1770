"""What an archive draws: broken rings, area against truth at every zoom, the largest tile; read with other people's parsers."""

from __future__ import annotations

import gzip
from collections import defaultdict
from pathlib import Path

import numba
import numpy as np
import pyarrow.parquet as pq
import shapely
from mapbox_vector_tile.Mapbox import vector_tile_pb2
from pmtiles.reader import MmapSource, all_tiles

TILE = shapely.box(0, 0, 1, 1)
CLOSE = 7  # the ClosePath command
UNION_ZOOM = 9
"""Up to here what lies on each other counts once; above it what is drawn is the polygons themselves, which do not overlap."""


def true_areas(table: Path) -> float:
    """Area of all polygons of a GeoParquet file, as a share of the Web Mercator square."""
    total = 0.0
    for batch in pq.ParquetFile(table).iter_batches(columns=["geometry"]):
        shapes = shapely.from_wkb(batch["geometry"].to_numpy(zero_copy_only=False))
        total += shapely.area(shapely.transform(shapes, _mercator)).sum()
    return total


def quality(archive: Path, truth: float) -> dict[str, float | str]:
    """Figures of an archive; `truth` as `true_areas` gives it. Areas are those drawn in tiles, margins aside."""
    area: dict[int, float] = defaultdict(float)
    invalid, largest, count, features = 0, 0, 0, 0
    with archive.open("rb") as file:
        for (zoom, _, _), data in all_tiles(MmapSource(file)):
            count, largest = count + 1, max(largest, len(data))
            shapes = _shapes(gzip.decompress(data))
            features += shapes.size
            valid = shapely.is_valid(shapes)
            invalid += int((~valid).sum())
            shapes = np.where(valid, shapes, shapely.make_valid(shapes)) if not valid.all() else shapes
            if zoom <= UNION_ZOOM:
                area[zoom] += shapely.intersection(shapely.union_all(shapes), TILE).area / 4**zoom
            else:
                area[zoom] += shapely.area(shapely.clip_by_rect(shapes, *TILE.bounds)).sum() / 4**zoom
    return {
        "MB": archive.stat().st_size / 1e6,
        "largest tile kB": largest / 1e3,
        "tiles": count,
        "features": features,
        "invalid": invalid,
        "drawn over true area by zoom": " ".join(f"{zoom}: {drawn / truth:.3f}" for zoom, drawn in sorted(area.items())),
    }


def _mercator(degrees: np.ndarray) -> np.ndarray:
    y = np.log(np.tan(np.pi / 4 + np.radians(degrees[:, 1]) / 2))
    return np.stack([degrees[:, 0] / 360, y / (2 * np.pi)], axis=1)


def _shapes(data: bytes) -> np.ndarray:
    """The polygons of a tile, in fractions of its edge: clockwise rings (y south) begin a part, others are its holes."""
    content = vector_tile_pb2.tile()
    content.ParseFromString(data)
    commands = [np.array(feature.geometry, np.uint32) for layer in content.layers for feature in layer.features]
    starts = np.cumsum([0, *map(len, commands)])
    x, y, rings, parts, features = _decode(np.concatenate(commands), starts)
    edge = content.layers[0].extent
    return shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, np.stack([x, y], axis=1) / edge, (rings, parts, features))


@numba.njit(cache=True)
def _decode(commands: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, ...]:
    xs, ys = np.empty(commands.size, np.int64), np.empty(commands.size, np.int64)
    rings, parts, features = [0], [0], [0]
    end = 0
    for k in range(starts.size - 1):
        at, x, y, begin, area = starts[k], 0, 0, end, 0
        while at < starts[k + 1]:
            command, repeat = commands[at] & 7, commands[at] >> 3
            at += 1
            if command == CLOSE:
                area += xs[end - 1] * ys[begin] - xs[begin] * ys[end - 1]
                xs[end], ys[end] = xs[begin], ys[begin]
                end += 1
                rings.append(end)
                if area > 0:
                    parts.append(len(rings) - 2)
                begin, area = end, 0
                continue
            for _ in range(repeat):
                dx, dy = np.int64(commands[at]), np.int64(commands[at + 1])
                x, y = x + ((dx >> 1) ^ -(dx & 1)), y + ((dy >> 1) ^ -(dy & 1))
                xs[end], ys[end] = x, y
                if end > begin:
                    area += xs[end - 1] * y - x * ys[end - 1]
                end, at = end + 1, at + 2
        features.append(len(parts) - 1)
    parts.append(len(rings) - 1)
    return xs[:end], ys[:end], np.array(rings), np.array(parts[1:]), np.array(features)
