"""Geometry on the tile grid: projection, snapping, thinning, cutting, validity; shapely and pyproj are the oracles."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from terradrift.kernels.rings import Rings, double_areas, surely_valid, take_features
from terradrift.kernels.tile_clip import clip_to_tiles
from terradrift.kernels.tile_geometry import MAX_LATITUDE, hash_fraction, lon_lat, mercator, snap

seeds = st.integers(0, 2**32 - 1)


def star(rng: np.random.Generator, x: float, y: float, radius: float, count: int) -> np.ndarray:
    """A simple ring around (x, y)."""
    angle = (np.arange(count) + rng.uniform(0, 0.8, count)) / count * 2 * np.pi
    far = radius * rng.uniform(0.3, 1, count)
    return np.stack([x + far * np.cos(angle), y + far * np.sin(angle)], axis=1)


def blobs(rng: np.random.Generator, size: int) -> shapely.MultiPolygon:
    """A rectilinear MultiPolygon with holes and diagonal contacts: the ones of a random mask, on whole numbers."""
    y, x = np.nonzero(rng.random((size, size)) < 0.55)
    merged = shapely.union_all(shapely.box(x, y, x + 1, y + 1))
    return shapely.MultiPolygon(list(shapely.get_parts(merged)))


def to_rings(shapes: list[shapely.MultiPolygon]) -> Rings:
    """Shapes on whole numbers, as they are."""
    coordinates, (ring, part, feature) = shapely.to_ragged_array(np.array(shapes))[1:]
    x, y = coordinates.T.copy()
    return snap(x, y, *(np.asarray(a, np.int64) for a in (ring, part, feature)), 1, 0.0, 0, True)[0]


def to_shape(rings: Rings, feature: int) -> shapely.MultiPolygon:
    """By winding, as a tile's reader does it."""
    parts: list[list[np.ndarray]] = []
    areas = double_areas(rings.x, rings.y, rings.ring_start)
    for ring in range(rings.feature_start[feature], rings.feature_start[feature + 1]):
        a, b = rings.ring_start[ring], rings.ring_start[ring + 1]
        line = np.stack([rings.x[a:b], rings.y[a:b]], axis=1)
        if areas[ring] > 0:
            parts.append([line])
        else:
            parts[-1].append(line)
    return shapely.MultiPolygon([shapely.Polygon(p[0], p[1:]) for p in parts])


def snap_one(ring: np.ndarray, world: int = 2**20, tolerance: float = 0.0) -> Rings:
    """One ring, coordinates as fractions of the world."""
    x, y = ring.T.copy()
    one = np.array([0, 1])
    return snap(x, y, np.array([0, len(ring)]), one, one, world, tolerance, 0, True)[0]


def test_mercator_is_epsg_3857() -> None:
    lon, lat = np.array([-180, -55.3, 0, 12.5, 180.0]), np.array([-MAX_LATITUDE, -10.1, 0, 52.5, MAX_LATITUDE])
    x, y = mercator(lon, lat)
    east, north = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(lon, lat)
    half = np.pi * 6378137
    np.testing.assert_allclose((x - 0.5) * 2 * half, east, atol=1e-6)
    np.testing.assert_allclose((0.5 - y) * 2 * half, north, atol=1e-6)
    np.testing.assert_allclose(lon_lat(x, y), (lon, lat), atol=1e-12)
    assert abs(y[0] - 1) < 1e-12
    assert abs(y[-1]) < 1e-12


