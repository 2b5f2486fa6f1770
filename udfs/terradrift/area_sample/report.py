"""A sample and its estimate for a person to read."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from terradrift.area_sample.estimate import ACCURACIES, AreaEstimate
from terradrift.area_sample.estimators import Z95
from terradrift.area_sample.sample import Sample

HECTARE_M2 = 1e4


def print_sample(sample: Sample, console: Console) -> None:
    """Print the strata and what to do next."""
    table = Table("stratum", "pixels", "hectares", "to label")
    for row in sample.design.to_dict("records"):
        table.add_row(row["stratum"], f"{row['pixels']:,}", f"{row['area_m2'] / HECTARE_M2:,.1f}", str(row["sampled"]))
    console.print(table)
    for line in (
        f"sample: {sample.file} ({len(sample.draws)} pixels)",
        "fill `label` of the layer `sample` with change, stable or unsure, and `year` with the first year of the new state;",
        f"then: terradrift evaluate {sample.out} --truth {sample.file}",
    ):
        console.print(line, markup=False, soft_wrap=True, highlight=False)


def print_estimate(estimate: AreaEstimate, console: Console) -> None:
    """Print the area of change, the accuracies and the error matrix by stratum."""
    area, (low, high) = estimate.change_area_m2, (bound / HECTARE_M2 for bound in estimate.interval_m2)
    value, margin, total = (m2 / HECTARE_M2 for m2 in (area.value, Z95 * area.standard_error, estimate.total_area_m2))
    share = f"{value / total:.2%} of {total:,.1f} ha; 1.96 standard errors are {margin:,.1f} ha"
    lines = (
        f"area that changed {estimate.years[0]} to {estimate.years[1]}: {value:,.1f} ha, "
        f"95 % interval {low:,.1f} to {high:,.1f} ha ({share})",
        f"mapped as change: {estimate.mapped_area_m2 / HECTARE_M2:,.1f} ha (run {estimate.run_id})",
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True, highlight=False)
    table = Table("accuracy", "estimate", "standard error", "95 % +-")
    for name, found in estimate.accuracies.items():
        numbers = ("", "", "") if found is None else (found.value, found.standard_error, Z95 * found.standard_error)
        table.add_row(ACCURACIES[name], *(number if isinstance(number, str) else f"{number:.3f}" for number in numbers))
    console.print(table)
    names = ("change", "stable", "unsure", "unlabelled")
    table = Table("stratum", "hectares", "drawn", *names)
    for row in estimate.matrix:
        counts = [str(row[name]) for name in ("sampled", *names)]
        table.add_row(row["stratum"], f"{row['area_m2'] / HECTARE_M2:,.1f}", *counts)
    console.print(table)
    for note in estimate.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True, highlight=False)
