"""Mapped polygons against true ones, both as sets of pixels: greedy one-to-one matching by intersection over union."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from terradrift.evaluation.figures import PolygonFigures, PolygonMatch

Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

LEVELS = (0.3, 0.5)
"""Smallest IoU of a match."""

SIZES = {"<25": (0, 25), "25-99": (25, 100), "100-399": (100, 400), ">=400": (400, 1 << 62)}
"""Size classes in pixels: smallest and one more than largest."""


@dataclass(frozen=True)
class Matches:
    """Pairs of the greedy matching, the largest IoU first."""

    truth: Int64
    mapped: Int64
    iou: npt.NDArray[np.float64]

    def at_least(self, iou: float) -> Matches:
        """The matches of at least this IoU; a greedy matching of a level is the beginning of the one without."""
        chosen = self.iou >= iou
        return Matches(self.truth[chosen], self.mapped[chosen], self.iou[chosen])


class Overlaps:
    """Pixels of every true site and mapped polygon (both numbered from 1, 0 = none) and of every pair that meets."""

    def __init__(self, n_sites: int, n_polygons: int) -> None:
        self.site = np.zeros(n_sites + 1, np.int64)
        """Scored pixels."""
        self.site_mapped = np.zeros(n_sites + 1, np.int64)
        """Scored pixels that are mapped."""
        self.polygon = np.zeros(n_polygons + 1, np.int64)
        self.polygon_false = np.zeros(n_polygons + 1, np.int64)
        """Evaluated pixels that are truly no change."""
        self.polygon_evaluated = np.zeros(n_polygons + 1, np.int64)
        self._codes: list[Int64] = []
        self._counts: list[Int64] = []

    def add(
        self,
        site: npt.NDArray[np.int32],
        polygon: npt.NDArray[np.int32],
        *,
        scored: Mask,
        mapped: Mask,
        evaluated: Mask,
        change: Mask,
    ) -> None:
        """Rasters (y, x) of a block of rows."""
        for total, labels, which in (
            (self.site, site, scored),
            (self.site_mapped, site, scored & mapped),
            (self.polygon, polygon, np.ones_like(scored)),
            (self.polygon_evaluated, polygon, evaluated),
            (self.polygon_false, polygon, evaluated & ~change),
        ):
            total += np.bincount(labels[which], minlength=len(total))
        both = scored & (site > 0) & (polygon > 0)
        codes, counts = np.unique(site[both].astype(np.int64) * len(self.polygon) + polygon[both], return_counts=True)
        self._codes.append(codes)
        self._counts.append(counts.astype(np.int64))

    def pairs(self) -> tuple[Int64, Int64, Int64]:
        """(sites, polygons, common pixels), one entry a pair that meets."""
        codes = np.concatenate(self._codes or [np.zeros(0, np.int64)])
        counts = np.concatenate(self._counts or [np.zeros(0, np.int64)])
        distinct, place = np.unique(codes, return_inverse=True)
        common = np.zeros(len(distinct), np.int64)
        np.add.at(common, place, counts)
        return distinct // len(self.polygon), distinct % len(self.polygon), common

    def comparable(self, outlined: Mask, points: Mask) -> Mask:
        """Polygons (n_polygons + 1) to hold against the outlined sites (n_sites + 1): those with an evaluated pixel.

        One that a point of true change lies in is right, but there is no outline to hold it against; without outlines none is.
        """
        polygons = (self.polygon_evaluated > 0) & outlined.any()
        site, polygon, _ = self.pairs()
        polygons[polygon[points[site]]] = False
        polygons[0] = False
        return polygons

    def match(self, sites: Mask, polygons: Mask) -> Matches:
        """One-to-one matches among the chosen sites (n_sites + 1) and polygons (n_polygons + 1)."""
        site, polygon, common = self.pairs()
        chosen = sites[site] & polygons[polygon]
        site, polygon, common = site[chosen], polygon[chosen], common[chosen]
        return greedy_matches(site, polygon, common / (self.site[site] + self.polygon[polygon] - common))


def greedy_matches(truth: Int64, mapped: Int64, iou: npt.NDArray[np.float64]) -> Matches:
    """Take pairs (pair) by falling IoU, ties by lower numbers, as long as both are free."""
    order = np.lexsort((mapped, truth, -iou))
    taken_truth: set[int] = set()
    taken_mapped: set[int] = set()
    kept = []
    for at in order:
        t, m = int(truth[at]), int(mapped[at])
        if t not in taken_truth and m not in taken_mapped:
            taken_truth.add(t)
            taken_mapped.add(m)
            kept.append(at)
    chosen = np.array(kept, np.int64)
    return Matches(truth[chosen], mapped[chosen], iou[chosen])


def polygon_figures(overlaps: Overlaps, matches: Matches, outlined: Mask, polygons: Mask, sites: Mask) -> PolygonFigures:
    """outlined: sites matched (n_sites + 1); polygons: those matched (n_polygons + 1); sites: outlines and points of change."""

    def figures(iou: float, of_truth: Mask, of_mapped: Mask) -> PolygonMatch:
        level = matches.at_least(iou)
        n_matched = int(of_truth[level.truth].sum())
        recall = _share(n_matched, int((outlined & of_truth).sum()))
        precision = _share(int(of_mapped[level.mapped].sum()), int((polygons & of_mapped).sum()))
        f1 = None
        if recall is not None and precision is not None:
            f1 = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
        return PolygonMatch(n_matched, precision, recall, f1)

    return PolygonFigures(
        n_truth=int(outlined.sum()),
        n_mapped=int(polygons.sum()),
        iou={f"{iou:g}": figures(iou, outlined, polygons) for iou in LEVELS},
        by_size={
            f"{iou:g}": {name: figures(iou, in_size(overlaps.site, name), in_size(overlaps.polygon, name)) for name in SIZES}
            for iou in LEVELS
        },
        n_sites=int(sites.sum()),
        n_sites_found=int((sites & (overlaps.site_mapped > 0)).sum()),
    )


def polygon_recall(matches: Matches, outlined: Mask) -> Mapping[str, float | None]:
    """Share of the outlined sites (n_sites + 1) that are matched, by smallest IoU."""
    n = int(outlined.sum())
    return {f"{iou:g}": _share(int(outlined[matches.at_least(iou).truth].sum()), n) for iou in LEVELS}


def in_size(pixels: Int64, name: str) -> Mask:
    """Which of these sizes belong to a size class."""
    low, high = SIZES[name]
    return (pixels >= low) & (pixels < high)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
