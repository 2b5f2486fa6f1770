"""Colours of rasters, styles and pictures: told apart without red and green, ramps evenly lighter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from terradrift.kernels.series import KINDS

RGB = tuple[int, int, int]

SCORE = ((24, 28, 63), (32, 70, 110), (28, 122, 134), (92, 170, 128), (184, 208, 118), (253, 245, 180))
"""Dark blue over teal to pale yellow."""

YEAR = ((46, 20, 102), (120, 28, 130), (189, 55, 110), (236, 104, 76), (251, 172, 66), (248, 240, 150))
"""Violet over red to pale yellow: late years are light."""

KIND: dict[str, RGB] = {
    "none": (232, 232, 232),
    "step": (213, 94, 0),
    "ramp": (0, 114, 178),
    "blip": (140, 140, 140),
    "unconfirmed": (240, 228, 66),
}
"""After Okabe and Ito's palette."""

CHANGED: dict[int, RGB] = {0: KIND["none"], 1: KIND["step"]}

KIND_CODES: dict[int, RGB] = {code: KIND[name] for code, name in enumerate(KINDS)}


def ramp(stops: tuple[RGB, ...], n: int) -> list[RGB]:
    """n colours from the first stop to the last."""
    at: npt.NDArray[np.float64] = np.linspace(0, len(stops) - 1, n)
    channels = [np.interp(at, np.arange(len(stops)), [stop[k] for stop in stops]) for k in range(3)]
    return [(int(r), int(g), int(b)) for r, g, b in zip(*channels, strict=True)]


def year_colors(years: tuple[int, ...]) -> dict[int, RGB]:
    """A colour for every year, in calendar order."""
    return dict(zip(sorted(years), ramp(YEAR, len(years)), strict=True))


def hex_color(color: RGB) -> str:
    """`#rrggbb`"""
    return "#{:02x}{:02x}{:02x}".format(*color)
