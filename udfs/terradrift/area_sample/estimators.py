"""Stratified estimators of totals and ratios: arrays in, numbers out.

Stehman 2014 (International Journal of Remote Sensing 35), equations 20 to 28: they hold whether or not the strata are the
classes of the map, and are those of Olofsson et al. 2014 where they are. Pixels are weighted with their area within a
stratum, which in degrees differs from row to row; the variance has the finite population correction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

Z95 = 1.96
"""Standard errors on either side of a 95 % interval."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class StratifiedSample:
    """Labelled pixels of a stratified random sample; every stratum has two, or all that it holds."""

    area: Floats
    """(stratum)"""
    pixels: Floats
    """(stratum)"""
    stratum: npt.NDArray[np.int64]
    """(sample)"""
    weight: Floats
    """Area of the sampled pixel: (sample)."""

    def total(self, y: Floats) -> Estimate:
        """Area of the pixels with y = 1; y is given for the sampled ones: (sample)."""
        return Estimate(float(self.area @ self._means(y)), float(np.sqrt(self._variance(y))))

    def ratio(self, y: Floats, x: Floats) -> Estimate | None:
        """Area with y = 1 over area with x = 1; None where no sampled pixel has x = 1."""
        whole = self.total(x).value
        if whole == 0:
            return None
        value = self.total(y).value / whole
        return Estimate(value, float(np.sqrt(self._variance(y - value * x))) / whole)

    def interval(self, y: Floats) -> tuple[float, float]:
        """95 % interval of `total(y)`: Jeffreys' in every stratum (Brown, Cai and DasGupta 2001, Statistical Science 16), their
        distances from the estimate added as squares (Zou and Donner 2008, Statistics in Medicine 27).

        Value +- 1.96 standard errors takes a stratum where no sampled pixel changed for one without change; this does not.
        """
        mean, n = self._means(y), self._sums(np.ones_like(y))
        left = 1 - n / self.pixels  # of a stratum sampled whole nothing is left to be guessed
        effective = self._sums(self.weight) ** 2 / self._sums(self.weight**2) / np.where(left > 0, left, 1)
        hits, misses = effective * mean, effective * (1 - mean)
        low = np.where((left > 0) & (hits > 0), beta.ppf(0.025, hits + 0.5, misses + 0.5), np.where(left > 0, 0, mean))
        high = np.where((left > 0) & (misses > 0), beta.ppf(0.975, hits + 0.5, misses + 0.5), np.where(left > 0, 1, mean))
        below, above = (float(np.sqrt((self.area**2 * (side - mean) ** 2).sum())) for side in (low, high))
        value = float(self.area @ mean)
        return max(0.0, value - below), min(float(self.area.sum()), value + above)

    def _means(self, y: Floats) -> Floats:
        return self._sums(self.weight * y) / self._sums(self.weight)

    def _variance(self, y: Floats) -> float:
        n = self._sums(np.ones_like(y))
        relative = self.weight / (self._sums(self.weight) / n)[self.stratum]
        deviation = relative * (y - self._means(y)[self.stratum])
        spread = self._sums(deviation**2) / np.maximum(n - 1, 1)
        return float((self.area**2 * np.maximum(1 - n / self.pixels, 0) * spread / n).sum())

    def _sums(self, values: Floats) -> Floats:
        return np.bincount(self.stratum, values, len(self.area)).astype(np.float64)
