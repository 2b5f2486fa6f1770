"""Polygons to tiles on Arrow tables: valid rings, right areas, ids and attributes, equal on both sides of a tile's edge."""

from __future__ import annotations

import gzip
import hashlib
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import numpy as np
import pyarrow as pa
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pmtiles.reader import MmapSource, all_tiles
from pmtiles.tile import zxy_to_tileid

from archives import verify
from terradrift.errors import InputError
from terradrift.kernels.tile_geometry import mercator
from terradrift.maps.pmtiles import TileIndex, tile_xyz, write_archive
from terradrift.maps.tile_columns import SORTED_BY, archive_metadata, field_types
from terradrift.maps.tile_options import Thin, TileOptions
from terradrift.maps.tile_pairs import tile_pairs
from terradrift.maps.vector_tiles import EncodedTile, encode_tiles

LAYERS = {
    "counties": ("us-atlas_counties-10m.topojson", "counties", (3, 6)),
    "countries": ("world-atlas_countries-50m.topojson", "countries", (0, 4)),
    "buildings": ("boulder_buildings.zip", None, (10, 14)),
    "feedlots": ("aef_feedlots_germany_priors_scored.gpkg", None, (6, 12)),
}


def table(shapes: Any, **columns: Any) -> pa.RecordBatch:
    ids = np.arange(1, len(shapes) + 1)
    return pa.RecordBatch.from_pydict(
        {"id": ids, "geometry": pa.array(list(shapely.to_wkb(np.array(shapes, object))), pa.binary()), **columns}
    )


def stars(count: int, seed: int, bounds: tuple[float, float, float, float], radius: tuple[float, float]) -> np.ndarray:
    """Simple polygons of 24 vertices in degrees, their sizes spread evenly on a log scale."""
    rng = np.random.default_rng(seed)
    corners = 24
    angle = (np.arange(corners) + rng.uniform(0, 0.8, (count, corners))) / corners * 2 * np.pi
    far = np.exp(rng.uniform(*np.log(radius), (count, 1))) * rng.uniform(0.5, 1, (count, corners))
    x = rng.uniform(bounds[0], bounds[2], (count, 1)) + far * np.cos(angle)
    y = rng.uniform(bounds[1], bounds[3], (count, 1)) + far * np.sin(angle)
    return shapely.polygons(np.stack([x, y], axis=2))


IN_ORDER = [(name, "ascending") for name in SORTED_BY]


def sorted_pairs(batch: pa.RecordBatch, options: TileOptions) -> pa.Table:
    return pa.Table.from_batches([rows.pairs for rows in tile_pairs(batch, options)]).sort_by(IN_ORDER)


def make_tiles(batch: pa.RecordBatch, options: TileOptions, rows: int = 10_000) -> list[EncodedTile]:
    return list(encode_tiles(sorted_pairs(batch, options).combine_chunks().to_batches(max_chunksize=rows), options))


def decode(tile: EncodedTile, layer: str = "polygons") -> tuple[tuple[int, int, int], list[dict[str, Any]]]:
    """((zoom, x, y), features): `geometry` as a shape in tile units, y southwards."""
    x, y, zoom = (int(a[0]) for a in tile_xyz(np.array([tile.tile_id])))
    content = mapbox_vector_tile.decode(gzip.decompress(tile.data), default_options={"y_coord_down": True})
    assert list(content) == [layer]
    features = content[layer]["features"]
    assert len(features) == tile.features
    for feature in features:
        feature["geometry"] = shapely.geometry.shape(feature["geometry"])
    return (zoom, x, y), features


def assert_valid(tiles: list[EncodedTile]) -> dict[int, set[int]]:
    """Every polygon of every tile is valid and within the margin; the ids of each zoom."""
    seen: dict[int, set[int]] = defaultdict(set)
    for tile in tiles:
        (zoom, x, y), features = decode(tile)
        shapes = np.array([feature["geometry"] for feature in features])
        broken = shapes[~shapely.is_valid(shapes)]
        assert not broken.size, f"{zoom}/{x}/{y}: {shapely.is_valid_reason(broken[0])}"
        assert (shapely.area(shapes) > 0).all()
        assert tile.bounds == tuple(shapely.total_bounds(shapes).astype(int).tolist())
        assert min(tile.bounds) >= -80
        assert max(tile.bounds) <= 4176
        seen[zoom] |= {feature["id"] for feature in features}
    return seen


