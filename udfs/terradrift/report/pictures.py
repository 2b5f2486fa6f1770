"""The report's pictures as markup."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from terradrift.grid import Window
from terradrift.maps.preview import classes, palette, value_range
from terradrift.pages.charts import legend, ramp_legend
from terradrift.pages.html import escaped, figure
from terradrift.pages.pictures import Outline, indexed_png, picture, rgb_png
from terradrift.report.largest import LargeChange
from terradrift.report.maps import FIRST_YEAR, NO_DATA, STABLE, Maps, Outlined, year_colours
from terradrift.report.read import Report

GREY, PAPER = (208, 212, 217), (249, 249, 246)
"""Of the map of years: no data, no change."""

SMALL_SIDE = 300
"""Pixels of the longest side of a year's own map."""


def score_map(report: Report) -> str:
    """Change score, the outlines of the largest changes over it, numbers at the pictured ones."""
    maps, shown = report.maps, {change.facts["change_id"] for change in report.largest}
    outlines = [
        Outline("change", [outlined.geometry], tip(outlined), f"change-{outlined.whole_id}" if outlined.whole_id in shown else "")
        for outlined in maps.outlines
    ]
    over = _numbers(report) + _scale_bar(maps)
    window = maps.canvas.window
    drawn = picture(
        window, indexed_png(classes(maps.score), palette()), outlines, "change score", stretch=maps.stretch, over=over
    )
    rest = report.areas.polygons - len(maps.outlines)
    which = f"the {len(maps.outlines):,} largest of {report.areas.polygons:,} changes" if rest > 0 else "the changes"
    caption = f"Change score: the brighter, the clearer. Outlined: {which}; rest the pointer on one to read it. Grey: no data."
    low, high = value_range(maps.score)
    colours = [f"rgb({r},{g},{b})" for r, g, b in palette()[:-2]]
    return figure(drawn + ramp_legend(colours, f"{low:.3g}", f"{high:.3g}"), caption)


def year_map(report: Report) -> str:
    """Every mapped polygon in the colour of its year."""
    maps, years = report.maps, report.run.manifest["years"]
    colours = year_colours(len(years))
    drawn = picture(
        maps.canvas.window, indexed_png(maps.years, [GREY, PAPER, *colours]), [], "year of change", stretch=maps.stretch,
        over=_scale_bar(maps),
    )  # fmt: skip
    found = np.unique(maps.years)
    names = {str(year): colours[k] for k, year in enumerate(years) if FIRST_YEAR + k in found}
    names |= {"no change mapped": PAPER} | ({"no data": GREY} if NO_DATA in found else {})
    keys = legend({name: f"rgb({r},{g},{b})" for name, (r, g, b) in names.items()})
    return figure(drawn + keys, "Year of change: the first year of the new state, the most frequent of each polygon's pixels.")


def years_apart(report: Report) -> str:
    """One small map a year."""
    maps, years = report.maps, report.run.manifest["years"]
    parts = []
    for k, (year, colour) in enumerate(zip(years, year_colours(len(years)), strict=True)):
        hectares = sum(sums.get(year, 0.0) for sums in report.areas.by_kind.values())
        if hectares:
            index = _shrunk(maps.years, FIRST_YEAR + k)
            window = Window(0, 0, *index.shape)
            image = indexed_png(index, [GREY, PAPER, colour])
            parts.append(
                figure(picture(window, image, [], f"changes of {year}", stretch=maps.stretch), f"{year}: {hectares:,.4g} ha")
            )
    return f'<div class="years">{"".join(parts)}</div>' if parts else ""


