"""Half the resolution: laws, then plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from plain_overviews import plain_halved
from terradrift.kernels.overview import METHODS

KINDS = {"float32": (math.nan, (0.1, -2.5, 7.0, math.nan)), "int16": (-1, (0, 3, 2019, -1)), "uint8": (255, (0, 1, 4, 255))}


@st.composite
def planes(draw: st.DrawFn) -> tuple[np.ndarray, float]:
    dtype = draw(st.sampled_from(list(KINDS)))
    nodata, some = KINDS[dtype]
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    return draw(arrays.arrays(dtype, shape, elements=st.sampled_from(np.array(some, dtype).tolist()))), nodata


@pytest.mark.parametrize("method", METHODS)
@given(plane=planes())
def test_each_method_is_its_definition(method: str, plane: tuple[np.ndarray, float]) -> None:
    values, nodata = plane
    before = values.copy()
    found = METHODS[method](values, nodata)
    assert found.dtype == values.dtype
    assert np.array_equal(found, plain_halved(values, method, nodata), equal_nan=values.dtype.kind == "f")
    assert np.array_equal(values, before, equal_nan=values.dtype.kind == "f")


@pytest.mark.parametrize("method", METHODS)
def test_no_data_never_wins_over_data(method: str) -> None:
    for dtype, (nodata, (value, *_)) in KINDS.items():
        for where in range(4):
            block = np.full(4, nodata, dtype)
            block[where] = value
            assert METHODS[method](block.reshape(2, 2), nodata).item() == np.array(value, dtype)


def test_of_equally_frequent_values_the_largest_is_kept() -> None:
    kind = np.array([[0, 0, 1, 2], [3, 3, 3, 0]], np.uint8)
    assert METHODS["mode"](kind, 255).tolist() == [[3, 3]]
    assert METHODS["mode"](np.array([[0, 0], [0, 4]], np.uint8), 255).tolist() == [[0]]


def test_an_infinite_score_stays() -> None:
    assert METHODS["mean"](np.array([[np.inf, 1], [2, 3]], np.float32), math.nan).item() == np.inf
