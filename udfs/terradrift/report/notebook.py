"""A run's map in a notebook: one self-contained frame, shown by `run.map()` in the last line of a cell."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from terradrift.maps.preview import classes, palette
from terradrift.pages.charts import legend
from terradrift.pages.html import document, escaped
from terradrift.pages.pictures import Outline, indexed_png, picture
from terradrift.report.maps import Maps, draw_maps, year_colours
from terradrift.report.pictures import tip

if TYPE_CHECKING:
    from terradrift.results import RunResult

HEIGHT = 600
"""Of the frame, in pixels of the screen."""

STYLE = """
body{padding:0;max-width:none;background:transparent}.legend{margin:4px 0}
.picture{height:520px;touch-action:none;cursor:grab;background:#ebebeb}.picture path{stroke-width:1.6;pointer-events:all}
.picture path:hover{stroke-width:3.5}label{display:flex;gap:10px;align-items:center;font-size:.9rem}input{flex:0 1 320px}
"""


@dataclass(frozen=True)
class RunMap:
    """What a notebook shows: it needs no network and no server."""

    run: RunResult

    @cached_property
    def page(self) -> str:
        """A whole HTML page."""
        maps, years = draw_maps(self.run), [int(year) for year in self.run.manifest["years"]]
        colours = {year: _light(colour) for year, colour in zip(years, year_colours(len(years)), strict=True)}
        found = sorted({outlined.year for outlined in maps.outlines})
        style = STYLE + "".join(f".picture .y{year}{{stroke:{colours[year]}}}" for year in found if year in colours)
        slider = (
            f'<label>Year <input type="range" min="{years[0]}" max="{years[-1]}" value="{years[0]}" aria-label="Year">'
            f"<output>all years</output></label>"
        )
        keys = legend({str(year): colours[year] for year in found if year in colours})
        script = resources.files("terradrift.report").joinpath("map.js").read_text("utf-8")
        return document(f"Run {self.run.folder.run_id}", [_picture(maps), slider, keys], style, script)

    def save(self, path: str | Path) -> None:
        """Write the page as a file."""
        Path(path).write_text(self.page, "utf-8")

    def _repr_html_(self) -> str:
        frame = f'srcdoc="{html.escape(self.page, quote=True)}" sandbox="allow-scripts" width="100%" height="{HEIGHT}"'
        return f'<iframe {frame} frameborder="0" title="{escaped(f"Map of run {self.run.folder.run_id}")}"></iframe>'


def _light(colour: tuple[int, int, int]) -> str:
    """A colour that is seen on the dark ground of the score."""
    red, green, blue = (round(0.65 * channel + 0.35 * 255) for channel in colour)
    return f"rgb({red},{green},{blue})"


def _picture(maps: Maps) -> str:
    outlines = [Outline(f"change y{outlined.year}", [outlined.geometry], tip(outlined)) for outlined in maps.outlines]
    png = indexed_png(classes(maps.score), palette())
    return picture(maps.canvas.window, png, outlines, "change score and outlines by year", stretch=maps.stretch)
