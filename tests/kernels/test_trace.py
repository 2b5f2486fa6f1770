"""The tracer against rasterio's, the OGC rules, and shapely's WKB."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from terradrift.kernels.label import label
from terradrift.kernels.ragged import offsets_of
from terradrift.kernels.trace import Rings, rings_to_wkb, trace

CLASSES = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.integers(0, 2))


def picture(text):
    return np.array([[character == "#" for character in line] for line in text.split()])


PICTURES = {
    "one pixel": "#",
    "all": "### ### ###",
    "pinch": "##. #.# ###",
    "pinch in a hole": "##### #.### ##.## #####",
    "two pinches": "#.### ##.## .###. ##.## #.###",
    "ring in a ring": "####### #.....# #.###.# #.#.#.# #.###.# #.....# #######",
    "spiral": "####### ......# #####.# #...#.# #.###.# #.....# #######",
    "checkerboard": "#.#.# .#.#. #.#.# .#.#.",
    "holes touching": "##### #.#.# ##.## #.#.# #####",
    "stairs": "#.... ##... .##.. ..##. ...##",
}


def wkb(rings, row_offsets=None):
    data, offsets = rings_to_wkb(rings, np.arange(len(rings.polygon_offsets)) if row_offsets is None else row_offsets)
    return [data[begin:end].tobytes() for begin, end in itertools.pairwise(offsets)]


def check_against_rasterio(classes):
    segments = label(classes)
    labels, n = segments.paint(), segments.n
    rings = trace(segments)
    polygons = shapely.from_wkb(wkb(rings))
    shapes = rasterio.features.shapes(labels, mask=labels > 0, connectivity=4)
    expected = {int(value): shapely.geometry.shape(geometry) for geometry, value in shapes}
    assert shapely.is_valid(polygons).all()
    assert sorted(expected) == list(range(1, n + 1))
    np.testing.assert_array_equal(shapely.area(polygons), np.bincount(labels.ravel(), minlength=n + 1)[1:])
    np.testing.assert_array_equal(
        shapely.to_wkb(shapely.normalize(polygons)),
        shapely.to_wkb(shapely.normalize([expected[value] for value in range(1, n + 1)])),
    )
    return rings


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_rasterios(name):
    check_against_rasterio(picture(PICTURES[name]))


@settings(max_examples=200, deadline=None)
@given(CLASSES)
def test_random_classes_are_rasterios(classes):
    check_against_rasterio(classes)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.6, 0.9])
def test_noise_is_rasterios(share):
    check_against_rasterio(np.random.default_rng(3).random((150, 130)) < share)


def test_a_hole_at_a_pinch_touches_the_exterior_in_a_point():
    rings = check_against_rasterio(picture("###. #.## ##.# .###"))
    np.testing.assert_array_equal(rings.polygon_offsets, [0, 3])
    polygon = shapely.from_wkb(wkb(rings)[0])
    assert polygon.interiors[0].intersection(polygon.interiors[1]).equals(shapely.Point(2, 2))


def test_rings_begin_at_their_first_edge_and_keep_the_label_on_the_right():
    rings = check_against_rasterio(picture("#### #..# #### ####"))
    np.testing.assert_array_equal(rings.xy[:4], [[0, 0], [4, 0], [4, 4], [0, 4]])
    np.testing.assert_array_equal(rings.xy[4:], [[1, 2], [3, 2], [3, 1], [1, 1]])


def test_holes_follow_in_order_of_their_first_edge():
    rings = trace(label(picture("##### #.#.# #.### #####")))
    np.testing.assert_array_equal(rings.xy[rings.ring_offsets[:-1]], [[0, 0], [3, 2], [1, 3]])


def test_rows_of_several_polygons_are_multipolygons():
    rings = trace(label(picture("#.# .#. ###")))
    one, several = shapely.from_wkb(wkb(rings, np.array([0, 1, 3])))
    parts = shapely.from_wkb(wkb(rings))
    assert one.equals_exact(parts[0], 0)
    assert several.equals_exact(shapely.MultiPolygon(list(parts[1:])), 0)
    assert [shapely.to_wkb(one, byte_order=1), shapely.to_wkb(several, byte_order=1)] == wkb(rings, np.array([0, 1, 3]))


def test_moved_far_away_stays_exact():
    rings = trace(label(picture("#")), 2_003_507, 4_007_016)
    np.testing.assert_array_equal(
        shapely.get_coordinates(shapely.from_wkb(wkb(rings)))[[0, 2]], [[4_007_016, 2_003_507], [4_007_017, 2_003_508]]
    )


def test_select_drops_rings_and_empty_polygons():
    rings = trace(label(picture("###.# #.#.. ###.#")))
    kept = rings.select(np.array([True, False, False, True]))
    assert wkb(kept) == [wkb(trace(label(picture("###.. ###.. ###.."))))[0], wkb(rings)[2]]


@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (4, 4)])
def test_no_label_no_polygon(shape):
    rings = trace(label(np.zeros(shape, np.int32)))
    assert isinstance(rings, Rings)
    assert wkb(rings) == []


def test_offsets():
    np.testing.assert_array_equal(offsets_of(np.array([2, 0, 3])), [0, 2, 2, 5])
