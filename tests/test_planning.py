"""The plan: what few years leave of the defaults, padding columns, the antimeridian, and the names of runs."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any, get_args

import geopandas as gpd
import numpy as np
import pytest
import shapely
import zarr

import terradrift as td
from mosaics import ORIGIN, STEP, unit_codes, write_mosaic
from terradrift import ledger
from terradrift.errors import InputError
from terradrift.kernels.score_block import lattice_step
from terradrift.ledger import code_version
from terradrift.params import Params, params_from
from terradrift.planning import Plan
from terradrift.run import open_run, run_folder

RUN = {"mosaic": "m.zarr", "output": "out"}
WEST, NORTH = ORIGIN
BOX = [WEST + 5 * STEP, NORTH - 50 * STEP, WEST + 50 * STEP, NORTH - 5 * STEP]


def sparse_mosaic(path: Path, years: int, height: int, width: int, transform: tuple[float, ...], bands: int = 4) -> Path:
    """A mosaic of metadata alone: no shard is there, so nothing has data."""
    write_mosaic(path, np.full((years, bands, 64, 64), -128, np.int8), transform=transform)
    file = path / "embeddings" / "zarr.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "shape": [years, bands, height, width]}))
    return path


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine years, 128 x 128 pixels, and a second array of the same codes."""
    codes = unit_codes(1, 9, 128, 128, bands=4)
    path = write_mosaic(tmp_path_factory.mktemp("planning") / "mosaic.zarr", codes)
    shutil.copytree(path / "embeddings", path / "more")
    return path


def plan(mosaic: Path, out: str = "out", **changes: Any) -> Plan:
    return td.plan(params_from({"mosaic": str(mosaic), "output": out, "tile_size": 32, "aoi": BOX, **changes}))


# --- few years ----------------------------------------------------------------------------------------------------------

DEFAULTS = {
    2: (("difference",), False),
    3: (("difference",), False),
    4: (("difference", "loo_medoid"), False),  # a scale needs five scores
    5: (("loo_medoid",), True),  # five years have four differences
    6: (("difference", "loo_medoid"), True),
    9: (("difference", "loo_medoid"), True),
}


@pytest.mark.parametrize("n", list(DEFAULTS))
def test_defaults_give_way_to_few_years_and_say_so(mosaic: Path, n: int) -> None:
    found = plan(mosaic, years=[2017, 2016 + n])
    assert (found.recipe.annual, found.recipe.use_robust_z) == DEFAULTS[n]
    assert bool(found.warnings) == (n < 6)
    assert len(found.years) == n
    says = [line for line in found.warnings if line.startswith("change.detector: ")]
    if n < 4:
        assert (found.recipe.detector, found.recipe.lattice) == ("bitemporal", 0)
        assert found.params.change == params_from({**RUN, "change": {"detector": "bitemporal"}}).change
        assert says == [f"change.detector: trajectory needs more than {n} years; bitemporal with threshold score 0.2 is used"]
        assert names(found)[1] == names(plan(mosaic, years=[2017, 2016 + n], change=found.params.change.model_dump()))[1]
    else:
        assert (found.recipe.detector, found.recipe.lattice > 0, says) == ("trajectory", True, [])
        assert found.params.change.rule.fdr == 0.10


