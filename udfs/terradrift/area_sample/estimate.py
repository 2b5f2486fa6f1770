"""From labels to the area that truly changed, and to how far the map can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from terradrift.area_sample.design import MAPPED, N_CLASSES
from terradrift.area_sample.draw import count_and_draw, open_rasters
from terradrift.area_sample.estimators import Z95, Estimate, Floats, StratifiedSample
from terradrift.area_sample.geopackage import read_design
from terradrift.area_sample.labels import LABELS, Label, Row, read_labels, read_rows
from terradrift.errors import InputError
from terradrift.results import RunResult, open_run

ACCURACIES = {
    "overall": "overall accuracy",
    "users_change": "user's accuracy of change (of what is mapped, changed)",
    "producers_change": "producer's accuracy of change (of what changed, mapped)",
    "users_stable": "user's accuracy of no change",
    "producers_stable": "producer's accuracy of no change",
    "year_within_1": "year within 1 of the labelled one (where mapped and changed)",
}


@dataclass(frozen=True)
class AreaEstimate:
    """What a labelled sample says of the land and of the map."""

    run_id: str
    """The run whose map is judged."""
    years: tuple[int, int]
    total_area_m2: float
    mapped_area_m2: float
    change_area_m2: Estimate
    interval_m2: tuple[float, float]
    """95 % confidence interval of the area of change; honest also where hardly an omission was met, unlike +- 1.96 errors."""
    accuracies: Mapping[str, Estimate | None]
    """By the keys of ACCURACIES; None where no labelled pixel speaks of it."""
    matrix: Sequence[Mapping[str, Any]]
    """One row a stratum: stratum, mapped, pixels, area_m2, sampled, and the number of each label and of none."""
    notes: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        area, (low, high) = self.change_area_m2, self.interval_m2
        spread = {"standard_error": area.standard_error, "margin": Z95 * area.standard_error}
        return {
            "run_id": self.run_id,
            "years": list(self.years),
            "total_area_m2": self.total_area_m2,
            "mapped_area_m2": self.mapped_area_m2,
            "change_area_m2": {"value": area.value, **spread, "low": low, "high": high},
            "change_share": area.value / self.total_area_m2,
            "accuracy": {name: None if found is None else _as_dict(found) for name, found in self.accuracies.items()},
            "strata": [dict(row) for row in self.matrix],
            "notes": list(self.notes),
        }


def estimate_area(labels: str | Path, out: str | Path) -> AreaEstimate:
    """The area of change by a labelled sample of a run in `out`, and the accuracy of its last run's map.

    Pixels labelled unsure and pixels without a label are left out and counted. Raises InputError where the labels cannot
    be used, or a stratum has fewer than two.
    """
    path, run = Path(labels), open_run(out)
    rows = read_rows(path)
    design, draws = read_design(path, Path(out), str(rows[0].get("sample_id") or "").strip())
    years = int(design[0]["year_first"]), int(design[0]["year_last"])
    found = read_labels(rows, path, years)
    known = {str(draw["sample_id"]) for draw in draws}
    strangers = [name for row in rows if (name := str(row.get("sample_id") or "").strip()) not in known]
    if strangers:
        raise InputError(f"{path}: found sample_id {strangers[0][:40]!r}, which is not of this sample, expected its {len(known)}")
    matrix = _matrix(design, draws, found, path)
    used = [draw for draw in draws if _is_used(found.get(str(draw["sample_id"])))]
    same = design[0]["run_id"] == run.folder.run_id
    mapped, year, mapped_area = _own_map(design, used) if same else _other_map(run, design, used, path)
    number = {row["stratum"]: position for position, row in enumerate(matrix)}
    sample = StratifiedSample(
        area=np.array([row["area_m2"] for row in matrix], np.float64),
        pixels=np.array([row["pixels"] for row in matrix], np.float64),
        stratum=np.array([number[draw["stratum"]] for draw in used], np.int64),
        weight=np.array([draw["area_m2"] for draw in used], np.float64),
    )
    changed = np.array([found[str(draw["sample_id"])].label == "change" for draw in used])
    labelled_year = np.array([found[str(draw["sample_id"])].year or 0 for draw in used])
    dated = mapped & changed & (labelled_year > 0) & (year > 0)
    accuracies = {
        "overall": sample.total((mapped == changed).astype(float)),
        "users_change": sample.ratio(_ones(mapped & changed), _ones(mapped)),
        "producers_change": sample.ratio(_ones(mapped & changed), _ones(changed)),
        "users_stable": sample.ratio(_ones(~mapped & ~changed), _ones(~mapped)),
        "producers_stable": sample.ratio(_ones(~mapped & ~changed), _ones(~changed)),
        "year_within_1": sample.ratio(_ones(dated & (abs(labelled_year - year) <= 1)), _ones(dated)),
    }
    total = float(sample.area.sum())
    overall = accuracies["overall"]
    assert overall is not None
    accuracies["overall"] = Estimate(overall.value / total, overall.standard_error / total)
    return AreaEstimate(
        run_id=run.folder.run_id,
        years=years,
        total_area_m2=total,
        mapped_area_m2=mapped_area,
        change_area_m2=sample.total(_ones(changed)),
        interval_m2=sample.interval(_ones(changed)),
        accuracies=accuracies,
        matrix=matrix,
        notes=_notes(matrix, str(design[0]["run_id"]), run.folder.run_id),
    )


def _matrix(design: list[Row], draws: list[Row], found: Mapping[str, Label], path: Path) -> list[dict[str, Any]]:
    counts: dict[str, Counter[str]] = {str(row["stratum"]): Counter() for row in design}
    for draw in draws:
        label = found.get(str(draw["sample_id"]))
        counts[str(draw["stratum"])]["unlabelled" if label is None else label.label] += 1
    matrix = []
    for row in design:
        count = counts[str(row["stratum"])]
        n, pixels = count["change"] + count["stable"], int(row["pixels"])
        if n < min(2, pixels):
            raise InputError(
                f"{path}: stratum {row['stratum']!r}: found {n} pixel{'s' * (n != 1)} labelled change or stable, expected 2 or "
                f"more of the {int(row['sampled'])} drawn; label more"
            )
        sizes = {"pixels": pixels, "area_m2": float(row["area_m2"]), "sampled": int(row["sampled"])}
        numbers = {name: count[name] for name in (*LABELS, "unlabelled")}
        matrix.append({"stratum": str(row["stratum"]), "mapped": bool(row["mapped"]), **sizes, **numbers})
    return matrix


def _own_map(design: list[Row], used: list[Row]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], float]:
    """Mapped or not and year of the labelled pixels, and the mapped area, of the run that the sample was drawn from."""
    by_stratum = {row["stratum"]: bool(row["mapped"]) for row in design}
    mapped = np.array([by_stratum[draw["stratum"]] for draw in used])
    year = np.array([int(draw["change_year"] or 0) for draw in used], np.int64)
    return mapped, year, float(sum(row["area_m2"] for row in design if row["mapped"]))


def _other_map(
    run: RunResult, design: list[Row], used: list[Row], path: Path
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], float]:
    """The same of a later run over the same ground: the strata stay those of the design, the map's classes are its own."""
    rasters = open_rasters(run)
    census = count_and_draw(rasters, 1, 0)
    area, pixels = census.area_m2(range(N_CLASSES)), sum(census.pixels)
    own_area, own_pixels = sum(row["area_m2"] for row in design), sum(row["pixels"] for row in design)
    at = np.array([(draw["row"], draw["col"]) for draw in used], np.int64).T
    window = rasters.window
    inside = (at[0] >= window.y0) & (at[0] < window.y1) & (at[1] >= window.x0) & (at[1] < window.x1)
    changed = rasters.at(rasters.changed, at) if inside.all() else np.full(at.shape[1], 255)
    if pixels != own_pixels or not np.isclose(area, own_area, rtol=1e-9) or (changed > 1).any():
        raise InputError(
            f"{path}: the sample was drawn from run {design[0]['run_id']} with {own_pixels} scored pixels, found {pixels} or "
            f"others in the last run {run.folder.run_id}, expected the same area and years; draw a sample of it"
        )
    mapped = changed == 1
    year = np.where(mapped, rasters.at(rasters.year, at), 0).astype(np.int64)
    return mapped, year, census.area_m2(range(MAPPED, N_CLASSES))


