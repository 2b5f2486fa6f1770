"""What a city, a state, a country and all land take with the default detector: `python tests/benchmarks/paper_scale.py`.

Plans on the metadata of a mosaic with the public one's shape, with the unit costs and prices of `terradrift plan`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from sections.planning import write_metadata

from terradrift.cost import DEFAULT_UNITS, Prices, cost
from terradrift.estimate import estimate
from terradrift.params import params_from
from terradrift.plan_report import bytes_text
from terradrift.planning import plan_run

AREAS = {
    "Berlin": ([13.088, 52.338, 13.762, 52.676], 1.0),
    "Colorado": ([-109.061, 36.992, -102.041, 41.004], 1.0),
    "Germany": ([5.866, 47.270, 15.042, 55.058], 0.56),
    "all land": ([-180.0, -60.0, 180.0, 83.6], 0.33),
}
"""Bounds, and which share of them is inside: chunks outside an area, or without data, are not read."""


def main() -> None:
    """Print the table as Markdown."""
    print("| area | Mpx | tiles | core-hours | GETs | decompressed | written | USD to compute | USD a month to keep |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        mosaic = Path(folder) / "mosaic.zarr"
        write_metadata(mosaic)
        for name, (bounds, inside) in AREAS.items():
            plan = plan_run(params_from({"mosaic": str(mosaic), "output": f"{folder}/out", "aoi": bounds, "tile_size": 1024}))
            shape = estimate(plan)
            found = cost(plan, shape, DEFAULT_UNITS, Prices())
            mpx = plan.tile_pixels.sum() / 1e6
            print(
                f"| {name} | {mpx * inside:,.0f} | {plan.n_tiles * inside:,.0f} | {found.core_hours * inside:,.2g} "
                f"| {found.gets * inside:,.2g} | {bytes_text(shape.input_bytes * inside)} "
                f"| {bytes_text(found.bytes_written * inside)} | {found.usd * inside:,.2g} | {found.usd_month * inside:,.2g} |"
            )


if __name__ == "__main__":
    main()