@pytest.mark.parametrize("wish", [{"detector": "trajectory"}, {"min_effect": 0.1}, {"threshold": {"fdr": 0.1}}], ids=str)
def test_a_detector_that_was_asked_for_never_gives_way(mosaic: Path, wish: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^change.detector: trajectory.*: found 3 years \(2017 to 2019\); expected more"):
        plan(mosaic, years=[2017, 2019], change=wish)
    assert plan(mosaic, years=[2017, 2020], change=wish).recipe.detector == "trajectory"


NEEDS = {("difference", False): 2, ("loo_medoid", False): 4, ("difference", True): 6, ("loo_medoid", True): 5}
"""Years that one pixel needs for a score, and for its scale; the same for the detectors that take the largest."""


@pytest.mark.parametrize("n", range(2, 10))
@pytest.mark.parametrize(("name", "use_z"), list(NEEDS))
def test_wishes_are_kept_or_refused(mosaic: Path, name: str, use_z: bool, n: int) -> None:
    years = [2017, 2016 + n]
    wishes = {
        "scores.annual": {"scores": {"annual": [name], "robust_z": use_z}},
        "change.detector": {"scores": {"annual": [], "robust_z": use_z}, "change": {"detector": f"max_{name}"}},
    }
    for field, wish in wishes.items():
        if n >= NEEDS[name, use_z]:
            recipe = plan(mosaic, years=years, **wish).recipe
            assert recipe.use_robust_z == use_z
        else:
            message = rf"^{field}: .*{name}.*: found {n} years \(2017 to {2016 + n}\); expected more"
            with pytest.raises(InputError, match=message) as no:
                plan(mosaic, years=years, **wish)
            assert ("robust_z: false" in str(no.value)) == use_z


@pytest.mark.parametrize("n", range(4, 10))
def test_a_scale_nobody_asked_for_never_refuses_a_wish(mosaic: Path, n: int) -> None:
    years = [2017, 2016 + n]
    both = plan(mosaic, years=years, scores={"annual": ["difference", "loo_medoid"]})
    assert both.recipe.annual == ("difference", "loo_medoid")
    assert both.recipe.use_robust_z == (n >= 6)
    largest = plan(mosaic, years=years, change={"detector": "max_difference"})
    assert largest.recipe.detector == "max_difference"
    assert largest.recipe.use_robust_z == (n >= 6)
    assert bool(both.warnings) == bool(largest.warnings) == (n < 6)


def test_no_annual_bands_need_no_scale(mosaic: Path) -> None:
    assert plan(mosaic, years=[2017, 2018], scores={"annual": []}, change={"detector": "bitemporal"}).warnings == ()


# --- the lattice of decoys ------------------------------------------------------------------------------------------------

SMALL = [WEST + 5 * STEP, NORTH - 10 * STEP, WEST + 10 * STEP, NORTH - 5 * STEP]


def test_the_lattice_divides_the_chunks_and_gets_denser_where_pixels_are_few() -> None:
    for pixels in (1, 1000, 8192, 8191 * 4, 8192 * 4, 8192 * 16, 8192 * 64 - 1, 8192 * 64, 10**9):
        for chunk in ((256, 256), (64, 32), (12, 20), (6, 6), (225, 225)):
            step = lattice_step(chunk, pixels)
            assert chunk[0] % step == chunk[1] % step == 0
            assert step in (1, 2, 4, 8)
            assert step == 1 or pixels / step**2 >= 8192
            larger = [other for other in (2, 4, 8) if other > step and chunk[0] % other == chunk[1] % other == 0]
            assert all(pixels / other**2 < 8192 for other in larger)


@pytest.mark.parametrize("area", [SMALL, BOX, None], ids=["small", "box", "all"])
def test_the_lattice_does_not_depend_on_tiles(mosaic: Path, area: Any) -> None:
    assert len({plan(mosaic, aoi=area, tile_size=size).recipe.lattice for size in (32, 64, 128)}) == 1


# --- the ends of the world ----------------------------------------------------------------------------------------------

PIXEL = 0.1
GLOBE = (PIXEL, 0.0, -180.0, 0.0, -PIXEL, 80.0)


def test_padding_columns_are_never_read(tmp_path: Path) -> None:
    found = plan(sparse_mosaic(tmp_path / "m.zarr", 2, 64, 3605, GLOBE), aoi=None)
    assert found.window.x1 == 3600
    assert "5 columns beyond +180 degrees are padding and never read" in found.warnings
    height, width = found.tile_shapes
    assert int((height * width).sum()) == 64 * 3600
    assert width[found.cols == found.cols.max()].tolist() == [3600 % 32] * 2
    assert found.tile_window(found.n_tiles - 1).x1 == 3600
    east = plan(tmp_path / "m.zarr", aoi=[179.95, 76, 180, 78])
    assert set(east.cols.tolist()) == {3599 // 32}
    with pytest.raises(InputError, match="shift the mosaic's columns"):
        plan(sparse_mosaic(tmp_path / "n.zarr", 2, 64, 3616, GLOBE), aoi=None)


@pytest.mark.parametrize("form", ["box", "wkt", "file"])
def test_an_area_across_the_antimeridian_needs_tiles_at_both_ends_alone(tmp_path: Path, form: str) -> None:
    path = sparse_mosaic(tmp_path / "m.zarr", 2, 640, 3605, GLOBE)
    west, east = shapely.box(-180, 70, -178, 72), shapely.box(178, 70, 180, 72)
    forms: dict[str, Any] = {
        "box": [178, 70, -178, 72],
        "wkt": "POLYGON((178 70, 182 70, 182 72, 178 72, 178 70))",
        "file": str(tmp_path / "aoi.gpkg"),
    }
    gpd.GeoDataFrame(geometry=[shapely.MultiPolygon([west, east])], crs=4326).to_file(tmp_path / "aoi.gpkg")
    found = plan(path, aoi=forms[form])
    rows = range(math.floor((80 - 72) / PIXEL / 32), math.ceil((80 - 70) / PIXEL / 32))
    cols = [0, *range(math.floor(358 / PIXEL / 32), math.ceil(360 / PIXEL / 32))]
    assert sorted(zip(found.rows.tolist(), found.cols.tolist(), strict=True)) == [(row, col) for row in rows for col in cols]
    assert found.window.x0 == 0
    assert found.window.x1 == 3600
    inside = sum(int((found.zones.mask(found.tile_window(k)) >= 0).sum()) for k in range(found.n_tiles))
    assert inside == 2 * 20 * 20
    assert len(found.zones.geometries) == 1


# --- names of runs ------------------------------------------------------------------------------------------------------

ALTERNATIVES: dict[str, tuple[dict[str, Any], bool]] = {
    "years": ({"years": [2018, 2025]}, True),
    "tile_size": ({"tile_size": 64}, True),
    "scores.distance": ({"scores": {"distance": "angle"}}, True),
    "scores.annual": ({"scores": {"annual": ["difference"]}}, True),
    "scores.robust_z": ({"scores": {"robust_z": False}}, True),
    "scores.overviews": ({"scores": {"overviews": "max"}}, True),
    "variable": ({"variable": "more"}, True),
    "quantization": ({"quantization": "none"}, True),
    "forbidden_means_missing": ({"forbidden_means_missing": True}, True),
    "change.detector": ({"change": {"detector": "max_difference"}}, True),
    "change.strata": ({"change": {"strata": 3}}, True),
    "change.min_effect": ({"change": {"min_effect": 0.1}}, False),
    "change.kinds": ({"change": {"kinds": ["step"]}}, False),
    "change.threshold.fdr": ({"change": {"threshold": {"fdr": 0.2}}}, False),
    "change.threshold.score": ({"change": {"threshold": {"score": 0.3}}}, False),
    "change.threshold.quantile": ({"change": {"threshold": {"quantile": 0.9}}}, False),
    "change.threshold.high": ({"change": {"threshold": {"score": 0.3, "high": 0.5}}}, False),
    "polygons.connectivity": ({"polygons": {"connectivity": 8}}, False),
    "polygons.min_pixels": ({"polygons": {"min_pixels": 9}}, False),
    "polygons.fill_holes_pixels": ({"polygons": {"fill_holes_pixels": 1}}, False),
    "polygons.group_by": ({"polygons": {"group_by": "year"}}, False),
    "polygons.outline": ({"change": {"threshold": {"score": 0.3}}, "polygons": {"outline": "contour"}}, False),
    "refine.crs": ({"refine": {"crs": "EPSG:32613"}}, False),
    "refine.simplify_m": ({"refine": {"simplify_m": 0}}, False),
    "refine.precision_m": ({"refine": {"precision_m": 1}}, False),
    "refine.max_vertices": ({"refine": {"max_vertices": 255}}, False),
    "maps.pmtiles": ({"maps": {"pmtiles": False}}, False),
    "maps.min_zoom": ({"maps": {"min_zoom": 5}}, False),
    "maps.max_zoom": ({"maps": {"max_zoom": 12}}, False),
    "maps.cog": ({"maps": {"cog": False}}, False),
    "maps.raster_tiles": ({"maps": {"raster_tiles": True}}, False),
    "maps.gpkg": ({"maps": {"gpkg": True}}, False),
    "maps.flatgeobuf": ({"maps": {"flatgeobuf": True}}, False),
}
"""Another value for every parameter, and whether the scores depend on it."""

NOT_A_RESULT = {"mosaic", "aoi", "output"}
"""Where things lie; what lies there counts, tested below."""


def leaves(model: Any, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        inner = next((part for part in (field.annotation, *get_args(field.annotation)) if hasattr(part, "model_fields")), None)
        found |= leaves(inner, f"{prefix}{name}.") if inner is not None else {prefix + name}
    return found


def names(found: Plan) -> tuple[str, str]:
    folder = run_folder(found)
    return folder.score_id, folder.run_id


def test_every_parameter_has_an_alternative() -> None:
    assert leaves(Params) == set(ALTERNATIVES) | NOT_A_RESULT


@pytest.mark.parametrize("name", list(ALTERNATIVES))
def test_a_run_is_named_after_every_parameter(mosaic: Path, name: str) -> None:
    changes, of_scores = ALTERNATIVES[name]
    (score, run), (other_score, other_run) = names(plan(mosaic)), names(plan(mosaic, **changes))
    assert other_run != run
    assert (other_score != score) == of_scores


def test_a_run_is_not_named_after_where_things_lie(mosaic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    area = {"type": "Feature", "properties": {"name": "a"}, "geometry": shapely.geometry.mapping(shapely.box(*BOX))}
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "aoi.geojson").write_text(json.dumps(area))
    shutil.copytree(mosaic, tmp_path / "there" / "copy.zarr")
    expected = names(plan(mosaic, aoi=str(tmp_path / "here/aoi.geojson")))
    assert names(plan(mosaic, "elsewhere", aoi=str(tmp_path / "here/aoi.geojson"))) == expected
    assert names(plan(mosaic, aoi=str(tmp_path / "there/aoi.geojson"))) == expected
    assert names(plan(tmp_path / "there/copy.zarr", aoi=str(tmp_path / "here/aoi.geojson"))) == expected
    monkeypatch.setenv("MASTER", "spark://elsewhere:7077")
    monkeypatch.chdir(tmp_path)
    assert names(plan(mosaic, aoi="here/aoi.geojson")) == expected


def test_a_run_is_named_after_its_area(mosaic: Path, tmp_path: Path) -> None:
    def of(box: Any, **columns: Any) -> tuple[str, str]:
        gpd.GeoDataFrame(columns, geometry=[shapely.box(*box)], crs=4326).to_file(tmp_path / "aoi.geojson")
        return names(plan(mosaic, aoi=str(tmp_path / "aoi.geojson")))

    first = of(BOX)
    assert of(BOX) == first
    moved = of([*BOX[:3], BOX[3] - STEP / 100])
    named = of(BOX, name=["a"])
    assert len({first[0], moved[0], named[0]}) == 3
    assert len({first[1], moved[1], named[1]}) == 3
    assert names(plan(mosaic, aoi=None)) != first


def test_a_run_is_named_after_what_the_mosaic_holds(mosaic: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mosaic.zarr"
    shutil.copytree(mosaic, copy)
    expected = names(plan(copy))
    assert expected == names(plan(mosaic))
    shard = copy / "embeddings/c/0/0/0/0"
    data = bytearray(shard.read_bytes())
    for position in (100, len(data) - 1):  # a chunk, the checksum of the index
        data[position] ^= 1
        shard.write_bytes(data)
        assert names(plan(copy)) != expected
        data[position] ^= 1
    shard.write_bytes(bytes(data) + b"\0")
    assert names(plan(copy)) != expected
    shard.unlink()
    assert names(plan(copy)) != expected
    shard.write_bytes(data)
    assert names(plan(copy)) == expected
    zarr.open_group(copy, mode="a")["time"][:] = np.arange(2016, 2025)
    assert names(plan(copy)) != expected


def test_a_run_is_named_after_the_code(mosaic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = names(plan(mosaic))
    monkeypatch.setattr("terradrift.run.code_version", lambda: "another")
    assert all(mine != other for mine, other in zip(names(plan(mosaic)), expected, strict=True))
    monkeypatch.undo()

    (tmp_path / "kernels").mkdir()
    (tmp_path / "ledger.py").write_text("a = 1\n")
    (tmp_path / "kernels" / "gram.py").write_text("b = 1\n")
    monkeypatch.setattr(ledger, "__file__", str(tmp_path / "ledger.py"))
    versions = [code_version.__wrapped__()]
    (tmp_path / "kernels" / "gram.py").write_text("b = 2\n")
    versions.append(code_version.__wrapped__())
    (tmp_path / "kernels" / "gram.py").rename(tmp_path / "kernels" / "mask.py")
    versions.append(code_version.__wrapped__())
    assert len(set(versions)) == 3
    assert all(version.startswith(f"{td.__version__}+") for version in versions)


# --- what is left to do -------------------------------------------------------------------------------------------------


TRIANGLE = shapely.Polygon([(WEST + x * STEP, NORTH - y * STEP) for x, y in ((127, 127), (8, 124), (125, 8))])


def test_unfinished_tiles_that_read_most_come_first(mosaic: Path, tmp_path: Path) -> None:
    """What a tile reads, by the definition: the pixels of its chunks that hold a pixel of the area."""
    run = open_run(plan(mosaic, str(tmp_path / "out"), aoi=TRIANGLE.wkt, tile_size=64))
    inside = run.plan.zones.mask(run.plan.grid.window) >= 0
    reads = inside.reshape(4, 32, 4, 32).any(axis=(1, 3)).reshape(2, 2, 2, 2).sum(axis=(1, 3)) * 32**2
    assert len(np.unique(reads)) > 1
    tiles = run.unfinished()
    listed = [int(reads[row, col]) for row, col in zip(tiles["row"].to_pylist(), tiles["col"].to_pylist(), strict=True)]
    assert listed == sorted(reads[reads > 0].tolist(), reverse=True)
    assert tiles["seq"].to_pylist() == list(range(len(listed)))


def test_a_tile_at_the_edge_reads_what_is_there(tmp_path: Path) -> None:
    path = write_mosaic(tmp_path / "m.zarr", unit_codes(2, 2, 80, 70, bands=4))
    whole = plan(path, str(tmp_path / "out"), aoi=None)
    assert np.array_equal(whole.read_pixels, whole.tile_pixels)
    assert len(np.unique(whole.read_pixels)) == 4
