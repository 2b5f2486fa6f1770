"""Memory that a worker uses again: the system hands out fresh pages zeroed, which takes as long as filling them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

_STEP = 1 << 22  # from here on numpy asks for huge pages, which are filled hundreds at a time


class Buffers:
    """Arrays lent and given back, by threads too. What is given back must not be looked at any more."""

    def __init__(self) -> None:
        self._free: defaultdict[int, list[npt.NDArray[np.uint8]]] = defaultdict(list)

    def array(self, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """An array of any content; sizes are rounded up to 4 MiB, so that alike ones serve each other."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        whole = max(1, -(-size // _STEP)) * _STEP
        try:
            block = self._free[whole].pop()
        except IndexError:
            block = np.empty(whole, np.uint8)
        return block[:size].view(dtype).reshape(shape)

    def give(self, array: npt.NDArray[Any]) -> None:
        """Take an array of `array` back."""
        block = array.base
        if not isinstance(block, np.ndarray) or block.size % _STEP:
            raise ValueError("not an array of these buffers")
        self._free[block.size].append(block)


BUFFERS = Buffers()
"""Those of this process."""
