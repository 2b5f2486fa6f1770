"""Embeddings as colours: the first three principal components of all that is shown, so that equal vectors look alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.grid import Window
from terradrift.kernels.quantize import dequantize
from terradrift.maps.preview import NO_DATA
from terradrift.mosaic import Mosaic, ReadReport

FITTED = 200_000
"""Vectors that the components are fitted to, at most."""

LIGHTNESS, CHROMA = (60, 220), 48
"""Of 255: muted, so that an outline is seen on every colour."""

TO_RGB = np.array([(0.0, -0.344136, 1.772), (1.402, -0.714136, 0.0)])
"""Cb and Cr to red, green and blue (ITU-R BT.601)."""

Colours = npt.NDArray[np.uint8]
"""Red, green and blue: (y, x, 3)."""

Vectors = npt.NDArray[np.float32]
"""(y, x, band), NaN in every band where there is no data."""


def false_colours(mosaic: Mosaic, windows: Sequence[Window], years: Sequence[tuple[int, int]]) -> list[tuple[Colours, Colours]]:
    """Every window in its two years. Raises StoreError where the mosaic cannot be read."""
    pairs = [read_vectors(mosaic, window, pair) for window, pair in zip(windows, years, strict=True)]
    flat = [vectors.reshape(-1, mosaic.n_bands) for pair in pairs for vectors in pair]
    space = fit(
        np.concatenate([vectors[np.isfinite(vectors).all(axis=1)] for vectors in flat]) if flat else np.zeros((0, mosaic.n_bands))
    )
    return [(space.colours(before), space.colours(after)) for before, after in pairs]


def read_vectors(mosaic: Mosaic, window: Window, years: tuple[int, int]) -> tuple[Vectors, Vectors]:
    """The embeddings of a window in two years."""
    height, width = mosaic.chunk_shape
    y0, x0 = window.y0 // height * height, window.x0 // width * width
    chunks = Window(y0, x0, -(-(window.y1 - y0) // height) * height, -(-(window.x1 - x0) // width) * width)
    found = np.full((2, mosaic.n_bands, *window.shape), np.nan, np.float32)
    for block in mosaic.read_blocks(chunks.intersection(mosaic.grid.window) or window, years, ReadReport()):
        part = block.window.intersection(window)
        if part is not None:
            codes = block.codes[(..., *part.slices(block.window))]
            found[(..., *part.slices(window))] = dequantize(codes)[0] if codes.dtype == np.int8 else codes
    before, after = np.moveaxis(found, 1, -1)
    return before, after


@dataclass(frozen=True)
class ColourSpace:
    """From vectors to colours."""

    mean: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    """(band, 3), the strongest first: it becomes lightness, the others blue against yellow and red against green."""
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    """What a component spans."""

    def colours(self, vectors: Vectors) -> Colours:
        """Light grey where there is no data."""
        known = np.asarray(np.isfinite(vectors).all(axis=-1))[..., None]
        place = (np.where(known, vectors, self.mean) - self.mean) @ self.axes
        share = np.clip((place - self.low) / np.maximum(self.high - self.low, 1e-9), 0, 1)
        colours = LIGHTNESS[0] + (LIGHTNESS[1] - LIGHTNESS[0]) * share[..., :1] + CHROMA * (2 * share[..., 1:] - 1) @ TO_RGB
        return np.where(known, np.clip(np.rint(colours), 0, 255), NO_DATA).astype(np.uint8)


def fit(vectors: npt.NDArray[np.floating[Any]]) -> ColourSpace:
    """The space of vectors (vector, band)."""
    bands = vectors.shape[1]
    if len(vectors) < 2:
        return ColourSpace(np.zeros(bands), np.zeros((bands, 3)), np.zeros(3), np.ones(3))
    sample = vectors[:: len(vectors) // FITTED + 1].astype(np.float64)
    mean = sample.mean(axis=0)
    _, found = np.linalg.eigh(np.atleast_2d(np.cov(sample, rowvar=False)))
    axes = np.zeros((bands, 3))
    axes[:, : min(3, bands)] = found[:, ::-1][:, :3]
    axes *= np.where(axes.sum(axis=0) < 0, -1, 1)  # a sign of its own, not the solver's
    low, high = np.percentile((sample - mean) @ axes, (2, 98), axis=0)
    return ColourSpace(mean, axes, low, high)
