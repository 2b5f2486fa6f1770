"""The STAC item of a run: valid by the core's schemas, true, and as good after the folder was copied."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pyproj
import pystac
import pytest
import shapely
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.validation import RegisteredValidator, set_validator
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from terradrift.grid import Grid, Window
from terradrift.maps.stac import RunFacts, item, write_stac

AEF = "The AlphaEarth Foundations Satellite Embedding dataset is produced by Google and Google DeepMind."
GRIDS = {
    "degrees": Grid("EPSG:4326", (1e-4, 0.0, -105.4, 0.0, -1e-4, 40.1), 4096, 4096),
    "metres": Grid("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_800_000.0), 4096, 4096),
    "wkt": Grid(
        pyproj.CRS("+proj=laea +lat_0=52 +lon_0=10 +datum=WGS84").to_wkt(), (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), 4096, 4096
    ),
}
CROP = Window(100, 200, 700, 900)


@pytest.fixture(params=GRIDS)
def facts(request: pytest.FixtureRequest, tmp_path: Path) -> RunFacts:
    """An output folder with some of a run's files."""
    root = tmp_path / "out"
    for path in ("maps/change_score.tif", "maps/changes.pmtiles", "maps/changes.gpkg", "maps/changes.qml", "maps/preview.png"):
        (root / "runs/r1" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "runs/r1" / path).write_bytes(path.encode() * 1000)
    for table in ("change_polygons", "polygon_parts", "raw_polygons", "zones", "gaps", "thresholds"):
        (root / "runs/r1/tables" / table).mkdir(parents=True)
    (root / "runs/r1/run.json").write_text("{}")
    for folder in ("runs/r1/change.zarr", "scores/s1/scores.zarr"):
        (root / folder).mkdir(parents=True)
    (root / "scores/s1/statistics.json").write_text("{}")
    return RunFacts(
        str(root), "s1", "r1", GRIDS[request.param], CROP, (2017, 2018, 2024), str(tmp_path / "mosaic.zarr"), AEF,
        "cosine distances", "0.1.0+abc", "2026-11-28T08:00:00Z",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def core_schemas() -> None:
    """pystac with the schemas in its package, and no other: nothing is fetched."""
    set_validator(JsonSchemaSTACValidator())


def test_it_is_valid_by_the_core_schemas(facts: RunFacts) -> None:
    write_stac(facts)
    folder = Path(facts.root) / "runs/r1/stac"
    for name, kind in (("item", pystac.STACObjectType.ITEM), ("collection", pystac.STACObjectType.COLLECTION)):
        document = json.loads((folder / f"{name}.json").read_text())
        RegisteredValidator.get_validator().validate_core(document, kind, "1.1.0")
        with pytest.raises(pystac.errors.STACValidationError):
            RegisteredValidator.get_validator().validate_core(document | {"links": 3}, kind, "1.1.0")


def test_a_copy_is_as_good_as_the_original(facts: RunFacts, tmp_path: Path) -> None:
    write_stac(facts)
    shutil.move(facts.root, tmp_path / "elsewhere")
    found = pystac.Item.from_file(str(tmp_path / "elsewhere/runs/r1/stac/item.json"))
    assets = {key: Path(str(asset.get_absolute_href())) for key, asset in found.assets.items()}
    assert {"scores", "change", "change_polygons", "run", "statistics", "change_score", "changes_gpkg", "preview_png"} <= set(
        assets
    )
    assert all(path.exists() for path in assets.values())
    owner = found.get_collection()
    assert owner is not None
    assert [child.id for child in owner.get_items()] == ["r1"]
    for name in ("item", "collection"):
        document = json.loads((tmp_path / f"elsewhere/runs/r1/stac/{name}.json").read_text())
        linked = [link["href"] for link in document["links"] if link["rel"] != "derived_from"]
        assert all(href.startswith("./") for href in linked)


def test_sizes_and_checksums_are_those_of_the_files(facts: RunFacts) -> None:
    write_stac(facts)
    found = pystac.Item.from_file(str(Path(facts.root) / "runs/r1/stac/item.json"))
    for key in ("change_score", "changes_pmtiles", "changes_gpkg", "statistics"):
        asset = found.assets[key]
        data = Path(str(asset.get_absolute_href())).read_bytes()
        stated = FileExtension.ext(asset)
        assert stated.size == len(data)
        assert stated.checksum == "1220" + hashlib.sha256(data).hexdigest()  # multihash: 0x12 is SHA-256, 0x20 its bytes
    media = {key: asset.media_type for key, asset in found.assets.items()}
    assert media["change_score"] == pystac.MediaType.COG
    assert media["changes_gpkg"] == pystac.MediaType.GEOPACKAGE
    assert media["changes_pmtiles"] == "application/vnd.pmtiles"


def test_it_lies_where_the_rasters_lie(facts: RunFacts) -> None:
    document: dict[str, Any] = item(facts)
    found = pystac.Item.from_dict(document)
    projection = ProjectionExtension.ext(found)
    crs = facts.grid.pyproj_crs
    assert (projection.code == facts.grid.crs) or (projection.code is None and pyproj.CRS(projection.wkt2) == crs)
    assert projection.shape == [700, 900]
    assert tuple(projection.transform or ()) == facts.grid.window_transform(CROP)
    assert tuple(projection.bbox or ()) == facts.grid.window_bounds(CROP)
    footprint = shapely.geometry.shape(found.geometry)
    assert footprint.is_valid
    assert footprint.exterior.is_ccw
    assert footprint.bounds == pytest.approx(tuple(found.bbox or ()))
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    for share in (0.1, 0.5, 0.9):  # points just within the middle of the edges are in the footprint, just outside are not
        for inwards, inside in ((1, True), (-1, False)):
            x = facts.grid.x(CROP.x0 + share * CROP.width)
            y = facts.grid.y(CROP.y0 + inwards)
            assert footprint.contains(shapely.Point(to_degrees.transform(x, y))) == inside
    assert found.datetime is None
    assert (found.common_metadata.start_datetime.year, found.common_metadata.end_datetime.year) == (2017, 2024)


def test_it_says_what_it_was_made_from(facts: RunFacts) -> None:
    document = item(facts)
    properties = document["properties"]
    assert properties["processing:software"] == {"terradrift": "0.1.0+abc"}
    assert properties["processing:lineage"] == "cosine distances"
    assert properties["license"] == "CC-BY-4.0"
    assert AEF in {provider.get("description") for provider in properties["providers"]}
    derived = next(link["href"] for link in document["links"] if link["rel"] == "derived_from")
    assert (Path(facts.root) / "runs/r1/stac" / derived).resolve() == Path(facts.mosaic).resolve()


POSITIONS = {"type": "array", "minItems": 2, "items": {"type": "number"}}
GEOMETRY = {
    "required": ["type", "coordinates"],
    "properties": {"type": {"const": "Polygon"}, "coordinates": {"items": {"minItems": 4, "items": POSITIONS}}},
}
FIELDS: dict[str, dict[str, Any]] = {
    "projection/v2.0.0": {
        "proj:code": {"type": ["string", "null"]},
        "proj:wkt2": {"type": ["string", "null"]},
        "proj:projjson": {"type": ["object", "null"]},
        "proj:geometry": GEOMETRY,
        "proj:bbox": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
        "proj:centroid": {"required": ["lat", "lon"]},
        "proj:shape": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        "proj:transform": {"type": "array", "items": {"type": "number"}, "minItems": 6, "maxItems": 9},
    },
    "processing/v1.2.0": {
        "processing:expression": {"required": ["format", "expression"]},
        "processing:lineage": {"type": "string"},
        "processing:level": {"type": "string"},
        "processing:facility": {"type": "string"},
        "processing:version": {"type": "string"},
        "processing:datetime": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.]\d+)?(Z|[+-]00:00)$"},
        "processing:software": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "file/v2.1.0": {
        "file:byte_order": {"enum": ["big-endian", "little-endian"]},
        "file:checksum": {"type": "string", "pattern": "^[a-f0-9]+$"},
        "file:header_size": {"type": "integer", "minimum": 0},
        "file:size": {"type": "integer", "minimum": 0},
        "file:values": {"type": "array", "minItems": 1},
        "file:local_path": {"type": "string", "pattern": "^[^/]+(/[^/]+)*$"},
    },
}
"""What the READMEs of the extensions at these versions say of their fields, for properties and assets alike."""


