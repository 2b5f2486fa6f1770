"""Planted, known change: at most one blob in every cell of 40 x 40 pixels, so that a block plants its own without its neighbours.

A step starts in a year and stays, a ramp grows over three to six years, a blip lasts one year. A blob lies within one land cover
and turns towards a prototype of another group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from terradrift.scene.landscape import COVERS, WETLAND, Land

CHANGES = ("step", "ramp", "blip")
"""Kinds of change; code 1 is the first, 0 is none."""

STEP, RAMP, BLIP = 1, 2, 3

CELL = 40
"""Pixels a side of a cell."""

PIXELS = (12, 600)
"""Size of a blob, log-uniform."""

_SHARES = {STEP: 0.035, RAMP: 0.012, BLIP: 0.012}
"""Share of the pixels each kind changes."""

_KEPT = 0.86
"""Share of the drawn pixels that get planted; water, wetland and narrow parcels leave no room for the rest (measured)."""

_STRENGTHS, _STRENGTH_ODDS = (1.0, 0.6, 0.35), (0.5, 0.3, 0.2)

_LATE = 0.2
"""Share of steps hardly seen in their first year: expression uniform in 0..0.4, else Beta(4, 1)."""

_STREAM = 31


@dataclass(frozen=True)
class Blob:
    """One planted change: one 4-connected set of pixels of the window."""

    kind: int
    first: int
    last: int
    """Indices of the first and last year of the transition."""
    strength: float
    """1: all the way to the other prototype."""
    expression: float
    """Share of the strength seen in the first year of a step."""
    cover: int
    """Land cover before, index into COVERS."""
    target: int
    y0: int
    x0: int
    mask: npt.NDArray[np.bool_]
    """(y, x) pixels, trimmed: its first row and column, (y0, x0) of the window, are not empty."""

    @property
    def first_x(self) -> int:
        """Column of the first pixel, row by row; its row is y0."""
        return self.x0 + int(self.mask[0].argmax())


@dataclass(frozen=True)
class Planted:
    """The blobs of a block as rasters (y, x); zero where nothing is planted."""

    kind: npt.NDArray[np.uint8]
    first: npt.NDArray[np.int16]
    last: npt.NDArray[np.int16]
    strength: npt.NDArray[np.float32]
    expression: npt.NDArray[np.float32]
    target: npt.NDArray[np.uint8]

    def weight(self, t: int) -> npt.NDArray[np.float32]:
        """How far every pixel has gone to its target in year `t`: 0..1."""
        grown = np.clip((t - self.first + 1) / (self.last - self.first + 1), 0, 1)
        share = np.select(
            [self.kind == STEP, self.kind == RAMP, self.kind == BLIP],
            [np.where(t == self.first, self.expression, t > self.first), grown, t == self.first],
            0.0,
        )
        return (self.strength * share).astype(np.float32)


def whole_cells(first: int, last: int) -> tuple[int, int]:
    """The smallest range of whole cells that holds pixels first .. last - 1."""
    return first // CELL * CELL, -(-last // CELL) * CELL


def plant(seed: int, years: int, size: int, land: Land, y0: int, x0: int) -> list[Blob]:
    """The blobs of a block of whole cells whose first pixel is (y0, x0) of a window of size x size pixels."""
    height, width = land.cover.shape
    blobs = []
    for top in range(y0, min(y0 + height, size), CELL):
        for left in range(x0, min(x0 + width, size), CELL):
            bottom, right = min(top + CELL, size), min(left + CELL, size)
            blob = _plant_cell(seed, years, land.cover[top - y0 : bottom - y0, left - x0 : right - x0], top, left)
            if blob is not None:
                blobs.append(blob)
    return blobs


def rasterize(blobs: list[Blob], y0: int, x0: int, height: int, width: int) -> Planted:
    """The blobs drawn on a block whose first pixel is (y0, x0); they may reach beyond it."""
    shape = height, width
    out = Planted(
        np.zeros(shape, np.uint8),
        np.zeros(shape, np.int16),
        np.zeros(shape, np.int16),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.uint8),
    )
    for blob in blobs:
        y, x = np.nonzero(blob.mask)
        y, x = y + blob.y0 - y0, x + blob.x0 - x0
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        at = y[inside], x[inside]
        out.kind[at], out.first[at], out.last[at] = blob.kind, blob.first, blob.last
        out.strength[at], out.expression[at], out.target[at] = blob.strength, blob.expression, blob.target
    return out


def _plant_cell(seed: int, years: int, cover: npt.NDArray[np.uint8], y0: int, x0: int) -> Blob | None:
    row, col = y0 // CELL, x0 // CELL
    kind = _draw_kind(_spread(seed, 0, row, col))
    if kind is None:
        return None
    if kind == RAMP and years < 3:
        kind = STEP  # there is no second year to grow in
    rng = np.random.default_rng([seed, _STREAM, row, col])
    low, high = PIXELS
    whole = cover.size / CELL**2  # less than one at the scene's edge
    pixels = int(low * (high / low) ** _spread(seed, 1, row, col) * whole)
    mask, before = _shape(rng, cover, pixels)
    if mask is None:
        return None
    strength = float(rng.choice(_STRENGTHS, p=_STRENGTH_ODDS))
    expression = float(rng.uniform(0, 0.4) if rng.random() < _LATE else rng.beta(4, 1))
    target = int(rng.choice([c for c in range(WETLAND + 1, len(COVERS)) if c // 2 != before // 2]))
    first, last = _draw_years(rng, kind, years)
    rows, cols = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    trimmed = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    return Blob(kind, first, last, strength, expression, before, target, y0 + int(rows[0]), x0 + int(cols[0]), trimmed)


def _draw_years(rng: np.random.Generator, kind: int, years: int) -> tuple[int, int]:
    """Indices of the first and last year of the transition; a blip may fall on any year, the others need one before them."""
    if kind == RAMP:
        length = min(int(rng.integers(3, 7)), years - 1)
        first = int(rng.integers(1, years - length + 1))
        return first, first + length - 1
    first = int(rng.integers(0 if kind == BLIP else 1, years))
    return first, first


def _spread(seed: int, item: int, row: int, col: int) -> float:
    """A number in 0..1 for every cell, spread evenly over any few neighbours, so that small scenes get their shares too.

    An additive recurrence with the powers of the reciprocal plastic number (Roberts 2018), from a phase drawn with the seed.
    """
    phase = np.random.default_rng([seed, _STREAM, item]).random()
    steps = (0.7548776662466927, 0.5698402909980532) if item == 0 else (0.8191725133961645, 0.6710436067037893)
    return float((phase + row * steps[0] + col * steps[1]) % 1.0)


def _draw_kind(draw: float) -> int | None:
    low, high = PIXELS
    mean_pixels = (high - low) / np.log(high / low)
    draw *= mean_pixels * _KEPT / CELL**2
    for kind, share in _SHARES.items():
        if draw < share:
            return kind
        draw -= share
    return None


def _shape(rng: np.random.Generator, cover: npt.NDArray[np.uint8], pixels: int) -> tuple[npt.NDArray[np.bool_] | None, int]:
    """A ragged blob of at most `pixels` pixels of one land cover, and that land cover; None where there is no room."""
    height, width = cover.shape
    cy, cx = rng.uniform(0.25, 0.75, 2) * (height, width)
    before = int(cover[int(cy), int(cx)])
    # the first row and column of a cell stay free, so that blobs of two cells never touch
    room = cover == before
    room[0], room[:, 0] = False, False
    pixels = min(pixels, int(room.sum()))
    if before <= WETLAND or pixels < PIXELS[0]:
        return None, before
    y, x = np.mgrid[:height, :width]
    angle = np.arctan2(y - cy, x - cx)
    reach = np.ones(cover.shape)
    for waves, depth in ((2, 0.3), (3, 0.2), (5, 0.12)):
        reach += depth * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    distance = np.where(room, np.hypot(y - cy, x - cx) / reach, np.inf)
    mask = distance <= np.partition(distance.ravel(), pixels - 1)[pixels - 1]
    parts, count = ndimage.label(mask)
    if count > 1:
        mask = parts == 1 + np.bincount(parts[mask])[1:].argmax()
    return (mask, before) if int(mask.sum()) >= PIXELS[0] else (None, before)