def _shrunk(years: npt.NDArray[np.uint8], code: int) -> npt.NDArray[np.uint8]:
    """The map of one year, small: a pixel that holds a changed one is changed, so that none is lost."""
    step = -(-max(years.shape) // SMALL_SIDE)
    index = np.where(years == code, np.uint8(2), np.where(years == NO_DATA, np.uint8(NO_DATA), np.uint8(STABLE)))
    rows, cols = (-(-side // step) for side in index.shape)
    padded = np.full((rows * step, cols * step), NO_DATA, np.uint8)
    padded[: index.shape[0], : index.shape[1]] = index
    blocks: npt.NDArray[np.uint8] = padded.reshape(rows, step, cols, step).max(axis=(1, 3))
    return blocks


def large_changes(report: Report) -> str:
    """The pictured changes: score, before, after."""
    if not report.largest:
        return "<p>No change was mapped.</p>"
    note = f"<p>{escaped(report.no_colours)}</p>" if report.no_colours else (
        "<p>Before and after: the embeddings as false colours, the same for all pictures; equal colours are alike ground.</p>"
    )  # fmt: skip
    parts = [_card(number, change, report.maps.stretch) for number, change in enumerate(report.largest, 1)]
    return f'{note}<div class="changes">{"".join(parts)}</div>'


def _card(number: int, change: LargeChange, stretch: float) -> str:
    facts, window = change.facts, change.window
    line = [Outline("halo", change.outlines), Outline("change", change.outlines)]
    name = f"change {facts['change_id']}"
    parts = [(f"score up to {facts['score_max']:.3g}", indexed_png(classes(change.score), palette()))]
    if change.colours is not None:
        parts += [(str(year), rgb_png(colours)) for year, colours in zip(change.years, change.colours, strict=True)]
    pictures = "".join(figure(picture(window, png, line, f"{name}: {what}", stretch=stretch), what) for what, png in parts)
    lon, lat = change.place
    return (
        f'<article class="change-card" id="change-{facts["change_id"]}"><h3>{number}. {escaped(facts["kind"])} '
        f'{facts["year_mode"]}, {facts["area_m2"] / 1e4:,.2f} ha</h3><div class="triple">{pictures}</div>'
        f"<p>effect {facts['effect_mean']:.3f}; at {lon:.5f}, {lat:.5f}; change_id {facts['change_id']}</p></article>"
    )


def tip(outlined: Outlined) -> str:
    """Facts of a polygon on one line."""
    facts = f"{outlined.hectares:,.2f} ha, effect {outlined.effect:.3f}, change_id {outlined.change_id}"
    return f"{outlined.kind} {outlined.year}: {facts}"


def _numbers(report: Report) -> str:
    """The numbers of the pictured changes beside them."""
    window, stretch = report.maps.canvas.window, report.maps.stretch
    size = max(window.height, window.width * stretch) / 36
    parts = []
    for number, change in enumerate(report.largest, 1):
        xmin, ymin, xmax, _ = change.outlines[0].bounds
        x, y = stretch * (xmin + xmax) / 2, max(ymin - size / 4, window.y0 + size)
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}" {_type(size)} text-anchor="middle">{number}</text>')
    return "".join(parts)


def _scale_bar(maps: Maps) -> str:
    """A bar of a round length, at most a quarter of the map, in its lower left corner."""
    window, stretch = maps.canvas.window, maps.stretch
    most = window.width * stretch * maps.metres / 4
    power = 10.0 ** math.floor(math.log10(most))
    metres = next(power * factor for factor in (5, 2, 1) if power * factor <= most)
    size = max(window.height, window.width * stretch) / 42
    x, y, length = window.x0 * stretch + size, window.y1 - size, metres / maps.metres
    text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    place = f'x="{x:.1f}" y="{y - size / 4:.1f}" width="{length:.1f}" height="{size / 4:.1f}"'
    bar = f'<rect class="scale" {place} stroke-width="{size / 14:.2f}"/>'
    return f'{bar}<text x="{x:.1f}" y="{y - size / 2:.1f}" {_type(size)}>{text}</text>'


def _type(size: float) -> str:
    return f'font-size="{size:.1f}" stroke-width="{size / 5:.1f}"'
