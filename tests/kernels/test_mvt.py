"""Vector tile bytes; the oracle is mapbox-vector-tile, an independent decoder."""

from __future__ import annotations

from typing import Any

import mapbox_vector_tile
import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from mapbox_vector_tile.Mapbox import vector_tile_pb2

from terradrift.kernels import mvt
from terradrift.kernels.rings import Rings

int64s = st.integers(-(2**63), 2**63 - 1)


def square_rings(corners: list[tuple[int, int]], hole: bool = False) -> Rings:
    """A square of 10 units at each corner, with a hole of 4 where asked."""
    outline = np.array([[0, 0], [10, 0], [10, 10], [0, 10]])
    lines = [
        line
        for corner in corners
        for line in ([outline + corner, (outline * 4 // 10)[::-1] + corner + 3] if hole else [outline + corner])
    ]
    x, y = np.concatenate(lines or [np.empty((0, 2), np.int64)]).T.copy()
    return Rings(x, y, np.arange(len(lines) + 1) * 4, np.arange(len(corners) + 1) * (2 if hole else 1))


def texts(strings: list[str]) -> mvt.Messages:
    utf8 = [text.encode() for text in strings]
    return mvt.Messages(np.frombuffer(b"".join(utf8), np.uint8), np.cumsum([0, *map(len, utf8)]))


def joined(*messages: mvt.Messages) -> mvt.Messages:
    before = np.cumsum([0, *(m.data.size for m in messages)])
    starts = [m.start[:-1] + b for m, b in zip(messages, before, strict=False)]
    return mvt.Messages(
        np.concatenate([m.data for m in messages]), np.append(np.concatenate(starts), before[-1]).astype(np.int64)
    )


def decode(tile: np.ndarray) -> dict[str, Any]:
    decoded: dict[str, Any] = mapbox_vector_tile.decode(tile.tobytes(), default_options={"y_coord_down": True})
    return decoded


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1)))
def test_varints_follow_the_definition(numbers: list[int]) -> None:
    expected = bytearray()
    for number in numbers:
        while number > 127:
            expected.append(number & 127 | 128)
            number >>= 7
        expected.append(number)
    assert mvt.varints(np.array(numbers, np.uint64)).tobytes() == bytes(expected)


def test_commands_of_the_specification() -> None:
    """The polygon of section 4.3.5.5: (3 6), (8 12), (20 34)."""
    triangle = Rings(np.array([3, 8, 20]), np.array([6, 12, 34]), np.array([0, 3]), np.array([0, 1]))
    assert mvt.polygon_commands(triangle).data.tolist() == [9, 6, 12, 18, 10, 12, 24, 44, 15]
    two = Rings(
        np.array([0, 10, 10, 0, 11, 20, 20, 11, 13, 13, 17, 17]),
        np.array([0, 0, 10, 10, 11, 11, 20, 20, 13, 17, 17, 13]),
        np.array([0, 4, 8, 12]),
        np.array([0, 3]),
    )
    # section 4.3.5.6: two polygons, the second with a hole
    expected = [9, 0, 0, 26, 20, 0, 0, 20, 19, 0, 15, 9, 22, 2, 26, 18, 0, 0, 18, 17, 0, 15, 9, 4, 13, 26, 0, 8, 8, 0, 0, 7, 15]
    assert mvt.polygon_commands(two).data.tolist() == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-100, 4200), st.integers(-100, 4200)), max_size=12), st.booleans())