def test_hash_fraction_is_even_and_fixed() -> None:
    fraction = hash_fraction(np.arange(100_000))
    assert fraction.min() >= 0
    assert fraction.max() < 1
    assert np.ptp(np.histogram(fraction, 20, (0, 1))[0]) < 400  # 5000 +- 69 each
    # SplitMix64 with seed 0 gives e220a8397b1dcdaf first
    assert hash_fraction(np.array([0]))[0] == (0xE220A8397B1DCDAF >> 11) / 2**53
    assert hash_fraction(np.array([], np.int64)).size == 0


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(3, 60), st.sampled_from([0.0, 1.0, 4.0, 30.0]))
def test_snapped_rings_stay_within_the_tolerance_and_ignore_start_and_direction(seed: int, count: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    world = 4096
    ring = star(rng, 0.5, 0.5, 0.1, count)
    rings = snap_one(ring, world, tolerance)
    line = shapely.LinearRing(np.stack([rings.x, rings.y], axis=1))
    grid = np.rint(ring * world)
    assert shapely.distance(shapely.points(grid), line).max() <= tolerance + 1e-9
    assert set(zip(rings.x.tolist(), rings.y.tolist(), strict=True)) <= {tuple(p) for p in grid.astype(int).tolist()}
    assert double_areas(rings.x, rings.y, rings.ring_start)[0] > 0
    x, y = rings.x, rings.y
    turn = (np.roll(x, 1) - x) * (np.roll(y, -1) - y) - (np.roll(y, 1) - y) * (np.roll(x, -1) - x)
    assert (turn != 0).all(), "a repeated point or one in line is left"
    other = snap_one(np.roll(ring, rng.integers(count), axis=0)[:: rng.choice([-1, 1])], world, tolerance)
    if tolerance:  # Douglas-Peucker also starts at a fixed point
        np.testing.assert_array_equal(other.x, x)
        np.testing.assert_array_equal(other.y, y)
    assert shapely.Polygon(np.stack([other.x, other.y], 1)).normalize() == shapely.Polygon(np.stack([x, y], 1)).normalize()


def test_tolerance_zero_keeps_shared_borders() -> None:
    rng = np.random.default_rng(3)
    border = np.stack([np.full(50, 0.5) + rng.uniform(-0.02, 0.02, 50), np.linspace(0.3, 0.7, 50)], axis=1)
    west = np.concatenate([[[0.4, 0.7], [0.4, 0.3]], border])
    east = np.concatenate([[[0.6, 0.7], [0.6, 0.3]], border])
    shapes = [to_shape(snap_one(ring, 4096), 0) for ring in (west, east)]
    both = shapes[0].union(shapes[1])
    assert shapes[0].area + shapes[1].area == both.area == shapely.box(*both.bounds).area


@pytest.mark.parametrize(
    ("ring", "area"),
    [
        ([[0.5, 0.5], [0.5000001, 0.5], [0.5000001, 0.5000001]], 1),  # a point of the grid
        ([[0.25, 0.5], [0.75, 0.5], [0.75, 0.5 + 4e-4]], 400),  # 2048 units long, 0.4 wide: a line of the grid
    ],
)
def test_what_the_grid_flattens_is_drawn_as_a_square_of_its_area(ring: list[list[float]], area: int) -> None:
    rings = snap_one(np.array(ring), 1024 if area == 400 else 4096, 4.0)
    shape = to_shape(rings, 0)
    assert rings.x.size == 4
    assert shape.area == pytest.approx(area if area == 1 else 0.5 * 512 * 0.4096, rel=0.1)


def test_thin_ring_that_simplification_flattens_is_drawn_unsimplified() -> None:
    ring = np.array([[0, 0], [1000, 0], [1000, 2], [500, 3], [0, 2]]) / 4096
    rings = snap_one(ring, 4096, tolerance=4.0)
    assert to_shape(rings, 0).equals(shapely.Polygon(ring * 4096))


def test_small_holes_are_filled_and_told() -> None:
    def square(side: float, reverse: bool) -> np.ndarray:
        ring = np.array([[0, 0], [0, 1], [1, 1], [1, 0]]) * side / 4096 + 0.5
        return ring[::-1] if reverse else ring

    for side, rings_left in ((3.9, 1), (4.1, 2)):  # a quarter of the floor is 16 square units
        ring = np.concatenate([square(100, False) - 20 / 4096, square(side, False)])
        rings, spots = snap(*ring.T.copy(), np.array([0, 4, 8]), np.array([0, 2]), np.array([0, 1]), 4096, 0.0, 64, False)
        assert rings.ring_start.size - 1 == rings_left
        assert (spots.part.tolist(), spots.small.tolist()) == ([0, 0], [False, False])
        assert spots.area == pytest.approx([0, -15.21 if rings_left == 1 else 16 - 16.81])
        assert (spots.x[1], spots.y[1]) == (2049 + (side > 4), 2049 + (side > 4))


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from([256, 4096, 2**16]))
def test_what_is_drawn_and_what_is_lacking_are_the_whole(seed: int, world: int) -> None:
    """Polygons with holes at any scale: areas of rings and of spots sum to the true area, part by part or at once."""
    rng = np.random.default_rng(seed)
    shapes = [blobs(rng, 8), shapely.MultiPolygon([shapely.Polygon(star(rng, 3, 3, 2, 12))])]
    coordinates, nested = shapely.to_ragged_array(np.array(shapes))[1:]
    x, y = 0.2 + coordinates.T.copy() / 16
    ring, part, feature = (np.asarray(a, np.int64) for a in nested)
    rings, spots = snap(x, y, ring, part, feature, world, 4.0, 64, False)
    drawn = double_areas(rings.x, rings.y, rings.ring_start).sum() / 2
    truth = sum(shape.area for shape in shapes) * (world / 16) ** 2
    assert drawn + spots.area.sum() == pytest.approx(truth)
    parts = [part for shape in shapes for part in shape.geoms]
    small = [k for k, one in enumerate(parts) if one.area * (world / 16) ** 2 < 64]
    assert spots.part[spots.small].tolist() == small
    everything, none = snap(x, y, ring, part, feature, world, 4.0, 64, True)
    assert none.part.size == 0
    assert (np.diff(everything.feature_start) > 0).all()


