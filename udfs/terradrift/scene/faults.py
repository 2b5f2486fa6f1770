"""What looks like change and is none: a seam strip misplaced in one year, and gaps without data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from terradrift.grid import Window

ROTATING, WET, SEAM, GAP = 1, 2, 4, 8
"""Bits of the nuisance raster: rotating parcel; wetland; strip read two columns off in one year; no data in some year."""

SEAM_SHIFT = 2
"""Columns by which the seam strip is misplaced in its year: a block needs as many beyond its right edge."""

_SEAM_WIDTH = 6

_GAPS = 3

_STREAM = 21


@dataclass(frozen=True)
class Faults:
    """Where one year of the window is misread: the seam strip and the gaps, in pixels of the scene."""

    seam_year: int
    seam_col: int
    gaps: tuple[tuple[int, Window], ...]
    """(year index, block without data)."""

    def seam(self, window: Window) -> npt.NDArray[np.bool_]:
        """Pixels of the strip: it runs south and drifts east, as the edge of a zone does in degrees."""
        y, x = np.arange(window.y0, window.y1)[:, None], np.arange(window.x0, window.x1)
        start = self.seam_col + y // 16
        return (x >= start) & (x < start + _SEAM_WIDTH)

    def shift(self, t: int, window: Window) -> npt.NDArray[np.uint8]:
        """Columns to the right from which every pixel is read in year `t`, uint8 (y, x)."""
        seam = self.seam(window) & (t == self.seam_year)
        return (seam * SEAM_SHIFT).astype(np.uint8)

    def gap(self, t: int | None, window: Window) -> npt.NDArray[np.bool_]:
        """Pixels without data in year `t`, or in any year (None)."""
        out = np.zeros(window.shape, bool)
        for year, block in self.gaps:
            part = block.intersection(window)
            if t in (None, year) and part is not None:
                out[part.slices(window)] = True
        return out


def draw_faults(seed: int, size: int, years: int) -> Faults:
    """One seam strip in one year, and three square gaps of a tenth of the window's side in a year each."""
    rng = np.random.default_rng([seed, _STREAM])
    side = size // 10
    gaps = []
    for _ in range(_GAPS):
        y0, x0 = (int(v) for v in rng.integers(0, size - side, 2))
        gaps.append((int(rng.integers(years)), Window(y0, x0, side, side)))
    return Faults(int(rng.integers(years)), int(size * rng.uniform(0.55, 0.75)), tuple(gaps))
