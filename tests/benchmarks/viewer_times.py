"""How soon the page draws: `python tests/benchmarks/viewer_times.py [--size 2048]`.

A run of so many pixels a side, nine years and two annual bands, served to this machine's Chromium without a graphics card.
Wall seconds, the median of five, each in a context of its own: nothing is cached.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "viewer"))

from driver import DESKTOP, Viewer, serving
from playwright.sync_api import sync_playwright
from small_run import GRID, MANIFEST, RUN_ID, SCORE_ID, change_polygons, rasters, write_changes

from conftest import CHROMIUM
from terradrift.grid import Grid, Window
from terradrift.kernels.score_block import Recipe
from terradrift.ledger import RunFolder
from terradrift.overviews import passes, write_overviews
from terradrift.score_store import CHANGED, raster_store, score_arrays
from terradrift.serve.app import viewer_app
from terradrift.serve.site import find_site

YEARS = tuple(range(2017, 2026))
RECIPE = Recipe("cosine", ("difference", "loo_medoid"), True, "trajectory", YEARS)
TIMES = 5


def write_large_run(out: Path, size: int) -> None:
    """Noise with some large values, in tiles of 1024, with overviews."""
    grid, window = Grid(GRID.crs, GRID.transform, size, size), Window(0, 0, size, size)
    folder = RunFolder(out, SCORE_ID, RUN_ID)
    scores = [array for array in score_arrays(RECIPE) if array.name != "stratum"]
    rng = np.random.default_rng(0)
    for url, arrays in ((f"{folder.scores_url}/scores.zarr", scores), (f"{folder.url}/change.zarr", [CHANGED])):
        store = raster_store(url, grid, window, min(size, 1024))
        store.create(arrays, YEARS, RECIPE.bands)
        for row in range(-(-size // 1024)):
            for col in range(-(-size // 1024)):
                tile = store.tile(row, col)
                values = noise(rng, tile.window.shape)
                store.write_tile(tile, {array.name: values[array.name] for array in arrays})
        for made in passes(store):
            list(write_overviews(store, arrays, made, 0, 0))  # it writes as it counts
    changes = change_polygons(rasters())
    write_changes(changes, folder.maps / "changes.pmtiles")
    told = {"years": list(YEARS), "bands": list(RECIPE.bands), "summary": {"polygons": len(changes)}, "window": asdict(window)}
    folder.publish({**MANIFEST, **told})


def noise(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Rasters of one tile."""
    score = rng.gamma(2.0, 3.0, shape).astype(np.float32)
    return {
        "scores": rng.gamma(2.0, 1.0, (len(YEARS), 2, *shape)).astype(np.float32),
        "change_score": score,
        "change_effect": score / 50,
        "change_year": np.full(shape, 2020, np.int16),
        "change_kind": np.full(shape, 1, np.uint8),
        "changed": (rng.random(shape) < 0.1).astype(np.uint8),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=2048, help="pixels a side, a multiple of 1024")
    size = parser.parse_args().size
    first, year, again = [], [], []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_large_run(Path(folder), size)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=["--no-sandbox"])
        with serving(viewer_app(find_site(Path(folder)))) as url:
            for _ in range(TIMES):
                context = browser.new_context(viewport=DESKTOP)
                viewer = Viewer(context.new_page(), url)
                begun = time.perf_counter()
                viewer.open()
                first.append(time.perf_counter() - begun)
                slider = viewer.page.get_by_role("slider", name="Year", exact=True)
                for times, value in ((None, 2021), (year, 2022), (again, 2021)):
                    begun = time.perf_counter()
                    slider.fill(str(value))
                    viewer.wait()
                    if times is not None:
                        times.append(time.perf_counter() - begun)
                context.close()
        browser.close()
    load = os.getloadavg()[0]
    for name, times in (("first picture", first), ("a year not seen before", year), ("back to a year", again)):
        print(f"{name}: {statistics.median(times):.2f} s (of {', '.join(f'{t:.2f}' for t in sorted(times))})")
    print(f"{size} x {size} pixels, {os.cpu_count()} cores, load {load:.1f}")


if __name__ == "__main__":
    main()
