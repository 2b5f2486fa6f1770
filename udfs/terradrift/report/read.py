"""All that the page shows, read from the run's own files; nothing is computed again and Spark is not asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from terradrift.report.largest import LargeChange, read_largest
from terradrift.report.maps import Maps, draw_maps
from terradrift.report.tables import Areas, Gaps, Tiles, add_areas, area_of_interest, read_gaps, read_thresholds, read_tiles
from terradrift.results import RunResult


@dataclass(frozen=True)
class Report:
    """What the sections of the page are made of."""

    run: RunResult
    areas: Areas
    maps: Maps
    largest: list[LargeChange]
    facts: list[dict[str, Any]]
    """Of all changes in the table of the largest."""
    no_colours: str
    """Why the embeddings are not shown; empty where they are."""
    gaps: Gaps
    tiles: Tiles
    hectares: float
    """Of the area of interest."""
    thresholds: list[dict[str, Any]]
    """Rows of the table thresholds."""

    @property
    def false_rate(self) -> float | None:
        """Expected share of false area of what is mapped; None where the detector is not calibrated."""
        mapped, false = (sum(row[name] or 0 for row in self.thresholds) for name in ("mapped_area_m2", "expected_false_area_m2"))
        calibrated = any(row["expected_false_rate"] is not None for row in self.thresholds)
        return false / mapped if calibrated and mapped else None


def read_report(run: RunResult) -> Report:
    """Read what the page shows. Raises StoreError where a file of the run cannot be read."""
    largest, facts, no_colours = read_largest(run)
    return Report(
        run, add_areas(run), draw_maps(run), largest, facts, no_colours, read_gaps(run), read_tiles(run), area_of_interest(run),
        read_thresholds(run),
    )  # fmt: skip