def test_measures_of_commands(corners: list[tuple[int, int]], hole: bool) -> None:
    areas, bounds = mvt.polygon_measures(mvt.polygon_commands(square_rings(corners, hole)))
    assert areas.tolist() == [100 - 16 * hole] * len(corners)
    assert bounds.tolist() == [[x, y, x + 10, y + 10] for x, y in corners]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**53 - 1),
            st.none() | int64s,
            st.none() | st.floats(allow_nan=False, width=32),
            st.none() | st.floats(allow_nan=False),
            st.none() | st.booleans(),
            st.none() | st.text(st.characters(codec="utf-8"), max_size=8),
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_tiles_decode_to_what_was_encoded(rows: list[tuple[Any, ...]], hole: bool) -> None:
    """Ids, geometry and every type of property, missing ones too."""
    names = ["whole", "narrow", "wide", "yes", "text ü"]
    columns = [[row[k + 1] for row in rows] for k in range(5)]
    tables = [sorted({v for v in column if v is not None}, key=repr) for column in columns]
    encoded = [
        mvt.integer_values(np.array(tables[0], np.int64)),
        mvt.float_values(np.array(tables[1], np.float32)),
        mvt.float_values(np.array(tables[2], np.float64)),
        mvt.boolean_values(np.array(tables[3], bool)),
        mvt.text_values(texts(tables[4])),
    ]
    offset = np.cumsum([0, *map(len, tables)])
    codes = np.array(
        [[-1 if v is None else offset[k] + tables[k].index(v) for k, v in enumerate(row[1:])] for row in rows], np.int32
    ).reshape(-1, 5)
    corners = [(7 * k, 5 * k) for k in range(len(rows))]
    geometry = mvt.polygon_commands(square_rings(corners, hole))
    head = mvt.layer_head("layer", names, 4096)
    tile = mvt.encode_tile(head, np.array([row[0] for row in rows], np.int64), codes, joined(*encoded), geometry)
    layer = decode(tile)["layer"]
    assert layer["version"] == 2
    assert layer["extent"] == 4096
    assert len(layer["features"]) == len(rows)
    for row, corner, feature in zip(rows, corners, layer["features"], strict=True):
        assert feature["id"] == row[0]
        assert feature["properties"] == {name: v for name, v in zip(names, row[1:], strict=True) if v is not None}
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.is_valid
        assert shape.area == 100 - 16 * hole
        assert shape.bounds == (*corner, corner[0] + 10, corner[1] + 10)


def test_bytes_depend_on_the_tile_alone() -> None:
    """Another value table around the same values, another place in the geometry column: the same bytes."""
    head = mvt.layer_head("a", ["k"], 4096)
    ids = np.array([4, 9])
    few = mvt.integer_values(np.array([5, 6]))
    many = mvt.integer_values(np.array([1, 6, 2, 5, 3]))
    geometry = mvt.polygon_commands(square_rings([(0, 0), (50, 60), (70, 80)]))
    last = mvt.Messages(geometry.data, geometry.start[1:])
    alone = mvt.polygon_commands(square_rings([(50, 60), (70, 80)]))
    codes = np.array([[1], [0]], np.int32)
    expected = mvt.encode_tile(head, ids, codes, few, alone).tobytes()
    assert mvt.encode_tile(head, ids, np.array([[1], [3]], np.int32), many, last).tobytes() == expected


def test_layer_message_is_plain_protobuf() -> None:
    """Every value once, in order of first appearance; nothing but one layer."""
    head = mvt.layer_head("changes", ["a", "b"], 4096)
    geometry = mvt.polygon_commands(square_rings([(0, 0)] * 3))
    codes = np.array([[2, 0], [2, -1], [1, 0]], np.int32)
    tile = vector_tile_pb2.tile()
    tile.ParseFromString(mvt.encode_tile(head, np.arange(3), codes, mvt.integer_values(np.array([7, -8, 9])), geometry).tobytes())
    (layer,) = tile.layers
    assert (layer.name, list(layer.keys)) == ("changes", ["a", "b"])
    assert [value.uint_value or value.sint_value for value in layer.values] == [9, 7, -8]
    assert [list(feature.tags) for feature in layer.features] == [[0, 0, 1, 1], [0, 0], [0, 2, 1, 1]]
    assert {feature.type for feature in layer.features} == {vector_tile_pb2.tile.Polygon}
