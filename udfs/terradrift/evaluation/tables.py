"""The figures as small tables of text, for the terminal and for the page alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from terradrift.evaluation.figures import Evaluation, YearFigures
from terradrift.evaluation.tallies import MAPPED_AS
from terradrift.pages.html import TextTable


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print every table and what must be known to read them."""
    for table in text_tables(evaluation):
        grid = Table(*(escape(column) for column in table.columns), box=SIMPLE, pad_edge=False)
        for column in grid.columns[1:]:
            column.justify, column.overflow = "right", "fold"
        for row in table.rows:
            grid.add_row(*(escape(cell) for cell in row))
        console.print(escape(table.title), style="bold", soft_wrap=True)
        console.print(grid)
    for note in reading_notes(evaluation):
        console.print(escape(note), soft_wrap=True)


def reading_notes(evaluation: Evaluation) -> list[str]:
    """What must be known to read the figures, one line each."""
    pixel = evaluation.pixel
    lost = f"{pixel.n_not_scored:,} pixels have no score (no data), {pixel.n_change_not_scored:,} of them changed; in no figure"
    scene = "a scene is synthetic: its figures are not field accuracy"
    return [*evaluation.truth.notes, *([lost] if pixel.n_not_scored else []), *([scene] if evaluation.false_by_nuisance else [])]


def text_tables(evaluation: Evaluation) -> list[TextTable]:
    """Every table that has something to say."""
    tables = [_pixels(evaluation), _map(evaluation), _fdr(evaluation), *_polygons(evaluation), _years(evaluation)]
    tables += [_kinds(evaluation), _covers(evaluation), _nuisances(evaluation)]
    return [table for table in tables if table.rows]


def number(value: float | int | None) -> str:
    """Three decimals of a share, one digit of a tiny one, separators in a count, a dash where nothing is known."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1g}"


AT_LEAST = ("average_precision", "auc", "best_f1", "recall_at_1pct_false", "precision", "f1")
"""Figures that are lower bounds where some of the pixels counted as stable may have changed; `fdr` is an upper one."""

NEED_STABLE = ("best_f1_threshold", "stable_mapped")
"""Figures that mean nothing there."""


def shown(evaluation: Evaluation, name: str) -> str:
    """A pixel figure as text, with its sign where it is a bound; nothing where it means nothing."""
    text = number(getattr(evaluation.pixel, name))
    if evaluation.truth.rest != "unlabelled" or text == "-":
        return text
    return "-" if name in NEED_STABLE else f"≥ {text}" if name in AT_LEAST else f"≤ {text}" if name == "fdr" else text


def is_bound(evaluation: Evaluation, name: str) -> bool:
    """Whether a pixel figure is only a bound."""
    return evaluation.truth.rest == "unlabelled" and name in (*AT_LEAST, "fdr")


def _with_interval(evaluation: Evaluation, names: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    rows = []
    for name, text in names.items():
        low, high = evaluation.intervals.get(name) or (None, None)
        interval = "" if low is None or is_bound(evaluation, name) else f"{number(low)} to {number(high)}"
        rows.append((text, shown(evaluation, name), interval))
    return tuple(rows)


def _pixels(evaluation: Evaluation) -> TextTable:
    pixel = evaluation.pixel
    title = f"change_score, {pixel.n_evaluated:,} pixels: {pixel.n_change:,} changed, {pixel.n_blip:,} blips, {pixel.n_stable:,} "
    names = {
        "average_precision": "average precision",
        "auc": "AUC",
        "best_f1": "best F1",
        "best_f1_threshold": "  its threshold",
        "recall_at_1pct_false": "recall at 1 % of stable pixels",
    }
    rest = "stable or unlabelled" if evaluation.truth.rest == "unlabelled" else "stable"
    return TextTable(title + rest, ("score", "value", "90 % interval"), _with_interval(evaluation, names))


def _map(evaluation: Evaluation) -> TextTable:
    names = {
        "precision": "precision",
        "recall": "recall",
        "f1": "F1",
        "fdr": "false discovery rate",
        "stable_mapped": "stable pixels mapped",
        "blips_confirmed": "blips mapped as step or ramp",
        "blips_unconfirmed": "blips mapped as unconfirmed",
    }
    title = f"map, {evaluation.pixel.n_mapped:,} of these pixels mapped as change"
    return TextTable(title, ("map", "value", "90 % interval"), _with_interval(evaluation, names))


def _fdr(evaluation: Evaluation) -> TextTable:
    rows = tuple(
        (f"{p.nominal:g}", number(p.realised), number(p.n_mapped), number(p.recall), number(p.recall_in_hindsight))
        for p in (evaluation.pixel.fdr_curve if evaluation.truth.rest != "unlabelled" else ())
    )
    return TextTable(
        "false discovery rate asked for and found; best recall: of a threshold chosen in hindsight",
        ("asked", "found", "pixels", "recall", "best recall"),
        rows,
    )


def _polygons(evaluation: Evaluation) -> list[TextTable]:
    figures = evaluation.polygon
    rows = [
        (f"IoU {iou}, {name}", *(number(value) for value in (match.n_matched, match.precision, match.recall, match.f1)))
        for iou in figures.iou
        for name, match in {"all": figures.iou[iou], **figures.by_size[iou]}.items()
    ]
    title = f"polygons: {figures.n_truth:,} true, {figures.n_mapped:,} mapped, matched one to one; sizes in pixels"
    found = (("sites with a mapped pixel", number(figures.n_sites_found), number(figures.n_sites)),) if figures.n_sites else ()
    return [
        TextTable(title, ("polygons", "matched", "precision", "recall", "F1"), tuple(rows) if figures.n_truth else ()),
        TextTable("sites of persistent change", ("sites", "found", "of"), found),
    ]


def _year_rows(figures: Mapping[str, YearFigures]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (name.replace("_", " "), number(year.n), number(year.exact), number(year.exact_or_next), number(year.within_one))
        for name, year in figures.items()
        if year.n
    )


def _years(evaluation: Evaluation) -> TextTable:
    return TextTable(
        "year of the mapped pixels that truly changed",
        ("change", "pixels", "exact", "year or next", "within one"),
        _year_rows(evaluation.year),
    )


def _kinds(evaluation: Evaluation) -> TextTable:
    rest = "unlabelled" if evaluation.truth.rest == "unlabelled" else "none"
    rows = tuple(
        (rest if name == "none" else name, *(number(count) for count in counts))
        for name, counts in zip(evaluation.kind.rows, evaluation.kind.counts, strict=True)
        if sum(counts)
    )
    return TextTable("pixels by true kind (row) and mapped kind", ("truly", *MAPPED_AS), rows)


def _covers(evaluation: Evaluation) -> TextTable:
    columns = ("cover", "pixels", "changed", "AP", "best F1", "precision", "recall", "year")
    rows: list[Sequence[str]] = []
    for name, group in evaluation.by_landcover.items():
        pixel = group.pixel
        shares = (pixel.average_precision, pixel.best_f1, pixel.precision, pixel.recall)
        cells = (number(value) for value in (pixel.n_evaluated, pixel.n_change, *shares))
        rows.append((name, *cells, number(group.year["all"].exact_or_next)))
    return TextTable("by land cover; year: right or next", columns, tuple(tuple(row) for row in rows))


def _nuisances(evaluation: Evaluation) -> TextTable:
    rows = tuple(
        (name.replace("_", " "), number(found["n_stable"]), number(found["n_mapped"]), number(found["share"]))
        for name, found in evaluation.false_by_nuisance.items()
    )
    return TextTable("stable pixels where something merely looks like change", ("what", "stable", "mapped", "share"), rows)
