"""Counting and calibrating tile by tile equals plain loops over the whole raster, for every tiling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from terradrift.calibration import (
    Calibration,
    Candidates,
    Counts,
    calibrate,
    count_all,
    count_competition,
    strata_groups,
    tail_factors,
)
from terradrift.grid import Grid, Tile, Window
from terradrift.kernels import calibrate as kernel
from terradrift.kernels.calibrate import BINS, bins_of, q_values, tail_factor
from terradrift.kernels.quantize import quantize
from terradrift.kernels.score_block import Recipe, score_pixels
from terradrift.kernels.series import KINDS
from terradrift.kernels.strata import MAX_STRATA, STRATUM_NODATA, Strata
from terradrift.kernels.templates import DECOYS
from terradrift.score_store import DECOY_ARRAYS, RasterStore, raster_store, score_arrays

STEP = 8
HEIGHT, WIDTH = 150, 132
"""Neither a multiple of a tile nor of the lattice: the last lattice row has points in it, the last column has not."""

STRATA = 5
RECIPE = Recipe("cosine", (), False, "trajectory", tuple(range(2017, 2026)), STEP)
GRID = Grid("EPSG:32613", (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_500_000.0), HEIGHT, WIDTH)
WANTED = Candidates(0.05, ("step", "ramp", "unconfirmed"))
FACTOR = np.array([1.0, 1.1, 0.8, 1.25, 1.0])

COUNTED = ("target", "decoy", "area", "won")

Rasters = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def whole() -> tuple[Rasters, Rasters]:
    """Scores and decoys of the whole array, some pixels without data, one stratum small, one absent."""
    rng = np.random.default_rng(1)
    shape, points = (HEIGHT, WIDTH), (DECOYS, -(-HEIGHT // STEP), -(-WIDTH // STEP))
    nodata = rng.random(shape) < 0.1
    scores: Rasters = {
        "change_score": np.exp(rng.normal(1, 1.0, shape)).astype(np.float32),
        "change_effect": rng.normal(0.06, 0.05, shape).astype(np.float32),
        "change_year": rng.integers(2018, 2026, shape).astype(np.int16),
        "change_kind": rng.integers(1, len(KINDS), shape).astype(np.uint8),
        "stratum": rng.choice(np.array([0, 1, 2, 4], np.uint8), shape, p=[0.5, 0.3, 0.19, 0.01]),
    }
    changed = rng.random(shape) < 0.2
    scores["change_score"][changed] *= 20
    scores["change_effect"][changed] += 0.2
    for name, fill in {"change_score": np.nan, "change_effect": np.nan, "change_year": -1, "change_kind": 255}.items():
        scores[name][nodata] = fill
    scores["stratum"][nodata] = STRATUM_NODATA
    decoys: Rasters = {
        "decoy_score": np.exp(rng.normal(0.9, 0.9, points)).astype(np.float32),
        "decoy_effect": rng.normal(0.05, 0.05, points).astype(np.float32),
        "decoy_kind": rng.integers(1, len(KINDS), points).astype(np.uint8),
    }
    none = np.ones(points[1:], bool)
    for y, x in lattice():
        none[y // STEP, x // STEP] = nodata[y, x]
    for name, fill in {"decoy_score": np.nan, "decoy_effect": np.nan, "decoy_kind": 255}.items():
        decoys[name][:, none] = fill
    return scores, decoys


def lattice() -> list[tuple[int, int]]:
    """The lattice points: one of every 8 x 8 pixels."""
    return [(y, x) for y in range(2, HEIGHT, STEP) for x in range(4, WIDTH, STEP)]


def stores(folder: Path, whole: tuple[Rasters, Rasters], tile_size: int) -> tuple[RasterStore, RasterStore]:
    """The rasters in tiles."""
    scores = raster_store(str(folder / f"scores{tile_size}.zarr"), GRID, GRID.window, tile_size)
    window = GRID.window.coarser(STEP)
    decoys = raster_store(str(folder / f"decoys{tile_size}.zarr"), GRID.coarser(STEP), window, tile_size // STEP)
    scores.create(score_arrays(RECIPE), RECIPE.years)
    decoys.create(DECOY_ARRAYS)
    for tile in tiles(scores):
        for store, rasters in ((scores, whole[0]), (decoys, whole[1])):
            place = store.tile(tile.row, tile.col)
            y, x = place.window.slices(store.window)
            store.write_tile(place, {name: np.ascontiguousarray(values[..., y, x]) for name, values in rasters.items()})
    return scores, decoys


def tiles(store: RasterStore) -> list[Any]:
    size = store.tile_size
    return [store.tile(row, col) for row in range(-(-HEIGHT // size)) for col in range(-(-WIDTH // size))]


Sums = tuple[Counts, np.ndarray, Counts]


def summed(scores: RasterStore, decoys: RasterStore) -> Sums:
    """Both passes over all tiles."""
    bulk = [count_all(scores, decoys, tile, STEP) for tile in tiles(scores)]
    won = [count_competition(scores, decoys, tile, STEP, WANTED, FACTOR) for tile in tiles(scores)]

    def added(parts: list[Counts]) -> Counts:
        return Counts(*(np.asarray(sum(getattr(part, name) for part in parts)) for name in COUNTED))

    return added([counts for counts, _ in bulk]), np.asarray(sum(pixels for _, pixels in bulk)), added(won)


@pytest.fixture(scope="module")
def sums(whole: tuple[Rasters, Rasters], tmp_path_factory: pytest.TempPathFactory) -> dict[int, Sums]:
    folder = tmp_path_factory.mktemp("tilings")
    return {size: summed(*stores(folder, whole, size)) for size in (32, 64, 128, 256)}


# --- oracle -----------------------------------------------------------------------------------------------------------------


def plain_candidate(effect: float, kind: int) -> bool:
    return effect >= np.float32(0.05) and KINDS[kind] in ("step", "ramp", "unconfirmed")


def plain_sums(scores: Rasters, decoys: Rasters) -> Sums:
    """Pixel by pixel over the whole array."""
    all_target, all_decoy, target, winners, area, won, none = (np.zeros((MAX_STRATA, BINS), np.int64) for _ in range(7))
    pixel_area = np.broadcast_to(GRID.pixel_area(GRID.window), (HEIGHT, WIDTH))
    pixels = np.zeros(MAX_STRATA, np.int64)
    score, effect, kind, stratum = (scores[name] for name in ("change_score", "change_effect", "change_kind", "stratum"))
    bins = bins_of(np.nan_to_num(score))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            if np.isnan(score[y, x]):
                continue
            pixels[stratum[y, x]] += 1
            if plain_candidate(effect[y, x], kind[y, x]):
                target[stratum[y, x], bins[y, x]] += 1
                area[stratum[y, x], bins[y, x]] += pixel_area[y, x]
    for y, x in lattice():
        if np.isnan(score[y, x]):
            continue
        s = stratum[y, x]
        all_target[s, bins[y, x]] += 1
        own = score[y, x] if plain_candidate(effect[y, x], kind[y, x]) else np.float32(0)
        for k in range(DECOYS):
            drawn, size, sort = (decoys[f"decoy_{name}"][k, y // STEP, x // STEP] for name in ("score", "effect", "kind"))
            all_decoy[s, bins_of(drawn)] += 1
            raised = drawn * np.float32(FACTOR[s])
            decoy_wins = bool(plain_candidate(size, sort) and raised > own)
            winners[s, bins_of(raised)] += decoy_wins
            won[s, bins[y, x]] += bool(own > 0 and not decoy_wins)
    return Counts(all_target, all_decoy, none, none), pixels, Counts(target, winners, area, won)


def assert_equal(found: Sums, expected: Sums) -> None:
    for mine, its in zip(found, expected, strict=True):
        names = COUNTED if isinstance(mine, Counts) else ()
        pairs = [(getattr(mine, name), getattr(its, name)) for name in names] or [(mine, its)]
        for values, others in pairs:
            assert values.dtype == np.int64
            assert np.array_equal(values, others)


def test_counts_equal_plain_loops_for_every_tiling(whole: tuple[Rasters, Rasters], sums: dict[int, Sums]) -> None:
    expected = plain_sums(*whole)
    assert expected[0].decoy.sum() == DECOYS * expected[0].target.sum() > 2000
    assert 0 < expected[2].decoy.sum() < expected[0].decoy.sum()
    for found in sums.values():
        assert_equal(found, expected)


@pytest.mark.parametrize("candidates", [Candidates(None, None), Candidates(0.1, None), Candidates(None, ("blip",))], ids=str)
def test_what_may_be_mapped(candidates: Candidates) -> None:
    effect = np.array([0.2, 0.1, 0.05, -0.1, np.nan], np.float32)
    kind = np.array([3, 1, 3, 2, 255], np.uint8)
    expected = [
        bool(np.isfinite(e))
        and (candidates.min_effect is None or e >= np.float32(candidates.min_effect))
        and (candidates.kinds is None or KINDS[k] in candidates.kinds)
        for e, k in zip(effect, kind, strict=True)
    ]
    assert candidates.among(effect, kind).tolist() == expected


def some(counts: Counts, n: int) -> Counts:
    """The first n strata."""
    return Counts(*(getattr(counts, name)[:n] for name in COUNTED))


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strata of this raster are large enough by themselves, but for the smallest."""
    monkeypatch.setattr(kernel, "MIN_STRATUM_PIXELS", 3000)


