"""What a person reads at the end of a run."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from terradrift.spark.detect_changes import STAGES
from terradrift.spark.summary import print_summary
from terradrift.stage_names import STAGE_NAMES

MANIFEST: dict[str, Any] = {
    "counts": {"tiles": {"done": 4}, "pixels_scored": 1000, "fdr": None, "threshold": 0.2},
    "summary": {
        "polygons": 1,
        "by_year": [[2020, 1, 2.5]],
        "largest": [
            {
                "change_id": 7,
                "year_mode": 2020,
                "kind": "unconfirmed",
                "area_m2": 25_000.0,
                "effect_mean": 0.3,
                "lon": 1.0,
                "lat": 2.0,
            }
        ],
    },
    "seconds": dict.fromkeys(sorted(STAGE_NAMES), 1.0),
    "warnings": [],
    "parameters": {"change": {"kinds": None}},
}


def said(manifest: dict[str, Any], folder: Any) -> str:
    out = io.StringIO()
    print_summary(manifest, str(folder), Console(file=out, width=120), {"plan": 0.5})
    return out.getvalue()


def test_names_of_stages_are_in_step() -> None:
    assert tuple(STAGES) == STAGE_NAMES


@pytest.mark.parametrize("kinds", [None, ["step", "unconfirmed"]])
def test_kinds_are_shown_where_there_are_some(tmp_path: Any, kinds: list[str] | None) -> None:
    text = said(MANIFEST | {"parameters": {"change": {"kinds": kinds}}}, tmp_path / "out" / "runs" / "1")
    assert ("unconfirmed" in text) == (kinds is not None)
    assert "2.50" in text


def test_seconds_are_in_the_order_of_the_stages(tmp_path: Any) -> None:
    text = said(MANIFEST, tmp_path / "out" / "runs" / "1")
    (line,) = (line for line in text.splitlines() if "score_tiles" in line)
    assert [part.split()[0] for part in line.split(": ", 1)[1].split(", ")] == ["plan", *STAGE_NAMES]
    assert f"map: terradrift serve {tmp_path / 'out'}\nreport: terradrift report {tmp_path / 'out'}" in text
