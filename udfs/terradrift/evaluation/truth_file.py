"""Sites as they stand in a vector file: a scene's truth.parquet or what a person digitised, read column by column."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from terradrift.aoi.files import INDIRECT, MAX_BYTES, MAX_ZONES
from terradrift.errors import InputError, near_miss
from terradrift.evaluation.run_rasters import RunRasters
from terradrift.params.messages import one_line, show

TRUTHS = ("none", "step", "ramp", "blip", "change")
"""What a pixel truly is, by code: none is stable; change is persistent, its kind not known."""

UNKNOWN = 255
"""Code of a pixel that truth says nothing of."""

NONE, STEP, RAMP, BLIP, CHANGE = range(len(TRUTHS))

FORMS = "polygons or points as GeoParquet, GeoPackage, GeoJSON or Shapefile"

SCENE_COLUMNS = {"kind", "year_first", "year_last", "strength", "landcover"}
"""What only a scene's truth.parquet has together."""

LABELS, YEARS = ("changed", "label"), ("year_first", "year")

WORDS = {
    True: ("1", "1.0", "true", "t", "yes", "y", "change", "changed"),
    False: ("0", "0.0", "false", "f", "no", "n", "stable", "no change", "no_change", "nochange", "unchanged"),
}


@dataclass(frozen=True)
class Sites:
    """Labelled geometries, (site) each."""

    geometry: npt.NDArray[Any]
    """In (column, row) of the mosaic."""
    kind: npt.NDArray[np.uint8]
    """Code of TRUTHS."""
    year_first: npt.NDArray[np.int64]
    """First year of the new state; 0 = not known."""
    year_last: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    """Number of the feature in its file, from 0."""
    cover: npt.NDArray[Any]
    """Text, None where not known."""
    is_scene: bool
    has_stable: bool
    """Whether the file names stable sites of its own."""
    notes: tuple[str, ...]

    def chosen(self, which: npt.NDArray[Any]) -> Sites:
        """Some of the sites, by mask or order."""
        columns = {name: getattr(self, name)[which] for name in ("geometry", "kind", "year_first", "year_last", "row", "cover")}
        return Sites(**columns, is_scene=self.is_scene, has_stable=self.has_stable, notes=self.notes)


def read_sites(path: Path, run: RunRasters) -> Sites:
    """The labelled sites of a vector file in the run's pixels.

    Columns, any case: `year` or `year_first`, the first year of the new state; optional `year_last`, `kind` (step | ramp | blip |
    none), `changed` or `label` (0/1, change/stable), `landcover`. InputError, one line: no such file, not readable, no geometry,
    no CRS, neither polygons nor points, no year where nothing else says what changed, a value that cannot be understood, nothing
    on the run's raster.
    """
    label = f"truth: {path if str(path).isprintable() else repr(str(path))}"
    frame = _frame(path, label)
    columns = {str(name).lower(): frame[name].tolist() for name in frame.columns if name != frame.geometry.name}
    geometry, notes = _geometry(frame, label, run)
    count = len(geometry)
    first_year = next((name for name in YEARS if name in columns), None)
    labelled_by = next((name for name in LABELS if name in columns), None)
    if first_year is None and labelled_by is None and "kind" not in columns:
        raise InputError(
            f"{label}: found the columns ({one_line(', '.join(columns) or 'none', 80)}); expected `year`, the first year "
            "of the new state, or `changed` with 0 and 1; add one"
        )
    year = _years(columns.get(first_year or "", [None] * count), label, first_year or "year")
    last = np.maximum(_years(columns.get("year_last", [None] * count), label, "year_last"), year)
    kinds = [_kind(value, label, row) for row, value in enumerate(columns.get("kind", [None] * count))]
    changed = [
        _changed(value, label, labelled_by or "", row) for row, value in enumerate(columns.get(labelled_by or "", [None] * count))
    ]
    codes = np.array([_code(*row) for row in zip(kinds, changed, year > 0, strict=True)], np.uint8)
    if labelled_by is None and "kind" not in columns and (codes == UNKNOWN).any():
        row = int((codes == UNKNOWN).argmax())
        raise InputError(
            f"{label}: feature {row}: found no {first_year}; expected a year, or a column `changed` with 0 for stable sites"
        )
    covers = np.array(
        [None if _missing(value) else one_line(value, 60) for value in columns.get("landcover", [None] * count)], object
    )
    sites = Sites(
        geometry, codes, year, last, np.arange(count), covers, set(columns) >= SCENE_COLUMNS, bool((codes == NONE).any()), ()
    )
    if (unlabelled := int((codes == UNKNOWN).sum())) == count > 0:
        raise InputError(f"{label}: found no site with a label; expected a year, or 0 and 1 in `changed`; fill the column in")
    if unlabelled:
        notes.append(f"{unlabelled} of {count} sites have no label and are left out")
    return _on_raster(sites.chosen(codes != UNKNOWN), run, label, notes)


