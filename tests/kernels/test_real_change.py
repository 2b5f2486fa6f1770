"""The trajectory detector on real noise and real changes; `pytest -s` prints the figures that docs/method.md quotes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from real_mosaics import auc, decoded, dense, landsat
from terradrift.kernels.distances import cosine
from terradrift.kernels.gram import gram, guard_norm
from terradrift.kernels.quantize import quantize
from terradrift.kernels.series import BLIP, UNCONFIRMED, Change, Series
from terradrift.kernels.trajectory import MIN_YEARS, trajectory

YEARS = 9
BLOCK, SPACING = 8, 12
"""Pixels a side of a planted change, and from one to the next."""


@dataclass(frozen=True)
class Planted:
    """A real raster through nine years that are made of real differences between years."""

    change: Change
    distance: np.ndarray
    """(time, time, pixel)"""
    known: np.ndarray
    """(pixel) all years have data."""
    year: np.ndarray
    """(pixel) first year of the planted change, 0 = none; negative: back the year after."""


def average_precision(score: np.ndarray, positive: np.ndarray) -> float:
    hits = positive[np.argsort(-score, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def detect(vectors: np.ndarray) -> tuple[Change, np.ndarray, np.ndarray]:
    """Trajectory with the usual noise of all pixels; distances and validity beside it: vectors or codes (time, band, pixel)."""
    products, valid = gram(vectors)
    if vectors.dtype == np.int8:
        valid, _ = guard_norm(products, valid)
    distance = cosine(products, valid, 1.0)
    step = np.stack([distance[t, t + 1] for t in range(len(distance) - 1)])
    noise = np.full(vectors.shape[2], np.nanmedian(step), np.float32)
    return trajectory(Series(distance, distance, valid, False, noise)), distance, valid


@pytest.fixture(scope="module")
def planted(shared_data: Path) -> Planted:
    """Wisconsin's raster of 2024; noise: differences of stable forest points; changes: those of cleared ones."""
    rows = pd.read_parquet(shared_data / "aef-points-multiyear" / "aef_points_year_deltas.parquet")
    last, before = (rows[[f"{name}_{band:02d}" for band in range(64)]].to_numpy() for name in ("d1", "d2"))
    cleared = rows.label.to_numpy() == 1
    noise = np.concatenate([last[~cleared], before[~cleared]]) / np.sqrt(2)  # a difference has the noise of two years
    rng = np.random.default_rng(0)
    base = decoded(dense(shared_data)[None])
    height, width = base.shape[2:]
    years = np.repeat(base, YEARS, axis=0)
    for t in range(YEARS):
        cells = noise[rng.integers(len(noise), size=(height // 4 + 1, width // 4 + 1))]
        cells *= rng.choice([-1, 1], size=(*cells.shape[:2], 1))
        years[t] += np.kron(cells, np.ones((4, 4, 1)))[:height, :width].transpose(2, 0, 1)
    year = np.zeros((height, width), int)
    for y in range(0, height - BLOCK, SPACING):
        for x in range(0, width - BLOCK, SPACING):
            first, clearing, returns = int(rng.integers(1, YEARS)), last[cleared][rng.integers(cleared.sum())], rng.random() < 0.2
            if rng.random() < 0.5:
                place = slice(y, y + BLOCK), slice(x, x + BLOCK)
                years[first : first + 1 if returns else YEARS, :, *place] += clearing[:, None, None]
                year[place] = -first if returns else first
    length = np.linalg.norm(years, axis=1, keepdims=True)
    codes = np.where(np.isfinite(years), quantize(np.nan_to_num(years / length)), np.int8(-128))
    change, distance, valid = detect(codes.reshape(YEARS, 64, -1))
    return Planted(change, distance, valid.all(axis=0), year.ravel())


def test_real_changes_in_real_noise_are_found_before_anything_else(planted: Planted) -> None:
    known, changed = planted.known, planted.year > 0
    found = average_precision(planted.change.score[known], changed[known])
    plain = average_precision(planted.distance[0, -1][known], changed[known])
    print(f"semi-synthetic: average precision {found:.3f}, first against last year {plain:.3f}")
    assert found > 0.88
    assert found > plain + 0.08


def test_real_changes_are_dated_and_returns_are_no_change(planted: Planted) -> None:
    clear = planted.known & (planted.change.score > np.quantile(planted.change.score[planted.known & (planted.year == 0)], 0.999))
    mapped, returned = clear & (planted.year > 0), planted.known & (planted.year < -1) & (planted.year > 1 - YEARS)
    exact = (planted.change.year[mapped] == planted.year[mapped]).mean()
    as_change = (clear & ~np.isin(planted.change.kind, (BLIP, UNCONFIRMED)))[returned].mean()
    recall = mapped.sum() / (planted.known & (planted.year > 0)).sum()
    print(f"semi-synthetic: recall at 0.1 % false {recall:.3f}, year exact {exact:.3f}")
    print(f"semi-synthetic: single odd years taken for change {as_change:.3f}")
    assert exact > 0.95
    assert as_change < 0.05


def test_a_river_that_moved_stands_out_from_its_plain(shared_data: Path) -> None:
    """Eight dates: ground that was water at the first two and land at the last two, or the reverse.

    First against last does better here: the river comes and goes more than once, which one step does not explain.
    """
    values, _ = landsat(shared_data)
    river = np.where((values == 0).any(axis=1, keepdims=True), np.nan, values.astype(np.float64))
    water = (river[:, 3] - river[:, 1] > 0).reshape(len(river), -1)
    change, distance, valid = detect(river.reshape(len(river), 4, -1))
    known = valid.all(axis=0)
    moved = known & (water[:2].all(axis=0) & ~water[-2:].any(axis=0) | ~water[:2].any(axis=0) & water[-2:].all(axis=0))
    stayed = known & (water.all(axis=0) | ~water.any(axis=0))
    rows = moved | stayed
    found, plain = auc(change.score[rows], moved[rows]), auc(distance[0, -1][rows], moved[rows])
    print(f"Landsat: AUC of moved against stable ground {found:.4f}, first against last date {plain:.4f}")
    assert found > 0.96


def test_three_years_give_no_trajectory() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(MIN_YEARS - 1, 64, 20))
    assert np.isnan(detect(vectors)[0].score).all()
