"""Rings that cross and touch anyhow to valid polygons: the ground that lies in an odd number of them, on the same grid."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from test_tile_geometry import to_rings, to_shape

from terradrift.kernels.ring_repair import rebuild
from terradrift.kernels.rings import Rings

ROUNDING = 1.5  # units that crossings may move, and the lines with them


def odd(ring: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Oracle: whether a ray to the west crosses the ring an odd number of times."""
    inside = np.zeros(x.size, bool)
    for (ax, ay), (bx, by) in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True):
        across = (ay > y) != (by > y)
        inside[across] ^= ax + (y[across] - ay) / (by - ay) * (bx - ax) < x[across]
    return inside


@given(st.data(), st.sampled_from([3, 5, 12, 1000, 2**29]))
def test_rings_become_the_ground_that_they_cover_an_odd_number_of_times(data: st.DataObject, size: int) -> None:
    point = st.tuples(st.integers(-size, size), st.integers(-size, size))
    rings = [np.array(ring) for ring in data.draw(st.lists(st.lists(point, min_size=3, max_size=9), min_size=1, max_size=4))]
    xy = np.concatenate(rings).astype(np.int64)
    starts = np.cumsum([0, *map(len, rings)])
    shape = to_shape(rebuild(Rings(xy[:, 0].copy(), xy[:, 1].copy(), starts, np.array([0, len(rings)]))), 0)
    assert shapely.is_valid(shape), shapely.is_valid_reason(shape)
    lines = shapely.MultiLineString([np.append(ring, ring[:1], axis=0) for ring in rings])
    x, y = np.random.default_rng(0).uniform(-size, size, (2, 300))
    x, y = np.stack([x, y])[:, shapely.distance(lines, shapely.points(x, y)) > ROUNDING]
    covered = np.logical_xor.reduce([odd(ring, x, y) for ring in rings])
    assert np.array_equal(shapely.contains_xy(shape, x, y), covered)


def test_valid_polygons_stay_as_they_are() -> None:
    """Staircases with holes that touch them and each other at corners."""
    mask = np.random.default_rng(0).random((40, 40)) < 0.6
    row, col = np.argwhere(mask).T
    parts = shapely.get_parts(shapely.union_all(shapely.box(col, row, col + 1, row + 1)))
    shapes = np.append([shapely.MultiPolygon([part]) for part in parts], shapely.MultiPolygon(list(parts)))
    made = rebuild(to_rings(list(shapes)))
    again = [to_shape(made, feature) for feature in range(shapes.size)]
    assert shapely.is_valid(again).all()
    assert shapely.equals(shapes, again).all()


@pytest.mark.parametrize(
    ("rings", "parts", "holes"),
    [
        ([[(0, 0), (4, 4), (4, 0), (0, 4)]], 2, 0),  # a bow tie
        ([[(0, 0), (9, 0), (9, 9), (0, 9)], [(0, 0), (9, 0), (9, 9), (0, 9)]], 0, 0),  # twice the same
        ([[(0, 0), (9, 0), (9, 9), (0, 9)], [(9, 9), (9, 0), (0, 0), (0, 9)]], 0, 0),  # a hole that is all of it
        ([[(0, 0), (9, 0), (9, 9), (0, 9)], [(0, 3), (9, 3), (9, 6), (0, 6)]], 2, 0),  # a hole from edge to edge
        ([[(0, 0), (9, 0), (9, 9), (0, 9)], [(0, 3), (6, 2), (6, 6)]], 1, 1),  # a hole that touches at one point
        ([[(0, 0), (9, 0), (9, 9), (0, 9)], [(2, 2), (4, 2), (4, 4)], [(4, 4), (6, 4), (6, 6)]], 1, 2),  # two that touch
        ([[(0, 0), (9, 0), (9, 9), (0, 9)], [(2, 2), (7, 2), (7, 7), (2, 7)], [(3, 3), (5, 3), (5, 5)]], 2, 1),  # an island
        ([[(0, 0), (5, 0), (9, 0), (5, 0), (5, 5)]], 1, 0),  # a spike
    ],
)
def test_small_cases(rings: list[list[tuple[int, int]]], parts: int, holes: int) -> None:
    xy = np.concatenate([np.array(ring) for ring in rings]).astype(np.int64)
    made = rebuild(Rings(xy[:, 0].copy(), xy[:, 1].copy(), np.cumsum([0, *map(len, rings)]), np.array([0, len(rings)])))
    shape = to_shape(made, 0)
    assert shape.is_valid
    assert (len(shape.geoms), sum(len(part.interiors) for part in shape.geoms)) == (parts, holes)
