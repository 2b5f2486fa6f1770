"""Drawing: strata as defined, every pixel equally likely, none twice, nothing that depends on tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from runs import LONLAT, METRES, WINDOW, some_map, write_run

import terradrift as td
from terradrift.area_sample import draw_sample
from terradrift.area_sample.design import FAR, MAPPED, N_CLASSES, NEAR, allocate, choose_strata
from terradrift.area_sample.draw import NO_CLASS, classes_of, count_and_draw, open_rasters, pixel_hash
from terradrift.errors import InputError


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), *some_map())


def test_classes_are_far_near_and_the_kinds(out: Path) -> None:
    changed, kind = some_map()
    found = classes_of(open_rasters(td.open_run(out)), WINDOW)
    for y in range(0, WINDOW.height, 5):
        for x in range(0, WINDOW.width, 3):
            around = changed[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4]
            unmapped = NEAR if (around == 1).any() else FAR
            wanted = {0: unmapped, 1: MAPPED + int(kind[y, x]), 255: NO_CLASS}[int(changed[y, x])]
            assert found[y, x] == wanted, (y, x)


@pytest.mark.parametrize("grid", [LONLAT, METRES], ids=["degrees", "metres"])
def test_pixels_and_areas_are_those_of_the_map(grid: object, tmp_path: Path) -> None:
    changed, kind = some_map()
    write_run(tmp_path, changed, kind, grid=grid)  # type: ignore[arg-type]
    rasters = open_rasters(td.open_run(tmp_path))
    census = count_and_draw(rasters, 5, 0, block=50)
    area = np.broadcast_to(grid.pixel_area(WINDOW), WINDOW.shape)  # type: ignore[attr-defined]
    classes = classes_of(rasters, WINDOW)
    assert list(census.pixels) == [(classes == number).sum() for number in range(N_CLASSES)]
    assert sum(census.area_mm2) == area[changed != 255].sum()
    assert sum(census.area_mm2[MAPPED:]) == area[changed == 1].sum()


def test_a_sample_depends_neither_on_tiles_nor_on_blocks(out: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", *some_map(), tile_size=128)
    drawn = [
        draw_sample(where, 200, 7, tmp_path / f"{number}.gpkg", block=block)
        for number, (where, block) in enumerate([(out, 1024), (out, 33), (out, 64), (other, 50)])
    ]
    for sample in drawn[1:]:
        assert sample.draws.equals(drawn[0].draws)
        assert sample.design.equals(drawn[0].design)


def test_no_pixel_twice_and_every_stratum_its_number(out: Path, tmp_path: Path) -> None:
    sample = draw_sample(out, 800, 1, tmp_path / "s.gpkg")
    draws = sample.draws
    assert not draws[["row", "col"]].duplicated().any()
    assert draws["sample_id"].is_unique
    assert len(draws) == 800
    assert draws.groupby("stratum").size().to_dict() == dict(zip(sample.design["stratum"], sample.design["sampled"], strict=True))
    classes = classes_of(open_rasters(td.open_run(out)), WINDOW)
    own = classes[draws["row"] - WINDOW.y0, draws["col"] - WINDOW.x0]
    assert set(own[draws["stratum"] == "not mapped, far from change"]) == {FAR}
    assert set(own[draws["stratum"] == "not mapped, near change"]) == {NEAR}
    assert set(own[draws["stratum"].str.startswith("mapped")]) == {MAPPED + 1, MAPPED + 2}


def test_every_pixel_of_a_stratum_is_equally_likely(out: Path) -> None:
    rasters = open_rasters(td.open_run(out))
    times, n = 120, 300
    hits = np.zeros(WINDOW.shape)
    for seed in range(times):
        row, col = count_and_draw(rasters, n, seed).first[FAR]
        hits[row - WINDOW.y0, col - WINDOW.x0] += 1
    far = classes_of(rasters, WINDOW) == FAR
    assert hits.sum() == times * n
    assert not hits[~far].any()
    # draws by cell of 16 x 16 pixels against what equal probability gives: chi-square, mean its degrees of freedom
    cell = np.indices(WINDOW.shape) // 16
    number = cell[0] * (WINDOW.width // 16) + cell[1]
    got = np.bincount(number.ravel(), hits.ravel())
    wanted = np.bincount(number.ravel(), far.ravel()) * times * n / far.sum()
    chi2 = ((got - wanted)[wanted > 0] ** 2 / wanted[wanted > 0]).sum()
    free = (wanted > 0).sum() - 1
    assert abs(chi2 - free) < 4 * np.sqrt(2 * free)
    # and no pixel is a favourite: counts of a pixel are Poisson
    mean = times * n / far.sum()
    assert abs(hits[far].var() / mean - 1) < 0.05


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_hashes_are_one_to_one_and_seeds_are_independent(one: int, other: int) -> None:
    pixels = np.indices((40, 50)).reshape(2, -1).astype(np.int64) + 1_800_000
    a, b = pixel_hash(pixels, one), pixel_hash(pixels, other)
    assert len(np.unique(a)) == a.size
    if one != other:
        correlation = np.corrcoef(a.astype(float), b.astype(float))[0, 1]
        assert abs(correlation) < 6 / np.sqrt(a.size)


@given(st.lists(st.integers(1, 300) | st.integers(1, 10**12), min_size=1, max_size=6), st.integers(2, 40) | st.integers(2, 5000))
@example([3, 60, 200], 262)
@example([1, 40, 10**9], 6)
def test_allocation_gives_the_size_and_never_more_than_there_is(pixels: list[int], size: int) -> None:
    if not sum(min(2, n) for n in pixels) <= size <= sum(pixels):
        return
    given_ = allocate(pixels, size)
    assert sum(given_) == size
    assert all(min(2, held) <= n <= held for n, held in zip(given_, pixels, strict=True))
    share = min(50, size // max(5, len(pixels)))
    assert all(n >= min(share, held) for n, held in zip(given_, pixels, strict=True))


def test_the_rest_of_an_allocation_is_in_proportion() -> None:
    assert allocate([9_000_000, 900_000, 100_000], 1150) == [950, 140, 60]
    assert allocate([9_000_000, 900_000, 30], 1150) == [977, 143, 30]


def test_kinds_are_strata_where_pixels_and_size_allow() -> None:
    pixels = [0] * N_CLASSES
    pixels[FAR], pixels[NEAR], pixels[MAPPED + 1], pixels[MAPPED + 2], pixels[MAPPED + 4] = 10**6, 10**5, 4000, 3000, 20
    names = [stratum.name for stratum in choose_strata(pixels, 1000)]
    assert names == [
        "not mapped, far from change", "not mapped, near change", "mapped, step", "mapped, ramp", "mapped, other kinds"
    ]  # fmt: skip
    assert [stratum.name for stratum in choose_strata(pixels, 300)][2:] == ["mapped"]
    assert sum(stratum.pixels for stratum in choose_strata(pixels, 300)) == sum(pixels)


def test_a_map_without_change_has_one_stratum(tmp_path: Path) -> None:
    nothing = np.zeros(WINDOW.shape, np.uint8)
    sample = draw_sample(write_run(tmp_path, nothing, nothing), 20)
    assert sample.design["stratum"].tolist() == ["not mapped, far from change"]


def test_kinds_in_one_stratum_are_drawn_as_they_are(out: Path, tmp_path: Path) -> None:
    changed, kind = some_map()
    steps = [
        (draws["change_kind"][draws["stratum"] == "mapped"] == "step").mean()
        for seed in range(6)
        for draws in [draw_sample(out, 300, seed, tmp_path / "s.gpkg").draws]
    ]
    assert np.mean(steps) == pytest.approx((kind[changed == 1] == 1).mean(), abs=0.1)


@pytest.mark.parametrize("size", [5, 10**6])
def test_a_size_that_cannot_be_is_refused(out: Path, size: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--size: found .*expected \d+ to 32168"):
        draw_sample(out, size, 0, tmp_path / "s.gpkg")