@pytest.mark.usefixtures("small_groups")
def test_calibration_equals_plain_loops(sums: dict[int, Sums]) -> None:
    bulk, pixels, won = sums[64]
    group = strata_groups(pixels, STRATA)
    assert group.tolist() == [0, 1, 2, 2, 2]  # the absent and the small one are joined by the smallest large one
    factor = tail_factors(some(bulk, STRATA), group)
    fdr = 0.2
    found = calibrate(won, pixels, group, factor, fdr)
    assert found.q.shape == (MAX_STRATA, BINS)
    assert (found.q[STRATA:] == 1).all()
    assert (found.q[3] == 1).all()  # nothing is there
    members = {0: [0], 1: [1], 2: [2, 3, 4], 4: [2, 3, 4]}
    assert [row["stratum"] for row in found.rows] == list(members)
    for s, together in members.items():
        counts = [np.sum([part[k] for k in together], axis=0) for part in (bulk.target, bulk.decoy, won.won, won.decoy)]
        assert factor[s] == tail_factor(*counts[:2])
        q = q_values(*counts[2:])
        assert np.array_equal(found.q[s], q)
        first = next(k for k in range(BINS) if q[k] <= np.float32(fdr))
        [row] = [row for row in found.rows if row["stratum"] == s]
        assert row == {
            "stratum": s,
            "calibrated_with": min(together),
            "first_bin": first,
            "expected_false_rate": float(q[first]),
            "n_pixels": int(pixels[s]),
            "n_mapped": int(won.target[s, first:].sum()),
            "mapped_area_m2": int(won.area[s, first:].sum()) * 1e-6,
            "expected_false_area_m2": int(won.area[s, first:].sum()) * 1e-6 * float(q[first]),
            "tail_factor": factor[s],
        }
    never = calibrate(won, pixels, group, factor, 1e-9)
    for row in never.rows:
        assert (row["first_bin"], row["expected_false_rate"]) == (BINS, None)
        assert [row["n_mapped"], row["mapped_area_m2"], row["expected_false_area_m2"]] == [0, 0, 0]


