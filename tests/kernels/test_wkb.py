"""WKB of polygons to flat arrays, against shapely."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from terradrift.kernels.wkb import BROKEN, MULTIPOLYGON, OTHER, POLYGON, read_polygons

SQUARE = shapely.box(0, 1, 2, 3)
HOLED = shapely.difference(shapely.box(-9, -9, 9, 9), shapely.box(1.5, 1, 2, 3))
SHAPES = [
    SQUARE,
    HOLED,
    shapely.MultiPolygon([SQUARE, shapely.box(5, 5, 6, 6)]),
    shapely.Polygon(),
    shapely.MultiPolygon(),
    SQUARE,
]


def read(values: list[bytes]) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    data = np.frombuffer(b"".join(values), np.uint8)
    return read_polygons(data, np.cumsum([0, *map(len, values)]))


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("flavor", ["iso", "extended"])
@pytest.mark.parametrize("deep", [False, True])
def test_coordinates_are_those_that_shapely_reads(order: int, flavor: str, deep: bool) -> None:
    shapes = shapely.force_3d(SHAPES, 7.0) if deep else np.array(SHAPES)
    if flavor == "extended":
        shapes = shapely.set_srid(shapes, 4326)
    values = [shapely.to_wkb(s, byte_order=order, flavor=flavor, include_srid=flavor == "extended") for s in shapes]
    (x, y, ring_start, part_start, feature_start), kind = read(values)
    assert kind.tolist() == [POLYGON, POLYGON, MULTIPOLYGON, POLYGON, MULTIPOLYGON, POLYGON]
    assert feature_start.tolist() == [0, 1, 2, 4, 4, 4, 5]
    assert part_start.tolist() == [0, 1, 3, 4, 5, 6]
    expected = [ring for s in SHAPES for part in shapely.get_parts(s) for ring in shapely.get_rings(part)]
    assert np.diff(ring_start).tolist() == [len(ring.coords) for ring in expected]
    assert np.array_equal(np.stack([x, y], axis=1), shapely.get_coordinates(expected))


def test_m_is_left_out() -> None:
    """By hand: ISO type 2003 (M) and 3003 (Z and M), one ring of two vertices."""
    for code, extra in ((2003, 1), (3003, 2)):
        value = np.array([1], np.uint8).tobytes() + np.array([code, 1, 2], "<u4").tobytes()
        value += np.array([4.0, 5.0, *[9.0] * extra, 6.0, 7.0, *[9.0] * extra], "<f8").tobytes()
        (x, y, *_), kind = read([value])
        assert (kind[0], x.tolist(), y.tolist()) == (POLYGON, [4.0, 6.0], [5.0, 7.0])


@pytest.mark.parametrize("cut", range(1, 90, 7))
def test_bytes_cut_short_are_broken_and_harm_no_neighbour(cut: int) -> None:
    whole = shapely.to_wkb(shapely.MultiPolygon([SQUARE]))
    (x, _, _, _, feature_start), kind = read([whole, whole[:cut], whole])
    assert kind.tolist() == [MULTIPOLYGON, BROKEN, MULTIPOLYGON]
    assert feature_start.tolist() == [0, 1, 1, 2]
    assert x.size == 10


def test_other_kinds_are_told_apart_from_what_is_not_wkb() -> None:
    others = [shapely.Point(1, 2), shapely.LineString([(0, 0), (1, 1)]), shapely.GeometryCollection([SQUARE])]
    _, kind = read([*map(shapely.to_wkb, others), b"nonsense", b"", b"\x01\xff\xff\xff\xff\xff\xff\xff\xff"])
    assert kind.tolist() == [OTHER] * 3 + [BROKEN] * 3