def mercator_areas(shapes: Any) -> np.ndarray:
    """Of each shape in degrees, as a share of the Web Mercator square."""
    return shapely.area(shapely.transform(shapes, lambda xy: np.stack(mercator(*xy.T), axis=1)))


def covered(features: list[dict[str, Any]]) -> float:
    """Square units that a tile's features cover."""
    shapes = [feature["geometry"] for feature in features]
    return shapely.union_all(shapes).intersection(shapely.box(0, 0, 4096, 4096)).area


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 1500), st.sampled_from([0.0002, 0.002, 0.02]))
def test_each_tile_covers_the_area_of_its_polygons(seed: int, count: int, largest: float) -> None:
    """Polygons far below a pixel or above it, few or many, apart or crowded: every tile of every zoom, as its polygons are small.

    Each lies in a cell of its own, so that none covers another; what the grid's whole units cannot show is left out.
    """
    rng = np.random.default_rng(seed)
    cell = 2.5 * largest
    across = math.isqrt(count - 1) + 1
    col, row = rng.permutation(np.stack(np.divmod(np.arange(across**2), across), axis=1))[:count].T
    shapes = stars(count, seed, (0, 0, 0, 0), (largest / 30, largest))
    moved = np.repeat(np.stack([5 + col * cell, 20 + row * cell], axis=1), shapely.get_num_coordinates(shapes), axis=0)
    shapes = shapely.set_coordinates(shapes, shapely.get_coordinates(shapes) + moved)
    truth = mercator_areas(shapes)
    middle = np.stack(mercator(*(shapely.bounds(shapes)[:, [0, 1]] + shapely.bounds(shapes)[:, [2, 3]]).T / 2), axis=1)
    total: dict[int, float] = defaultdict(float)
    drawn: dict[int, set[int]] = defaultdict(set)
    for (zoom, x, y), features in map(decode, make_tiles(table(shapes), TileOptions(min_zoom=2, max_zoom=12))):
        assert len({feature["id"] for feature in features}) == len(features)
        drawn[zoom] |= {feature["id"] for feature in features}
        total[zoom] += covered(features)
        units = truth * (4096 << zoom) ** 2
        here = (np.floor(middle * 2**zoom) == (x, y)).all(axis=1)
        if zoom < 12 and units.max() < 64 and here.any():  # all are squares
            assert abs(covered(features) - max(units[here].sum(), len(features))) <= 0.5
    for zoom in range(2, 12):
        assert drawn[zoom] <= drawn[zoom + 1], "what is shown stays shown"
        units = truth.sum() * (4096 << zoom) ** 2
        if units > 200:
            assert total[zoom] == pytest.approx(units, rel=0.05)


def test_few_small_polygons_in_many_tiles_are_shown_as_often_as_they_cover() -> None:
    """One of a third of a unit in each of 600 tiles: about 200 are drawn, as a unit."""
    step = 360 / 2**9
    col, row = np.divmod(np.arange(600), 30)
    x, y = -100 + col * step, (row - 15) * step
    side = step / 4096 / 3**0.5
    tiles = make_tiles(table(shapely.box(x, y, x + side, y + side)), TileOptions(min_zoom=9, max_zoom=10))
    areas = [covered(features) for (zoom, _, _), features in map(decode, tiles) if zoom == 9]
    assert set(areas) == {1.0}
    assert 160 < len(areas) < 240


