"""Labels: the order of first pixels, scipy's components class by class, groups that touch at corners."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from terradrift.errors import InputError
from terradrift.kernels.label import arrange_rows, diagonal_groups, label, pixel_counts, renumber, runs

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
    labels = label(classes)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, scipy_labels(classes))


@settings(max_examples=200, deadline=None)
@given(CLASSES)
def test_diagonal_groups_are_scipys_8_components(classes):
    labels = label(classes)
    groups = diagonal_groups(labels, classes)
    whole = scipy_labels(classes, EIGHT)
    first = {group: labels[whole == group].min() for group in np.unique(whole)}
    np.testing.assert_array_equal(groups[labels], np.vectorize(first.get)(whole))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int32, np.int64, np.uint32])
def test_every_integer_type_and_memory_order(dtype):
    classes = np.random.default_rng(1).integers(0, 2, (40, 60)).astype(dtype)
    for view in (classes, classes.T, classes[::-1, ::2]):
        np.testing.assert_array_equal(label(view), scipy_labels(view.astype(np.int64)))


def test_a_comb_joins_at_its_back():
    classes = np.ones((50, 51), np.uint8)
    classes[:-1, 1::2] = 0
    assert label(classes).max() == 1


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_nothing_has_no_labels(shape):
    classes = np.zeros(shape, np.uint8)
    assert label(classes).shape == shape
    np.testing.assert_array_equal(diagonal_groups(label(classes), classes), [0])


@pytest.mark.parametrize("classes", [np.zeros((2, 2), np.float32), np.zeros((1, 2, 2), np.uint8)])
def test_floats_and_stacks_are_refused(classes):
    with pytest.raises(InputError, match=r"classes: found .* expected"):
        label(classes)


def test_counts_and_new_numbers():
    labels = label(np.random.default_rng(2).integers(0, 3, (30, 30)))
    n = labels.max()
    np.testing.assert_array_equal(pixel_counts(labels, n), np.bincount(labels.ravel()))
    number = np.arange(n + 1, dtype=np.int32)[::-1] * (np.arange(n + 1) > 0)
    np.testing.assert_array_equal(renumber(labels, number.astype(np.int32)), number[labels])


def test_rows_of_groups_and_of_parts_at_open_sides():
    classes = np.array(
        [
            [1, 0, 1, 0, 0],
            [0, 1, 0, 0, 1],
            [0, 0, 0, 1, 0],
            [1, 0, 0, 0, 0],
        ]
    )
    labels = label(classes)  # 1, 2 and 3 in one group, 4 and 5 in another, 6 alone
    for side in (labels[:, -1], labels[2]):  # through the first part of a group, and through another
        rows = arrange_rows(labels, classes, [side], connectivity=8, min_pixels=2)
        np.testing.assert_array_equal(rows.number, [0, 1, 2, 3, 4, 5, 0])
        np.testing.assert_array_equal(rows.offsets, [0, 3, 4, 5])
        np.testing.assert_array_equal(rows.seam, [False, True, True])
        np.testing.assert_array_equal(rows.leader, [0, 3, 3])
    alone = arrange_rows(labels, classes, [labels[0]], connectivity=4, min_pixels=2)
    np.testing.assert_array_equal(alone.number, [0, 1, 2, 0, 0, 0, 0])
    np.testing.assert_array_equal(alone.leader, [0, 1])


def test_runs():
    np.testing.assert_array_equal(runs([5, 5, 7, 5]), [0, 2, 3, 4])
    np.testing.assert_array_equal(runs([]), [0])
