"""Marks along rings against plain walks, and contours against contourpy's."""

from __future__ import annotations

import itertools

import contourpy
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from terradrift.kernels.label import label
from terradrift.kernels.marks import NEAREST, STEPS, crossing_marks, crossings_along, vertices_along
from terradrift.kernels.trace import rings_to_wkb, trace

WIDTH = 1000
MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


def polygons(rings):
    data, offsets = rings_to_wkb(rings, np.arange(len(rings.polygon_offsets)))
    return shapely.from_wkb([data[begin:end].tobytes() for begin, end in itertools.pairwise(offsets)])


def plain_walk(corners):
    """Every lattice vertex along a ring of corners."""
    for (x, y), (u, v) in zip(corners, [*corners[1:], corners[0]], strict=True):
        n = abs(u - x) + abs(v - y)
        yield from ((x + (u - x) // n * i, y + (v - y) // n * i) for i in range(n))


@settings(max_examples=100, deadline=None)
@given(MASKS, st.floats(0, 1), st.integers(0, 9))
def test_vertices_come_in_the_order_the_ring_runs(mask, share, seed):
    rings = trace(label(mask), 30, 50)
    y, x = np.nonzero(np.random.default_rng(seed).random((mask.shape[0] + 1, mask.shape[1] + 1)) < share)
    marks = (y + 30) * (WIDTH + 1) + x + 50
    drawn, found = vertices_along(rings, marks, WIDTH)
    chosen = set(zip((x + 50).tolist(), (y + 30).tolist(), strict=True))
    for ring, (begin, end) in enumerate(itertools.pairwise(rings.ring_offsets)):
        expected = [vertex for vertex in plain_walk(rings.xy[begin:end].tolist()) if vertex in chosen]
        assert list(map(tuple, drawn.xy[drawn.ring_offsets[ring] : drawn.ring_offsets[ring + 1]].tolist())) == expected
    np.testing.assert_array_equal(drawn.xy[:, 1] * (WIDTH + 1) + drawn.xy[:, 0], found)


def contours(inside, score, threshold, y0=0, x0=0):
    rings = trace(label(inside), y0, x0)
    drawn, _ = crossings_along(rings, crossing_marks(inside, score, threshold, y0, x0, WIDTH), WIDTH)
    return polygons(drawn)


def test_a_lone_pixel_is_a_diamond():
    score = np.array([[0.0, 0.25, 0.0], [0.0, 1.0, 0.75], [np.nan, 0.4, 0.0]])
    inside = np.zeros((3, 3), bool)
    inside[1, 1] = True
    (shape,) = contours(inside, score, 0.8, 7, 4)
    half = 0.2 / np.array([0.75, 1.0, 0.25, 0.6])  # of the way from the centre to that of the north, west, east, south
    expected = [(5.5, 8.5 - half[0]), (5.5 + half[2], 8.5), (5.5, 8.5 + half[3]), (5.5 - half[1], 8.5)]
    assert shapely.hausdorff_distance(shape, shapely.Polygon(expected)) < 1 / STEPS


def test_towards_no_data_and_the_edge_it_lies_half_way():
    score = np.array([[np.nan, 5.0], [0.0, 5.0]])
    (shape,) = contours(score >= 1, score, 1.0)
    expected = [(1.5, 0.0), (2.0, 0.5), (2.0, 1.5), (1.5, 2.0), (0.7, 1.5), (1.0, 0.5)]
    assert shapely.hausdorff_distance(shape, shapely.Polygon(expected)) < 1 / STEPS


def test_a_score_at_the_threshold_keeps_its_distance():
    score = np.zeros((3, 3))
    score[1, 1] = 1.0
    (shape,) = contours(score >= 1, score, 1.0)
    assert shape.is_valid
    assert shape.area == 2 * (NEAREST / STEPS) ** 2


def test_diagonal_pixels_of_one_polygon_join_those_of_two_stay_apart():
    mask = np.array([[int(c) for c in row] for row in ("00000", "01010", "00100", "01110", "00000")])
    shapes = contours(mask == 1, mask - 0.5, 0.0)
    assert [shape.is_valid for shape in shapes] == [True] * 3
    assert shapely.coverage_is_valid(shapes)
    around = np.array([[int(c) for c in row] for row in ("0000", "0110", "0101", "0111", "0000")])
    (shape,) = contours(np.pad(around == 1, 1), np.pad(around, 1) - 0.5, 0.0)
    assert shape.is_valid
    assert len(shape.interiors) == 1


@settings(max_examples=150, deadline=None)
@given(array_shapes(min_dims=2, max_dims=2, max_side=12), st.integers(0, 999), st.sampled_from([0.2, 0.5, 0.8]))
def test_contours_hold_the_centres_of_their_pixels_and_no_other(shape, seed, threshold):
    rng = np.random.default_rng(seed)
    score = rng.random(shape)
    score[rng.random(shape) < 0.1] = np.nan
    score[rng.random(shape) < 0.1] = threshold
    inside = score >= threshold
    regions = label(inside)
    shapes = contours(inside, score, threshold)
    assert shapely.is_valid(shapes).all()
    y, x = np.indices(shape) + 0.5
    for number, polygon in enumerate(shapes, start=1):
        np.testing.assert_array_equal(shapely.contains_xy(polygon, x, y), regions.paint() == number)
    assert shapely.union_all(shapes).area == pytest.approx(shapely.area(shapes).sum())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_contours_are_contourpys(seed):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(200, 180)), 4)
    field = np.pad(field / field.std(), 1, constant_values=-3.0)
    inside = field >= 0.7
    a, b, c, d = inside[:-1, :-1], inside[:-1, 1:], inside[1:, :-1], inside[1:, 1:]
    assert not ((a == d) & (b == c) & (a != b)).any()  # where diagonals meet, contourpy asks the mean of the four
    ours = contours(inside, field, 0.7)
    y, x = (np.arange(n) + 0.5 for n in field.shape)
    points, offsets = contourpy.contour_generator(x, y, field, fill_type="OuterOffset").filled(0.7, np.inf)
    theirs = [
        shapely.Polygon(rings[0], rings[1:])
        for rings in ([xy[i:j] for i, j in itertools.pairwise(at)] for xy, at in zip(points, offsets, strict=True))
    ]
    assert len(ours) == len(theirs) > 20
    place = shapely.STRtree(theirs).nearest(shapely.point_on_surface(ours))
    assert sorted(place) == list(range(len(theirs)))
    theirs = np.array(theirs)[place]
    assert shapely.get_num_interior_rings(ours).tolist() == shapely.get_num_interior_rings(theirs).tolist()
    assert shapely.area(ours) == pytest.approx(shapely.area(theirs), abs=0.1)
    apart = shapely.hausdorff_distance(ours, theirs)
    assert apart.max() < 1.5 * NEAREST / STEPS
    vertices, polygon = shapely.get_coordinates(ours, return_index=True)
    off = shapely.distance(shapely.points(vertices), shapely.boundary(theirs)[polygon])
    assert (off < 1.5 / STEPS).mean() > 0.95  # all but those kept off the centres
