"""Geometries as pixels and greedy matching of polygons, against plain loops, rasterio and shapely."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import rasterio.features
import shapely

from terradrift.evaluation.polygons import LEVELS, SIZES, Overlaps, greedy_matches, in_size, polygon_figures
from terradrift.grid import Window
from terradrift.kernels.label import label
from terradrift.pixel_sets import PixelSets

WINDOW = Window(40, 60, 50, 70)


def blobs(seed: int, n: int = 25) -> np.ndarray:
    """Round and ragged polygons and a few points, in and out of WINDOW."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform((50, 30), (140, 100), (n, 2))
    made = [shapely.Point(*centre).buffer(rng.uniform(0.05, 9), quad_segs=int(rng.integers(1, 6))) for centre in centres]
    made[::6] = [shapely.Point(*centre) for centre in centres[::6]]
    made[1] = shapely.MultiPolygon([made[1], shapely.transform(made[1], lambda xy: xy + 15)])
    return np.array(made, object)


def plain_labels(geometry: np.ndarray, window: Window) -> np.ndarray:
    """Pixel by pixel: the first polygon that holds the centre, else the first point or tiny polygon in the pixel."""
    labels = np.zeros(window.shape, np.int32)
    tiny = []
    for number, shape in enumerate(geometry, 1):
        for part in shapely.get_parts(shape):
            if part.geom_type == "Point":
                tiny.append((number, part))
                continue
            x, y = np.meshgrid(np.arange(0, 200) + 0.5, np.arange(0, 200) + 0.5)
            held = shapely.contains_xy(part, x, y)
            if not held.any():
                tiny.append((number, part.representative_point()))
            inside = held[window.y0 : window.y1, window.x0 : window.x1]
            labels[inside & (labels == 0)] = number
    for number, point in tiny:
        row, col = int(point.y) - window.y0, int(point.x) - window.x0
        if 0 <= row < window.height and 0 <= col < window.width and labels[row, col] == 0:
            labels[row, col] = number
    return labels


@pytest.mark.parametrize("seed", range(5))
def test_labels_equal_plain_loops(seed: int) -> None:
    geometry = blobs(seed)
    assert np.array_equal(PixelSets(geometry).labels(WINDOW), plain_labels(geometry, WINDOW))


def test_labels_do_not_depend_on_the_window() -> None:
    sets = PixelSets(blobs(7))
    whole = sets.labels(WINDOW)
    for part in (Window(40, 60, 17, 70), Window(57, 60, 33, 11), Window(57, 71, 33, 59)):
        assert np.array_equal(sets.labels(part), whole[part.slices(WINDOW)])


def test_polygons_of_a_raster_are_its_pixels() -> None:
    mask = np.random.default_rng(3).random(WINDOW.shape) < 0.4
    shapes = rasterio.features.shapes(mask.astype(np.uint8), mask=mask, connectivity=4)
    made = [shapely.transform(shapely.geometry.shape(shape), lambda xy: xy + np.array([60, 40])) for shape, _ in shapes]
    labels = PixelSets(np.array(made, object)).labels(WINDOW)
    assert np.array_equal(labels > 0, mask)
    assert np.array_equal(np.bincount(labels[mask])[1:], shapely.area(made))


def test_nothing_has_no_pixels() -> None:
    assert not PixelSets(np.zeros(0, object)).covered(WINDOW).any()


def test_a_site_between_pixel_centres_keeps_a_pixel() -> None:
    sliver = shapely.box(70.6, 50.6, 70.9, 50.9)
    assert np.argwhere(PixelSets(np.array([sliver], object)).covered(WINDOW)).tolist() == [[10, 10]]


