"""Mapbox Vector Tile 2.1: varints, polygon commands, property values, whole tiles of one layer. Bytes are uint8 arrays.

A tile's bytes depend on its own features and their order alone: property values are numbered as they first appear.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from terradrift.kernels.rings import Array, Rings

VERSION = 2

POLYGON = 3  # Tile.GeomType
MOVE_TO, LINE_TO, CLOSE_PATH = 1, 2, 7
LAYER = 0x1A  # Tile.layers; the following are (field number << 3 | wire type) too
LAYER_VERSION, LAYER_NAME, LAYER_FEATURE, LAYER_KEY, LAYER_VALUE, LAYER_EXTENT = 0x78, 0x0A, 0x12, 0x1A, 0x22, 0x28
FEATURE_ID, FEATURE_TAGS, FEATURE_TYPE, FEATURE_GEOMETRY = 0x08, 0x12, 0x18, 0x22
VALUE_TEXT, VALUE_FLOAT, VALUE_DOUBLE, VALUE_UINT, VALUE_SINT, VALUE_BOOL = 0x0A, 0x15, 0x19, 0x28, 0x30, 0x38
LONGEST_VARINT = 10  # bytes of a 64-bit number


class Messages(NamedTuple):
    """Byte strings, end to end."""

    data: Array
    """(byte) uint8."""
    start: Array
    """(message + 1) int64."""


def varints(values: Array) -> Array:
    """LEB128 of uint64 values, end to end."""
    data: Array = _varints(values.astype(np.uint64))
    return data


def polygon_commands(rings: Rings) -> Messages:
    """The geometry of every feature: MoveTo, LineTo and ClosePath with zigzag steps, as packed varints."""
    return Messages(*_polygon_commands(*rings))


def place_commands(x: Array, y: Array) -> Messages:
    """A MoveTo to each place."""
    corners = np.arange(x.size + 1)
    return Messages(*_polygon_commands(x, y, corners, corners))


def polygon_measures(commands: Messages) -> tuple[Array, Array]:
    """Of every geometry: its area in square units, (feature) float64, and (feature, 4) int64 xmin, ymin, xmax, ymax."""
    areas, bounds = _polygon_measures(*commands)
    return areas, bounds


def polygon_rings(commands: Messages) -> Rings:
    """The polygons that the commands draw: the inverse of `polygon_commands`."""
    return Rings(*_polygon_rings(*commands))


def integer_values(values: Array) -> Messages:
    """Tile.Value of int64 numbers: uint_value, or sint_value (zigzag) where negative."""
    negative = values < 0
    number = np.where(negative, ~(values << 1), values).astype(np.uint64)
    return Messages(*_prefixed(np.where(negative, VALUE_SINT, VALUE_UINT).astype(np.uint64), number))


def boolean_values(values: Array) -> Messages:
    """Tile.Value of booleans."""
    return Messages(*_prefixed(np.full(values.size, VALUE_BOOL, np.uint64), values.astype(np.uint64)))


def float_values(values: Array) -> Messages:
    """Tile.Value of float32 (float_value) or float64 (double_value) numbers."""
    width = values.dtype.itemsize
    data = np.empty((values.size, 1 + width), np.uint8)
    data[:, 0] = VALUE_FLOAT if width == 4 else VALUE_DOUBLE
    data[:, 1:] = values.astype(f"<f{width}")[:, None].view(np.uint8)
    return Messages(data.ravel(), np.arange(values.size + 1) * (1 + width))


def text_values(utf8: Messages) -> Messages:
    """Tile.Value of UTF-8 strings."""
    return Messages(*_text_values(*utf8))


def layer_head(name: str, keys: list[str], extent: int) -> Array:
    """What all tiles of a layer begin with: version, name, keys and extent."""
    head = bytes([LAYER_VERSION, VERSION])
    for field, text in [(LAYER_NAME, name), *((LAYER_KEY, key) for key in keys)]:
        utf8 = text.encode()
        head += bytes([field]) + varints(np.array([len(utf8)])).tobytes() + utf8
    return np.frombuffer(head + bytes([LAYER_EXTENT]) + varints(np.array([extent])).tobytes(), np.uint8)


def encode_tile(head: Array, ids: Array, codes: Array, values: Messages, geometry: Messages) -> Array:
    """A tile of one layer, not compressed.

    `ids` (feature) int64 >= 0; `codes` (feature, key) int32 positions in `values` (Tile.Value messages), -1 where a feature
    lacks the property; `geometry` of each feature as `polygon_commands` gives it.
    """
    tile: Array = _encode_tile(head, ids, codes, *values, *geometry)
    return tile


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _put(out: Any, end: int, value: Any) -> Any:
    """Write a varint at `end`; the new end."""
    rest = np.uint64(value)
    while rest > np.uint64(127):
        out[end] = rest & np.uint64(127) | np.uint64(128)
        rest >>= np.uint64(7)
        end += 1
    out[end] = rest
    return end + 1


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _copy(out: Any, end: int, data: Any) -> Any:
    """Write bytes at `end`; the new end."""
    for i in range(data.size):
        out[end + i] = data[i]
    return end + data.size


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _varints(values: Any) -> Any:
    out = np.empty(values.size * LONGEST_VARINT, np.uint8)
    end = 0
    for value in values:
        end = _put(out, end, value)
    return out[:end]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _prefixed(tags: Any, numbers: Any) -> Any:
    """Messages of one varint field each."""
    out, start = np.empty(numbers.size * (1 + LONGEST_VARINT), np.uint8), np.zeros(numbers.size + 1, np.int64)
    for i in range(numbers.size):
        start[i + 1] = _put(out, _put(out, start[i], tags[i]), numbers[i])
    return out[: start[-1]], start


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _text_values(data: Any, text_start: Any) -> Any:
    count = text_start.size - 1
    out, start = np.empty(data.size + count * (1 + LONGEST_VARINT), np.uint8), np.zeros(count + 1, np.int64)
    for i in range(count):
        a, b = text_start[i], text_start[i + 1]
        end = _put(out, _put(out, start[i], VALUE_TEXT), b - a)
        start[i + 1] = _copy(out, end, data[a:b])
    return out[: start[-1]], start


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _polygon_commands(x: Any, y: Any, ring_start: Any, feature_start: Any) -> Any:
    out = np.empty(x.size * 2 * LONGEST_VARINT + ring_start.size * 8, np.uint8)
    start = np.zeros(feature_start.size, np.int64)
    end = 0
    for feature in range(feature_start.size - 1):
        px, py = 0, 0
        for ring in range(feature_start[feature], feature_start[feature + 1]):
            first, last = ring_start[ring], ring_start[ring + 1]
            end = _put(out, end, MOVE_TO | 1 << 3)
            for i in range(first, last):
                if i == first + 1:
                    end = _put(out, end, LINE_TO | (last - first - 1) << 3)
                dx, dy = x[i] - px, y[i] - py
                end = _put(out, _put(out, end, (dx << 1) ^ (dx >> 63)), (dy << 1) ^ (dy >> 63))
                px, py = x[i], y[i]
            end = _put(out, end, CLOSE_PATH | 1 << 3)
        start[feature + 1] = end
    return out[:end].copy(), start


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _take(data: Any, at: Any) -> Any:
    """The varint at `at`, and where the next one starts."""
    value, shift = np.uint64(0), np.uint64(0)
    while data[at] & 128:
        value |= np.uint64(data[at] & 127) << shift
        shift += np.uint64(7)
        at += 1
    return np.int64(value | np.uint64(data[at]) << shift), at + 1


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _polygon_measures(data: Any, start: Any) -> Any:
    count = start.size - 1
    areas, bounds = np.zeros(count), np.empty((count, 4), np.int64)
    for feature in range(count):
        at, x, y, first_x, first_y, area2 = start[feature], 0, 0, 0, 0, 0
        xmin, ymin, xmax, ymax = 2**62, 2**62, -(2**62), -(2**62)
        while at < start[feature + 1]:
            command, at = _take(data, at)
            if command & 7 == CLOSE_PATH:
                area2 += x * first_y - first_x * y
                continue
            for _ in range(command >> 3):
                dx, at = _take(data, at)
                dy, at = _take(data, at)
                nx, ny = x + ((dx >> 1) ^ -(dx & 1)), y + ((dy >> 1) ^ -(dy & 1))
                if command & 7 == MOVE_TO:
                    first_x, first_y = nx, ny
                else:
                    area2 += x * ny - nx * y
                x, y = nx, ny
                xmin, ymin, xmax, ymax = min(xmin, x), min(ymin, y), max(xmax, x), max(ymax, y)
        areas[feature] = area2 / 2
        bounds[feature, 0], bounds[feature, 1], bounds[feature, 2], bounds[feature, 3] = xmin, ymin, xmax, ymax
    return areas, bounds


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _polygon_rings(data: Any, start: Any) -> Any:
    room = (start[-1] - start[0]) // 2 + 1  # a vertex is two varints at least
    out_x, out_y = np.empty(room, np.int64), np.empty(room, np.int64)
    rings, features = np.zeros(room + 1, np.int64), np.zeros(start.size, np.int64)
    end, count = 0, 0
    for feature in range(start.size - 1):
        at, x, y = start[feature], 0, 0
        while at < start[feature + 1]:
            command, at = _take(data, at)
            if command & 7 == CLOSE_PATH:
                count += 1
                rings[count] = end
                continue
            for _ in range(command >> 3):
                dx, at = _take(data, at)
                dy, at = _take(data, at)
                x, y = x + ((dx >> 1) ^ -(dx & 1)), y + ((dy >> 1) ^ -(dy & 1))
                out_x[end], out_y[end] = x, y
                end += 1
        features[feature + 1] = count
    return out_x[:end], out_y[:end], rings[: count + 1], features


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _encode_tile(head: Any, ids: Any, codes: Any, values: Any, value_start: Any, geometry: Any, geometry_start: Any) -> Any:
    features, keys = codes.shape
    number = np.full(value_start.size - 1, -1, np.int64)  # of each value in this tile, as they first appear
    used = np.empty(min(codes.size, number.size), np.int64)
    count, room = 0, 0
    for feature in range(features):
        for key in range(keys):
            code = codes[feature, key]
            if code >= 0 and number[code] < 0:
                number[code] = count
                used[count] = code
                count += 1
                room += value_start[code + 1] - value_start[code] + 1 + LONGEST_VARINT
    begin = 1 + LONGEST_VARINT  # the layer's own tag and length go before
    room += begin + head.size + geometry_start[-1] - geometry_start[0] + features * (keys * 2 + 6) * LONGEST_VARINT
    out, tags = np.empty(room, np.uint8), np.empty(keys * 2 * LONGEST_VARINT, np.uint8)
    message = np.empty(keys * 2 * LONGEST_VARINT + 6 * LONGEST_VARINT, np.uint8)
    end = _copy(out, begin, head)
    for feature in range(features):
        length = 0
        for key in range(keys):
            if codes[feature, key] >= 0:
                length = _put(tags, _put(tags, length, key), number[codes[feature, key]])
        a, b = geometry_start[feature], geometry_start[feature + 1]
        at = _put(message, _put(message, 0, FEATURE_ID), ids[feature])
        at = _copy(message, _put(message, _put(message, at, FEATURE_TAGS), length), tags[:length])
        at = _put(message, _put(message, at, FEATURE_TYPE), POLYGON)
        at = _put(message, _put(message, at, FEATURE_GEOMETRY), b - a)
        end = _put(out, _put(out, end, LAYER_FEATURE), at + b - a)
        end = _copy(out, _copy(out, end, message[:at]), geometry[a:b])
    for k in range(count):
        a, b = value_start[used[k]], value_start[used[k] + 1]
        end = _copy(out, _put(out, _put(out, end, LAYER_VALUE), b - a), values[a:b])
    at = _put(message, _put(message, 0, LAYER), end - begin)
    _copy(out, begin - at, message[:at])
    return out[begin - at : end]
