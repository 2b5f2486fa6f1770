"""The stages of a run in their order: run.json, like every JSON we write, sorts them by name."""

from __future__ import annotations

from collections.abc import Mapping

STAGE_NAMES = ("score_tiles", "polygonize_changes", "refine_polygons", "build_overviews", "export_maps")


def in_order(seconds: Mapping[str, float | None]) -> dict[str, float]:
    """Seconds by stage, in the order of the stages; what is none of them comes first, as it was given."""
    others = [name for name in seconds if name not in STAGE_NAMES]
    return {name: seconds[name] or 0.0 for name in (*others, *STAGE_NAMES) if name in seconds}
