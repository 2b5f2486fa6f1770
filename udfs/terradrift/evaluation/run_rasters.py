"""The rasters of a finished run by blocks of whole rows, and its polygons in pixel coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
import zarr

from terradrift.errors import StoreError
from terradrift.grid import Grid, Window
from terradrift.kernels.ragged import runs
from terradrift.pixel_sets import PixelSets
from terradrift.results import RunResult

BLOCK_PIXELS = 1 << 22
"""Pixels read at a time, but at least one row of chunks: some 40 bytes each are held."""


@dataclass(frozen=True)
class MapBlock:
    """Whole rows of the run's raster, (y, x) each."""

    window: Window
    """In pixels of the mosaic."""
    inside: npt.NDArray[np.bool_]
    """In the area of interest."""
    score: npt.NDArray[np.float32]
    """NaN = not scored."""
    scored: npt.NDArray[np.bool_]
    mapped: npt.NDArray[np.bool_]
    year: npt.NDArray[np.int16]
    kind: npt.NDArray[np.uint8]
    q: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class MapPolygons:
    """The run's polygons in pixel coordinates of the mosaic; small ones first, so that one in a filled hole keeps its pixels."""

    change_id: npt.NDArray[np.int64]
    """Of the whole, where a giant comes in pieces."""
    kind: npt.NDArray[Any]
    year: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    geometry: npt.NDArray[Any]

    @cached_property
    def pixels(self) -> PixelSets:
        return PixelSets(self.geometry)


@dataclass(frozen=True)
class RunRasters:
    """A finished run as an evaluation reads it."""

    result: RunResult

    @cached_property
    def window(self) -> Window:
        """The raster, in pixels of the mosaic."""
        return Window(**self.result.manifest["window"])

    @cached_property
    def years(self) -> tuple[int, ...]:
        return tuple(int(year) for year in self.result.manifest["years"])

    @cached_property
    def grid(self) -> Grid:
        """The raster's own grid: its pixel (0, 0) is pixel (window.y0, window.x0) of the mosaic."""
        transform: Any = _group(self.result.zarr("scores")).attrs["spatial:transform"]
        a, b, c, d, e, f = (float(number) for number in transform)
        return Grid(str(self.result.manifest["input"]["crs"]), (a, b, c, d, e, f), *self.window.shape)

    def to_pixels(self, xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """CRS coordinates (point, 2) as (column, row) of the mosaic."""
        a, _, c, _, e, f = self.grid.transform
        return (xy - (c, f)) / (a, e) + (self.window.x0, self.window.y0)

    def to_crs(self, pixel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(column, row) of the mosaic (point, 2) as CRS coordinates."""
        a, _, c, _, e, f = self.grid.transform
        return (pixel - (self.window.x0, self.window.y0)) * (a, e) + (c, f)

    @cached_property
    def has_q(self) -> bool:
        return "q" in self._decision

    def blocks(self) -> Iterator[MapBlock]:
        """All rows, top to bottom."""
        width, chunk = self.window.width, int(self._score("score").chunks[0])
        rows = chunk * max(1, BLOCK_PIXELS // (width * chunk))
        for y in range(0, self.window.height, rows):
            height = min(rows, self.window.height - y)
            yield self.read(Window(self.window.y0 + y, self.window.x0, height, width))

    def read(self, window: Window) -> MapBlock:
        """A window of the raster, in pixels of the mosaic."""
        at = window.slices(self.window)
        score: npt.NDArray[np.float32] = np.asarray(self._score("score")[at], np.float32)
        scored = np.isfinite(score)
        return MapBlock(
            window=window,
            inside=scored | self._zones.covered(window),
            score=score,
            scored=scored,
            mapped=self._decided("changed", at) == 1,
            year=np.asarray(self._score("year")[at]),
            kind=np.asarray(self._score("kind")[at]),
            q=self._decided("q", at) if self.has_q else None,
        )

    @cached_property
    def polygons(self) -> MapPolygons:
        """The table raw_polygons, the pieces of a giant as the one polygon that they are; held in memory as a whole."""
        columns = ["whole_id", "kind", "year_mode", "score_max", "n_pixels", "geometry"]
        table = self.result.table("raw_polygons", columns)
        column = {name: table.sort_by("whole_id")[name].to_numpy() for name in columns}
        pieces = runs(column["whole_id"])
        n_pixels = np.add.reduceat(column["n_pixels"], pieces[:-1])
        geometry = _joined(shapely.from_wkb(column["geometry"]), pieces)
        order = np.argsort(n_pixels, kind="stable")
        whole_id, kind, year, score = (column[name][pieces[:-1]][order] for name in columns[:4])
        return MapPolygons(whole_id, kind, year, score, geometry[order])

    @cached_property
    def _zones(self) -> PixelSets:
        zones = self.result.zones.to_crs(self.grid.pyproj_crs)
        return PixelSets(shapely.transform(zones.geometry.to_numpy(), self.to_pixels))

    @cached_property
    def _decision(self) -> zarr.Group:
        return _group(self.result.zarr("change"), "0")

    def _decided(self, name: str, at: tuple[slice, slice]) -> npt.NDArray[Any]:
        array: Any = self._decision[name]
        return np.asarray(array[at])

    def _score(self, name: str) -> Any:
        return self._scores[f"change_{name}"]

    @cached_property
    def _scores(self) -> zarr.Group:
        return _group(self.result.zarr("scores"), "0")


def _joined(geometry: npt.NDArray[Any], pieces: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """One geometry a run of `pieces` (whole + 1): all of its polygons in one MultiPolygon where there are several pieces."""
    joined = geometry[pieces[:-1]].copy()
    for whole in np.flatnonzero(np.diff(pieces) > 1):
        joined[whole] = shapely.multipolygons(shapely.get_parts(geometry[pieces[whole] : pieces[whole + 1]]))
    return joined


def _group(store: Any, path: str = "") -> zarr.Group:
    try:
        return zarr.open_group(store, path=path, mode="r", zarr_format=3, use_consolidated=False)
    except (OSError, ValueError, KeyError) as cause:
        raise StoreError(f"cannot read {store}: {cause}; expected the raster of a finished run; run it again") from cause
