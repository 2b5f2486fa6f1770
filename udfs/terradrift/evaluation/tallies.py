"""Whole numbers that add up over blocks of rows, and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.evaluation.figures import FdrPoint, KindFigures, PixelFigures, YearFigures
from terradrift.evaluation.ranking import (
    BLIP,
    CHANGE,
    STABLE,
    Ranking,
    average_precision,
    best_f1,
    recall_at_false_rate,
    recall_at_fdr,
    roc_auc,
)
from terradrift.evaluation.run_rasters import MapBlock
from terradrift.evaluation.truth import TRUTHS, UNKNOWN, TruthBlock
from terradrift.kernels.series import KINDS, NONE, UNCONFIRMED

Int64 = npt.NDArray[np.int64]

CLASSES = np.array([STABLE, CHANGE, CHANGE, BLIP, CHANGE], np.uint8)
"""Class of every kind of TRUTHS."""

NOMINAL = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""False discovery rates of the curve."""

FALSE_RATE = 0.01
"""Share of the stable pixels that the recall at a fixed rate allows."""

MAPPED_AS = ("not mapped", *KINDS[1:])

_SPAN = 2
"""Year errors are counted from -_SPAN or less to _SPAN or more."""


class Tallies:
    """Counts by land cover (first axis; 0 = unknown)."""

    def __init__(self, n_covers: int, n_nuisances: int, years: tuple[int, ...]) -> None:
        self._years = years
        self.kind = np.zeros((n_covers, len(TRUTHS), len(MAPPED_AS)), np.int64)
        """Evaluated pixels by true kind and mapped kind."""
        self.at_nominal = np.zeros((n_covers, len(NOMINAL), 3), np.int64)
        """Pixels with q at most NOMINAL, by class."""
        self.year = np.zeros((n_covers, len(TRUTHS), 2, 2 * _SPAN + 1), np.int64)
        """Mapped changed pixels by true kind, whether the year is an inner one, and error in years."""
        self.not_scored = np.zeros((n_covers, 3), np.int64)
        """By class."""
        self.nuisance = np.zeros((n_nuisances, 2), np.int64)
        """Stable pixels: not mapped, mapped."""

    def add(self, rows: MapBlock, truth: TruthBlock) -> None:
        """A block of rows."""
        labelled = (truth.kind != UNKNOWN) & rows.inside
        evaluated = labelled & rows.scored
        lost = labelled & ~rows.scored
        _count(self.not_scored, truth.cover[lost], CLASSES[truth.kind[lost]])
        kind, cover, mapped = truth.kind[evaluated], truth.cover[evaluated], rows.mapped[evaluated]
        mapped_kind = rows.kind[evaluated]
        known = (mapped_kind > NONE) & (mapped_kind < len(KINDS))
        column = np.where(mapped, np.where(known, mapped_kind, UNCONFIRMED), 0)
        _count(self.kind, cover, kind, column)
        if rows.q is not None:
            # how many of the rates a pixel is mapped at; q <= a as in the decision, in float32
            level = np.searchsorted(np.array(NOMINAL, np.float32), rows.q[evaluated], side="left")
            exactly = np.zeros((len(self.at_nominal), len(NOMINAL) + 1, 3), np.int64)
            _count(exactly, cover, level, CLASSES[kind])
            self.at_nominal += exactly[:, :-1].cumsum(axis=1)
        dated = mapped & (CLASSES[kind] == CHANGE) & (truth.year[evaluated] > 0)
        true_year = truth.year[evaluated][dated].astype(np.int64)
        error = rows.year[evaluated][dated].astype(np.int64) - true_year
        inner = (true_year > self._years[1]) & (true_year < self._years[-1])
        _count(self.year, cover[dated], kind[dated], inner, error.clip(-_SPAN, _SPAN) + _SPAN)
        stable = kind == STABLE
        for bit in range(len(self.nuisance)):
            there = stable & (truth.nuisance[evaluated] >> bit & 1 > 0)
            _count(self.nuisance[bit], mapped[there])

    def pixel_figures(self, ranking: Ranking, cover: int | None, has_q: bool) -> PixelFigures:
        """Of one land cover, or of all pixels; ranking: of the same pixels."""
        kind, lost, at_nominal = (_of(table, cover) for table in (self.kind, self.not_scored, self.at_nominal))
        by_class = np.zeros((3, len(MAPPED_AS)), np.int64)
        np.add.at(by_class, CLASSES, kind)
        total, mapped = by_class.sum(axis=1), by_class[:, 1:].sum(axis=1)
        true, false = int(mapped[CHANGE]), int(mapped[STABLE] + mapped[BLIP])
        blip, n_blip = by_class[BLIP], int(total[BLIP])
        f1, threshold = best_f1(ranking)
        return PixelFigures(
            n_evaluated=int(total.sum()),
            n_change=int(total[CHANGE]),
            n_blip=n_blip,
            n_stable=int(total[STABLE]),
            n_not_scored=int(lost.sum()),
            n_change_not_scored=int(lost[CHANGE]),
            average_precision=average_precision(ranking),
            auc=roc_auc(ranking),
            best_f1=f1,
            best_f1_threshold=threshold,
            recall_at_1pct_false=recall_at_false_rate(ranking, FALSE_RATE),
            n_mapped=true + false,
            precision=share(true, true + false),
            recall=share(true, int(total[CHANGE])),
            f1=share(2 * true, true + false + int(total[CHANGE])),
            fdr=share(false, true + false),
            blips_confirmed=share(int(blip[1] + blip[2]), n_blip),
            blips_unconfirmed=share(int(blip[UNCONFIRMED]), n_blip),
            stable_mapped=share(int(mapped[STABLE]), int(total[STABLE])),
            fdr_curve=tuple(
                FdrPoint(
                    nominal=nominal,
                    realised=share(int(found[STABLE] + found[BLIP]), int(found.sum())),
                    n_mapped=int(found.sum()),
                    recall=share(int(found[CHANGE]), int(total[CHANGE])),
                    recall_in_hindsight=recall_at_fdr(ranking, nominal),
                )
                for nominal, found in zip(NOMINAL, at_nominal, strict=True)
            )
            if has_q
            else (),
        )

    def year_figures(self, cover: int | None = None) -> Mapping[str, YearFigures]:
        """By group; changes of no stated kind count as steps."""
        table = _of(self.year, cover)
        steps, ramp = [TRUTHS.index("step"), TRUTHS.index("change")], [TRUTHS.index("ramp")]
        return {
            "all": _year(table.sum(axis=(0, 1))),
            "step": _year(table[steps].sum(axis=(0, 1))),
            "inner_step": _year(table[steps, 1].sum(axis=0)),
            "ramp": _year(table[ramp].sum(axis=(0, 1))),
        }

    def kind_figures(self, cover: int | None = None) -> KindFigures:
        """Confusion of kinds, rows without a pixel of that kind included."""
        return KindFigures(TRUTHS, MAPPED_AS, tuple(tuple(int(n) for n in row) for row in _of(self.kind, cover)))

    def false_by_nuisance(self, names: tuple[str, ...]) -> Mapping[str, Mapping[str, float | int | None]]:
        """Share of the stable pixels under each nuisance that is mapped."""
        return {
            name: {"n_stable": int(counts.sum()), "n_mapped": int(counts[1]), "share": share(int(counts[1]), int(counts.sum()))}
            for name, counts in zip(names, self.nuisance, strict=True)
        }


def share(part: int, whole: int) -> float | None:
    """part / whole; None of nothing."""
    return part / whole if whole else None


def _of(table: Int64, cover: int | None) -> Int64:
    return table.sum(axis=0) if cover is None else table[cover]


def _count(table: Int64, *index: npt.NDArray[Any]) -> None:
    """Add one at every index."""
    flat = np.ravel_multi_index(tuple(part.astype(np.intp) for part in index), table.shape)
    table += np.bincount(flat, minlength=table.size).reshape(table.shape)


def _year(errors: Int64) -> YearFigures:
    n, right, after, before = int(errors.sum()), int(errors[_SPAN]), int(errors[_SPAN + 1]), int(errors[_SPAN - 1])
    return YearFigures(n, share(right, n), share(right + after, n), share(right + after + before, n))
