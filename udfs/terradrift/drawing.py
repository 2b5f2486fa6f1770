"""From pixel outlines to the outlines that are published, where those are not simplified one by one in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from terradrift.grid import Window
from terradrift.kernels.cut import cell_masks
from terradrift.kernels.marks import crossing_marks, crossings_along, vertex_marks, vertices_along
from terradrift.kernels.ragged import Int64, offsets_of
from terradrift.kernels.trace import Rings
from terradrift.outlines import Shapes, wkb_array
from terradrift.shared_borders import border_marks, cells_of, kept_vertices

Array = npt.NDArray[Any]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Drawing:
    """How outlines are drawn: a value that is shipped to the tasks."""

    mosaic_width: int
    max_corners: int
    """Corners of the largest outline that is handed on whole; larger ones are cut along cells."""
    cell_pixels: int
    """Rows and columns of the cells, from the mosaic's origin, that giants are cut along and shared borders simplified in."""
    simplify_pixels: float
    """Tolerance of `shared_borders`."""
    shared: bool = False
    """Polygons share borders: all are simplified there. Without, only the pieces of giants share any."""
    contour: float | None = None
    """Score that outlines follow between the centres of pixels; None: they follow the edges of pixels."""

    @property
    def marked(self) -> bool:
        """Whether outlines are drawn by marks."""
        return self.shared or self.contour is not None

    def around(self, window: Window, raster: Window) -> Window:
        """The pixels that the marks of a window need: a pixel more on every side, of whole cells where these are simplified."""
        if not self.marked:
            return window
        return _wider(self._cells(window)).intersection(raster) or window

    def marks(self, classes: Array, surface: Array, around: Window, window: Window) -> Int64 | None:
        """Marks of the outlines in a window, the same for every polygon.

        (y, x) of `around`: classes, and the score of what may be mapped, NaN elsewhere.
        """
        if self.shared:
            cells = self._cells(window)
            wide = np.zeros(_wider(cells).shape, np.int32)  # background beyond the raster
            wide[around.slices(_wider(cells))] = classes
            return border_marks(wide, cells, self.cell_pixels, self.mosaic_width, self.simplify_pixels)
        if self.contour is None:
            return None
        return crossing_marks(classes != 0, surface, self.contour, around.y0, around.x0, self.mosaic_width)

    def _cells(self, window: Window) -> Window:
        return cells_of(window, self.cell_pixels) if self.shared else window

    def pieces(self, giant: Rings, pieces: Rings, marks: Int64 | None) -> Rings:
        """The pieces of one giant, drawn along the edges of pixels."""
        size = self.cell_pixels
        x, y = pieces.xy.T
        if marks is None or not self.shared:
            on_line = (x % size == 0) | (y % size == 0)
            found = [vertex_marks(y[on_line], x[on_line], self.mosaic_width)]
            for y0, x0, mask in cell_masks(giant, size):
                inner = kept_vertices(mask, self.simplify_pixels)[1:-1, 1:-1]
                row, col = np.nonzero(inner)
                found.append(vertex_marks(y0 + 1 + row, x0 + 1 + col, self.mosaic_width))
        else:
            cell_corner = (x % size == 0) & (y % size == 0)
            found = [marks, vertex_marks(y[cell_corner], x[cell_corner], self.mosaic_width)]
        return vertices_along(pieces, np.unique(np.concatenate(found)), self.mosaic_width)[0]

    def columns(self, shapes: Shapes, drawn_pieces: Rings | None, seam: Bool, marks: Int64 | None) -> dict[str, pa.Array]:
        """Columns outline, simplified and marks of rows; the last rows are the pieces. A seam row has marks and no outline."""
        n_rows = len(seam)
        n_pieces = 0 if drawn_pieces is None else len(drawn_pieces.polygon_offsets) - 1
        n_whole = n_rows - n_pieces
        outline = pa.nulls(n_whole, pa.binary())
        simplified = np.arange(n_rows) >= n_whole
        along = _by_row(np.zeros(0, np.int64), np.zeros(n_rows + 1, np.int64), seam)
        if marks is not None:
            whole = shapes.first_rows(n_whole)
            along_rings = vertices_along if self.shared else crossings_along
            drawn, found = along_rings(whole.rings, marks, self.mosaic_width)
            outline = _finished(drawn, whole.row_offsets, ~seam[:n_whole])
            along = _by_row(found, drawn.ring_offsets[drawn.polygon_offsets[whole.row_offsets]], seam)
            simplified |= self.shared
        if drawn_pieces is not None:
            outline = pa.concat_arrays([outline, wkb_array(drawn_pieces, np.arange(n_pieces + 1))])
        return {"outline": outline, "simplified": pa.array(simplified), "marks": along}


def _wider(window: Window) -> Window:
    return Window(window.y0 - 1, window.x0 - 1, window.height + 2, window.width + 2)


def _finished(drawn: Rings, row_offsets: Int64, finished: Bool) -> pa.Array:
    """WKB of the finished rows, null in the others."""
    polygons = np.diff(row_offsets)
    rings = np.diff(drawn.polygon_offsets)
    kept = np.repeat(np.repeat(finished, polygons), rings)
    array = wkb_array(drawn.select(kept), offsets_of(polygons[finished]))
    place = np.where(finished, np.cumsum(finished) - 1, 0)
    return array.take(pa.array(place, mask=~finished))


def _by_row(found: Int64, offsets: Int64, seam: Bool) -> pa.ListArray:
    """The marks of every seam row, none in the others; rows after the last offset are no seam rows."""
    length = np.zeros(len(seam), np.int64)
    length[: len(offsets) - 1] = np.diff(offsets)
    kept = np.repeat(seam, length)
    return pa.ListArray.from_arrays(pa.array(offsets_of(length * seam), pa.int32()), pa.array(found[kept]))
