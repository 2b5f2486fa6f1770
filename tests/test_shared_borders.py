"""What stays of borders in one cell, against GEOS on outlines with a vertex at every corner of every pixel."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import shapely
from scipy import ndimage

from terradrift.grid import Window
from terradrift.kernels.label import label
from terradrift.kernels.trace import rings_to_wkb, trace
from terradrift.shared_borders import border_marks

WIDTH = 1000


def outlines(classes):
    rings = trace(label(classes + 1))
    data, offsets = rings_to_wkb(rings, np.arange(len(rings.polygon_offsets)))
    return shapely.from_wkb([data[begin:end].tobytes() for begin, end in itertools.pairwise(offsets)])


@pytest.mark.parametrize("tolerance", [0.0, 0.75, 2.0, 5.0])
def test_a_cell_is_simplified_as_geos_does(tolerance):
    field = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(40, 40)), 1.5)
    classes = np.digitize(field, np.quantile(field, [0.3, 0.6, 0.8]))
    marks = border_marks(np.pad(classes, 1), Window(80, 120, 40, 40), 40, WIDTH, tolerance)
    y, x = np.divmod(marks, WIDTH + 1)
    inside = (y > 80) & (y < 120) & (x > 120) & (x < 160)
    left = shapely.coverage_simplify(shapely.segmentize(outlines(classes), 1), tolerance, simplify_boundary=False)
    expected = np.unique(shapely.get_coordinates(left), axis=0)
    expected = expected[((expected > 0) & (expected < 40)).all(axis=1)]
    assert sorted(zip(x[inside] - 120.0, y[inside] - 80.0, strict=True)) == sorted(map(tuple, expected))


def test_where_regions_meet_and_where_they_cross_lines_stays():
    classes = np.zeros((10, 10), np.int32)  # its pixel (0, 0) is (3, 3) of the mosaic, whose lines lie at 4, 8 and 12
    classes[2:8, 3:8] = 1
    classes[7:8, 6:8] = 2
    marks = border_marks(classes, Window(4, 4, 8, 8), 4, WIDTH, 100.0)
    crossings, meetings = ((5, 8), (8, 6), (8, 11), (11, 8)), ((10, 11), (11, 9))
    assert set(marks.tolist()) >= {y * (WIDTH + 1) + x for y, x in (*crossings, *meetings)}