@settings(max_examples=300, deadline=None)
@given(seeds, st.integers(3, 9), st.integers(1, 3), st.integers(4, 12))
def test_surely_valid_is_never_wrong(seed: int, count: int, rings: int, size: int) -> None:
    """Random rings on a small grid, so that most are invalid: whatever passes, shapely calls valid."""
    rng = np.random.default_rng(seed)
    lines = [rng.integers(0, size, (count, 2)) for _ in range(rings)]
    x, y = np.concatenate(lines).astype(float).T.copy()
    starts = np.arange(rings + 1) * count
    tidy = snap(x, y, starts, np.array([0, rings]), np.array([0, 1]), 1, 0.0, 0, True)[0]
    if surely_valid(tidy)[0]:
        assert shapely.is_valid(to_shape(tidy, 0))


def test_surely_valid_knows_good_polygons_and_holes_gone_astray() -> None:
    square = np.array([[0, 0], [100, 0], [100, 100], [0, 100]])
    outer = shapely.Polygon(square, [square * 0.2 + 20, (square * 0.1 + 70)])
    inside_hole = shapely.Polygon(square * 0.05 + 25)
    assert surely_valid(to_rings([shapely.MultiPolygon([outer]), shapely.MultiPolygon([outer, inside_hole])])).all()
    astray = [
        shapely.MultiPolygon([shapely.Polygon(square, [square * 0.2 + 200])]),
        shapely.MultiPolygon([shapely.Polygon(square, [square * 0.2 + 20, square * 0.1 + 25])]),
        shapely.MultiPolygon([shapely.Polygon(square), shapely.Polygon(square * 0.5 + 10)]),
        shapely.MultiPolygon([shapely.Polygon([[0, 0], [10, 10], [10, 0], [0, 11]])]),
    ]
    assert not surely_valid(to_rings(astray)).any()


def test_a_ring_alone_that_goes_the_other_way_is_doubtful() -> None:
    """A reader takes it for a hole of the feature before."""
    for n in (3, 4):
        x, y = np.array([0, 9, 9, 0][:n]), np.array([0, 0, 9, 9][:n])
        ring = Rings(x, y, np.array([0, n]), np.array([0, 1]))
        assert surely_valid(ring).tolist() == [True]
        assert surely_valid(ring._replace(x=x[::-1].copy(), y=y[::-1].copy())).tolist() == [False]