def overlapping(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of truth and of a map that is shifted and torn, and where there is data."""
    rng = np.random.default_rng(seed)
    field = rng.normal(size=(60, 80))
    for axis in (0, 1):
        field = sum(np.roll(field, shift, axis) for shift in range(-2, 3))
    truth = label(field > 12).paint()
    mapped = label((np.roll(field, 1, 1) + rng.normal(0, 4, field.shape)) > 12).paint()
    return truth, mapped, rng.random(field.shape) < 0.95


def plain_greedy(truth: np.ndarray, mapped: np.ndarray, scored: np.ndarray) -> list[tuple[int, int, float]]:
    pairs = []
    for t, m in itertools.product(range(1, truth.max() + 1), range(1, mapped.max() + 1)):
        common = ((truth == t) & (mapped == m) & scored).sum()
        if common:
            size = ((truth == t) & scored).sum() + (mapped == m).sum() - common
            pairs.append((-common / size, t, m))
    free_t, free_m, kept = set(range(1, truth.max() + 1)), set(range(1, mapped.max() + 1)), []
    for iou, t, m in sorted(pairs):
        if t in free_t and m in free_m:
            free_t.remove(t)
            free_m.remove(m)
            kept.append((t, m, -iou))
    return kept


def counted(truth: np.ndarray, mapped: np.ndarray, scored: np.ndarray, blocks: int = 3) -> Overlaps:
    overlaps = Overlaps(int(truth.max()), int(mapped.max()))
    for t, m, s in zip(*(np.array_split(raster, blocks) for raster in (truth, mapped, scored)), strict=True):
        overlaps.add(t, m, scored=s, mapped=m > 0, evaluated=s, change=t > 0)
    return overlaps


@pytest.mark.parametrize("seed", range(4))
def test_matches_equal_plain_loops(seed: int) -> None:
    truth, mapped, scored = overlapping(seed)
    overlaps = counted(truth, mapped, scored)
    every = np.ones(truth.max() + 1, bool), np.ones(mapped.max() + 1, bool)
    found = overlaps.match(*every)
    expected = plain_greedy(truth, mapped, scored)
    assert len(expected) > 5
    assert list(zip(found.truth.tolist(), found.mapped.tolist(), strict=True)) == [(t, m) for t, m, _ in expected]
    assert found.iou == pytest.approx([iou for _, _, iou in expected])
    assert np.array_equal(
        overlaps.polygon_false, [((mapped == m) & scored & (truth == 0)).sum() for m in range(mapped.max() + 1)]
    )
    assert np.array_equal(overlaps.site_mapped, [((truth == t) & scored & (mapped > 0)).sum() for t in range(truth.max() + 1)])


def test_figures_count_by_size() -> None:
    truth, mapped, scored = overlapping(1)
    overlaps = counted(truth, mapped, scored)
    sites, polygons = np.ones(truth.max() + 1, bool), np.ones(mapped.max() + 1, bool)
    sites[0] = polygons[0] = False
    matches = overlaps.match(sites, polygons)
    figures = polygon_figures(overlaps, matches, sites, polygons, sites)
    expected = plain_greedy(truth, mapped, scored)
    for level in LEVELS:
        good = [(t, m) for t, m, iou in expected if iou >= level]
        overall = figures.iou[f"{level:g}"]
        assert (overall.n_matched, overall.recall, overall.precision) == (
            len(good), pytest.approx(len(good) / truth.max()), pytest.approx(len(good) / mapped.max())
        )  # fmt: skip
        assert overall.f1 == pytest.approx(2 * len(good) / (truth.max() + mapped.max()))
        for name, (low, high) in SIZES.items():
            of_size = [t for t in range(1, truth.max() + 1) if low <= ((truth == t) & scored).sum() < high]
            hit = [t for t, _ in good if t in of_size]
            assert figures.by_size[f"{level:g}"][name].recall == (pytest.approx(len(hit) / len(of_size)) if of_size else None)


def test_a_truth_polygon_counts_once() -> None:
    # two halves of one polygon: the larger one matches, the other is false
    iou = np.array([0.4, 0.6])
    found = greedy_matches(np.array([1, 1]), np.array([1, 2]), iou)
    assert (found.truth.tolist(), found.mapped.tolist()) == ([1], [2])
    assert len(found.at_least(0.7).iou) == 0


def test_ties_go_to_the_lower_number() -> None:
    found = greedy_matches(np.array([2, 1, 2]), np.array([1, 1, 2]), np.array([0.5, 0.5, 0.5]))
    assert list(zip(found.truth.tolist(), found.mapped.tolist(), strict=True)) == [(1, 1), (2, 2)]


def test_size_classes_cover_every_size_once() -> None:
    pixels = np.arange(1, 1000)
    assert np.array_equal(sum(in_size(pixels, name).astype(int) for name in SIZES), np.ones(len(pixels)))
    assert in_size(np.array([24, 25, 99, 100, 399, 400]), "25-99").tolist() == [False, True, True, False, False, False]
