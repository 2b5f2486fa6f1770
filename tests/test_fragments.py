"""The headline law: polygons of any tiling equal those of the whole raster, byte for byte."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pytest
import rasterio
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from terradrift.drawing import Drawing
from terradrift.errors import InputError
from terradrift.fragments import FRAGMENT_SCHEMA, POLYGON_SCHEMA, fragments, merge_fragments
from terradrift.grid import Grid, Window
from terradrift.kernels.part_statistics import SCORE_UNIT
from terradrift.kernels.seams import STRAIGHT, components
from terradrift.raster_polygons import polygonize

DATA = Path(__file__).parents[2] / "shared" / "data" / "raster-to-polygon"
YEARS = (2018, 2019, 2021)
STRUCTURE = {4: None, 8: np.ones((3, 3))}
GEOGRAPHIC = Grid("EPSG:4326", (0.001, 0, 10.0, 0, -0.001, 50.0), 3000, 4000)
PROJECTED = Grid("EPSG:32633", (10.0, 0, 400000.0, 0, -10.0, 5500000.0), 3000, 4000)

CLASSES = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.sampled_from([0, 0, 1, 1, 2]))


def score_rasters(shape, seed):
    rng = np.random.default_rng(seed)
    return {
        "score": rng.random(shape, np.float32),
        "effect": rng.random(shape, np.float32),
        "year": rng.choice(np.array(YEARS, np.int16), shape),
        "kind": rng.integers(0, 5, shape, np.uint8),
        "q": rng.random(shape, np.float32),
        "zones": rng.integers(0, 3, shape, np.int32),
    }


def tiles(raster, height, width):
    """The raster's windows on a tile grid anchored at the mosaic's origin."""
    for y0 in range(raster.y0 // height * height, raster.y1, height):
        for x0 in range(raster.x0 // width * width, raster.x1, width):
            yield Window(y0, x0, height, width).intersection(raster)


def whole_components(table):
    """component4 and component8 of fragment rows, from their links and groups, as any caller would find them."""
    gid = table["gid"].to_numpy()
    links = table["links"].combine_chunks()
    owner = np.repeat(np.arange(len(table)), np.diff(links.offsets.to_numpy()))
    key = links.flatten().to_numpy()
    order = np.lexsort((key, table["class"].to_numpy()[owner]))
    owner, key = owner[order], key[order]
    class_ = table["class"].to_numpy()[owner]
    pair = np.flatnonzero((key[1:] == key[:-1]) & (class_[1:] == class_[:-1]))
    a, b, straight = gid[owner[pair]], gid[owner[pair + 1]], key[pair] % 4 < STRAIGHT
    nodes, component4 = components(np.concatenate([gid, a[straight]]), np.concatenate([gid, b[straight]]))
    everyone, component8 = components(np.concatenate([gid, a]), np.concatenate([table["group"].to_numpy(), b]))
    np.testing.assert_array_equal(nodes, everyone)
    place = np.searchsorted(nodes, gid)
    table = table.append_column("component4", pa.array(component4[place]))
    return table.append_column("component8", pa.array(component8[place]))


def marks_of(drawing, classes, score, window, raster):
    """What a drawing says of a window, from the pixels around it that it asks for and no other."""
    if drawing is None:
        return None
    around = drawing.around(window, raster)
    return drawing.marks(classes[around.slices(raster)], score[around.slices(raster)], around, window)


def tiled(classes, given, raster, grid, height, width, *, shuffle=None, **options):
    batches = []
    for window in tiles(raster, height, width):
        part = window.slices(raster)
        rasters = {name: None if column is None else column[part] for name, column in given.items()}
        shared = {"years": YEARS, "pixel_area": grid.pixel_area, "mosaic_width": grid.width}
        shared["marks"] = marks_of(options.get("drawing"), classes, given["score"], window, raster)
        batches.append(fragments(window, raster, classes[part], **rasters, **shared, **options))
    table = pa.Table.from_batches(batches, FRAGMENT_SCHEMA)
    is_seam = table["seam"].to_numpy()
    seam = whole_components(table.filter(pa.array(is_seam)))
    if shuffle is not None:
        seam = seam.take(pa.array(np.random.default_rng(shuffle).permutation(len(seam))))
    merge = {name: value for name, value in options.items() if name != "connectivity"}
    halves = (seam.filter(pa.array(seam["component8"].to_numpy() % 2 == half)) for half in (0, 1))  # as tasks have them
    merged = [merge_fragments(half, grid.pixel_area, **merge) for half in halves]
    finished = table.filter(pa.array(~is_seam)).select(POLYGON_SCHEMA.names)
    return pa.concat_tables([finished, pa.Table.from_batches(merged)]).sort_by("gid")


def whole(classes, given, raster, grid, **options):
    batch = fragments(
        raster, raster, classes, **given, years=YEARS, pixel_area=grid.pixel_area, mosaic_width=grid.width,
        marks=marks_of(options.get("drawing"), classes, given["score"], raster, raster), **options,
    )  # fmt: skip
    assert not batch["seam"].to_numpy(zero_copy_only=False).any()
    assert len(batch["links"].flatten()) == 0
    assert batch["group"].equals(batch["whole"])
    return pa.Table.from_batches([batch]).select(POLYGON_SCHEMA.names)


def assert_equal(ours, theirs):
    for name in POLYGON_SCHEMA.names:
        assert ours[name].to_pylist() == theirs[name].to_pylist(), name
    assert ours.schema.equals(POLYGON_SCHEMA)


@settings(max_examples=150, deadline=None)
@given(
    CLASSES,
    st.integers(1, 14),
    st.integers(1, 14),
    st.tuples(st.integers(0, 20), st.integers(0, 20)),
    st.sampled_from([4, 8]),
    st.integers(1, 6),
    st.integers(0, 5),
    st.sampled_from([GEOGRAPHIC, PROJECTED]),
)
def test_every_tiling_gives_the_polygons_of_the_whole(
    classes, height, width, origin, connectivity, min_pixels, fill_holes_pixels, grid
):
    raster = Window(*origin, *classes.shape)
    given = score_rasters(classes.shape, 11)
    options = {"connectivity": connectivity, "min_pixels": min_pixels, "fill_holes_pixels": fill_holes_pixels}
    expected = whole(classes, given, raster, grid, **options)
    assert_equal(tiled(classes, given, raster, grid, height, width, shuffle=12, **options), expected)


def assert_no_gap_no_overlap(outlines, *wholes):
    """Outlines share their borders vertex by vertex, and all holes and parts of the whole are left."""
    shapes, whole = shapely.from_wkb(outlines), shapely.union_all(shapely.from_wkb(list(wholes)))
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes)
    union = shapely.coverage_union_all(shapes)
    assert union.is_valid
    assert shapely.area(shapes).sum() == pytest.approx(shapely.union_all(shapes).area)
    assert shapely.get_num_geometries(union) == shapely.get_num_geometries(whole)
    assert len(shapely.get_rings(union)) == len(shapely.get_rings(whole))


@settings(max_examples=100, deadline=None)
@given(CLASSES, st.integers(1, 14), st.integers(1, 14), st.sampled_from([4, 8]), st.integers(0, 5), st.integers(4, 16))
def test_giants_in_pieces_are_the_whole_whatever_the_tiling(classes, height, width, connectivity, fill_holes_pixels, max_corners):
    raster, given, cell = Window(18, 7, *classes.shape), score_rasters(classes.shape, 25), 5
    options = {"connectivity": connectivity, "min_pixels": 2, "fill_holes_pixels": fill_holes_pixels}
    expected = whole(classes, given, raster, PROJECTED, **options)
    options["drawing"] = Drawing(PROJECTED.width, max_corners, cell, 0.75)
    pieces = whole(classes, given, raster, PROJECTED, **options)
    assert_equal(tiled(classes, given, raster, PROJECTED, height, width, **options), pieces)
    rows = {row["gid"]: row for row in expected.to_pylist()}
    found = pieces.to_pylist()
    assert {row["whole"] for row in found} == set(rows)
    for gid, theirs in rows.items():
        ours = [row for row in found if row["whole"] == gid]
        shapes, outline = shapely.from_wkb([row["geometry"] for row in ours]), shapely.from_wkb(theirs["geometry"])
        corners = shapely.get_num_coordinates(outline) - len(shapely.get_rings(outline))
        assert len(ours) == 1 or corners > max_corners
        assert shapely.is_valid(shapes).all()
        assert shapely.union_all(shapes).equals(outline)
        assert sum(row["n_pixels"] for row in ours) == theirs["n_pixels"] == round(shapely.area(shapes).sum())
        assert sum(row["area_mm2"] for row in ours) == theirs["area_mm2"]
        own = ("gid", "n_pixels", "area_mm2", "geometry", "outline", "simplified")
        assert all({**row, **{name: theirs[name] for name in own}} == theirs for row in ours)
        assert [row["simplified"] for row in ours] == [corners > max_corners] * len(ours)
        if corners <= max_corners:
            assert ours[0]["outline"] is None
            continue
        assert_no_gap_no_overlap([row["outline"] for row in ours], theirs["geometry"])
        for row, shape in zip(ours, shapes, strict=True):
            x0, y0, x1, y1 = shape.bounds
            assert (x0 // cell, y0 // cell) == ((x1 - 1) // cell, (y1 - 1) // cell)
            y, x = divmod(row["gid"] - 1, PROJECTED.width)
            assert y == y0
            assert shape.contains(shapely.Point(x + 0.5, y + 0.5))


@settings(max_examples=100, deadline=None)
@given(
    CLASSES, st.integers(1, 14), st.integers(1, 14), st.sampled_from([4, 8]), st.integers(1, 3),
    st.sampled_from([0, 0.75, 1.5, 4.0]), st.one_of(st.none(), st.integers(2, 20)), st.integers(4, 60),
)  # fmt: skip
def test_borders_that_polygons_share_are_simplified_for_both(
    classes, height, width, connectivity, min_pixels, tolerance, cell, max_corners
):
    raster, given = Window(18, 7, *classes.shape), score_rasters(classes.shape, 26)
    options = {"connectivity": connectivity, "min_pixels": min_pixels, "fill_holes_pixels": 0}
    options["drawing"] = Drawing(PROJECTED.width, max_corners, cell or height, tolerance, shared=True)
    check_shared_borders(classes, given, raster, height, width, options)


def check_shared_borders(classes, given, raster, height, width, options):
    rows = whole(classes, given, raster, PROJECTED, **options)
    assert_equal(tiled(classes, given, raster, PROJECTED, height, width, shuffle=27, **options), rows)
    if len(rows):
        assert rows["simplified"].to_pylist() == [True] * len(rows)
        assert_no_gap_no_overlap(rows["outline"].to_pylist(), *rows["geometry"].to_pylist())
    return rows


@pytest.mark.parametrize(("tolerance", "size", "sigma"), [(0.75, 16, 0), (3.0, 16, 1), (8.0, 24, 2), (20.0, 60, 1)])
def test_borders_in_noise_are_shared(tolerance, size, sigma):
    rng = np.random.default_rng(29)
    field = ndimage.gaussian_filter(rng.normal(size=(90, 80)), sigma)
    classes = np.digitize(field, np.quantile(field, [0.25, 0.5, 0.75]))
    raster, given = Window(37, 100, 90, 80), score_rasters(classes.shape, 30)
    options = {"connectivity": 4, "min_pixels": 1, "fill_holes_pixels": 0}
    options["drawing"] = Drawing(PROJECTED.width, 300, 16, tolerance, shared=True)
    check_shared_borders(classes, given, raster, size, size, options)


@settings(max_examples=60, deadline=None)
@given(
    array_shapes(min_dims=2, max_dims=2, max_side=14), st.integers(0, 99), st.integers(1, 14), st.integers(1, 14),
    st.sampled_from([4, 8]), st.integers(0, 4), st.integers(8, 80),
)  # fmt: skip
def test_contours_are_equal_for_every_tiling(shape, seed, height, width, connectivity, fill_holes_pixels, max_corners):
    raster, given = Window(18, 7, *shape), score_rasters(shape, seed)
    given["score"][np.random.default_rng(seed).random(shape) < 0.1] = np.nan
    options = {"connectivity": connectivity, "min_pixels": 1, "fill_holes_pixels": fill_holes_pixels}
    options["drawing"] = Drawing(PROJECTED.width, max_corners, 5, 0.75, contour=0.4)
    classes = given["score"] >= np.float32(0.4)
    rows = whole(classes, given, raster, PROJECTED, **options)
    assert_equal(tiled(classes, given, raster, PROJECTED, height, width, shuffle=28, **options), rows)
    outlines = shapely.from_wkb(rows["outline"].to_numpy())
    assert shapely.is_valid(outlines).all()
    y, x = np.indices(shape) + 0.5
    for row, outline in zip(rows.to_pylist(), outlines, strict=True):
        centres = shapely.contains_xy(shapely.from_wkb(row["geometry"]), x + raster.x0, y + raster.y0)
        if not row["simplified"]:
            np.testing.assert_array_equal(shapely.contains_xy(outline, x + raster.x0, y + raster.y0), centres)


@settings(max_examples=60, deadline=None)
@given(array_shapes(min_dims=2, max_dims=2, max_side=14), st.integers(0, 99), st.integers(1, 14), st.floats(0.3125, 1, width=32))
def test_hysteresis_keeps_regions_with_a_high_pixel_whatever_the_tiling(shape, seed, size, high):
    given = score_rasters(shape, seed)
    low, raster = np.float32(0.3125), Window(3, 5, *shape)
    options = {"connectivity": 4, "min_pixels": 1, "fill_holes_pixels": 0}
    classes = given["score"] >= low
    expected = whole(classes, given, raster, PROJECTED, high=high, **options)
    assert_equal(tiled(classes, given, raster, PROJECTED, size, size, high=high, **options), expected)
    regions, _ = ndimage.label(classes)
    kept = np.isin(regions, np.unique(regions[given["score"] >= np.float32(high)])) & classes
    burnt = np.zeros(shape, np.uint8)
    if len(expected):
        shapes = shapely.from_wkb(expected["geometry"].to_numpy())
        burnt = rasterio.features.rasterize(shapes, shape, transform=rasterio.Affine.translation(raster.x0, raster.y0))
    np.testing.assert_array_equal(burnt, kept)
    assert_equal(
        whole(classes, given, raster, PROJECTED, high=float(low), **options), whole(classes, given, raster, PROJECTED, **options)
    )


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize(("share", "size"), [(0.15, 32), (0.55, 64), (0.75, 50)])
def test_noise_in_tiles_is_the_whole(share, size, connectivity):
    rng = np.random.default_rng(13)
    classes = (rng.random((170, 190)) < share) * rng.integers(1, 3, (170, 190)) ** (share < 0.5)
    options = {"connectivity": connectivity, "min_pixels": 3, "fill_holes_pixels": 2}
    raster, given = Window(30, 100, 170, 190), score_rasters(classes.shape, 14)
    expected = whole(classes, given, raster, PROJECTED, **options)
    assert_equal(tiled(classes, given, raster, PROJECTED, size, size, shuffle=15, **options), expected)
    assert shapely.is_valid(shapely.from_wkb(expected["geometry"].to_numpy())).all()


def edge_filled(part):
    """The pixels of a part and, by size, of its holes: what edges alone cannot reach from outside."""
    outside, n = ndimage.label(np.pad(~part, 1, constant_values=True))
    return [(outside == hole)[1:-1, 1:-1] for hole in range(1, n + 1) if hole != outside[0, 0]]


def expected_rows(classes, connectivity, min_pixels, fill_holes_pixels):
    """By plain masks: {first pixel: (mapped pixels, pixels in the geometry)}."""
    rows = {}
    for value in np.unique(classes[classes != 0]):
        groups, n = ndimage.label(classes == value, STRUCTURE[connectivity])
        for group in range(1, n + 1):
            scored = groups == group
            if scored.sum() < min_pixels:
                continue
            drawn = scored.copy()
            parts, n_parts = ndimage.label(scored)
            for part in range(1, n_parts + 1):
                for hole in edge_filled(parts == part):
                    if hole.sum() <= fill_holes_pixels:
                        drawn |= hole
            rows[int(np.flatnonzero(scored)[0])] = (scored, drawn)
    return rows


@settings(max_examples=150, deadline=None)
@given(CLASSES, st.sampled_from([4, 8]), st.integers(1, 6), st.integers(0, 8))
def test_rows_are_those_of_plain_masks(classes, connectivity, min_pixels, fill_holes_pixels):
    raster = Window(64, 32, *classes.shape)
    given = score_rasters(classes.shape, 16)
    options = {"connectivity": connectivity, "min_pixels": min_pixels, "fill_holes_pixels": fill_holes_pixels}
    rows = whole(classes, given, raster, PROJECTED, **options).to_pylist()
    expected = sorted(expected_rows(classes, **options).items())
    area = np.broadcast_to(PROJECTED.pixel_area(raster), classes.shape)
    assert len(rows) == len(expected)
    for row, (first, (scored, drawn)) in zip(rows, expected, strict=True):
        y, x = divmod(first, classes.shape[1])
        geometry = shapely.from_wkb(row["geometry"])
        assert geometry.is_valid
        burnt = rasterio.features.rasterize(
            [geometry], classes.shape, transform=rasterio.Affine.translation(raster.x0, raster.y0)
        )
        np.testing.assert_array_equal(burnt, drawn)
        assert row["gid"] == (raster.y0 + y) * PROJECTED.width + raster.x0 + x + 1
        assert row["class"] == classes[y, x]
        assert row["zone"] == given["zones"][y, x]
        assert (row["n_scored"], row["n_pixels"], row["area_mm2"]) == (scored.sum(), drawn.sum(), area[drawn].sum())
        assert row["score_sum"] == np.rint(given["score"][scored].astype(float) / SCORE_UNIT).sum()
        assert row["score_max"] == given["score"][scored].max()
        assert row["q_min"] == given["q"][scored].min()
        assert row["year_counts"] == [(given["year"][scored] == year).sum() for year in YEARS]
        assert row["kind_counts"] == np.bincount(given["kind"][scored], minlength=5).tolist()


@pytest.mark.parametrize("size", [1, 4, 7, 10, 40])
def test_a_part_in_a_filled_hole_is_not_drawn_twice(size):
    classes = np.zeros((12, 12), np.uint8)
    classes[1:10, 1:10] = 1
    classes[2:9, 2:9] = 0
    classes[2, 2] = 1
    classes[3:6, 3:6] = 1  # hangs on that corner, and has a hole of its own
    classes[4, 4] = 0
    raster, given = Window(0, 0, 12, 12), score_rasters(classes.shape, 24)
    options = {"connectivity": 8, "min_pixels": 1}
    for fill_holes_pixels, shape, n_pixels in ((48, "Polygon", 81), (47, "MultiPolygon", 42), (0, "MultiPolygon", 41)):
        table = tiled(classes, given, raster, GEOGRAPHIC, size, size, fill_holes_pixels=fill_holes_pixels, **options)
        geometry = shapely.from_wkb(table["geometry"][0].as_py())
        assert (table["n_pixels"].to_pylist(), geometry.geom_type, geometry.area) == ([n_pixels], shape, n_pixels)
        assert_equal(table, whole(classes, given, raster, GEOGRAPHIC, fill_holes_pixels=fill_holes_pixels, **options))


def test_holes_far_apart_in_one_merge():
    classes = np.zeros((40, 2600), np.uint8)
    for x in (127, 1535, 2558):
        classes[3:6, x : x + 3] = 1
        classes[4, x + 1] = 0
    grid = Grid("EPSG:32633", PROJECTED.transform, 100, 4000)
    raster, given = Window(10, 0, *classes.shape), score_rasters(classes.shape, 17)
    options = {"connectivity": 4, "min_pixels": 1, "fill_holes_pixels": 1}
    expected = whole(classes, given, raster, grid, **options)
    assert expected["n_pixels"].to_pylist() == [9, 9, 9]
    assert_equal(tiled(classes, given, raster, grid, 128, 128, **options), expected)


def test_q_may_be_absent():
    given = score_rasters((8, 8), 18) | {"q": None}
    table = tiled(
        np.ones((8, 8), int), given, Window(0, 0, 8, 8), GEOGRAPHIC, 3, 3,
        connectivity=4, min_pixels=1, fill_holes_pixels=0,
    )  # fmt: skip
    assert np.isnan(table["q_min"].to_numpy()).all()
    assert table["score_max"].to_pylist() == [given["score"].max()]


def test_finished_rows_are_no_business_of_the_merge():
    given, raster = score_rasters((2, 2), 22), Window(0, 0, 2, 2)
    batch = fragments(
        raster, raster, np.eye(2, dtype=int), **given, years=YEARS, pixel_area=GEOGRAPHIC.pixel_area, mosaic_width=9,
        connectivity=8, min_pixels=1, fill_holes_pixels=0,
    )  # fmt: skip
    with pytest.raises(ValueError, match="found MULTIPOLYGON; expected the single parts of seam rows"):
        merge_fragments(
            whole_components(pa.Table.from_batches([batch])), GEOGRAPHIC.pixel_area, min_pixels=1, fill_holes_pixels=0
        )


def test_nothing_mapped():
    given = score_rasters((4, 4), 19)
    options = {"connectivity": 8, "min_pixels": 2, "fill_holes_pixels": 3}
    for classes in (np.zeros((4, 4), bool), np.diag([1, 0, 0, 0])):
        assert len(tiled(classes, given, Window(4, 4, 4, 4), GEOGRAPHIC, 2, 2, **options)) == 0


def real_rasters():
    if not DATA.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no real rasters at {DATA}"))]
    return sorted(DATA.glob("*.tif")) + sorted(DATA.glob("pastis-parcel-ids/*.npy"))


@pytest.mark.parametrize("path", real_rasters(), ids=lambda path: path.stem if path else "absent")
def test_real_rasters_in_tiles_are_rasterios(path):
    if path.suffix == ".tif":
        with rasterio.open(path) as source:
            classes = source.read(1)
    else:
        classes = np.load(path)
    raster, given = Window(70, 50, *classes.shape), score_rasters(classes.shape, 20)
    options = {"connectivity": 4, "min_pixels": 1, "fill_holes_pixels": 0}
    table = tiled(classes, given, raster, PROJECTED, 100, 100, **options)
    assert_equal(table, whole(classes, given, raster, PROJECTED, **options))
    area = np.broadcast_to(PROJECTED.pixel_area(raster), classes.shape)
    assert table["area_mm2"].to_numpy().sum() == area[classes != 0].sum()
    polygons = shapely.normalize(shapely.from_wkb(table["geometry"].to_numpy()))
    shapes = rasterio.features.shapes(
        classes, classes != 0, connectivity=4, transform=rasterio.Affine.translation(raster.x0, raster.y0)
    )
    theirs = [(shapely.to_wkb(shapely.normalize(shapely.geometry.shape(shape))), int(value)) for shape, value in shapes]
    assert sorted(zip(shapely.to_wkb(polygons), table["class"].to_pylist(), strict=True)) == sorted(theirs)
    assert shapely.is_valid(polygons).all()


@pytest.mark.skipif(not DATA.exists(), reason="no real rasters")
def test_borders_of_a_real_map_are_shared():
    with rasterio.open(DATA / "cdl_2023_polk_512.tif") as source:
        classes = source.read(1)[:256, :256]
    raster, given = Window(128, 64, *classes.shape), score_rasters(classes.shape, 31)
    options = {"connectivity": 4, "min_pixels": 1, "fill_holes_pixels": 0}
    options["drawing"] = Drawing(PROJECTED.width, 65_536, 128, 1.0, shared=True)
    rows = check_shared_borders(classes, given, raster, 64, 64, options)
    drawn, traced = (shapely.from_wkb(rows[name].to_numpy()) for name in ("outline", "geometry"))
    assert shapely.get_num_coordinates(drawn).sum() < 0.9 * shapely.get_num_coordinates(traced).sum()


def test_the_notebook_door():
    score = np.array([[0.5, 0.25, 0.0], [0.0, 0.0, 1.0]], np.float32)
    frame = polygonize(score > 0, score, transform=(10, 0, 500, 0, -10, 900), crs="EPSG:32633")
    assert isinstance(frame, gpd.GeoDataFrame)
    assert frame.crs == "EPSG:32633"
    assert list(frame.columns) == ["change_id", "class", "n_pixels", "score_mean", "score_max", "geometry"]
    assert frame.drop(columns="geometry").to_numpy().tolist() == [[1, 1, 2, 0.375, 0.5], [6, 1, 1, 1.0, 1.0]]
    assert frame.geometry[0].equals(shapely.box(500, 890, 520, 900))
    assert frame.geometry[1].equals(shapely.box(520, 880, 530, 890))
    plain = polygonize([[0, 3], [3, 0]], connectivity=8)
    assert list(plain.columns) == ["change_id", "class", "n_pixels", "geometry"]
    assert plain.drop(columns="geometry").to_numpy().tolist() == [[2, 3, 2]]
    assert plain.geometry[0].equals(shapely.MultiPolygon([shapely.box(1, 0, 2, 1), shapely.box(0, 1, 1, 2)]))
    assert polygonize(np.zeros((3, 3), bool)).empty


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"connectivity": 6}, "connectivity: found 6"),
        ({"min_pixels": 0}, "min_pixels"),
        ({"fill_holes_pixels": -1}, "fill_holes_pixels"),
        ({"score": np.zeros((2, 3))}, "score: found shape"),
        ({"mask_or_classes": np.ones((2, 2, 2), int)}, "mask_or_classes: found 3 dimensions"),
        ({"mask_or_classes": np.ones((2, 2))}, "classes: found float64"),
        ({"mask_or_classes": np.full((2, 2), 2**31)}, "expected 32-bit integers"),
    ],
)
def test_what_cannot_be_polygonized_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        polygonize(**({"mask_or_classes": np.ones((2, 2), bool)} | arguments))


def test_rasters_of_another_shape_are_refused():
    with pytest.raises(InputError, match="classes: found shape"):
        whole(np.ones((3, 3), bool), score_rasters((3, 3), 21), Window(0, 0, 3, 4), GEOGRAPHIC,
              connectivity=4, min_pixels=1, fill_holes_pixels=0)  # fmt: skip
