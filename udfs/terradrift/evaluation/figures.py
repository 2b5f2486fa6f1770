"""What an evaluation says: frozen values, each figure described; a figure that cannot be known is None."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.grid import Window


@dataclass(frozen=True)
class FdrPoint:
    """What is mapped at one nominal false discovery rate: pixels with q at most `nominal`."""

    nominal: float
    realised: float | None
    """Share of them that is truly no change; blips count as false."""
    n_mapped: int
    recall: float | None
    recall_in_hindsight: float | None
    """Largest recall of any threshold on change_score whose realised rate is at most `nominal`."""


@dataclass(frozen=True)
class PixelFigures:
    """Of the evaluated pixels: scored, and known to be changed, a blip or stable. Positive = persistent change."""

    n_evaluated: int
    n_change: int
    n_blip: int
    n_stable: int
    n_not_scored: int
    """Pixels of the area that truth speaks of and that have no score (no data); in no other figure."""
    n_change_not_scored: int
    average_precision: float | None
    auc: float | None
    best_f1: float | None
    best_f1_threshold: float | None
    """change_score at which F1 is best."""
    recall_at_1pct_false: float | None
    """Recall of the threshold that 1 % of the stable pixels reach."""
    n_mapped: int
    precision: float | None
    recall: float | None
    f1: float | None
    fdr: float | None
    """Share of the mapped pixels that is truly no change; blips count as false."""
    blips_confirmed: float | None
    """Share of the blips' pixels that is mapped as step or ramp."""
    blips_unconfirmed: float | None
    """Share of the blips' pixels that is mapped as unconfirmed."""
    stable_mapped: float | None
    """Share of the stable pixels that is mapped."""
    fdr_curve: tuple[FdrPoint, ...]
    """Empty without q."""


@dataclass(frozen=True)
class PolygonMatch:
    """Polygons of persistent change against mapped ones, matched one to one."""

    n_matched: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class PolygonFigures:
    """True polygons and mapped polygons on the pixel grid; sizes in pixels."""

    n_truth: int
    """Polygons of persistent change with a scored pixel; points are none."""
    n_mapped: int
    """Mapped polygons that truth speaks of."""
    iou: Mapping[str, PolygonMatch]
    """By smallest IoU of a match."""
    by_size: Mapping[str, Mapping[str, PolygonMatch]]
    """By IoU and size: recall of the true polygons of that size, precision of the mapped ones of that size."""
    n_sites: int
    """Polygons and points of persistent change with a scored pixel."""
    n_sites_found: int
    """Those with at least one mapped pixel."""


@dataclass(frozen=True)
class YearFigures:
    """Year of the mapped pixels that truly changed, against the first year of the new state; shares."""

    n: int
    exact: float | None
    exact_or_next: float | None
    """The true year or the one after it."""
    within_one: float | None
    """The true year, the one before or the one after."""


@dataclass(frozen=True)
class KindFigures:
    """Pixels by true kind (row) and mapped kind (column)."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class GroupFigures:
    """The same figures for the pixels of one land cover."""

    pixel: PixelFigures
    year: Mapping[str, YearFigures]
    kind: KindFigures
    n_sites: int
    n_sites_found: int
    polygon_recall: Mapping[str, float | None]
    """Share of the true polygons of this land cover that are matched, by smallest IoU."""


@dataclass(frozen=True)
class TruthSummary:
    """What the map was held against."""

    file: str
    rest: str
    """What pixels without a label are: stable | left out | unlabelled (counted as if stable: precision is a lower bound)."""
    n_features: int
    features: Mapping[str, int]
    """By kind; `change` where a site's kind is not known."""
    notes: tuple[str, ...]
    """What was left out or assumed, one line each."""


@dataclass(frozen=True)
class Mistake:
    """One false polygon or one missed change."""

    what: str
    """false | missed"""
    pixels: int
    """Falsely mapped, or missed."""
    name: str
    """change_id of a polygon, number of a site in its file's order."""
    kind: str
    year: int
    """0 = not known."""
    score_max: float | None
    place: tuple[float, float]
    """(x, y) of a point in it, in the run's CRS."""
    window: Window
    """What the picture shows, in pixels of the mosaic."""
    score: npt.NDArray[np.float32]
    """(y, x), NaN = no data."""
    truth: tuple[Any, ...]
    """Outlines of persistent change in (column, row) of the mosaic."""
    mapped: tuple[Any, ...]


@dataclass(frozen=True)
class Evaluation:
    """A finished run held against truth; `to_dict` is what --json prints, `rows` what --parquet holds."""

    run_id: str
    truth: TruthSummary
    pixel: PixelFigures
    polygon: PolygonFigures
    year: Mapping[str, YearFigures]
    """`all` persistent change, `step`, `inner_step` (neither the run's first transition nor its last), `ramp`."""
    kind: KindFigures
    by_landcover: Mapping[str, GroupFigures]
    false_by_nuisance: Mapping[str, Mapping[str, float | int | None]]
    """Scenes only: share of the stable pixels mapped, by what merely looks like change there."""
    intervals: Mapping[str, tuple[float, float] | None]
    """90 % intervals of a bootstrap over blocks of 32 x 32 pixels."""
    curve: tuple[tuple[float, float], ...]
    """(recall, precision) of change_score, for drawing."""
    mistakes: tuple[Mistake, ...]
    """The worst, for drawing."""

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, texts, lists and dicts; what is not known is None."""
        hidden = ("curve", "mistakes")
        return asdict(Evaluation(**{**vars(self), "curve": (), "mistakes": ()}), dict_factory=lambda items: {
            name: value for name, value in items if name not in hidden
        })  # fmt: skip

    def rows(self) -> Iterator[dict[str, Any]]:
        """Long table: metric, group, value, low, high (90 % interval, None where there is none)."""
        document = self.to_dict()
        for section in ("pixel", "polygon", "year", "kind", "by_landcover", "false_by_nuisance"):
            for group, metric, value in _leaves(section, document[section]):
                low, high = (self.intervals.get(metric) or (None, None)) if group == "pixel" else (None, None)
                yield {"metric": metric, "group": group, "value": value, "low": low, "high": high}


def _leaves(group: str, value: Any) -> Iterator[tuple[str, str, float | None]]:
    """(group, metric, number) of every number in a document."""
    for name, part in value.items():
        if isinstance(part, dict):
            yield from _leaves(f"{group}/{name}", part)
        elif name == "fdr_curve":
            for point in part:
                yield from _leaves(f"{group}/fdr_curve/{point['nominal']:g}", point)
        elif name == "counts":
            for row, counts in zip(value["rows"], part, strict=True):
                for column, count in zip(value["columns"], counts, strict=True):
                    yield group, f"{row} mapped as {column}", float(count)
        elif part is None or isinstance(part, (int, float)):
            yield group, name, None if part is None else float(part)
