"""Sums over parts and holes, against plain loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from terradrift.errors import InputError
from terradrift.kernels.label import label
from terradrift.kernels.part_statistics import KINDS, SCORE_UNIT, hole_sums, part_statistics, parts_inside, ring_pixels
from terradrift.kernels.trace import trace

YEARS = (2017, 2018, 2020)


def rasters(shape, rng):
    return {
        "score": rng.normal(0, 3, shape).astype(np.float32),
        "effect": rng.random(shape, np.float32),
        "year": rng.choice(np.array([-1, 0, 2016, 2017, 2018, 2019, 2020, 2021], np.int16), shape),
        "kind": rng.choice(np.array([0, 1, 2, 3, 4, 255], np.uint8), shape),
        "q": np.where(rng.random(shape) < 0.3, np.nan, rng.random(shape)).astype(np.float32),
        "zones": rng.integers(-1, 4, shape, np.int32),
    }


def plain_statistics(labels, part, area_mm2, score, effect, year, kind, q, zones):
    pixels = list(zip(*np.nonzero(labels == part), strict=True))
    y, x = pixels[0]
    return (
        y * labels.shape[1] + x,
        len(pixels),
        sum(int(np.rint(float(score[pixel]) / SCORE_UNIT)) for pixel in pixels),
        max(score[pixel] for pixel in pixels),
        sum(int(np.rint(float(effect[pixel]) / SCORE_UNIT)) for pixel in pixels),
        min((q[pixel] for pixel in pixels if not np.isnan(q[pixel])), default=np.float32(np.nan)),
        sum(int(area_mm2[pixel]) for pixel in pixels),
        [sum(year[pixel] == wanted for pixel in pixels) for wanted in YEARS],
        [sum(kind[pixel] == wanted for pixel in pixels) for wanted in range(KINDS)],
        zones[y, x],
    )


@pytest.mark.parametrize("wide", [True, False])
def test_statistics_are_plain_loops(wide):
    rng = np.random.default_rng(7)
    segments = label(rng.integers(0, 3, (25, 31)))
    labels, n = segments.paint(), segments.n
    area = rng.integers(10**8, 2 * 10**8, (25, 31 if wide else 1))
    given = rasters(labels.shape, rng)
    found = part_statistics(segments, **given, years=YEARS, area_mm2=area)
    expected = [plain_statistics(labels, part, np.broadcast_to(area, labels.shape), **given) for part in range(1, n + 1)]
    for name, column, theirs in zip(found._fields, found, zip(*expected, strict=True), strict=True):
        np.testing.assert_array_equal(column, np.array(theirs), err_msg=name)
    without = part_statistics(segments, **{**given, "q": None}, years=(), area_mm2=area)
    assert np.isnan(without.q_min).all()
    assert without.year_counts.shape == (n, 0)
    np.testing.assert_array_equal(without.score_sum, found.score_sum)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": np.full((4, 4), np.nan)}, "without a finite value"),
        ({"effect": np.full((4, 4), np.inf)}, "without a finite value"),
        ({"kind": np.zeros((4, 5), np.uint8)}, "kind: found shape"),
        ({"area_mm2": np.zeros((5, 1), np.int64)}, "area_mm2: found shape"),
    ],
)
def test_what_cannot_be_summed_is_refused(change, message):
    given = rasters((4, 4), np.random.default_rng(8)) | {"area_mm2": np.ones((4, 1), np.int64)} | change
    with pytest.raises(InputError, match=message):
        part_statistics(label(np.ones((4, 4), np.int32)), **given, years=YEARS)


def test_score_that_is_not_mapped_may_be_missing():
    given = rasters((4, 4), np.random.default_rng(9))
    given["score"][0, 0] = np.nan
    mapped = np.isfinite(given["score"])
    assert part_statistics(label(mapped), **given, years=YEARS, area_mm2=np.ones((4, 1), np.int64)).n_pixels == 15


@pytest.mark.parametrize("wide", [True, False])
def test_rings_enclose_what_filling_fills(wide):
    rng = np.random.default_rng(10)
    segments = label(rng.random((40, 50)) < 0.65)
    labels, n = segments.paint(), segments.n
    values = np.broadcast_to(rng.integers(1, 10**9, (40, 50 if wide else 1)), (40, 50))
    rings = trace(segments, 200, 100)
    pixels = ring_pixels(rings)
    exterior = rings.polygon_offsets[:-1]
    holes = np.setdiff1d(np.arange(len(pixels)), exterior)
    window = (200, 100, 40, 50)
    sums = hole_sums(rings, holes, values if wide else values[:, :1], window)
    assert len(holes) > 20
    for part in range(n):
        outside, _ = ndimage.label(np.pad(labels != part + 1, 1, constant_values=True))
        inside = (outside != outside[0, 0])[1:-1, 1:-1]
        mine = (holes >= exterior[part]) & (holes < rings.polygon_offsets[part + 1])
        assert pixels[exterior[part]] == inside.sum()
        assert pixels[holes[mine]].sum() == (labels == part + 1).sum() - inside.sum()
        assert sums[mine].sum() == values[inside & (labels != part + 1)].sum()


def test_parts_inside_small_holes_of_their_row():
    lines = ["#######", "#...###", "#.#.#.#", "#...###", "#######"]
    mask = np.array([[character == "#" for character in line] for line in lines])
    mask = np.hstack([mask, np.zeros((5, 1), bool), mask])
    rings = trace(label(mask))
    pixels = ring_pixels(rings)
    rows = np.array([0, 4])
    np.testing.assert_array_equal(parts_inside(rings, rows, pixels < 0), [False, False, True, True])
    np.testing.assert_array_equal(parts_inside(rings, rows, (pixels < 0) & (pixels >= -1)), [False] * 4)
    np.testing.assert_array_equal(parts_inside(rings, np.arange(5), pixels < 0), [False] * 4)


@pytest.mark.parametrize("size", [1, 6, 400])
def test_parts_inside_are_those_that_edges_shut_in(size):
    segments = label(np.random.default_rng(23).random((60, 60)) < 0.6)
    labels, n = segments.paint(), segments.n
    expected = np.zeros(n, bool)
    for part in range(1, n + 1):
        outside, holes = ndimage.label(np.pad(labels != part, 1, constant_values=True))
        for hole in range(1, holes + 1):
            shut_in = (outside == hole)[1:-1, 1:-1]
            if hole != outside[0, 0] and shut_in.sum() <= size:
                expected[np.setdiff1d(labels[shut_in], [0]) - 1] = True
    rings = trace(segments)
    pixels = ring_pixels(rings)
    small = (pixels < 0) & (-pixels <= size)
    np.testing.assert_array_equal(parts_inside(rings, np.array([0, n]), small), expected)
    assert expected.any() == (size > 1)
