"""The score raster that every program of the polygon sections reads, and its threshold."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.fft
from figures import report

SIGMA_AND_POWER = ((1.5, 1.4), (5.0, 1.0), (24.0, 1.0), (120.0, 1.0))
"""Gaussian noises that the score is the sum of: standard deviation of the kernel in pixels, and variance."""

YEARS = tuple(range(2017, 2026))

SHARE = 0.156
"""Pixels above the threshold."""


def gaussian_noises(size: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """(size, size) with mean 0 and variance 1."""
    rng = np.random.default_rng(seed)
    spectrum = scipy.fft.rfft2(rng.standard_normal((size, size), np.float32))
    frequency = np.fft.fftfreq(size)[:, None] ** 2 + np.fft.rfftfreq(size)[None] ** 2
    power = sum(power * sigma**2 * np.exp(-((2 * np.pi * sigma) ** 2) * frequency) for sigma, power in SIGMA_AND_POWER)
    score = scipy.fft.irfft2(spectrum * np.sqrt(power).astype(np.float32), (size, size))
    score /= score.std()
    return score


def mapped(score: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.bool_]:
    """Pixels that become polygons: (y, x)."""
    return score >= np.float32(threshold)


def rasters(score: npt.NDArray[np.float32]) -> dict[str, npt.NDArray]:
    """What the statistics of a run are made of, (y, x) each."""
    rows, cols = np.indices(score.shape, np.int16, sparse=True)
    return {
        "score": score,
        "effect": np.abs(score),
        "year": YEARS[0] + ((rows // 512 + cols // 512) % len(YEARS)).astype(np.int16),
        "kind": 1 + ((rows // 256 + cols // 256) % 3).astype(np.uint8),
        "q": np.exp(-np.abs(score)),
        "zones": np.zeros(score.shape, np.int32),
    }


def main(file: Path, size: int) -> None:
    """Write the raster, tell the threshold."""
    score = gaussian_noises(size)
    report(lambda: np.save(file, score), lambda: {"threshold": float(np.quantile(score[::4, ::4], 1 - SHARE))})


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