def _notes(matrix: list[dict[str, Any]], drawn_from: str, judged: str) -> list[str]:
    notes = []
    if drawn_from != judged:
        notes.append(f"the sample was drawn from run {drawn_from}; the map judged here is run {judged}, over the same ground")
    out = {name: sum(row[name] for row in matrix) for name in ("unsure", "unlabelled")}
    if any(out.values()):
        notes.append(
            f"left out: {out['unsure']} unsure and {out['unlabelled']} without label; the estimate holds if they are like the "
            "labelled ones of their stratum"
        )
    for row in matrix:
        n = row["change"] + row["stable"]
        share = 1 - 0.05 ** (1 / max(n, 1))  # as much of what was not met leaves n pixels without it once in twenty samples
        if n == row["pixels"]:
            continue
        if not row["mapped"] and row["change"] == 0:
            notes.append(
                f"{row['stratum']}: none of {n} labelled pixels changed, which up to {share * row['area_m2'] / 1e4:,.1f} ha of "
                "change there would allow; the interval does too; more labels there narrow it most"
            )
        if row["mapped"] and row["stable"] == 0:
            notes.append(f"{row['stratum']}: none of {n} labelled pixels was wrong, which up to {share:.1%} wrong would allow")
    return notes


def _is_used(label: Label | None) -> bool:
    return label is not None and label.label != "unsure"


def _ones(which: npt.NDArray[np.bool_]) -> Floats:
    return which.astype(np.float64)


def _as_dict(found: Estimate) -> dict[str, float]:
    margin = Z95 * found.standard_error
    return {"value": found.value, "standard_error": found.standard_error, "margin": margin}