def faults(document: dict[str, Any]) -> list[str]:
    """What of an item's fields is not as its extensions say, and extensions that are named or used without the other."""
    found = []
    places = {"properties": document["properties"], **document["assets"]}
    for extension, fields in FIELDS.items():
        prefix = next(iter(fields)).split(":")[0]
        closed = {"properties": fields, "patternProperties": {f"^(?!{prefix}:)": True}, "additionalProperties": False}
        checker = jsonschema.Draft7Validator(closed)
        found += [f"{place}: {error.message}" for place, values in places.items() for error in checker.iter_errors(values)]
        used = any(name.startswith(f"{prefix}:") for values in places.values() for name in values)
        named = f"https://stac-extensions.github.io/{extension}/schema.json" in document["stac_extensions"]
        found += [] if used == named else [f"{extension}: named {named}, used {used}"]
    known = {field.split(":")[0] for fields in FIELDS.values() for field in fields}
    prefixes = {name.split(":")[0] for values in places.values() for name in values if ":" in name}
    return found + [f"{prefix}: of no extension" for prefix in sorted(prefixes - known)]


def test_the_fields_of_the_extensions_are_as_their_texts_say(facts: RunFacts) -> None:
    document = json.loads(json.dumps(item(facts)))
    assert faults(document) == []
    properties = document["properties"]
    assert properties["proj:geometry"]["coordinates"][0][0] == properties["proj:geometry"]["coordinates"][0][-1]
    assert len(document["stac_extensions"]) == len(FIELDS)
    for wrong in (
        {"proj:epsg": 4326},
        {"proj:shape": [700.5, 900]},
        {"proj:transform": [1, 2, 3]},
        {"proj:bbox": [1, 2, 3]},
        {"processing:software": {"terradrift": 1}},
        {"processing:datetime": "yesterday"},
        {"file:checksum": "1220XY"},
        {"eo:cloud_cover": 3},
    ):
        assert len(faults(document | {"properties": properties | wrong})) == 1