def test_ids_and_attributes_survive() -> None:
    rng = np.random.default_rng(2)
    count = 400
    shapes = stars(count, 2, (-1, -1, 1, 1), (0.0005, 0.2))
    columns = {
        "kind": pa.array([None if k % 7 == 0 else ["step", "ramp"][k % 2] for k in range(count)]),
        "year": pa.array(rng.integers(-5, 2026, count), pa.int32()),
        "score": pa.array(np.where(np.arange(count) % 5, rng.random(count), np.nan), pa.float32()),
        "area_m2": pa.array(rng.random(count) * 1e9),
        "sure": pa.array(np.arange(count) % 3 == 0),
        "long": pa.array(rng.integers(-(2**62), 2**62, count)),
    }
    batch = table(shapes, **columns)
    assert list(field_types(batch.schema, TileOptions()).values()) == [
        "Number",
        "String",
        "Number",
        "Number",
        "Number",
        "Boolean",
        "Number",
    ]
    seen = defaultdict(set)
    rows = batch.to_pylist()
    for tile in make_tiles(batch, TileOptions(min_zoom=3, max_zoom=9), rows=97):
        (zoom, _, _), features = decode(tile)
        ids = [feature["id"] for feature in features]
        assert len(set(ids)) == len(ids)
        for feature in features:
            row = dict(rows[feature["id"] - 1])
            del row["geometry"]
            assert feature["properties"] == {k: v for k, v in row.items() if v is not None and v == v}
        seen[zoom] |= set(ids)
    assert seen[9] == set(range(1, count + 1))
    for zoom in range(3, 9):
        assert seen[zoom] <= seen[zoom + 1], "what is shown stays shown"


def test_batches_may_cut_tiles_anywhere() -> None:
    batch = table(stars(500, 3, (5, 5, 6, 6), (0.001, 0.05)), name=pa.array([f"n{k % 40}" for k in range(500)]))
    options = TileOptions(min_zoom=5, max_zoom=9)
    whole = make_tiles(batch, options, rows=10**6)
    assert [tile.tile_id for tile in whole] == sorted({tile.tile_id for tile in whole})
    for rows in (1, 3, 50):
        assert make_tiles(batch, options, rows) == whole
    halves = pa.concat_tables([sorted_pairs(part, options) for part in (batch.slice(250), batch.slice(0, 250))])
    halves = halves.sort_by(IN_ORDER).combine_chunks()
    assert list(encode_tiles([pa.RecordBatch.from_pylist([], halves.schema), *halves.to_batches()], options)) == whole
    assert list(encode_tiles([], options)) == []


def test_neighbouring_tiles_agree() -> None:
    """In the strip that both draw, a polygon's two pictures differ by less than a unit of rounding, repaired ones too."""
    crossing = shapely.polygons(np.random.default_rng(4).uniform(0, 4, (20, 7, 2)))
    batch = table(np.append(stars(60, 4, (0, 0, 4, 4), (0.2, 1.5)), crossing))
    tiles = {
        zxy: {f["id"]: f["geometry"] for f in features}
        for zxy, features in map(decode, make_tiles(batch, TileOptions(min_zoom=6, max_zoom=8)))
    }
    compared = 0
    for (zoom, x, y), here in tiles.items():
        for dx, dy in ((1, 0), (0, 1)):
            there = tiles.get((zoom, x + dx, y + dy), {})
            strip = shapely.box(4017, 0, 4175, 4096) if dx else shapely.box(0, 4017, 4096, 4175)
            for feature in here.keys() | there.keys():
                a = here.get(feature, shapely.Polygon()).intersection(strip)
                b = shapely.transform(
                    there.get(feature, shapely.Polygon()), lambda xy, d=(dx, dy): xy + np.multiply(d, 4096)
                ).intersection(strip)
                assert a.symmetric_difference(b).buffer(-0.75).is_empty
                compared += not a.is_empty
    assert compared > 200


@pytest.mark.parametrize("layer", LAYERS)
def test_real_polygons(layer: str, shared_data: Path) -> None:
    """Invalid rings, holes, multipolygons, the antimeridian: all tiles valid, no polygon lost at the largest zoom."""
    file, name, (min_zoom, max_zoom) = LAYERS[layer]
    _, _, wkb, _ = pyogrio.raw.read(shared_data / "polygons-large" / file, layer=name, columns=[], max_features=3000)
    shapes = shapely.from_wkb(wkb)
    shapes = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    seen = assert_valid(make_tiles(table(shapes), TileOptions(min_zoom=min_zoom, max_zoom=max_zoom)))
    assert seen[max_zoom] == set(range(1, len(shapes) + 1))


