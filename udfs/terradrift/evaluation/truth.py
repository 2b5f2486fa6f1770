"""Truth on the run's grid: what every pixel truly is, when it changed, its land cover, and the site it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
import zarr

from terradrift.errors import InputError
from terradrift.evaluation.figures import TruthSummary
from terradrift.evaluation.run_rasters import RunRasters
from terradrift.evaluation.truth_file import BLIP, CHANGE, NONE, RAMP, STEP, TRUTHS, UNKNOWN, Sites, read_sites
from terradrift.grid import Window
from terradrift.params.messages import one_line
from terradrift.pixel_sets import PixelSets

__all__ = ["PERSISTENT", "TRUTHS", "UNKNOWN", "Truth", "TruthBlock", "read_truth"]

PERSISTENT = (STEP, RAMP, CHANGE)

MAX_COVERS = 60
"""With more land covers none is reported by itself."""

GRID_SLACK = 1e-3  # of a pixel


@dataclass(frozen=True)
class TruthBlock:
    """Rasters (y, x) of a window."""

    kind: npt.NDArray[np.uint8]
    """Code of TRUTHS, UNKNOWN where nothing is known."""
    year: npt.NDArray[np.int16]
    """First year of the new state; 0 = none or not known."""
    cover: npt.NDArray[np.uint8]
    """Place in `Truth.covers`; 0 = not known."""
    nuisance: npt.NDArray[np.uint8]
    """Bits of `Truth.nuisances`."""
    site: npt.NDArray[np.int32]
    """1 + place in `Truth.sites`; 0 = none."""


@dataclass(frozen=True)
class SceneRasters:
    """truth.zarr of a scene, placed on the run's mosaic."""

    group: zarr.Group
    window: Window
    """What it covers, in pixels of the mosaic."""
    years: tuple[int, ...]

    def read(self, window: Window) -> dict[str, npt.NDArray[Any]]:
        """kind, year_first, landcover and nuisance (y, x); UNKNOWN outside the scene and where a change is out of the years."""
        part = window.intersection(self.window)
        found: dict[str, npt.NDArray[Any]] = {
            name: np.zeros(window.shape, self.group[name].dtype)  # type: ignore[union-attr]
            for name in ("kind", "year_first", "year_last", "landcover", "nuisance")
        }
        if part is not None:
            for name, raster in found.items():
                raster[part.slices(window)] = self.group[name][part.slices(self.window)]  # type: ignore[index]
        kind, first, last = found["kind"], found["year_first"], found["year_last"]
        before = np.where(kind == BLIP, last < self.years[0], last <= self.years[0])
        unseen = (kind != NONE) & (before | (first > self.years[-1]))
        kind[unseen | (found["landcover"] == 0)] = UNKNOWN
        return found


@dataclass(frozen=True)
class Truth:
    """What a map is held against."""

    summary: TruthSummary
    sites: Sites
    """Changes first, stable sites last."""
    covers: tuple[str, ...]
    """Names of the land covers; the first is of those not known. Only that one where land cover is not reported."""
    nuisances: tuple[str, ...]
    rest: int
    """Code of the pixels no site speaks of: NONE or UNKNOWN."""
    rasters: SceneRasters | None

    def read(self, window: Window) -> TruthBlock:
        """Truth of a window, in pixels of the mosaic."""
        site = self.pixels.labels(window)
        if self.rasters is not None:
            found = self.rasters.read(window)
            return TruthBlock(found["kind"], found["year_first"], found["landcover"], found["nuisance"], site)
        kind = np.concatenate([[self.rest], self.sites.kind]).astype(np.uint8)[site]
        year = np.concatenate([[0], self.sites.year_first]).astype(np.int16)[site]
        cover = np.concatenate([[0], self.cover_codes]).astype(np.uint8)[site]
        return TruthBlock(kind, year, cover, np.zeros(window.shape, np.uint8), site)

    @cached_property
    def pixels(self) -> PixelSets:
        return PixelSets(self.sites.geometry)

    @property
    def persistent(self) -> npt.NDArray[np.bool_]:
        """Sites of persistent change: (site + 1), the first is none."""
        return np.concatenate([[False], np.isin(self.sites.kind, PERSISTENT)])

    @property
    def outlined(self) -> npt.NDArray[np.bool_]:
        """Sites that are polygons: (site + 1), the first is none."""
        types = shapely.get_type_id(self.sites.geometry)
        return np.concatenate([[False], np.isin(types, (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON))])

    @cached_property
    def cover_codes(self) -> npt.NDArray[np.uint8]:
        """Place of every site's land cover in `covers`: (site)."""
        code = {name: number for number, name in enumerate(self.covers) if number}
        return np.array([code.get(name, 0) for name in self.sites.cover], np.uint8)


