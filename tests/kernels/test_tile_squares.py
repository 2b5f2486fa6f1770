"""Squares for what is too small to be drawn: they cover exactly the area asked for, of what nothing else covers."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_tile_geometry import blobs, star, to_rings, to_shape

from terradrift.kernels.rings import Rings
from terradrift.kernels.tile_squares import TALLEST, covering_squares

seeds = st.integers(0, 2**32 - 1)
NOTHING = Rings(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64))


def cells_of(shapes: list[shapely.Geometry], extent: int) -> np.ndarray:
    """Oracle: (row, col) whether the centre of a cell lies in one of the shapes; one on an edge is of what lies right of it."""
    row, col = np.mgrid[:extent, :extent] + 0.5
    return np.any([shapely.contains_xy(shape, col + 1e-6, row) for shape in shapes], axis=0)


def shapes_of(squares: Rings) -> list[shapely.MultiPolygon]:
    return [to_shape(squares, k) for k in range(squares.feature_start.size - 1)]


@settings(max_examples=60, deadline=None)
@example(1, 6, 100)  # a centre lies on a slanted edge
@example(89160, 13, 193)  # no room about the last
@example(22, 22, 128)  # a polygon ends where a word of cells does
@example(143709, 7, 193)  # a slope that is rounded
@given(seeds, st.integers(1, 30), st.sampled_from([100, 128, 193]))
def test_squares_cover_the_area_that_is_lacking(seed: int, count: int, extent: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = [
        shapely.MultiPolygon([shapely.Polygon(np.rint(star(rng, *rng.uniform(-10, extent + 10, 2), 25, 9)))]) for _ in range(6)
    ]
    drawn += [shapely.transform(blobs(rng, 9), lambda xy: xy * 2 + 60)]
    drawn = [shape for shape in drawn if shape.is_valid]
    rings = to_rings(drawn)
    area = int(rng.integers(count, 40 * count))
    x, y = rng.integers(0, extent, (2, count))
    squares = covering_squares(rings, x, y, area, extent)
    shapes = shapes_of(squares)
    assert len(shapes) == count
    assert all(shape.is_valid and shape.area >= 1 for shape in shapes)
    assert shapely.total_bounds(shapes).min() >= 0
    assert shapely.total_bounds(shapes).max() <= extent
    before = cells_of(drawn, extent)
    after = before | cells_of(shapes, extent)
    left, top, right, bottom = shapes[-1].bounds
    over = int(after.sum() - before.sum()) - area
    no_room = bottom - top >= min(TALLEST * (right - left), extent)
    assert over == 0 or (over < 0 and no_room) or (over > 0 and right - left == 1), "the others left the last its one unit"


def test_alone_they_are_squares_about_their_places() -> None:
    x, y = np.array([10, 50, 90]), np.array([80, 50, 20])
    squares = covering_squares(NOTHING, x, y, 3 * 64, 100)
    np.testing.assert_array_equal([shape.bounds for shape in shapes_of(squares)], np.stack([x - 4, y - 4, x + 4, y + 4], axis=1))
    assert squares.x.size == 12
    ones = shapes_of(covering_squares(NOTHING, x, y, 0, 100))
    assert [shape.area for shape in ones] == [1, 1, 1]
    (step,) = shapes_of(covering_squares(NOTHING, x[:1], y[:1], 13, 100))
    assert (step.area, step.envelope.area) == (13, 16)


def test_at_the_edges_of_a_tile_they_stay_within() -> None:
    x, y = (a.ravel() for a in np.meshgrid([0, 99], [0, 99]))
    shapes = shapes_of(covering_squares(NOTHING, x, y, 4 * 49 - 3, 100))
    assert shapely.union_all(shapes).area == sum(shape.area for shape in shapes) == 4 * 49 - 3
    assert shapely.box(0, 0, 100, 100).contains(shapely.union_all(shapes))


def test_equal_places_do_not_lie_on_each_other() -> None:
    """Each covers ground of its own, as far as three of its widths reach."""
    same = np.full(3, 50)
    shapes = shapes_of(covering_squares(NOTHING, same, same, 3 * 64, 100))
    assert shapely.union_all(shapes).area == 3 * 64