def _on_raster(sites: Sites, run: RunRasters, label: str, notes: list[str]) -> Sites:
    window = run.window
    here = shapely.intersects(sites.geometry, shapely.box(window.x0, window.y0, window.x1, window.y1))
    if not here.any() and not sites.is_scene:
        found, expected = (
            ", ".join(f"{bound:.6g}" for bound in run.to_crs(corners.reshape(2, 2)).ravel())
            for corners in (
                np.array(shapely.total_bounds(sites.geometry)),
                np.array([window.x0, window.y1, window.x1, window.y0]),
            )
        )
        raise InputError(
            f"{label}: found no site on the run's raster (corners {found}); expected some within {expected} "
            f"({run.grid.crs[:40]}); is it another region, or another CRS?"
        )
    if not here.all():
        notes.append(f"{int((~here).sum())} of {len(here)} sites lie outside the run's raster")
    first, last = run.years[0], run.years[-1]
    dated, persistent = sites.year_first > 0, np.isin(sites.kind, (STEP, RAMP, CHANGE))
    before = np.where(persistent, sites.year_last <= first, sites.year_last < first)
    unseen = dated & (sites.kind != NONE) & (before | (sites.year_first > last))
    if unseen.any():
        notes.append(
            f"{int(unseen.sum())} changes lie outside {first} to {last}, the years the run can tell apart, and are left out"
        )
    kept = here & ~unseen
    if not kept.any() and not sites.is_scene:
        raise InputError(
            f"{label}: found only changes outside the run's years {first} to {last}; expected a first year of the new state from "
            f"{first + 1} to {last}; choose another run or truth"
        )
    kept_sites = sites.chosen(kept)
    return Sites(**{**vars(kept_sites), "notes": tuple(notes)})


def _frame(path: Path, label: str) -> Any:
    if not path.exists():
        raise InputError(f"{label}: found no such file; expected {FORMS}")
    if not path.is_file():
        raise InputError(f"{label}: found a directory; expected one file: {FORMS}")
    if not 0 < path.stat().st_size <= MAX_BYTES:
        raise InputError(f"{label}: found {path.stat().st_size} bytes; expected 1 to {MAX_BYTES}: {FORMS}")
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:4] == b"PK\x03\x04":
        raise InputError(f"{label}: found an archive; expected {FORMS}; extract it")
    if any(opening in head for opening in INDIRECT):
        raise InputError(f"{label}: found a file that points to others; expected the sites themselves: {FORMS}")
    import geopandas
    import pyogrio

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GDAL's remarks on a file
            frame = geopandas.read_parquet(path) if head[:4] == b"PAR1" else pyogrio.read_dataframe(path)
    except Exception as error:  # a reader of foreign files may raise anything
        raise InputError(f"{label}: found a file that cannot be read ({one_line(error, 160)}); expected {FORMS}") from error
    name = getattr(frame, "_geometry_column_name", None)
    if name is None or name not in frame.columns:
        raise InputError(f"{label}: found a table without geometries; expected {FORMS}")
    empty_scene = set(frame.columns) >= SCENE_COLUMNS  # one in which nothing changes
    if not (len(frame) > 0 or empty_scene) or len(frame) > MAX_ZONES:
        raise InputError(f"{label}: found {len(frame)} features; expected 1 to {MAX_ZONES}")
    if frame.crs is None:
        raise InputError(
            f"{label}: found no CRS; expected one; write it into the file (ogr2ogr -a_srs EPSG:4326 OUT IN) or use GeoJSON"
        )
    return frame


