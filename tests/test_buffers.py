"""Memory used again: what is lent at the same time is never the same, what was given back is lent again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terradrift.buffers import Buffers

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 300_000))


@given(st.lists(st.tuples(SHAPES, st.booleans()), max_size=12))
def test_arrays_lent_at_the_same_time_are_apart(wishes: list[tuple[tuple[int, int], bool]]) -> None:
    buffers, lent = Buffers(), []
    for number, (shape, is_given_back) in enumerate(wishes):
        array = buffers.array((shape[0] * shape[1] // 40 + 1,), np.uint8)
        array[:] = number
        if is_given_back:
            buffers.give(array)
        else:
            lent.append((number, array))
    assert all((array == number).all() for number, array in lent)


def test_what_was_given_back_is_lent_again() -> None:
    buffers = Buffers()
    first = buffers.array((3, 1000), np.float32)
    assert (first.shape, first.dtype) == ((3, 1000), np.float32)
    buffers.give(first[1:])  # a part of it will do
    again = buffers.array((2000,), np.int16)
    assert np.shares_memory(first, again)
    assert not np.shares_memory(again, buffers.array((2000,), np.int16))


def test_only_its_own_arrays_come_back() -> None:
    with pytest.raises(ValueError, match="not an array of these buffers"):
        Buffers().give(np.zeros(10))