def test_pixel_polygons_are_valid_at_every_zoom() -> None:
    """Staircases that touch themselves at corners, with holes: what change maps are made of."""
    rng = np.random.default_rng(6)
    size = 60
    mask = rng.random((size, size)) < 0.6
    cells = np.argwhere(mask)
    boxes = shapely.box(cells[:, 1], cells[:, 0], cells[:, 1] + 1, cells[:, 0] + 1)
    parts = shapely.get_parts(shapely.union_all(boxes))
    shapes = shapely.transform(np.append(parts, shapely.MultiPolygon(list(parts))), lambda xy: xy * 1e-4 + (20.0, -30.0))
    for tolerance in (0.0, 4.0):
        options = TileOptions(min_zoom=8, max_zoom=15, tolerance=tolerance)
        assert assert_valid(make_tiles(table(shapes), options))[15] == set(range(1, len(shapes) + 1))


def test_slivers_are_all_drawn_at_the_largest_zoom() -> None:
    """Long polygons far narrower than a unit."""
    rng = np.random.default_rng(7)
    ends = rng.uniform(0, 1, (300, 2, 2))
    width = 10 ** rng.uniform(-7, -3, (300, 1, 1))
    lines = np.concatenate([ends, ends[:, ::-1] + width * rng.uniform(0.5, 1, (300, 2, 2))], axis=1)
    seen = assert_valid(make_tiles(table(shapely.polygons(lines)), TileOptions(min_zoom=2, max_zoom=8)))
    assert seen[8] == set(range(1, 301))


def test_rings_that_cross_themselves_are_repaired_tile_by_tile() -> None:
    """On the tiles' edges too."""
    angle = np.linspace(0, 2 * np.pi, 500)
    far = 1 + 0.5 * np.sin(angle * 60)
    ring = np.stack([3 * far * np.cos(angle * 2), 3 * far * np.sin(angle * 3)], axis=1)
    tiles = make_tiles(table([shapely.Polygon(ring)]), TileOptions(min_zoom=7, max_zoom=7))
    assert len(tiles) > 6
    assert_valid(tiles)


def test_ten_thousand_holes_that_touch_stay_open() -> None:
    """A polygon like the ground between changes: every hole meets the next at a corner."""
    row, col = np.divmod(np.arange(10_000), 100)
    holes = shapely.box(col + row % 2 * 0.5, row + 1, col + row % 2 * 0.5 + 0.5, row + 2)
    ground = shapely.difference(shapely.box(-1, 0, 102, 102), shapely.MultiPolygon(list(holes)).buffer(0))
    shape = shapely.transform(ground, lambda xy: xy * 1e-3 + (11.0, 47.0))
    options = TileOptions(min_zoom=11, max_zoom=13)
    tiles = make_tiles(table([shape]), options)
    assert_valid(tiles)
    tile = shapely.box(0, 0, 4096, 4096)
    drawn: dict[int, float] = defaultdict(float)
    for (zoom, _, _), (feature,) in map(decode, tiles):
        drawn[zoom] += feature["geometry"].intersection(tile).area / 4096**2 / 4**zoom
    truth = shapely.transform(shape, lambda xy: np.stack(mercator(*xy.T), axis=1)).area
    assert drawn == pytest.approx(dict.fromkeys((11, 12, 13), truth), rel=0.02)


