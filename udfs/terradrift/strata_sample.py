"""Which chunks the strata are learnt from, what is taken from each, and the file they are kept in.

Everything is chosen on the mosaic's own grid of chunks and pixels, so that the strata do not depend on tiles or workers.
"""

from __future__ import annotations

import json
import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from terradrift.aoi import Zones
from terradrift.grid import Window
from terradrift.kernels.distances import cosine
from terradrift.kernels.gram import gram_of, guard_norm, sums_for
from terradrift.kernels.quantize import UNIT_PRODUCT
from terradrift.kernels.score_block import lattice_points
from terradrift.kernels.strata import Strata, fit_classes, fit_strata, year_sums
from terradrift.kernels.trajectory import MIN_YEARS, pairs_of, patterns, statistic
from terradrift.mosaic import Mosaic, ReadReport
from terradrift.planning import Plan
from terradrift.store import Store
from terradrift.strata_map import StrataMap

SAMPLE_SHARE, SAMPLE_CHUNKS = 16, 32
"""One chunk in sixteen is sampled, 32 at most: that much is read twice."""

SAMPLE_STEP = 8
"""Pixels between sampled pixels of a chunk."""

MIN_SAMPLE_PIXELS = 500
"""Fewer sampled pixels with data, and more chunks are looked at."""

STRATA_FILE = "strata.json"

SAMPLE_SCHEMA = pa.schema(
    [("y", pa.int64()), ("x", pa.int64()), ("residual", pa.float32()), ("mean", pa.list_(pa.float32())), ("class", pa.int32())]
)


def sample_order(plan: Plan) -> npt.NDArray[np.int64]:
    """(chunk, 2): rows and columns of the chunks that hold a pixel of the area of interest, in the order they are sampled."""
    height, width = plan.mosaic.chunk_shape
    side = math.lcm(height, width)
    rows, cols = plan.zones.tiles(plan.grid, side)
    down, across = np.mgrid[: side // height, : side // width]
    chunks = np.stack(
        [
            (rows[:, None] * (side // height) + down.ravel()).ravel(),
            (cols[:, None] * (side // width) + across.ravel()).ravel(),
        ],
        axis=1,
    )
    return chunks[np.lexsort((chunks[:, 1], chunks[:, 0], _spread(chunks)))]


def first_round(n_chunks: int) -> int:
    """How many chunks are sampled of so many."""
    return min(SAMPLE_CHUNKS, math.ceil(n_chunks / SAMPLE_SHARE))


def _spread(chunks: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """A hash of every position (splitmix64 of Steele, Lea and Flood 2014)."""
    z = (chunks[:, 0].astype(np.uint64) << np.uint64(32)) + chunks[:, 1].astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(z ^ (z >> np.uint64(31)))


def sample_chunk(
    mosaic: Mosaic, zones: Zones, years: tuple[int, ...], row: int, col: int, strata_map: StrataMap | None = None
) -> pa.Table:
    """SAMPLE_SCHEMA of one chunk: the pixels of a sparse lattice that have enough years."""
    height, width = mosaic.chunk_shape
    window = Window(row * height, col * width, height, width).intersection(mosaic.grid.window)
    parts = []
    for block in mosaic.read_blocks(window, years, ReadReport()) if window is not None else ():
        rows, cols = lattice_points(block.window.shape, SAMPLE_STEP)
        sampled = block.codes[:, :, rows, cols]
        codes = np.ascontiguousarray(sampled).reshape(*sampled.shape[:2], -1)
        sums = sums_for(codes, codes.shape[2])
        products, valid = gram_of(codes, 0, codes.shape[2], sums)
        if codes.dtype == np.int8:
            valid, _ = guard_norm(products, valid)
        valid &= zones.mask(block.window)[rows, cols].ravel() >= 0
        residual = _residual(cosine(products, valid, UNIT_PRODUCT), valid)
        known = np.flatnonzero(np.isfinite(residual))
        y, x = np.divmod(known, sampled.shape[3])
        means = np.ascontiguousarray(year_sums(codes, 0, valid, sums).T, dtype=np.float32)[known]
        classes = np.zeros(len(known), np.uint8)
        if strata_map is not None:
            classes = strata_map.classes(block.window)[rows, cols].ravel()[known]
        columns = [
            pa.array(block.window.y0 + rows.start + y * SAMPLE_STEP),
            pa.array(block.window.x0 + cols.start + x * SAMPLE_STEP),
            pa.array(residual[known]),
            pa.ListArray.from_arrays(np.arange(len(known) + 1, dtype=np.int32) * means.shape[1], pa.array(means.ravel())),
            pa.array(classes.astype(np.int32)),
        ]
        parts.append(pa.Table.from_arrays(columns, schema=SAMPLE_SCHEMA))
    return pa.concat_tables(parts).combine_chunks() if parts else SAMPLE_SCHEMA.empty_table()


def learn_strata(sample: pa.Table, count: int | None, bands: int) -> Strata:
    """The strata of a sample, whatever the order of its rows: `count` of alike embeddings, or its classes (None)."""
    sample = sample.sort_by([("y", "ascending"), ("x", "ascending")])
    means = np.array(sample["mean"].to_pylist(), np.float64).reshape(len(sample), bands)
    residual = sample["residual"].to_numpy().astype(np.float64)
    if count is None:
        return fit_classes(sample["class"].to_numpy(), residual, bands)
    return fit_strata(means, residual, count)


def _residual(distance: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """(pixel) residual variance of the best template; NaN with too few years."""
    residual = np.full(valid.shape[1], np.nan, np.float32)
    for years, chosen in patterns(valid):
        if len(years) >= MIN_YEARS:
            pairs = pairs_of(distance, years, chosen)
            residual[chosen] = statistic(pairs, np.zeros(pairs.shape[1], np.float32), years)[2]
    return residual


def write_strata(store: Store, strata: Strata) -> None:
    """Keep them beside the scores: a resumed run scores with the same ones."""
    store.put(STRATA_FILE, json.dumps({"noise": strata.noise.tolist(), "centroids": strata.centroids.tolist()}).encode())


def read_strata(store: Store) -> Strata | None:
    """The strata of these scores, or None where they are not learnt yet."""
    data = store.get(STRATA_FILE)
    if data is None:
        return None
    found = json.loads(data)
    return Strata(np.array(found["centroids"], np.float32), np.array(found["noise"], np.float32))