def test_no_pixels_at_all_calibrate_to_nothing() -> None:
    nothing, none = np.zeros((MAX_STRATA, BINS), np.int64), np.zeros(MAX_STRATA, np.int64)
    group = strata_groups(none, STRATA)
    factor = tail_factors(some(Counts(nothing, nothing, nothing, nothing), STRATA), group)
    found = calibrate(Counts(nothing, nothing, nothing, nothing), none, group, factor, 0.1)
    assert (found.q == 1).all()
    assert list(found.rows) == []


@pytest.mark.usefixtures("small_groups")
def test_q_of_every_pixel(whole: tuple[Rasters, Rasters], sums: dict[int, Sums]) -> None:
    bulk, pixels, won = sums[32]
    group = strata_groups(pixels, STRATA)
    factor = tail_factors(some(bulk, STRATA), group)
    found = calibrate(won, pixels, group, factor, 0.1)
    score, effect, kind, stratum = (whole[0][name] for name in ("change_score", "change_effect", "change_kind", "stratum"))
    q = found.of(score, stratum, WANTED.among(effect, kind))
    assert q.dtype == np.float32
    for y in range(0, HEIGHT, 7):
        for x in range(WIDTH):
            if np.isnan(score[y, x]):
                assert np.isnan(q[y, x])
            elif plain_candidate(effect[y, x], kind[y, x]):
                assert q[y, x] == found.q[stratum[y, x], bins_of(score[y, x])]
            else:
                assert q[y, x] == 1


