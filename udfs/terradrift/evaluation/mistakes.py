"""The worst mistakes of a map, each with a small piece of the score raster and the outlines of truth and map over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from terradrift.evaluation.figures import Mistake
from terradrift.evaluation.polygons import Matches, Overlaps
from terradrift.evaluation.run_rasters import RunRasters
from terradrift.evaluation.truth import TRUTHS, Truth
from terradrift.pages.pictures import frame

SHOWN = 6
"""Of each sort."""

MATCHED = 0.3
"""IoU from which a polygon is no mistake."""


def worst_mistakes(run: RunRasters, truth: Truth, overlaps: Overlaps, matches: Matches) -> tuple[Mistake, ...]:
    """The largest false polygons (where truth says what is stable), then the largest missed changes."""
    matched = matches.at_least(MATCHED)
    false, missed = overlaps.polygon_false.copy(), np.where(truth.persistent, overlaps.site - overlaps.site_mapped, 0)
    false[0] = 0
    false[matched.mapped], missed[matched.truth] = 0, 0
    if truth.summary.rest == "unlabelled":
        false[:] = 0
    outlines = run.polygons.geometry, truth.sites.geometry[truth.persistent[1:]]
    trees = tuple(shapely.STRtree(part) for part in outlines)

    def picture(geometry: Any) -> dict[str, Any]:
        window = frame(geometry, run.window)
        box = shapely.box(window.x0, window.y0, window.x1, window.y1)
        mapped, true = (tuple(part[tree.query(box)]) for part, tree in zip(outlines, trees, strict=True))
        place = run.to_crs(shapely.get_coordinates(shapely.point_on_surface(geometry)))[0]
        score = run.read(window).score
        return {"place": (float(place[0]), float(place[1])), "window": window, "score": score, "truth": true, "mapped": mapped}

    def false_polygon(number: int) -> Mistake:
        polygons, at = run.polygons, number - 1
        return Mistake(
            what="false",
            pixels=int(false[number]),
            name=str(polygons.change_id[at]),
            kind=str(polygons.kind[at]),
            year=int(polygons.year[at]),
            score_max=float(polygons.score[at]),
            **picture(polygons.geometry[at]),
        )

    def missed_change(number: int) -> Mistake:
        sites, at = truth.sites, number - 1
        return Mistake(
            what="missed",
            pixels=int(missed[number]),
            name=str(sites.row[at]),
            kind=TRUTHS[sites.kind[at]],
            year=int(sites.year_first[at]),
            score_max=None,
            **picture(sites.geometry[at]),
        )

    return (*map(false_polygon, _largest(false)), *map(missed_change, _largest(missed)))


def _largest(pixels: npt.NDArray[np.int64]) -> Sequence[int]:
    order = np.argsort(-pixels, kind="stable")[:SHOWN]
    return [int(at) for at in order if pixels[at] > 0]
