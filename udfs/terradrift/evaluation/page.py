"""An evaluation as one self-contained HTML page: headline, curves, worst mistakes, tables."""

from __future__ import annotations

from pathlib import Path

from terradrift.evaluation.figures import Evaluation, Mistake
from terradrift.evaluation.tables import is_bound, number, reading_notes, text_tables
from terradrift.maps.preview import classes, palette
from terradrift.pages.charts import line_chart
from terradrift.pages.html import cards, document, escaped, figure, table
from terradrift.pages.pictures import Outline, indexed_png, picture

STYLE = """
circle.map{fill:var(--truth)}
.curves figure{max-width:360px}
"""


def page(evaluation: Evaluation) -> str:
    """The whole page as text."""
    truth = evaluation.truth
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in truth.features.items())
    body = [
        f"<h1>How true is run {escaped(evaluation.run_id)}?</h1>",
        f"<p>Held against {escaped(Path(truth.file).name)}: {truth.n_features:,} sites ({escaped(kinds)}).</p>",
        _cards(evaluation),
        "<ul>" + "".join(f"<li>{escaped(note)}</li>" for note in reading_notes(evaluation)) + "</ul>",
        "<h2>Curves</h2>" + _curves(evaluation),
    ]
    false = [mistake for mistake in evaluation.mistakes if mistake.what == "false"]
    missed = [mistake for mistake in evaluation.mistakes if mistake.what == "missed"]
    legend = "<p>Colours: change score, brighter is larger. Red line: true change. White dashed line: mapped polygon.</p>"
    if false:
        body.append("<h2>Largest false polygons</h2>" + legend + _crops(false))
    if missed:
        body.append("<h2>Largest missed changes</h2>" + legend + _crops(missed))
    body += [table(found) for found in text_tables(evaluation)]
    return document(f"Evaluation of run {evaluation.run_id}", body, STYLE)


def _cards(evaluation: Evaluation) -> str:
    pixel, year = evaluation.pixel, evaluation.year["all"]
    figures = (
        ("average precision", "average_precision", pixel.average_precision),
        ("precision of the map", "precision", pixel.precision),
        ("recall of the map", "recall", pixel.recall),
        ("false discovery rate", "fdr", pixel.fdr),
        ("blips mapped as change", "", pixel.blips_confirmed),
        ("year right or next", "", year.exact_or_next),
    )
    shown = []
    for name, key, value in figures:
        if value is not None and not is_bound(evaluation, key):
            interval = evaluation.intervals.get(key)
            shown.append((name, number(value), f"{number(interval[0])} to {number(interval[1])}" if interval else ""))
    return cards(shown)


def _curves(evaluation: Evaluation) -> str:
    pixel = evaluation.pixel
    if evaluation.truth.rest == "unlabelled":
        return "<p>None: which of the other pixels are stable is not known.</p>"
    figures = [("Precision and recall of change_score; the dot is the map.", _precision_recall(evaluation))]
    found = [(point.nominal, point.realised) for point in pixel.fdr_curve if point.realised is not None]
    if found:
        chart = line_chart(
            [("ideal", [(0.0, 0.0), (0.5, 0.5)]), ("main", found)],
            "rate asked for",
            "rate found",
            x_max=0.5,
            y_max=0.5,
            dots="main",
        )
        figures.append(("False discovery rate asked for and found; above the dashed line the map promises too much.", chart))
    return f'<div class="row curves">{"".join(figure(chart, caption) for caption, chart in figures)}</div>'


def _precision_recall(evaluation: Evaluation) -> str:
    pixel = evaluation.pixel
    here = [] if pixel.precision is None or pixel.recall is None else [(pixel.recall, pixel.precision)]
    return line_chart([("main", evaluation.curve), ("map", here)], "recall", "precision", dots="map")


def _crops(mistakes: list[Mistake]) -> str:
    return '<div class="crops">' + "".join(_crop(mistake) for mistake in mistakes) + "</div>"


def _crop(mistake: Mistake) -> str:
    what = f"polygon {mistake.name}" if mistake.what == "false" else f"site {mistake.name}"
    verb = "false" if mistake.what == "false" else "missed"
    parts = [f"{what}: {mistake.pixels:,} pixels {verb}", f"{mistake.kind}{f' {mistake.year}' if mistake.year else ''}"]
    if mistake.score_max is not None:
        parts.append(f"score up to {mistake.score_max:.3g}")
    parts.append(f"at {mistake.place[0]:.6g}, {mistake.place[1]:.6g}")
    outlines = (Outline("mapped", mistake.mapped), Outline("truth", mistake.truth))
    image = indexed_png(classes(mistake.score), palette())
    label = f"change score round {mistake.what} {mistake.name}"
    return figure(picture(mistake.window, image, outlines, label), "; ".join(parts))
