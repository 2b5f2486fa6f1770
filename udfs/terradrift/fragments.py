"""A thresholded raster to polygons, the same for every tiling.

`fragments` turns one tile into rows: finished polygons, and the parts of those that reach a seam with the keys of their pixel
pairs across it. Equal keys are edges, `kernels.seams.components` joins them, `merge_fragments` makes one row of each component.
Every number is a sum, minimum or maximum of integers over pixels and every outline is made of pixel corners, so nothing depends
on where the seams lie.

A polygon with more corners than a `Drawing` allows becomes several rows: its pieces in cells of pixels, each with the sums of
the whole but with pixels and area of its own, so that these still add up. What later works on one row at a time stays bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from terradrift.drawing import Drawing
from terradrift.errors import InputError
from terradrift.grid import Window
from terradrift.kernels.label import arrange_rows, label
from terradrift.kernels.part_statistics import part_statistics
from terradrift.kernels.ragged import Int32, Int64, offsets_of, runs
from terradrift.kernels.seams import border_links, merge_parts
from terradrift.kernels.segments import Segments
from terradrift.kernels.trace import Rings, trace
from terradrift.outlines import PixelArea, Shapes, cut_giants, fill_holes

Array = npt.NDArray[Any]
Columns = dict[str, Any]
POLYGON_SCHEMA = pa.schema(
    [
        ("gid", pa.int64()),  # 1 + row-major mosaic index of the first pixel
        ("whole", pa.int64()),  # gid of the polygon that this is a piece of, or its own
        ("class", pa.int32()),
        ("n_pixels", pa.int64()),  # inside the geometry, filled holes too
        ("n_scored", pa.int64()),  # of the class: what the score, effect, year and kind columns are made of
        ("score_sum", pa.int64()),  # in SCORE_UNIT
        ("score_max", pa.float32()),
        ("effect_sum", pa.int64()),  # in SCORE_UNIT
        ("q_min", pa.float32()),  # NaN: none
        ("area_mm2", pa.int64()),  # inside the geometry, filled holes too
        ("year_counts", pa.list_(pa.int64())),
        ("kind_counts", pa.list_(pa.int64())),
        ("zone", pa.int32()),  # of the first pixel
        ("geometry", pa.binary()),  # WKB in pixel coordinates of the mosaic: x = column, y = row
        ("outline", pa.binary()),  # what is published of it, where that is more than the geometry made simpler
        ("simplified", pa.bool_()),  # the outline is as simple as it may be: others share it
    ]
)

FRAGMENT_SCHEMA = pa.schema(
    [
        *POLYGON_SCHEMA,
        ("group", pa.int64()),  # gid of the first part of its 8-connected group in the tile; gid with connectivity 4
        ("seam", pa.bool_()),  # the group reaches a border beyond which the raster goes on: for merge_fragments
        ("links", pa.list_(pa.int64())),  # keys of kernels.seams.border_links
        ("marks", pa.list_(pa.int64())),  # of kernels.marks, on the outline of a seam row
    ]
)

_REDUCE: Mapping[str, Callable[[Array, Int64], Array]] = {
    **dict.fromkeys(("gid", "class", "zone"), lambda column, starts: column[starts]),
    **dict.fromkeys(("n_scored", "score_sum", "effect_sum", "year_counts", "kind_counts"), np.add.reduceat),
    "score_max": np.maximum.reduceat,
    "q_min": np.fmin.reduceat,
}
"""What a row is made of, from its parts in order of their first pixel."""


def fragments(
    window: Window,
    raster_window: Window,
    classes: Array,
    score: Array,
    effect: Array,
    year: Array,
    kind: Array,
    q: Array | None,
    zones: Array,
    years: Sequence[int],
    pixel_area: PixelArea,
    *,
    mosaic_width: int,
    connectivity: int,
    min_pixels: int,
    fill_holes_pixels: int,
    high: float | None = None,
    drawing: Drawing | None = None,
    marks: Int64 | None = None,
) -> pa.RecordBatch:
    """Polygons and parts of polygons of one tile, as FRAGMENT_SCHEMA in order of gid.

    All rasters (y, x) cover `window`, a tile of `raster_window`, both in pixels of the mosaic; classes: integer or bool,
    0 is not mapped; the others as in `part_statistics`. A seam row is one 4-connected part. Any other row is finished: at
    least `min_pixels` mapped pixels, one of them with a score of at least `high`; holes of at most `fill_holes_pixels` filled;
    with connectivity 8 a MultiPolygon where its group has several 4-connected parts; in pieces beyond the corners that `drawing`
    allows, and drawn by it; marks: what it says of the window.
    """
    if classes.shape != window.shape:
        raise InputError(f"classes: found shape {classes.shape}; expected that of the window, {window.shape}")
    segments = label(classes)
    rows = arrange_rows(segments, classes, _parts_at_seams(segments, window, raster_window), connectivity, min_pixels)
    segments = segments.renumber(rows.number, int(rows.offsets[-1]))
    statistics = part_statistics(
        segments,
        score=score,
        effect=effect,
        year=year,
        kind=kind,
        q=q,
        zones=zones,
        years=years,
        area_mm2=pixel_area(window),
    )
    y, x = np.divmod(statistics.first, window.width)
    parts = {**statistics._asdict(), "n_scored": statistics.n_pixels, "class": _as_int32(classes[y, x])}
    parts["gid"] = (window.y0 + y) * mosaic_width + window.x0 + x + 1
    columns = _combine(parts, rows.offsets)
    columns |= {"group": parts["gid"][rows.leader], "seam": rows.seam}
    bounds = (raster_window.y0, raster_window.x0, raster_window.y1, raster_window.x1)
    linked, keys = border_links(segments, window.y0, window.x0, bounds, mosaic_width, connectivity)
    columns["links"] = _ragged(np.searchsorted(rows.offsets, linked) - 1, keys, len(rows.seam))
    limit = np.where(rows.seam, 0, fill_holes_pixels)
    shapes = Shapes(trace(segments, window.y0, window.x0), rows.offsets, statistics.n_pixels, statistics.area_mm2)
    if limit.any():
        shapes = fill_holes(shapes, limit, pixel_area)
    columns, shapes = _drawn(columns, shapes, drawing, marks, pixel_area)
    batch = _batch(columns | shapes.columns(), FRAGMENT_SCHEMA)
    return batch if high is None else batch.filter(pc.or_(batch["seam"], _reaches(batch, high)))


def merge_fragments(
    table: pa.Table,
    pixel_area: PixelArea,
    *,
    min_pixels: int,
    fill_holes_pixels: int,
    high: float | None = None,
    drawing: Drawing | None = None,
) -> pa.RecordBatch:
    """Seam rows of whole components to polygons: one row of POLYGON_SCHEMA a `component8`, in order of gid; a giant in pieces.

    table: columns of FRAGMENT_SCHEMA (marks only with a drawing) and component4, component8 (int64): the smallest gid a row is
    connected to by straight links, and by links and groups of every kind; the same with connectivity 4. Rows in any order.
    """
    keys = ("component8", "component4", "gid")
    table = table.take(np.lexsort([table[name].to_numpy() for name in reversed(keys)]))
    rows = runs(table["component8"])
    scored = np.add.reduceat(table["n_scored"].to_numpy(), rows[:-1])
    table = table.filter(np.repeat(scored >= min_pixels, np.diff(rows)))
    if not len(table):
        return pa.RecordBatch.from_pylist([], POLYGON_SCHEMA)
    rows, parts = runs(table["component8"]), runs(table["component4"])
    columns = _combine({name: _numpy(table[name]) for name in _REDUCE}, rows)
    rings = merge_parts(_rings(table["geometry"]), np.repeat(np.arange(len(parts) - 1), np.diff(parts)))
    n_pixels, area_mm2 = (np.add.reduceat(table[name].to_numpy(), parts[:-1]) for name in ("n_pixels", "area_mm2"))
    shapes = Shapes(rings, np.searchsorted(parts, rows), n_pixels, area_mm2)
    if fill_holes_pixels:
        shapes = fill_holes(shapes, np.full(len(rows) - 1, fill_holes_pixels), pixel_area)
    columns["seam"] = np.zeros(len(rows) - 1, np.bool_)
    columns, shapes = _drawn(columns, shapes, drawing, _marks(table) if drawing and drawing.marked else None, pixel_area)
    batch = _batch(columns | shapes.columns(), POLYGON_SCHEMA)
    return batch if high is None else batch.filter(_reaches(batch, high))


def _reaches(batch: pa.RecordBatch, high: float) -> pa.BooleanArray:
    return pa.array(batch["score_max"].to_numpy() >= np.float32(high))


def _parts_at_seams(segments: Segments, window: Window, raster: Window) -> Int32:
    """Parts on the sides of a tile beyond which the raster goes on."""
    y, x, part = segments.outermost()
    at_seam = (y == 0) & (window.y0 > raster.y0) | (y == window.height - 1) & (window.y1 < raster.y1)
    at_seam |= (x == 0) & (window.x0 > raster.x0) | (x == window.width - 1) & (window.x1 < raster.x1)
    return part[at_seam]


def _combine(parts: Columns, offsets: Int64) -> Columns:
    columns = {name: reduce(parts[name], offsets[:-1]) for name, reduce in _REDUCE.items()}
    return columns | {"whole": columns["gid"]}


def _drawn(
    columns: Columns, shapes: Shapes, drawing: Drawing | None, marks: Int64 | None, pixel_area: PixelArea
) -> tuple[Columns, Shapes]:
    """The rows with what is published of them, giants cut; as they are without a drawing."""
    n = len(columns["seam"])
    if drawing is None:
        nothing = {"outline": pa.nulls(n, pa.binary()), "simplified": np.zeros(n, np.bool_), "marks": _no_lists(n)}
        return columns | nothing, shapes
    giant = (shapes.corners > drawing.max_corners) & ~columns["seam"]
    pieces = None
    if giant.any():
        draw = partial(drawing.pieces, marks=marks)
        shapes, row, pieces = cut_giants(shapes, giant, pixel_area, drawing.cell_pixels, draw)
        columns = {name: _taken(column, row) for name, column in columns.items()}
        y, x = shapes.first_pixel
        columns["gid"] = y * drawing.mosaic_width + x + 1
    return columns | drawing.columns(shapes, pieces, columns["seam"], marks), shapes


def _marks(table: pa.Table) -> Int64:
    marks: Int64 = np.unique(table["marks"].combine_chunks().flatten().to_numpy())
    return marks


def _no_lists(n: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.zeros(n + 1, np.int32)), pa.array([], pa.int64()))


def _taken(column: Any, rows: Int64) -> Any:
    return column.take(pa.array(rows)) if isinstance(column, pa.Array) else column[rows]


def _rings(geometry: pa.ChunkedArray) -> Rings:
    """The rings of WKB polygons on whole pixel corners."""
    import shapely

    kind, xy, offsets = shapely.to_ragged_array(shapely.from_wkb(geometry.to_numpy()))
    if kind != shapely.GeometryType.POLYGON:
        raise ValueError(f"geometry: found {kind.name}; expected the single parts of seam rows")
    ring_offsets, polygon_offsets = offsets
    is_open = np.ones(len(xy), np.bool_)
    is_open[ring_offsets[1:] - 1] = False
    corners = np.rint(xy[is_open]).astype(np.int64)
    return Rings(corners, ring_offsets - np.arange(len(ring_offsets)), polygon_offsets.astype(np.int64))


def _as_int32(classes: Array) -> npt.NDArray[np.int32]:
    limits = np.iinfo(np.int32)
    if classes.size and not (limits.min <= int(classes.min()) and int(classes.max()) <= limits.max):
        raise InputError(f"classes: found {classes.min()} to {classes.max()}; expected 32-bit integers; renumber them")
    return classes.astype(np.int32)


def _ragged(row: Int64, values: Int64, n_rows: int) -> pa.ListArray:
    """The values of every row, ascending."""
    order = np.lexsort((values, row))
    offsets = offsets_of(np.bincount(row, minlength=n_rows))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values[order]))


def _numpy(column: pa.ChunkedArray) -> Array:
    """(row), or (row, n) of a list column."""
    if not pa.types.is_list(column.type):
        return column.to_numpy()
    return column.combine_chunks().flatten().to_numpy().reshape(len(column), -1)


def _batch(columns: Columns, schema: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for field in schema:
        column = columns[field.name]
        if isinstance(column, np.ndarray) and column.ndim == 2:
            n_rows, n = column.shape
            offsets = pa.array(np.arange(n_rows + 1) * n, pa.int32())
            column = pa.ListArray.from_arrays(offsets, pa.array(column.ravel()))
        arrays.append(column if isinstance(column, pa.Array) else pa.array(column, field.type))
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    return batch.take(np.argsort(columns["gid"], kind="stable"))
