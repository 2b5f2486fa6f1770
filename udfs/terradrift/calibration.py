"""Which pixels may be mapped at all, and at which false discovery rate each would be: from small rasters to one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.grid import AREA_UNIT_M2, Tile
from terradrift.kernels.calibrate import BINS, bins_of, count_bins, groups, q_values, tail_factor
from terradrift.kernels.score_block import lattice_points
from terradrift.kernels.series import KINDS
from terradrift.kernels.strata import MAX_STRATA
from terradrift.score_store import RasterStore

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """Which pixels may be mapped, whatever their score."""

    min_effect: float | None
    kinds: tuple[str, ...] | None
    """None: any."""

    def among(self, effect: npt.NDArray[np.float32], kind: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Large enough and of a wanted kind; same shape. Pixels without data are not."""
        passes = np.isfinite(effect)
        if self.min_effect is not None:
            passes &= effect >= np.float32(self.min_effect)
        if self.kinds is not None:
            passes &= np.isin(kind, [KINDS.index(name) for name in self.kinds])
        return passes


@dataclass(frozen=True)
class Counts:
    """Whole numbers of a tile, added up over tiles: (stratum, bin) each."""

    target: Int64
    """Pixels."""
    decoy: Int64
    """Decoys."""
    area: Int64
    """Geodesic area of the pixels, in whole square millimetres."""
    won: Int64
    """Decoys that a lattice point has won over, by the score of the point."""


@dataclass(frozen=True)
class Calibration:
    """False discovery rates by stratum and score."""

    q: npt.NDArray[np.float32]
    """(stratum, bin)"""
    rows: Sequence[dict[str, Any]]
    """The table of thresholds."""

    def of(self, score: npt.NDArray[np.float32], stratum: npt.NDArray[np.uint8], candidate: npt.NDArray[np.bool_]) -> Any:
        """q of every pixel: float32 (y, x); 1 where it may not be mapped, NaN without data."""
        q = np.where(np.isfinite(score), np.float32(1), np.float32(np.nan))
        q[candidate] = self.q[stratum[candidate], bins_of(score[candidate])]
        return q


def count_all(scores: RasterStore, decoys: RasterStore, tile: Tile, step: int) -> tuple[Counts, Int64]:
    """Scores of all lattice points and of all their decoys, whatever their kind, and the scored pixels by stratum."""
    whole, strata = scores.read_tile(tile, "change_score"), scores.read_tile(tile, "stratum")
    pixels = np.bincount(strata[np.isfinite(whole)], minlength=MAX_STRATA)
    score, stratum = _on_lattice(whole, step), _on_lattice(strata, step)
    target = _counted(score, stratum, np.isfinite(score))
    drawn = _padded(decoys.read_tile(decoys.tile(tile.row, tile.col), "decoy_score"), score.shape)
    spread = np.broadcast_to(stratum, drawn.shape)
    return Counts(target, _counted(drawn, spread, np.isfinite(drawn)), *np.zeros((2, *target.shape), np.int64)), pixels


def count_competition(
    scores: RasterStore, decoys: RasterStore, tile: Tile, step: int, candidates: Candidates, factor: npt.NDArray[np.float64]
) -> Counts:
    """Candidates of a tile, the decoys that win over their pixel, and the pixels that win over their decoys."""
    rasters = {name: scores.read_tile(tile, name) for name in ("change_score", "change_effect", "change_kind", "stratum")}
    score, stratum = rasters["change_score"], rasters["stratum"]
    candidate = candidates.among(rasters["change_effect"], rasters["change_kind"])
    area = np.broadcast_to(scores.grid.pixel_area(tile.window), score.shape)
    target, target_area = _counted(score, stratum, candidate), _counted(score, stratum, candidate, area)
    own = _on_lattice(np.where(candidate, score, np.float32(0)), step)
    place = decoys.tile(tile.row, tile.col)
    drawn = {name: _padded(decoys.read_tile(place, f"decoy_{name}"), own.shape) for name in ("score", "effect", "kind")}
    group = np.broadcast_to(_on_lattice(stratum, step), drawn["score"].shape)
    raised = drawn["score"] * factor[np.minimum(group, len(factor) - 1)].astype(np.float32)
    wins = candidates.among(drawn["effect"], drawn["kind"]) & (raised > own)
    beaten = (own > 0) & np.isfinite(drawn["score"]) & ~wins
    won = _counted(np.broadcast_to(own, beaten.shape), group, beaten)
    return Counts(target, _counted(raised, group, wins), target_area, won)


def tail_factors(counts: Counts, group: Int64) -> npt.NDArray[np.float64]:
    """(stratum): `tail_factor` of the group each stratum belongs to."""
    factor = np.ones(len(group))
    for lowest in np.unique(group):
        factor[group == lowest] = tail_factor(
            counts.target[group == lowest].sum(axis=0), counts.decoy[group == lowest].sum(axis=0)
        )
    return factor


def calibrate(counts: Counts, pixels: Int64, group: Int64, factor: npt.NDArray[np.float64], fdr: float) -> Calibration:
    """q by stratum and bin, and what a threshold at `fdr` means in each stratum."""
    n = len(group)
    q, rows = np.ones((MAX_STRATA, BINS), np.float32), []
    for stratum in range(n):
        together = group == group[stratum]
        if pixels[stratum] == 0:
            continue
        q[stratum] = q_values(counts.won[:n][together].sum(axis=0), counts.decoy[:n][together].sum(axis=0))
        mapped = q[stratum] <= np.float32(fdr)
        first = int(mapped.argmax()) if mapped.any() else BINS
        area_m2 = float(counts.area[stratum, first:].sum() * AREA_UNIT_M2)
        rate = float(q[stratum, first]) if first < BINS else None
        rows.append(
            {
                "stratum": stratum,
                "calibrated_with": int(group[stratum]),
                "first_bin": first,
                "expected_false_rate": rate,
                "n_pixels": int(pixels[stratum]),
                "n_mapped": int(counts.target[stratum, first:].sum()),
                "mapped_area_m2": area_m2,
                "expected_false_area_m2": area_m2 * (rate or 0.0),
                "tail_factor": float(factor[stratum]),
            }
        )
    return Calibration(q, rows)


def strata_groups(pixels: Int64, n: int) -> Int64:
    """(stratum): see `groups`; strata beyond n do not exist."""
    return groups(pixels[:n])


def _counted(score: Any, stratum: Any, which: npt.NDArray[np.bool_], weight: Any = None) -> Int64:
    return count_bins(score[which], stratum[which], MAX_STRATA, None if weight is None else weight[which])


def _on_lattice(raster: npt.NDArray[Any], step: int) -> npt.NDArray[Any]:
    rows, cols = lattice_points(raster.shape, step)
    return raster[rows, cols]


def _padded(decoys: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Decoys of the lattice points of a tile: the last row or column of a ragged tile has none."""
    return decoys[:, : shape[0], : shape[1]]