# --- law --------------------------------------------------------------------------------------------------------------------


def calibrated(block: Any, fdr: float, wanted: Candidates = WANTED) -> tuple[Calibration, np.ndarray]:
    """As a run does it, of one block as the whole raster."""

    class Tables:
        """Reads like a store."""

        grid = GRID

        def __init__(self, rasters: Rasters) -> None:
            self.rasters = rasters

        def tile(self, row: int, col: int) -> None:
            return None

        def read_tile(self, tile: object, name: str) -> np.ndarray:
            return self.rasters[name]

    scores, decoys = Tables(block.rasters), Tables(block.decoys)
    tile = Tile(0, 0, Window(0, 0, *block.rasters["change_score"].shape))
    bulk, pixels = count_all(scores, decoys, tile, STEP)  # type: ignore[arg-type]
    group = strata_groups(pixels, 1)
    factor = tail_factors(some(bulk, 1), group)
    won = count_competition(scores, decoys, tile, STEP, wanted, factor)  # type: ignore[arg-type]
    calibration = calibrate(won, pixels, group, factor, fdr)
    candidate = wanted.among(block.rasters["change_effect"], block.rasters["change_kind"])
    q = calibration.of(block.rasters["change_score"], block.rasters["stratum"], candidate)
    return calibration, q <= np.float32(fdr)


@pytest.mark.parametrize("noise", [0.2, 0.6])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_raster_without_change_maps_nothing_and_with_it_the_change(seed: int, noise: float) -> None:
    """Independent noise around one vector a pixel, then the same with a step in a corner."""
    rng, side = np.random.default_rng(seed), 256
    base = rng.normal(size=(1, 64, side, side)).astype(np.float32)
    x = base + np.float32(noise) * rng.normal(size=(9, 64, side, side)).astype(np.float32)
    strata = Strata(np.ones((1, 64), np.float32) / 8, np.full(1, noise**2 / (1 + noise**2), np.float32))
    block, n_valid, _ = score_pixels(quantize(x / np.linalg.norm(x, axis=1, keepdims=True)), RECIPE, None, strata)
    assert n_valid == side * side
    _, mapped = calibrated(block, 0.10)
    assert mapped.sum() == 0
    _, mapped = calibrated(block, 0.5, Candidates(0.0, KINDS[1:]))
    assert mapped.mean() < 0.01  # pixels and decoys win alike, whatever may be mapped
    x[5:, :, :64, :64] += 1.5 * rng.normal(size=(1, 64, 64, 64)).astype(np.float32)
    changed, _, _ = score_pixels(quantize(x / np.linalg.norm(x, axis=1, keepdims=True)), RECIPE, None, strata)
    calibration, mapped = calibrated(changed, 0.10)
    assert mapped[:64, :64].mean() > 0.95
    assert 1 - mapped[:64, :64].sum() / mapped.sum() <= 0.15
    assert calibration.rows[0]["n_mapped"] == mapped.sum()
