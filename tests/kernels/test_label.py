"""Labels: the order of first pixels, scipy's components class by class, groups that touch at corners."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from terradrift.errors import InputError
from terradrift.kernels.label import arrange_rows, diagonal_groups, label
from terradrift.kernels.ragged import runs

CLASSES = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0, 0, 1, 1, 2, -7]))
EIGHT = np.ones((3, 3))


def scipy_labels(classes, structure=None):
    """scipy's components of every class, numbered by first pixel."""
    labels = np.zeros(classes.shape, np.int64)
    for value in np.unique(classes[classes != 0]):
        found, _ = ndimage.label(classes == value, structure)
        labels = np.where(found, found + labels.max(), labels)
    seen = {0: 0}
    return np.array([seen.setdefault(here, len(seen)) for here in labels.ravel()]).reshape(classes.shape)


@settings(max_examples=200, deadline=None)
@given(CLASSES)
def test_labels_are_scipys_in_order_of_first_pixels(classes):
    labels = label(classes).paint()
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, scipy_labels(classes))


@settings(max_examples=200, deadline=None)
@given(CLASSES)
def test_diagonal_groups_are_scipys_8_components(classes):
    segments = label(classes)
    labels, groups = segments.paint(), diagonal_groups(segments, classes)
    whole = scipy_labels(classes, EIGHT)
    first = {group: labels[whole == group].min() for group in np.unique(whole)}
    np.testing.assert_array_equal(groups[labels], np.vectorize(first.get)(whole))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int32, np.int64, np.uint32])
def test_every_integer_type_and_memory_order(dtype):
    classes = np.random.default_rng(1).integers(0, 2, (40, 60)).astype(dtype)
    for view in (classes, classes.T, classes[::-1, ::2]):
        np.testing.assert_array_equal(label(view).paint(), scipy_labels(view.astype(np.int64)))


def test_a_comb_joins_at_its_back():
    classes = np.ones((50, 51), np.uint8)
    classes[:-1, 1::2] = 0
    assert label(classes).n == 1


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_nothing_has_no_labels(shape):
    classes = np.zeros(shape, np.uint8)
    assert label(classes).shape == label(classes).paint().shape == shape
    np.testing.assert_array_equal(diagonal_groups(label(classes), classes), [0])


@pytest.mark.parametrize("classes", [np.zeros((2, 2), np.float32), np.zeros((1, 2, 2), np.uint8)])
def test_floats_and_stacks_are_refused(classes):
    with pytest.raises(InputError, match=r"classes: found .* expected"):
        label(classes)


@settings(max_examples=100, deadline=None)
@given(CLASSES, st.integers(0, 2))
def test_segments_are_the_raster(classes, margin):
    segments = label(classes)
    labels = segments.paint()
    y = np.repeat(np.arange(len(classes)), np.diff(segments.row_offsets))
    assert (segments.start < segments.end).all()
    for row, start, end, part in zip(y, segments.start, segments.end, segments.part, strict=True):
        assert (labels[row, start:end] == part).all()
        assert start == 0 or labels[row, start - 1] != part
        assert end == classes.shape[1] or labels[row, end] != part
    np.testing.assert_array_equal(segments.paint(margin), np.pad(labels, margin))
    np.testing.assert_array_equal(segments.pixel_counts()[1:], np.bincount(labels.ravel(), minlength=segments.n + 1)[1:])


@settings(max_examples=100, deadline=None)
@given(CLASSES)
def test_the_outermost_pixels_are_the_sides(classes):
    labels = label(classes).paint()
    inner = np.zeros(classes.shape, bool)
    inner[1:-1, 1:-1] = True
    y, x = np.nonzero((labels > 0) & ~inner)
    for found, expected in zip(label(classes).outermost(), (y, x, labels[y, x]), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_new_numbers():
    segments = label(np.random.default_rng(2).integers(0, 3, (30, 30)))
    number = np.arange(segments.n + 1, dtype=np.int32)[::-1] * (np.arange(segments.n + 1) > 0)
    renumbered = segments.renumber(number.astype(np.int32), segments.n)
    np.testing.assert_array_equal(renumbered.paint(), number[segments.paint()])
    assert (renumbered.part > 0).all()


def test_rows_of_groups_and_of_parts_at_open_sides():
    classes = np.array(
        [
            [1, 0, 1, 0, 0],
            [0, 1, 0, 0, 1],
            [0, 0, 0, 1, 0],
            [1, 0, 0, 0, 0],
        ]
    )
    segments = label(classes)  # 1, 2 and 3 in one group, 4 and 5 in another, 6 alone
    for part in (4, 5):  # the first part of a group, and another
        rows = arrange_rows(segments, classes, np.array([part], np.int32), connectivity=8, min_pixels=2)
        np.testing.assert_array_equal(rows.number, [0, 1, 2, 3, 4, 5, 0])
        np.testing.assert_array_equal(rows.offsets, [0, 3, 4, 5])
        np.testing.assert_array_equal(rows.seam, [False, True, True])
        np.testing.assert_array_equal(rows.leader, [0, 3, 3])
    alone = arrange_rows(segments, classes, np.array([1, 2], np.int32), connectivity=4, min_pixels=2)
    np.testing.assert_array_equal(alone.number, [0, 1, 2, 0, 0, 0, 0])
    np.testing.assert_array_equal(alone.leader, [0, 1])


def test_runs():
    np.testing.assert_array_equal(runs([5, 5, 7, 5]), [0, 2, 3, 4])
    np.testing.assert_array_equal(runs([]), [0])
