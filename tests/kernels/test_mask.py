"""Which zone a pixel lies in: the half-open law, plain loops, shapely and GDAL."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from terradrift.kernels.mask import fill_zones, polygon_edges, touched_tiles

HEIGHT, WIDTH = 23, 31


def edges_of(*zones: shapely.Geometry) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    parts, zone = shapely.get_parts(np.array(zones, object), return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    edges, ring_of_edge = polygon_edges(points, ring)
    return edges, np.searchsorted(zone[part][ring_of_edge], np.arange(len(zones) + 1))


def fill(*zones: shapely.Geometry, window: tuple[int, int, int, int] = (0, 0, HEIGHT, WIDTH)) -> npt.NDArray[np.int32]:
    return fill_zones(*edges_of(*zones), window)


def plain_loops(*zones: shapely.Geometry) -> npt.NDArray[np.int32]:
    """The definition: count the crossings at or left of each centre."""
    edges, starts = edges_of(*zones)
    out = np.full((HEIGHT, WIDTH), -1, np.int32)
    for row in range(HEIGHT):
        for col in range(WIDTH):
            for zone in range(len(zones)):
                y, crossings = row + 0.5, 0
                for x0, y0, x1, y1 in edges[starts[zone] : starts[zone + 1]]:
                    if y0 <= y < y1 and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= col + 0.5:
                        crossings += 1
                if crossings % 2 and out[row, col] < 0:
                    out[row, col] = zone
    return out


def star(rng: np.random.Generator, x: float, y: float, radius: float) -> shapely.Polygon:
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 14)))
    radii = radius * rng.uniform(0.2, 1, len(angles))
    return shapely.Polygon(np.column_stack([x + radii * np.cos(angles), y + radii * np.sin(angles)]))


def random_zone(rng: np.random.Generator) -> shapely.Geometry:
    """Polygons with holes, multipolygons, some beyond the window."""
    zone = star(rng, rng.uniform(-5, WIDTH + 5), rng.uniform(-5, HEIGHT + 5), 18).buffer(0)
    for _ in range(rng.integers(0, 4)):
        zone = zone.symmetric_difference(star(rng, rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), 6).buffer(0))
    return zone


def centres() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    rows, cols = np.mgrid[0:HEIGHT, 0:WIDTH]
    return cols + 0.5, rows + 0.5


coordinate = st.integers(-8, 72).map(lambda half: half / 2)  # halves: vertices and edges on pixel centres
ring = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=9).map(shapely.Polygon)


@given(zones=st.lists(ring, min_size=1, max_size=3), cut=st.tuples(st.integers(1, HEIGHT - 1), st.integers(1, WIDTH - 1)))
@settings(max_examples=60, deadline=None)
def test_a_verdict_never_depends_on_the_window(zones: list[shapely.Polygon], cut: tuple[int, int]) -> None:
    whole, (row, col) = fill(*zones), cut
    quarters = [
        [fill(*zones, window=(y, x, height, width)) for x, width in ((0, col), (col, WIDTH - col))]
        for y, height in ((0, row), (row, HEIGHT - row))
    ]
    np.testing.assert_array_equal(np.block(quarters), whole)


@given(zones=st.lists(ring, min_size=1, max_size=3))
@settings(max_examples=25, deadline=None)
def test_equals_plain_loops_also_where_edges_meet_centres(zones: list[shapely.Polygon]) -> None:
    np.testing.assert_array_equal(fill(*zones), plain_loops(*zones))


@given(points=st.lists(st.tuples(coordinate, coordinate), min_size=4, max_size=20, unique=True))
@settings(max_examples=60, deadline=None)
def test_polygons_that_share_edges_cover_each_centre_once(points: list[tuple[float, float]]) -> None:
    triangles = shapely.get_parts(shapely.delaunay_triangles(shapely.MultiPoint(points)))
    count = sum((fill(triangle) >= 0).astype(int) for triangle in triangles)
    assert np.all(np.asarray(count) <= 1)
    np.testing.assert_array_equal(count == 1, fill(shapely.MultiPoint(points).convex_hull) >= 0)


def test_a_box_takes_its_left_and_upper_edge_and_leaves_the_others() -> None:
    mask = fill(shapely.box(1.5, 2.5, 4.5, 5.5))
    rows, cols = np.nonzero(mask >= 0)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (2, 4, 1, 3)


def test_the_direction_and_the_start_of_a_ring_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        points = np.asarray(star(rng, 15, 11, 12).exterior.coords)[:-1]
        turned = np.roll(points, 2, axis=0)
        np.testing.assert_array_equal(fill(shapely.Polygon(points)), fill(shapely.Polygon(turned[::-1])))


@pytest.mark.parametrize("seed", range(40))
def test_equals_shapely(seed: int) -> None:
    zone = random_zone(np.random.default_rng(seed))
    np.testing.assert_array_equal(fill(zone) == 0, shapely.contains_xy(zone, *centres()))


@pytest.mark.parametrize("seed", range(40))
def test_equals_gdal(seed: int) -> None:
    zone = random_zone(np.random.default_rng(100 + seed))
    if zone.is_empty:
        pytest.skip("an empty random polygon")
    burnt = rasterize([(zone, 1)], (HEIGHT, WIDTH), all_touched=False)
    np.testing.assert_array_equal(fill(zone) == 0, burnt == 1)


def test_the_lowest_zone_wins() -> None:
    mask = fill(shapely.box(0, 0, 4, 4), shapely.box(2, 2, 8, 8), shapely.box(0, 0, 20, 20))
    assert [mask[1, 1], mask[3, 3], mask[5, 5], mask[15, 15], mask[21, 21]] == [0, 0, 1, 2, -1]


def test_far_and_huge_outlines_stay_exact() -> None:
    offset = 4_000_000
    near, far = (
        shapely.box(2.25, 3.25, 9.75, 8.75),
        shapely.box(offset + 2.25, offset + 3.25, offset + 9.75, offset + 8.75),
    )
    np.testing.assert_array_equal(fill(far, window=(offset, offset, HEIGHT, WIDTH)), fill(near))
    assert (fill(shapely.box(-1e300, -1e300, 1e300, 1e300)) == 0).all()
    assert (fill(shapely.box(1e17, 1e17, 1e18, 1e18)) == -1).all()


def test_no_edges_and_no_pixels() -> None:
    nothing = np.empty((0, 4)), np.zeros(2, np.int64)
    assert (fill_zones(*nothing, (0, 0, 3, 4)) == -1).all()
    assert fill(shapely.box(0, 0, 9, 9), window=(0, 0, 0, 5)).shape == (0, 5)
    assert not touched_tiles(*nothing, 4, (0, 0, 2, 2)).any()


@pytest.mark.parametrize("size", [1, 2, 5, 8])
@pytest.mark.parametrize("seed", range(12))
def test_tiles_are_those_whose_centres_span_meets_a_zone(seed: int, size: int) -> None:
    rng = np.random.default_rng(200 + seed)
    zones = [random_zone(rng) for _ in range(2)]
    rows, cols = math.ceil(HEIGHT / size), math.ceil(WIDTH / size)
    tiles = touched_tiles(*edges_of(*zones), size, (0, 0, rows, cols))
    row, col = np.mgrid[0:rows, 0:cols]
    hulls = shapely.box(col * size + 0.5, row * size + 0.5, (col + 1) * size - 0.5, (row + 1) * size - 0.5)
    hulls = hulls if size > 1 else shapely.points(col + 0.5, row + 0.5)
    np.testing.assert_array_equal(tiles, shapely.intersects(shapely.union_all(zones), hulls))


@given(zones=st.lists(ring, min_size=1, max_size=3), size=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_no_tile_with_a_pixel_is_left_out(zones: list[shapely.Polygon], size: int) -> None:
    rows, cols = math.ceil(HEIGHT / size), math.ceil(WIDTH / size)
    tiles = touched_tiles(*edges_of(*zones), size, (0, 0, rows, cols))
    row, col = np.nonzero(fill(*zones) >= 0)
    assert tiles[row // size, col // size].all()


def test_tiles_of_a_window_that_starts_elsewhere() -> None:
    zone = shapely.box(130, 70, 190, 110)
    everywhere = touched_tiles(*edges_of(zone), 16, (0, 0, 10, 16))
    np.testing.assert_array_equal(touched_tiles(*edges_of(zone), 16, (3, 5, 4, 8)), everywhere[3:7, 5:13])
