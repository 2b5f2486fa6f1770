"""The trajectory detector in plain loops and float64, written from its description, not from its code."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

RAMP_YEARS = (2, 3, 4)
NOISE_YEARS, LOYO_CAP, VARIANCE_FLOOR = 5.0, 7.0, 2e-4


@dataclass(frozen=True)
class Shape:
    """A template over the valid years, not yet centred."""

    values: list[float]
    first: int
    kind: str

    @property
    def centred(self) -> np.ndarray:
        values = np.array(self.values)
        return values - sum(self.values) / len(self.values)

    @property
    def unit(self) -> np.ndarray:
        return self.centred / math.sqrt(float((self.centred**2).sum()))


def shapes(years: list[int]) -> list[Shape]:
    """Steps, ramps, inner blips over valid years given by their positions in time; none twice."""
    found: list[Shape] = []
    for new in years[1:]:
        kind = "unconfirmed" if new in (years[1], years[-1]) else "step"
        found.append(Shape([float(year >= new) for year in years], new, kind))
    for length in RAMP_YEARS:
        for last_old in range(years[0], years[-1] - length + 1):
            values = [min(max((year - last_old) / length, 0.0), 1.0) for year in years]
            found.append(Shape(values, next(year for year in years if year > last_old), "ramp"))
    for odd in years[1:-1]:
        found.append(Shape([float(year == odd) for year in years], odd, "blip"))
    kept: list[Shape] = []
    for shape in found:
        if all(abs(float(shape.unit @ other.unit)) < 1 - 1e-9 for other in kept):
            kept.append(shape)
    return kept


def projected(shape: np.ndarray, vectors: np.ndarray) -> float:
    """Sum of squares of vectors (year, band) that a shape explains beyond their mean, by QR."""
    ones = np.ones(len(shape))

    def explained(columns: list[np.ndarray]) -> float:
        basis, _ = np.linalg.qr(np.stack(columns, axis=1))
        return float(((basis.T @ vectors) ** 2).sum())

    return explained([ones, shape]) - explained([ones])


def total(vectors: np.ndarray) -> float:
    """Sum of squared distances to the mean."""
    return float(((vectors - vectors.mean(axis=0)) ** 2).sum())


def moderated(explained: float, residual: float, noise: float, n: int) -> float:
    return explained / (((n - 2) * residual + NOISE_YEARS * max(noise, VARIANCE_FLOOR)) / (n - 2 + NOISE_YEARS))


@dataclass(frozen=True)
class Found:
    """What the loops find in a pixel; `sure` where no two shapes come close to the best."""

    score: float
    effect: float
    year: int
    kind: str
    sure: bool


def _lead(values: list[float]) -> float:
    """How far the largest is ahead of the second, as a share of it."""
    second, first = sorted(values)[-2:] if len(values) > 1 else (0.0, values[0])
    return (first - second) / first if first else 0.0


def trajectory(vectors: np.ndarray, years: list[int], noise: float) -> Found | None:
    """vectors (valid year, band), unit length; years: positions in time of the valid years."""
    n = len(years)
    if n < 4:
        return None
    everything = [(projected(np.array(shape.values), vectors), shape) for shape in shapes(years)]
    changes = [(explained, shape) for explained, shape in everything if shape.kind != "blip"]
    explained, best = max(changes, key=lambda pair: pair[0])
    _, top = max(everything, key=lambda pair: pair[0])
    residual = max((total(vectors) - explained) / (n - 2), 0.0)
    alone = [projected(np.eye(n)[k], vectors) for k in range(n)]
    odd = alone.index(max(alone))
    others = np.delete(vectors, odd, axis=0)
    steps = [projected((np.arange(n - 1) >= new).astype(float), others) for new in range(1, n - 1)]
    without = moderated(max(steps), max((total(others) - max(steps)) / (n - 3), 0.0), noise, n - 1)
    score = min(moderated(explained, residual, noise, n), LOYO_CAP * without)
    effect = (explained - residual) / float((best.centred**2).sum()) / 2
    leads = [_lead([e for e, _ in changes]), _lead([e for e, _ in everything]), _lead(alone)]
    return Found(score, effect, best.first, top.kind, min(leads) > 1e-5)