def test_too_large_tiles_lose_their_smallest_polygons() -> None:
    shapes = stars(800, 8, (0.05, 0.05, 0.3, 0.3), (0.0005, 0.02))
    batch = table(shapes, text=pa.array([hashlib.blake2b(bytes([k % 256, k // 256])).hexdigest() for k in range(800)]))
    full = make_tiles(batch, TileOptions(min_zoom=8, max_zoom=8))
    options = TileOptions(min_zoom=8, max_zoom=8, max_tile_bytes=20_000)
    cut = make_tiles(batch, options)
    assert max(len(tile.data) for tile in full) > 30_000
    assert 15_000 < max(len(tile.data) for tile in cut) <= 20_000
    for whole, less in zip(full, cut, strict=True):
        kept = {f["id"] for f in decode(less)[1]}
        areas = {f["id"]: f["geometry"].area for f in decode(whole)[1]}
        assert less.dropped == whole.features - less.features == len(areas.keys() - kept)
        assert max((areas[i] for i in areas.keys() - kept), default=0) <= min(areas[i] for i in kept)
    assert all(tile.features == 1 for tile in make_tiles(batch, TileOptions(min_zoom=8, max_zoom=8, max_tile_bytes=1)))


def test_too_many_features_of_a_tile_lose_the_smallest() -> None:
    """At the largest zoom; below it their squares grow instead: the covered area stays."""
    shapes = stars(600, 8, (0.05, 0.05, 0.3, 0.3), (0.0002, 0.001))
    options = [TileOptions(min_zoom=7, max_zoom=9, max_features_per_tile=most) for most in (10_000, 40)]
    full, cut = (dict(map(decode, make_tiles(table(shapes), each))) for each in options)
    assert full.keys() == cut.keys()
    for zxy, features in cut.items():
        assert len(features) == min(40, len(full[zxy]))
        if zxy[0] < 9:
            assert covered(features) == pytest.approx(covered(full[zxy]), rel=0.02)
        else:
            areas = {f["id"]: f["geometry"].area for f in full[zxy]}
            kept = {f["id"] for f in features}
            assert max((areas[i] for i in areas.keys() - kept), default=0) <= min(areas[i] for i in kept)


def test_each_value_of_the_layer_column_is_a_layer() -> None:
    """Each covers its own area; rows that name none are in the default one; ids stay what they are."""
    shapes = stars(300, 10, (5, 5, 7, 7), (0.001, 0.05))
    names = np.array(["roads", "fields", "", None], object)[np.arange(300) % 4]
    batch = table(shapes, layer=pa.array(names), year=pa.array(2018 + np.arange(300) % 7))
    options = TileOptions(layer="default", layer_column="layer", layers=("default", "fields", "roads"), min_zoom=3, max_zoom=9)
    truth = mercator_areas(shapes)
    of = {"roads": names == "roads", "fields": names == "fields", "default": np.array([not name for name in names])}
    total: dict[tuple[str, int], float] = defaultdict(float)
    seen: dict[str, set[int]] = defaultdict(set)
    for tile in make_tiles(batch, options):
        zoom = int(tile_xyz(np.array([tile.tile_id]))[2][0])
        content = mapbox_vector_tile.decode(gzip.decompress(tile.data), default_options={"y_coord_down": True})
        assert list(content) == sorted(content)
        for name, layer in content.items():
            features = [{"geometry": shapely.geometry.shape(feature["geometry"])} for feature in layer["features"]]
            total[name, zoom] += covered(features) / (4096 << zoom) ** 2
            assert all(feature["properties"].keys() == {"id", "year"} for feature in layer["features"])
            seen[name] |= {feature["id"] for feature in layer["features"]}
    for name, which in of.items():
        assert seen[name] == set((np.flatnonzero(which) + 1).tolist())
        for zoom in (7, 8, 9):
            assert total[name, zoom] == pytest.approx(truth[which].sum(), rel=0.05)


def test_low_zooms_round_attributes_or_leave_them_out() -> None:
    count = 200
    score = np.linspace(0.001, 0.999, count)
    columns = {"score": pa.array(score, pa.float32()), "area": pa.array(np.arange(count) * 7, pa.int32()), "name": ["x"] * count}
    thin = (Thin("score", 8, 1), Thin("area", 7, -2), Thin("name", 9), Thin("id", 7))
    options = TileOptions(min_zoom=6, max_zoom=9, thin=thin)
    batch = table(stars(count, 11, (5, 5, 6, 6), (0.01, 0.05)), **columns)
    seen = set()
    for (zoom, _, _), features in map(decode, make_tiles(batch, options)):
        for feature in features:
            k = feature["id"] - 1
            expected = {
                "id": k + 1 if zoom >= 7 else None,
                "score": pytest.approx(score[k] if zoom >= 8 else round(score[k], 1), abs=1e-6),
                "area": k * 7 if zoom >= 7 else round(k * 7, -2),
                "name": "x" if zoom >= 9 else None,
            }
            assert feature["properties"] == {key: value for key, value in expected.items() if value is not None}
            seen.add(zoom)
    assert seen == {6, 7, 8, 9}
    assert "name" not in field_types(batch.schema, TileOptions(max_zoom=8, thin=thin))


@pytest.mark.parametrize(
    ("thin", "message"),
    [
        ("scor:8:1", "thin: found 'scor'; expected an attribute; did you mean 'score'"),
        ("name:8:1", "thin: found decimals for name, which is no number"),
        ("score", "thin: found 'score'; expected NAME:ZOOM"),
        ("score:x", "thin: found 'score:x'"),
        (":3", "thin: found ':3'"),
        ("score:-1", "thin: found"),
    ],
)
def test_rules_for_attributes_are_checked(thin: str, message: str) -> None:
    schema = pa.schema([("id", pa.int64()), ("geometry", pa.binary()), ("score", pa.float64()), ("name", pa.string())])
    with pytest.raises(InputError, match=message):
        field_types(schema, TileOptions(thin=(Thin.parse(thin),)))
    assert Thin.parse("a:b:3:-2") == Thin("a:b", 3, -2)
    assert Thin.parse("a:b:3") == Thin("a:b", 3)


@pytest.mark.parametrize("resolution", [512, 1000, 8192])
def test_covered_area_is_right_at_any_resolution(resolution: int) -> None:
    shapes = stars(400, 12, (5, 5, 6, 6), (0.001, 0.02))
    truth = mercator_areas(shapes).sum()
    drawn: dict[int, float] = defaultdict(float)
    options = TileOptions(min_zoom=6, max_zoom=10, tile_resolution=resolution)
    for (zoom, _, _), features in map(decode, make_tiles(table(shapes), options)):
        shown = shapely.union_all([feature["geometry"] for feature in features])
        drawn[zoom] += shown.intersection(shapely.box(0, 0, resolution, resolution)).area / (resolution << zoom) ** 2
    overlap = truth - shapely.transform(shapely.union_all(shapes), lambda xy: np.stack(mercator(*xy.T), axis=1)).area
    assert overlap < 0.03 * truth
    assert drawn == pytest.approx(dict.fromkeys(range(6, 11), truth), rel=0.05)


def test_beyond_the_edges_of_the_world() -> None:
    """North of 85.05 degrees is cut off, east of 180 comes round; nothing else changes."""
    shapes = [
        shapely.box(170, 10, 190, 20),
        shapely.box(-190, -20, -170, -10),
        shapely.box(20, 80, 30, 90),
        shapely.box(20, 86, 30, 89),
        shapely.box(-180, -90, 180, 90),
        shapely.box(200, 10, 210, 20),
    ]
    tiles = dict(map(decode, make_tiles(table(shapes), TileOptions(min_zoom=1, max_zoom=1))))
    assert set(tiles) == {(1, x, y) for x in (0, 1) for y in (0, 1)}
    tile = shapely.box(0, 0, 4096, 4096)
    area: dict[int, float] = defaultdict(float)
    for features in tiles.values():
        for feature in features:
            area[feature["id"]] += feature["geometry"].intersection(tile).area / 8192**2
    _, (top, bottom, edge) = mercator(np.zeros(3), np.array([20.0, 10, 80]))
    expected = {
        1: 20 / 360 * (bottom - top),
        2: 20 / 360 * (bottom - top),
        3: 10 / 360 * edge,
        5: 1.0,
        6: 10 / 360 * (bottom - top),
    }
    assert area == pytest.approx(expected, rel=0.01)
    east, west = ({f["id"]: f["geometry"] for f in tiles[1, x, 0]} for x in (1, 0))
    assert east[1].bounds[2] >= 4096
    assert west[1].bounds[0] <= 0
    assert 1 not in {f["id"] for f in tiles[1, 0, 1]}


def test_rows_without_geometry_are_passed_over() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "id": [1, 2, 3],
            "geometry": pa.array([None, shapely.to_wkb(shapely.Polygon()), shapely.to_wkb(shapely.box(0, 0, 1, 1))], pa.binary()),
        }
    )
    options = TileOptions(max_zoom=3)
    assert {f["id"] for tile in make_tiles(batch, options) for f in decode(tile)[1]} == {3}
    assert sorted_pairs(batch.slice(0, 2), options).num_rows == 0
    assert sorted_pairs(batch.slice(0, 0), options).num_rows == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"geometry": [shapely.to_wkb(shapely.Point(1, 2))]}, "geometry: found a Point; expected Polygon or MultiPolygon; "),
        ({"geometry": [shapely.to_wkb(shapely.box(500000, 5000000, 500010, 5000010))]}, "geometry: found bounds .*degrees"),
        (
            {"geometry": [shapely.to_wkb(shapely.box(600, 10, 610, 20))]},
            "geometry: found bounds 600, 10, 610, 20; expected degrees",
        ),
        ({"geometry": [b"nonsense"]}, "geometry: found bytes that are not WKB"),
        ({"id": [-1]}, "id: found -1; expected ids from 0 to"),
        ({"id": [2**53]}, f"id: found {2**53}; expected"),
        ({"id": pa.array([None], pa.int64())}, "id: found null; expected"),
        ({"id": ["a"]}, "id: found string; expected whole numbers"),
        ({"when": pa.array([0], pa.timestamp("s"))}, "when: found timestamp.*; expected integer, float, string or boolean"),
        ({"geometry": ["POINT EMPTY"]}, "geometry: found string; expected WKB"),
    ],
)
def test_what_cannot_become_tiles_is_refused(columns: dict[str, Any], message: str) -> None:
    good = {"id": [1], "geometry": [shapely.to_wkb(shapely.box(0, 0, 1, 1))]}
    with pytest.raises(InputError, match=message):
        list(tile_pairs(pa.RecordBatch.from_pydict(good | columns), TileOptions()))