def _geometry(frame: Any, label: str, run: RunRasters) -> tuple[npt.NDArray[Any], list[str]]:
    """Valid geometries in pixels of the mosaic, and what was done to them."""
    own = np.asarray(frame.geometry.to_numpy(), object)
    types = shapely.get_type_id(own)
    kind = shapely.GeometryType
    for wrong, what in (
        (shapely.is_missing(own) | shapely.is_empty(own), "no geometry"),
        (~np.isin(types, (kind.POINT, kind.MULTIPOINT, kind.POLYGON, kind.MULTIPOLYGON)), "neither polygon nor point"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            shown = what if own[row] is None or own[row].is_empty else f"a {own[row].geom_type}, {what}"
            raise InputError(f"{label}: feature {row}: found {shown}; expected a polygon or a point; remove or buffer it")
    try:
        moved = frame.geometry.to_crs(run.grid.pyproj_crs).to_numpy()
    except Exception as error:  # pyproj's errors have no common root
        raise InputError(f"{label}: found a CRS that cannot be transformed ({one_line(error)}); expected a known one") from error
    pixel = shapely.force_2d(shapely.transform(shapely.force_2d(moved), run.to_pixels))
    points, owner = shapely.get_coordinates(pixel, return_index=True)
    lost = ~np.isfinite(points).all(axis=1)
    if lost.any():
        raise InputError(
            f"{label}: feature {owner[lost.argmax()]}: found a place without coordinates in the run's CRS; remove it"
        )
    crossed = ~shapely.is_valid(pixel)
    pixel[crossed] = shapely.make_valid(pixel[crossed], method="structure", keep_collapsed=False)
    return pixel, [f"repaired {int(crossed.sum())} sites whose outlines cross"] if crossed.any() else []


def _missing(value: Any) -> bool:
    return value is None or value != value or str(value).strip() in ("", "<NA>", "NaT", "None")


def _years(values: list[Any], label: str, column: str) -> npt.NDArray[np.int64]:
    """Years of numbers, texts or dates; 0 = none."""
    years = np.zeros(len(values), np.int64)
    for row, value in enumerate(values):
        if _missing(value):
            continue
        if hasattr(value, "year"):
            years[row] = value.year
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not (number == 0 or (number.is_integer() and 1900 <= number <= 2200)):
            raise InputError(f"{label}: feature {row}: {column}: found {show(value)}; expected a year such as 2021; correct it")
        years[row] = int(number)
    return years


def _kind(value: Any, label: str, row: int) -> int | None:
    if _missing(value):
        return None
    text = str(value).strip().lower()
    if text not in (*TRUTHS, "stable"):
        known = near_miss(one_line(text, 40), (*TRUTHS, "stable"))
        raise InputError(f"{label}: feature {row}: kind: found unknown kind {show(str(value))}{known}; correct it")
    return NONE if text == "stable" else TRUTHS.index(text)


def _changed(value: Any, label: str, column: str, row: int) -> bool | None:
    if _missing(value):
        return None
    text = str(value).strip().lower()
    for changed, words in WORDS.items():
        if text in words:
            return changed
    raise InputError(f"{label}: feature {row}: {column}: found {show(value)}; expected 1 or 0, change or stable; correct it")


def _code(kind: int | None, changed: bool | None, dated: bool) -> int:
    """What a row says: its label first, then its kind, then its year."""
    if changed is not None:
        return NONE if not changed else kind if kind else CHANGE
    if kind is not None:
        return kind
    return CHANGE if dated else UNKNOWN