def read_truth(path: Path, run: RunRasters, *, rest_is_stable: bool = False) -> Truth:
    """Truth of a scene (its truth.parquet, with truth.zarr where that lies beside it) or of a person's sites.

    A scene knows every pixel. Of a person's sites only the labelled pixels are evaluated where some are stable; where all are
    changes the rest is unlabelled and counted as if stable, unless `rest_is_stable` says that it is so. Raises InputError.
    """
    sites = read_sites(path, run)
    sites = sites.chosen(np.argsort(sites.kind == NONE, kind="stable"))
    notes = [*sites.notes, *_other_mosaic(path, run)]
    rasters = _scene_rasters(path.with_name("truth.zarr"), run) if sites.is_scene else None
    all_known = sites.is_scene or rest_is_stable
    if all_known:
        rest = "stable"
    elif sites.has_stable:
        rest = "left out"
        notes.append("only labelled pixels are evaluated")
    else:
        rest = "unlabelled"
        notes.append(
            "the file names changes only, so other pixels are unlabelled and counted as if stable: precision, F1, AP and AUC are "
            "lower bounds, FDR is an upper one; --rest-is-stable if all changes are in the file"
        )
    covers: tuple[str, ...] = ("",)
    nuisances: tuple[str, ...] = ()
    if rasters is not None:
        covers = ("", *_meanings(rasters.group, "landcover")[1:])
        nuisances = _meanings(rasters.group, "nuisance")
    elif rest == "left out":  # elsewhere the land cover of what did not change is not known
        names = sorted({name for name in sites.cover if name is not None})
        if len(names) <= MAX_COVERS:
            covers = ("", *names)
        else:
            notes.append(f"landcover: found {len(names)} values; with more than {MAX_COVERS} none is reported by itself")
    kinds = {name: int((sites.kind == code).sum()) for code, name in enumerate(TRUTHS)}
    summary = TruthSummary(
        file=str(path),
        rest=rest,
        n_features=len(sites.kind),
        features={name: count for name, count in kinds.items() if count},
        notes=tuple(notes),
    )
    return Truth(summary, sites, covers, nuisances, UNKNOWN if rest == "left out" else NONE, rasters)


def _scene_rasters(path: Path, run: RunRasters) -> SceneRasters | None:
    """truth.zarr on the run's grid; None where there is none. InputError where its grid is another."""
    if not path.is_dir():
        return None
    expected = "expected the truth of the scene that the run has read; give that one, or remove truth.zarr"
    try:
        group = zarr.open_group(str(path), mode="r", zarr_format=3, use_consolidated=False)
        transform: Any = group.attrs["spatial:transform"]
        a, _, c, _, e, f = (float(number) for number in transform)
        shape = tuple(group["kind"].shape)  # type: ignore[union-attr]
        crs = str(group.attrs["proj:code"])
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise InputError(f"truth: {path}: found rasters that cannot be read ({one_line(cause)}); {expected}") from cause
    own = run.grid.transform
    col, row = (c - own[2]) / own[0], (f - own[5]) / own[4]
    aligned = abs(col - round(col)) < GRID_SLACK and abs(row - round(row)) < GRID_SLACK
    same = abs(a / own[0] - 1) < 1e-9 and abs(e / own[4] - 1) < 1e-9
    if crs != run.grid.crs or not (aligned and same):
        raise InputError(f"truth: {path}: found another pixel grid than the run's; {expected}")
    window = Window(round(row) + run.window.y0, round(col) + run.window.x0, *shape)
    return SceneRasters(group, window, run.years)


def _other_mosaic(path: Path, run: RunRasters) -> list[str]:
    """A note where truth lies beside a mosaic that is not the one the run has read: scenes all cover the same ground."""
    beside, read = path.with_name("mosaic.zarr"), str(run.result.manifest["input"].get("mosaic", ""))
    if not beside.is_dir() or "://" in read or Path(read).resolve() == beside.resolve():
        return []
    return [f"the run has read {one_line(read)}, yet truth lies beside another mosaic: is it the same scene?"]


def _meanings(group: zarr.Group, name: str) -> tuple[str, ...]:
    return tuple(str(group[name].attrs["flag_meanings"]).split())