def test_missing_columns_are_named() -> None:
    with pytest.raises(InputError, match="change_id: no such column; found id"):
        field_types(pa.schema([("id", pa.int64()), ("geometry", pa.binary())]), TileOptions(id_column="change_id"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_zoom": 5, "max_zoom": 4},
        {"max_zoom": 19},
        {"area_floor": 0},
        {"area_floor": math.nan},
        {"buffer": 80},
        {"tolerance": -1},
        {"simplify": "vw"},
        {"tile_resolution": 2**15},
        {"max_zoom": 10**9},
        {"max_tile_bytes": 0},
        {"max_features_per_tile": 0},
        {"thin": (Thin("a", 3), Thin("a", 4, 1))},
    ],
)
def test_options_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        TileOptions(**wrong)


def test_archives_open_in_other_programs(tmp_path: Path) -> None:
    """The whole way in one process: every tile comes back from the archive, and GDAL reads ids, types and places."""
    shapes = stars(300, 9, (-60, -12, -58, -10), (0.002, 0.05))
    batch = table(shapes, kind=pa.array(["step", "ramp", None] * 100), score=pa.array(np.arange(300) / 8, pa.float32()))
    options = TileOptions(layer="changes", min_zoom=4, max_zoom=8)
    tiles = make_tiles(batch, options)
    part = tmp_path / "part"
    part.write_bytes(b"".join(tile.data for tile in tiles))
    length = np.array([len(tile.data) for tile in tiles])
    index = TileIndex(
        np.array([tile.tile_id for tile in tiles]),
        np.zeros(len(tiles), np.int64),
        np.cumsum(length) - length,
        length,
        np.frombuffer(b"".join(tile.digest for tile in tiles), np.uint64).reshape(-1, 2),
    )
    path = tmp_path / "changes.pmtiles"
    told = {"changes": {"count": 300, "fields": field_types(batch.schema, options), "attributes": []}}
    metadata = archive_metadata(options, told, {"attribution": "x"})
    write_archive(path, index, [part], tuple(shapely.total_bounds(shapes).tolist()), metadata)
    verify(path)
    with path.open("rb") as file:
        assert {zxy_to_tileid(*zxy): data for zxy, data in all_tiles(MmapSource(file))} == {t.tile_id: t.data for t in tiles}
    assert pyogrio.list_layers(path)[:, 0].tolist() == ["changes"]
    frame = pyogrio.read_dataframe(path)
    assert set(frame.mvt_id) == set(range(1, 301))
    assert (frame.id == frame.mvt_id).all()
    assert (frame.score * 8 + 1 == frame.id).all()
    found = frame.to_crs(4326).dissolve("mvt_id")
    near = shapely.bounds(found.geometry.to_numpy()) - shapely.bounds(shapes)
    assert np.abs(near).max() < 0.002  # 4 units at zoom 8 are 0.0014 degrees
