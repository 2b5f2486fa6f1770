"""The report as one page: headline and maps first, then what is large, what is missing, and how all of it was made."""

from __future__ import annotations

from pathlib import PurePath

from terradrift.pages.html import cards, document, escaped
from terradrift.report.making import limits, making
from terradrift.report.pictures import large_changes, score_map, year_map, years_apart
from terradrift.report.read import Report
from terradrift.report.text_tables import gaps_table, kinds_chart, largest_table, thresholds_table, tiles_tables, zones_table

STYLE = """
nav{font-size:.9rem;margin:.5rem 0 0}nav a{margin-right:.9rem;white-space:nowrap}
.gaps{border:1px solid var(--warn);border-left-width:6px;border-radius:8px;background:var(--warn-paper);
padding:8px 14px;margin:16px 0}
.gaps p,.gaps b{color:var(--warn)}
.maps{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:20px}
.years{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(118px,45%),1fr));gap:12px}
.picture .change{stroke:var(--outline);stroke-width:1.3;pointer-events:all}.picture .change:hover{fill:#ff405c55;stroke-width:2.5}
.picture .gap{stroke:var(--warn);stroke-dasharray:4 3;fill:#f5a62333}
.picture text{font-weight:600;fill:#fff;stroke:#14191f;paint-order:stroke}
.picture .scale{stroke:#14191f;fill:#fff}
.change-card{border:1px solid var(--line);border-radius:8px;padding:10px;background:var(--raised)}
.change-card h3{margin:0 0 6px}.change-card p{font-size:.85rem;margin:.15rem 0}
.picture .halo{stroke:#fff;stroke-width:3.5;stroke-opacity:.75}.bars{max-width:860px}
details{margin:1rem 0}summary{cursor:pointer;color:var(--accent)}
.changes{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(340px,100%),1fr));gap:14px}
.triple{display:grid;grid-template-columns:repeat(3,1fr);gap:6px}.triple figcaption{font-size:.75rem}
@media print{nav{display:none}.changes{grid-template-columns:repeat(3,1fr)}
.maps{grid-template-columns:1fr 1fr}.change-card{break-inside:avoid}}
"""


def page(report: Report) -> str:
    """The page as text."""
    manifest = report.run.manifest
    years = manifest["years"]
    title = f"Change from {years[0]} to {years[-1]}: {PurePath(manifest['parameters']['output']).name}"
    sections = {
        "maps": ("Maps", _maps(report)),
        "years": ("Year by year", _years(report)),
        "largest": ("Largest changes", large_changes(report) + largest_table(report)),
        "thresholds": ("How much of it is false", thresholds_table(report)),
        "zones": ("Zones", zones_table(report)),
        "gaps": ("What was not scored", gaps_table(report)),
        "tiles": ("Tiles and time", tiles_tables(report)),
        "making": ("How it was made", making(report)),
        "limits": ("Limits", limits(report)),
    }
    body = [
        f"<h1>{escaped(title)}</h1>",
        f"<p>Run {escaped(report.run.folder.run_id)} of <code>{escaped(manifest['input']['mosaic'])}</code></p>",
        "<nav>" + "".join(f'<a href="#{name}">{escaped(heading)}</a>' for name, (heading, _) in sections.items()) + "</nav>",
        _warning(report),
        cards(_headline(report)),
        *(f'<h2 id="{name}">{escaped(heading)}</h2>\n{text}' for name, (heading, text) in sections.items()),
    ]
    if manifest.get("attribution"):
        body.append(f"<p>{escaped(manifest['attribution'])}</p>")
    return document(title, body, STYLE)


def _headline(report: Report) -> list[tuple[str, str, str]]:
    manifest, areas = report.run.manifest, report.areas
    share = f"{100 * areas.hectares / report.hectares:.2g} % of the area" if report.hectares else ""
    figures = [
        ("changes", f"{areas.polygons:,}", f"{manifest['years'][0]} to {manifest['years'][-1]}"),
        ("area changed", f"{areas.hectares:,.4g} ha", share),
        ("area of interest", f"{report.hectares:,.4g} ha", f"{report.tiles.n_valid:,} pixels scored"),
    ]
    if report.false_rate is not None:
        asked = f"asked for: at most {100 * manifest['counts']['fdr']:.3g} %"
        figures.append(("expected to be false", f"{100 * report.false_rate:.2g} %", asked))
    by_year: dict[int, float] = {}
    for sums in areas.by_kind.values():
        for year, hectares in sums.items():
            by_year[year] = by_year.get(year, 0) + hectares
    if by_year:
        top = max(by_year, key=lambda year: (by_year[year], -year))
        figures.append(("most in", str(top), f"{by_year[top]:,.4g} ha"))
    return figures


def _warning(report: Report) -> str:
    """What must be known before anything else: the gaps and the run's own warnings."""
    lines = [
        f"{reason}: {count:,} part{'s' * (count != 1)}, {hectares:,.4g} ha"
        for reason, (count, hectares) in report.gaps.by_reason.items()
    ]
    if lines:
        lines.insert(0, "Parts of the area were not scored; nothing is known of change there.")
    lines += [str(warning) for warning in report.run.manifest["warnings"]]
    return f'<div class="gaps">{"".join(f"<p>{escaped(line)}</p>" for line in lines)}</div>' if lines else ""


def _maps(report: Report) -> str:
    return f'<div class="maps">{score_map(report)}{year_map(report)}</div>'


def _years(report: Report) -> str:
    return kinds_chart(report) + years_apart(report)