def test_surely_valid_passes_long_simple_rings() -> None:
    rng = np.random.default_rng(1)
    rings = snap_one(star(rng, 0.5, 0.5, 0.4, 3000), 2**24)
    assert surely_valid(rings)[0]


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(2, 14), st.sampled_from([0, 1, 3]))
def test_rectilinear_polygons_are_cut_exactly(seed: int, size: int, buffer: int) -> None:
    """Every crossing is a whole number: each piece equals shapely's intersection and tiles without margin share the area out."""
    shape = blobs(np.random.default_rng(seed), size)
    if shape.is_empty:
        return
    extent, tiles = 4, 4
    pieces = clip_to_tiles(to_rings([shape]), tiles, extent, buffer)
    seen = set()
    for k, (tx, ty) in enumerate(zip(pieces.tile_x.tolist(), pieces.tile_y.tolist(), strict=True)):
        box = shapely.box(tx * extent - buffer, ty * extent - buffer, (tx + 1) * extent + buffer, (ty + 1) * extent + buffer)
        piece = shapely.transform(to_shape(pieces.rings, k), lambda xy, tx=tx, ty=ty: np.add(xy, (tx * extent, ty * extent)))
        wanted = shape.intersection(box)
        assert piece.area == wanted.area
        tidy = shapely.make_valid(piece, method="structure", keep_collapsed=False)  # a hole cut open may touch its outer ring
        assert tidy.symmetric_difference(wanted).area == 0
        seen.add((tx, ty))
    every = {(tx, ty) for tx in range(tiles) for ty in range(tiles)}
    for tx, ty in every - seen:
        box = shapely.box(tx * extent - buffer, ty * extent - buffer, (tx + 1) * extent + buffer, (ty + 1) * extent + buffer)
        assert shape.intersection(box).area == 0
    if buffer == 0:
        inside = shape.intersection(shapely.box(0, 0, tiles * extent, tiles * extent)).area
        assert double_areas(*pieces.rings[:3]).sum() / 2 == inside


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(3, 40))
def test_cut_polygons_lie_within_a_unit_of_the_true_intersection(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    outer, inner = star(rng, 500, 500, 700, count), star(rng, 500, 500, 60, count)
    shape = shapely.Polygon(np.rint(outer), [np.rint(inner)])
    if not shape.is_valid:
        return
    extent, buffer = 256, 5
    rings = to_rings([shapely.MultiPolygon([shape])])
    pieces = clip_to_tiles(rings, 4, extent, buffer)
    assert len(pieces.feature)
    for k, (tx, ty) in enumerate(zip(pieces.tile_x.tolist(), pieces.tile_y.tolist(), strict=True)):
        left, top = tx * extent, ty * extent
        box = shapely.box(left - buffer, top - buffer, left + extent + buffer, top + extent + buffer)
        piece = shapely.make_valid(to_shape(pieces.rings, k))
        piece = shapely.transform(piece, lambda xy, left=left, top=top: np.add(xy, (left, top)))
        wanted = shape.intersection(box)
        assert box.buffer(1e-9).contains(piece)
        assert piece.symmetric_difference(wanted).buffer(-0.75).is_empty


def test_cut_pieces_come_apart_and_holes_open() -> None:
    """A comb and a ring lose what is outside without bridges along the cut."""
    comb = shapely.Polygon([[0, 0], [30, 0], [30, 5], [2, 5], [2, 10], [30, 10], [30, 15], [0, 15]])
    ring = shapely.Polygon(shapely.box(40, 1, 60, 19).exterior, [shapely.box(45, 5, 55, 12).exterior])
    pieces = clip_to_tiles(to_rings([shapely.MultiPolygon([comb]), shapely.MultiPolygon([ring])]), 8, 10, 0)
    shapes = [to_shape(pieces.rings, k) for k in range(len(pieces.feature))]
    at = {(f, x, y): s for f, x, y, s in zip(*(a.tolist() for a in pieces[:3]), shapes, strict=True)}
    assert all(s.is_valid for s in shapes)
    assert len(at[0, 1, 0].geoms) == 1
    assert len(at[0, 1, 1].geoms) == 1
    assert at[0, 1, 0].equals(shapely.box(0, 0, 10, 5))
    assert at[1, 4, 0].equals(shapely.Polygon([[0, 1], [10, 1], [10, 5], [5, 5], [5, 10], [0, 10]]))
    assert not at[1, 4, 0].geoms[0].interiors
    on_the_line = shapely.Polygon(shapely.box(0, 0, 18, 10).exterior, [shapely.box(5, 2, 10, 8).exterior])
    notched = to_shape(clip_to_tiles(to_rings([shapely.MultiPolygon([on_the_line])]), 1, 10, 0).rings, 0)
    assert notched.equals(shapely.Polygon([[0, 0], [10, 0], [10, 2], [5, 2], [5, 8], [10, 8], [10, 10], [0, 10]]))
    assert notched.is_valid
    whole = clip_to_tiles(to_rings([shapely.MultiPolygon([comb])]), 1, 20, 0)
    rotated = clip_to_tiles(to_rings([shapely.transform(shapely.MultiPolygon([comb]), lambda xy: xy - (10, 0))]), 1, 15, 0)
    assert to_shape(whole.rings, 0).area == comb.intersection(shapely.box(0, 0, 20, 20)).area
    assert len(to_shape(rotated.rings, 0).geoms) == 2, "the two teeth, without the spine"


def test_holes_follow_the_outer_ring_around_them() -> None:
    """Cut into two outer rings with one hole each: every hole lies in the polygon it is given to."""
    bar = shapely.Polygon(
        [[0, 0], [10, 0], [10, -8], [20, -8], [20, 10], [-20, 10], [-20, -8], [-10, -8], [-10, 0]],
        [shapely.box(14, -4, 16, -2).exterior, shapely.box(-16, -4, -14, -2).exterior],
    )
    moved = shapely.transform(shapely.MultiPolygon([bar]), lambda xy: np.add(xy, (20, 8)))
    cut = clip_to_tiles(to_rings([moved]), 8, 7, 0)
    assert all(to_shape(cut.rings, k).is_valid for k in range(len(cut.feature)))
    for height in (4.9, 5):  # the bar's lower edge beyond the cut, and on it
        upper = clip_to_tiles(to_rings([shapely.transform(moved, lambda xy, h=height: np.rint(xy * (1, h)))]), 1, 39, 0)
        shape = to_shape(upper.rings, 0)
        assert [len(part.interiors) for part in shape.geoms] == [1, 1]
        assert shape.is_valid


def test_rings_wound_twice_keep_their_area() -> None:
    """Where crossings do not pair up, each ring is closed along the cut by itself: area counts as often as it is wound."""
    coil = np.array([[30, 0], [30, 30], [0, 30], [0, 4], [26, 4], [26, 26], [4, 26], [4, 0]])
    rings = to_rings([shapely.MultiPolygon([shapely.Polygon(coil), shapely.Polygon(np.add(coil, (3, 40)))])])
    pieces = clip_to_tiles(rings, 8, 10, 0)
    assert double_areas(*pieces.rings[:3]).sum() == double_areas(*rings[:3]).sum()


def test_self_crossing_rings_stay_in_their_tiles() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        line = rng.integers(-20, 60, (8, 2)).astype(float)
        rings = snap(*line.T.copy(), np.array([0, 8]), *[np.array([0, 1])] * 2, 1, 0.0, 0, True)[0]
        pieces = clip_to_tiles(rings, 4, 10, 2).rings
        assert min(pieces.x.min(), pieces.y.min()) >= -2
        assert max(pieces.x.max(), pieces.y.max()) <= 12


def test_take_features() -> None:
    shapes = [blobs(np.random.default_rng(seed), 5) for seed in range(4)]
    taken = take_features(to_rings(shapes), np.array([2, 0, 2]))
    for k, source in enumerate((2, 0, 2)):
        assert to_shape(taken, k).area == shapes[source].area
    assert take_features(taken, np.array([], np.int64)).feature_start.tolist() == [0]
