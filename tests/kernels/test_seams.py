"""Parts of any partition merge to the outline of the whole; links meet across borders; components are smallest nodes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from terradrift.kernels.label import label
from terradrift.kernels.seams import DIRECTIONS, border_links, components, merge_parts
from terradrift.kernels.trace import trace

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=14))


def assert_same(a, b):
    for ours, theirs in zip(a, b, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def owners(whole, pieces):
    """The part of `whole` that holds each part of `pieces`, from 0."""
    if pieces.n == 0:
        return np.zeros(0, np.int64)
    return ndimage.maximum(whole.paint(), pieces.paint(), np.arange(1, pieces.n + 1)).astype(np.int64) - 1


def check_merge(mask, cells):
    """Cut the parts of `mask` by `cells` (equal values: one cell), merge them, compare with the whole."""
    whole = label(mask)
    pieces = label(np.where(mask, cells + 1, 0))
    assert_same(merge_parts(trace(pieces), owners(whole, pieces)), trace(whole))


@settings(max_examples=300, deadline=None)
@given(MASKS, st.data())
def test_any_partition_merges_to_the_whole(mask, data):
    check_merge(mask, data.draw(arrays(np.int64, mask.shape, elements=st.integers(0, 2))))


@settings(max_examples=100, deadline=None)
@given(MASKS, st.integers(1, 14), st.integers(1, 14))
def test_tiles_merge_to_the_whole(mask, height, width):
    row, col = np.indices(mask.shape)
    check_merge(mask, row // height * 100 + col // width)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_noise_merges_to_the_whole(share, size):
    mask = np.random.default_rng(4).random((130, 120)) < share
    row, col = np.indices(mask.shape)
    check_merge(mask, row // size * 1000 + col // size)


def test_order_of_parts_does_not_matter():
    mask = np.random.default_rng(5).random((30, 30)) < 0.7
    pieces = label(np.where(mask, np.indices(mask.shape)[1] // 4 + 1, 0))
    owner = owners(label(mask), pieces)
    shuffled = np.random.default_rng(6).permutation(len(owner))
    number = np.zeros(len(owner) + 1, np.int32)
    number[1 + shuffled] = np.arange(1, len(owner) + 1)
    renumbered = pieces.renumber(number, pieces.n)
    assert_same(merge_parts(trace(pieces), owner), merge_parts(trace(renumbered), owner[shuffled]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20))))
def test_components_are_named_by_their_smallest_node(edges):
    a, b = np.array(edges, np.int64).reshape(-1, 2).T * 10**12
    nodes, root = components(a, b)
    group = {node: {node} for pair in edges for node in pair}
    for first, second in edges:
        joined = group[first] | group[second]
        for node in joined:
            group[node] = joined
    np.testing.assert_array_equal(nodes, np.array(sorted(group), np.int64) * 10**12)
    np.testing.assert_array_equal(root, np.array([min(group[node]) for node in sorted(group)], np.int64) * 10**12)


def plain_links(labels, y0, x0, bounds, mosaic_width, connectivity):
    height, width = labels.shape
    found = []
    for y, x in zip(*np.nonzero(labels), strict=True):
        for dy, dx in itertools.product((-1, 0, 1), repeat=2):
            if (dy, dx) == (0, 0) or (connectivity == 4 and dy and dx):
                continue
            v, u = y0 + y + dy, x0 + x + dx
            if y0 <= v < y0 + height and x0 <= u < x0 + width:
                continue
            if bounds[0] <= v < bounds[2] and bounds[1] <= u < bounds[3]:
                (r, c), (s, d) = sorted([(y0 + y, x0 + x), (v, u)])
                found.append((labels[y, x], (r * mosaic_width + c) * 4 + DIRECTIONS.index((s - r, d - c))))
    return found


@settings(max_examples=100, deadline=None)
@given(MASKS, st.sampled_from([4, 8]), st.tuples(*[st.integers(0, 1)] * 4))
def test_links_are_the_pixel_pairs_across_open_borders(mask, connectivity, beyond):
    segments = label(mask)
    top, left, bottom, right = beyond
    bounds = (5 - top, 9 - left, 5 + len(mask) + bottom, 9 + mask.shape[1] + right)
    found, keys = border_links(segments, 5, 9, bounds, 100, connectivity)
    assert sorted(zip(found, keys, strict=True)) == sorted(plain_links(segments.paint(), 5, 9, bounds, 100, connectivity))


def test_both_sides_make_the_same_keys():
    tile = label(np.ones((3, 3), np.int32))
    bounds = (0, 0, 6, 6)
    keys = {origin: border_links(tile, *origin, bounds, 6, 8)[1] for origin in itertools.product((0, 3), repeat=2)}
    for origin in keys:
        others = np.concatenate([keys[other] for other in keys if other != origin])
        np.testing.assert_array_equal(np.sort(keys[origin]), np.sort(np.intersect1d(keys[origin], others)))
    np.testing.assert_array_equal(np.intersect1d(keys[0, 0], keys[3, 3]), [(2 * 6 + 2) * 4 + 2])
