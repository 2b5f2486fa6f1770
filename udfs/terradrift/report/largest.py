"""The largest changes, each with the ground round it: score, and the embeddings before and after as false colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.dataset as ds
import pyproj
import shapely

from terradrift.errors import TerradriftError
from terradrift.grid import Window
from terradrift.mosaic import Mosaic, open_mosaic
from terradrift.pages.pictures import frame
from terradrift.report.false_colours import Colours, false_colours
from terradrift.report.reduced import Canvas, read_reduced
from terradrift.report.tables import batches, largest_changes
from terradrift.results import RunResult

PICTURED = 9
"""Changes shown with pictures."""


@dataclass(frozen=True)
class LargeChange:
    """One of the largest."""

    facts: dict[str, Any]
    """Columns of change_polygons."""
    place: tuple[float, float]
    """Longitude and latitude of a point in it."""
    window: Window
    """What the pictures show, in pixels of the mosaic."""
    score: npt.NDArray[np.float32]
    """(y, x), NaN = no data."""
    outlines: Sequence[Any]
    """In (column, row) of the mosaic."""
    years: tuple[int, int]
    """Before and after."""
    colours: tuple[Colours, Colours] | None
    """Of both years; None where the mosaic was not read."""


def read_largest(run: RunResult) -> tuple[list[LargeChange], list[dict[str, Any]], str]:
    """The PICTURED largest with their pictures, the facts of all that the table shows, and why there are no colours."""
    facts = largest_changes(run)
    shapes = _outlines(run, [row["change_id"] for row in facts])
    windows = [frame(shapely.union_all(shapes[row["change_id"]]), run.window) for row in facts[:PICTURED]]
    years = [_before_and_after(run, row) for row in facts[:PICTURED]]
    why = ""
    colours: Sequence[tuple[Colours, Colours] | None] = [None] * len(windows)
    try:
        colours = false_colours(_same_mosaic(run), windows, years)
    except TerradriftError as cause:
        why = f"The embeddings before and after are not shown: {cause}"
    found = []
    for row, window, pair, picture in zip(facts, windows, years, colours, strict=False):
        outlines = shapes[row["change_id"]]
        score = read_reduced(f"{run.folder.scores_url}/scores.zarr", "change_score", run.window, Canvas(window, 1))
        found.append(LargeChange(row, _place(run, outlines[0]), window, score, outlines, pair, picture))
    for row in facts:
        row["lon"], row["lat"] = _place(run, shapes[row["change_id"]][0])
    return found, facts, why


def _outlines(run: RunResult, whole_ids: list[int]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {whole: [] for whole in whole_ids}
    wanted = ds.field("whole_id").isin(whole_ids)
    for batch in batches(run.folder.records, "tables/raw_polygons", ("whole_id", "geometry"), wanted):
        for row in batch.to_pylist():
            found[row["whole_id"]].append(shapely.from_wkb(row["geometry"]))
    return found


def _place(run: RunResult, geometry: Any) -> tuple[float, float]:
    col, row = shapely.get_coordinates(shapely.point_on_surface(geometry))[0]
    to_degrees = pyproj.Transformer.from_crs(run.grid.pyproj_crs, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(run.grid.x(col), run.grid.y(row))
    return float(lon), float(lat)


def _before_and_after(run: RunResult, row: dict[str, Any]) -> tuple[int, int]:
    """The year before the first change of the polygon's pixels and the year of the last; what a bi-temporal run compares."""
    years = [int(year) for year in run.manifest["years"]]
    if run.manifest["parameters"]["change"]["detector"] == "bitemporal":
        return years[0], years[-1]
    first = years.index(row["year_first"]) if row["year_first"] in years else 1
    return years[max(0, first - 1)], row["year_last"] if row["year_last"] in years else years[-1]


def _same_mosaic(run: RunResult) -> Mosaic:
    """The mosaic that the run has read. Raises InputError or StoreError where it is not there, or is another one by now."""
    parameters, source = run.manifest["parameters"], run.manifest["input"]
    mosaic = open_mosaic(
        parameters["mosaic"],
        parameters["variable"],
        parameters["quantization"],
        parameters.get("forbidden_means_missing", False),
    )
    if mosaic.metadata_sha256 != source["metadata_sha256"]:
        raise TerradriftError(f"{mosaic.url} is not what the run has read: its metadata have changed")
    return mosaic
