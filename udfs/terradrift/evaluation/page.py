"""An evaluation as one self-contained HTML page: headline, curves, worst mistakes, tables."""

from __future__ import annotations

import html
from pathlib import Path

from terradrift.evaluation.charts import line_chart, picture
from terradrift.evaluation.figures import Evaluation, Mistake
from terradrift.evaluation.tables import TextTable, is_bound, number, reading_notes, text_tables

STYLE = """
:root{color-scheme:light dark;--ink:#1b2430;--soft:#5b6675;--line:#d5dae1;--paper:#fff;--truth:#c8174a;--map:#0b6fae}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebef;--soft:#a3adba;--line:#39424e;--paper:#14191f;--truth:#ff5c8a;--map:#5cc1ff}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1080px;margin:0 auto;padding:24px 16px}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p,li{color:var(--soft);max-width:75ch}
.cards{display:flex;flex-wrap:wrap;gap:12px;margin:16px 0}.card{border:1px solid var(--line);border-radius:8px;padding:10px 14px}
.card b{display:block;font-size:1.5rem;font-variant-numeric:tabular-nums}.card small{color:var(--soft);display:block}
.row{display:flex;flex-wrap:wrap;gap:20px}figure{margin:0}figcaption{color:var(--soft);font-size:.85rem;max-width:360px}
.chart{width:360px;max-width:100%;font-size:11px}.chart text{fill:var(--soft)}.grid{stroke:var(--line);fill:none}
polyline{fill:none;stroke-width:2}.main{stroke:var(--map)}circle.main{fill:var(--map)}
.ideal{stroke:var(--soft);stroke-dasharray:4 4;stroke-width:1}
.crops{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:16px}
.crop{width:100%;border:1px solid var(--line)}.crop image{image-rendering:pixelated}
.crop path,.crop circle{fill:none;vector-effect:non-scaling-stroke;stroke-width:2}
.crop .truth{stroke:#ff405c}.crop .mapped{stroke:#fff;stroke-dasharray:3 2}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
th,td{padding:4px 10px;border-bottom:1px solid var(--line);text-align:right}th:first-child,td:first-child{text-align:left}
"""


def page(evaluation: Evaluation) -> str:
    """The whole page as text."""
    truth = evaluation.truth
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in truth.features.items())
    body = [
        f"<h1>How true is run {_text(evaluation.run_id)}?</h1>",
        f"<p>Held against {_text(Path(truth.file).name)}: {truth.n_features:,} sites ({_text(kinds)}).</p>",
        _cards(evaluation),
        "<ul>" + "".join(f"<li>{_text(note)}</li>" for note in reading_notes(evaluation)) + "</ul>",
        "<h2>Curves</h2>" + _curves(evaluation),
    ]
    false = [mistake for mistake in evaluation.mistakes if mistake.what == "false"]
    missed = [mistake for mistake in evaluation.mistakes if mistake.what == "missed"]
    legend = "<p>Colours: change score, brighter is larger. Red line: true change. White dashed line: mapped polygon.</p>"
    if false:
        body.append("<h2>Largest false polygons</h2>" + legend + _crops(false))
    if missed:
        body.append("<h2>Largest missed changes</h2>" + legend + _crops(missed))
    body += [_table(table) for table in text_tables(evaluation)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Evaluation of run {_text(evaluation.run_id)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _cards(evaluation: Evaluation) -> str:
    pixel, year = evaluation.pixel, evaluation.year["all"]
    cards = (
        ("average precision", "average_precision", pixel.average_precision),
        ("precision of the map", "precision", pixel.precision),
        ("recall of the map", "recall", pixel.recall),
        ("false discovery rate", "fdr", pixel.fdr),
        ("blips mapped as change", "", pixel.blips_confirmed),
        ("year right or next", "", year.exact_or_next),
    )
    parts = []
    for name, key, value in cards:
        if value is None or is_bound(evaluation, key):
            continue
        interval = evaluation.intervals.get(key)
        within = f"<small>{number(interval[0])} to {number(interval[1])}</small>" if interval else ""
        parts.append(f'<div class="card">{name}<b>{number(value)}</b>{within}</div>')
    return f'<div class="cards">{"".join(parts)}</div>'


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
            dots=True,
        )
        figures.append(("False discovery rate asked for and found; above the dashed line the map promises too much.", chart))
    return (
        '<div class="row">' + "".join(f"<figure>{c}<figcaption>{_text(t)}</figcaption></figure>" for t, c in figures) + "</div>"
    )


def _precision_recall(evaluation: Evaluation) -> str:
    pixel = evaluation.pixel
    chart = line_chart([("main", evaluation.curve)], "recall", "precision")
    if pixel.precision is None or pixel.recall is None:
        return chart
    dot = line_chart([("main", [(pixel.recall, pixel.precision)])], "recall", "precision", dots=True)
    return chart.replace("</svg>", dot[dot.index("<circle") : dot.index("/>", dot.index("<circle")) + 2] + "</svg>")


def _crops(mistakes: list[Mistake]) -> str:
    return '<div class="crops">' + "".join(_crop(mistake) for mistake in mistakes) + "</div>"


def _crop(mistake: Mistake) -> str:
    what = f"polygon {mistake.name}" if mistake.what == "false" else f"site {mistake.name}"
    verb = "false" if mistake.what == "false" else "missed"
    parts = [f"{what}: {mistake.pixels:,} pixels {verb}", f"{mistake.kind}{f' {mistake.year}' if mistake.year else ''}"]
    if mistake.score_max is not None:
        parts.append(f"score up to {mistake.score_max:.3g}")
    parts.append(f"at {mistake.place[0]:.6g}, {mistake.place[1]:.6g}")
    return f"<figure>{picture(mistake)}<figcaption>{_text('; '.join(parts))}</figcaption></figure>"


def _table(table: TextTable) -> str:
    head = "".join(f"<th>{_text(column)}</th>" for column in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return f'<h2>{_text(table.title)}</h2><div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


def _text(text: str) -> str:
    return html.escape(text, quote=True)
