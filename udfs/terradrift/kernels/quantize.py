"""Codes to embedding vectors and back: the `signed_square` quantisation of the AlphaEarth store."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SCALE = 127.5
"""x = sign(q) (q / SCALE)^2 for a code q in -127..127."""

NODATA = np.int8(-128)
"""A code that stands for no data; the store writes it in every band of a masked pixel."""

UNIT_PRODUCT = SCALE**4
"""An integer product of signed squares q|q| divided by this is the dot product of the decoded vectors."""


def _decode_table() -> npt.NDArray[np.float32]:
    code = np.arange(-128, 128, dtype=np.float64)
    value = np.sign(code) * (code / SCALE) ** 2
    value[0] = np.nan
    # indexed by the code's byte, so -128..-1 stand behind 0..127
    return np.roll(value, -128).astype(np.float32)


_DECODED = _decode_table()


def dequantize(codes: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Embeddings and their validity: int8 (time, band, ...) -> float32 (time, band, ...), bool (time, ...).

    A pixel-year is no data where any band is -128; its vector is NaN in every band.
    """
    valid = (codes != NODATA).all(axis=1)
    embeddings = _DECODED[codes.view(np.uint8)]
    embeddings[~np.broadcast_to(valid[:, None], embeddings.shape)] = np.nan
    return embeddings, valid


def quantize(embeddings: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
    """The nearest codes of float vectors with components in [-1, 1]: same shape, int8; NaN becomes no data (-128)."""
    code = np.rint(SCALE * np.sign(embeddings) * np.sqrt(np.abs(embeddings)))
    return np.where(np.isnan(code), np.float64(NODATA), np.clip(code, -127, 127)).astype(np.int8)
