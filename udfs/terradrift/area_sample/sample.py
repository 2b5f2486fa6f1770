"""From the last published run to a file that a person can label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from terradrift.area_sample.design import Stratum, choose_strata
from terradrift.area_sample.draw import BLOCK, Census, Pixels, RunRasters, count_and_draw, open_rasters, pixel_hash
from terradrift.area_sample.geopackage import check_free, record_path, write_geopackage
from terradrift.errors import InputError
from terradrift.grid import AREA_UNIT_M2, Window
from terradrift.kernels.series import KINDS
from terradrift.ledger import identity
from terradrift.results import open_run

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Sample:
    """A drawn sample and where it was written."""

    out: Path
    """The run's output folder."""
    file: Path
    design: pd.DataFrame
    """stratum, mapped, pixels, area_m2, sampled, run_id, seed, year_first, year_last: one row a stratum."""
    draws: pd.DataFrame
    """sample_id, stratum, row, col, change_kind, change_year, area_m2: one row a pixel, in random order."""


def draw_sample(
    out: str | Path, size: int, seed: int = 0, file: str | Path | None = None, overwrite: bool = False, block: int = BLOCK
) -> Sample:
    """Draw `size` pixels of the last run in `out` and write them to a GeoPackage, default `OUT/sample.gpkg`.

    The same run, size and seed give the same pixels. InputError where the size cannot be, or the file holds labels.
    """
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"--seed: found {seed}, expected a whole number from 0 to {MAX_SEED}")
    if size < 1:
        raise InputError(f"--size: found {size}, expected the number of pixels to label, such as 300")
    run = open_run(out)
    path = Path(out) / "sample.gpkg" if file is None else Path(file)
    check_free(path, overwrite)
    rasters, years = open_rasters(run), run.manifest["years"]
    census = count_and_draw(rasters, size, seed, block)
    strata = choose_strata(census.pixels, size)
    key = "s" + identity(run.folder.run_id, size, seed)[:8]
    draws = _draws(rasters, census, strata, seed, key)
    design = pd.DataFrame(
        {
            "stratum": stratum.name,
            "mapped": int(stratum.mapped),
            "pixels": stratum.pixels,
            "area_m2": census.area_m2(stratum.classes),
            "sampled": stratum.sampled,
            "run_id": run.folder.run_id,
            "seed": seed,
            "year_first": years[0],
            "year_last": years[-1],
        }
        for stratum in strata
    )
    write_geopackage(record_path(Path(out), key), rasters.grid, draws, design)
    write_geopackage(path, rasters.grid, draws, design)
    return Sample(Path(out), path, design, draws)


def _draws(rasters: RunRasters, census: Census, strata: list[Stratum], seed: int, key: str) -> pd.DataFrame:
    parts: list[dict[str, Any]] = []
    for stratum in strata:
        candidates = np.concatenate([census.first[number] for number in stratum.classes], axis=1)
        for row, col in candidates[:, np.argsort(pixel_hash(candidates, seed))[: stratum.sampled]].T:
            parts.append({"stratum": stratum.name, "row": int(row), "col": int(col)})
    draws = pd.DataFrame(parts)
    pixels: Pixels = draws[["row", "col"]].to_numpy(np.int64).T
    kind, mapped = rasters.at(rasters.kind, pixels), rasters.at(rasters.changed, pixels) == 1
    draws["change_kind"] = [KINDS[k] if m and k < len(KINDS) else None for k, m in zip(kind, mapped, strict=True)]
    draws["change_year"] = pd.array(np.where(mapped, rasters.at(rasters.year, pixels), 0), "Int32")
    draws.loc[~mapped, "change_year"] = pd.NA
    draws["area_m2"] = [float(rasters.grid.pixel_area(Window(int(y), int(x), 1, 1))[0, 0] * AREA_UNIT_M2) for y, x in pixels.T]
    draws = draws.iloc[np.argsort(pixel_hash(pixels, seed, "order"))].reset_index(drop=True)
    width = len(str(len(draws)))
    draws.insert(0, "sample_id", [f"{key}-{number:0{width}d}" for number in range(1, len(draws) + 1)])
    return draws
