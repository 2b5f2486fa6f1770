"""A run as a STAC item in a collection of its own: where it lies, what it was made from, and all of its files.

All links to files of the run are relative, so that a copy of the output folder is as good as the original.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyproj

from terradrift.grid import Grid, Window
from terradrift.maps.cog import COGS, DECISION_COGS
from terradrift.maps.vector_files import FORMATS
from terradrift.store import Store, open_store

STAC_VERSION = "1.1.0"

EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json" for name in ("projection/v2.0.0", "processing/v1.2.0", "file/v2.1.0")
)

SHA256_MULTIHASH = "1220"
"""How a multihash of SHA-256 begins: the function's number and 32 bytes."""

HASH_BYTES = 32 << 20
"""Read at a time."""

EDGE_POINTS = 21
"""Points along an edge of the footprint: a straight line of the CRS is a curve in degrees."""

ALPHAEARTH = "AlphaEarth"

JSON, PARQUET, ZARR = "application/json", "application/vnd.apache.parquet", "application/vnd.zarr; version=3"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run when its files are there."""

    root: str
    """The output folder."""
    score_id: str
    run_id: str
    grid: Grid
    crop: Window
    """The area of interest's bounds, in pixels of the mosaic."""
    years: Sequence[int]
    mosaic: str
    attribution: str | None
    lineage: str
    version: str
    created: str
    """RFC 3339, UTC."""


def write_stac(facts: RunFacts) -> None:
    """Put `stac/collection.json` and `stac/item.json` into the run."""
    store = open_store(f"{facts.root}/runs/{facts.run_id}")
    for name, document in (("collection", collection(facts)), ("item", item(facts))):
        store.put(f"stac/{name}.json", json.dumps(document, indent=1).encode())


def item(facts: RunFacts) -> dict[str, Any]:
    """The STAC item of a run; looks up which of its files are there and reads them for their checksums."""
    ring, projected = _footprint(facts.grid, facts.crop), facts.grid.window_bounds(facts.crop)
    xmin, ymin, xmax, ymax = projected
    corners = [[xmin, ymin], [xmax, ymin], [xmax, ymax], [xmin, ymax], [xmin, ymin]]
    bbox = [*ring.min(axis=0).tolist(), *ring.max(axis=0).tolist()]
    code: dict[str, Any] = (
        {"proj:code": facts.grid.crs} if "[" not in facts.grid.crs else {"proj:code": None, "proj:wkt2": facts.grid.crs}
    )
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": facts.run_id,
        "collection": _collection_id(facts),
        "geometry": {"type": "Polygon", "coordinates": [ring.tolist()]},
        "bbox": bbox,
        "properties": {
            "title": f"Change of the ground, {facts.years[0]} to {facts.years[-1]}",
            "datetime": None,
            "start_datetime": f"{facts.years[0]}-01-01T00:00:00Z",
            "end_datetime": f"{facts.years[-1]}-12-31T23:59:59Z",
            "created": facts.created,
            "license": _license(facts),
            "providers": _providers(facts),
            **code,
            "proj:shape": list(facts.crop.shape),
            "proj:transform": list(facts.grid.window_transform(facts.crop)),
            "proj:bbox": list(projected),
            "proj:geometry": {"type": "Polygon", "coordinates": [corners]},
            "processing:software": {"terradrift": facts.version},
            "processing:lineage": facts.lineage,
            "processing:datetime": facts.created,
        },
        "assets": dict(_assets(facts)),
        "links": [
            *({"rel": rel, "href": "./collection.json", "type": JSON} for rel in ("root", "parent", "collection")),
            {"rel": "derived_from", "href": _mosaic_link(facts), "type": ZARR, "title": "annual embeddings"},
        ],
    }


def collection(facts: RunFacts) -> dict[str, Any]:
    """The STAC collection of one run."""
    ring = _footprint(facts.grid, facts.crop)
    interval = [f"{facts.years[0]}-01-01T00:00:00Z", f"{facts.years[-1]}-12-31T23:59:59Z"]
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "id": _collection_id(facts),
        "title": "terradrift changes",
        "description": facts.lineage,
        "license": _license(facts),
        "keywords": ["change detection", "satellite embeddings"],
        "providers": _providers(facts),
        "extent": {
            "spatial": {"bbox": [[*ring.min(axis=0).tolist(), *ring.max(axis=0).tolist()]]},
            "temporal": {"interval": [interval]},
        },
        "links": [
            {"rel": "root", "href": "./collection.json", "type": JSON},
            {"rel": "item", "href": "./item.json", "type": "application/geo+json"},
        ],
    }


def _collection_id(facts: RunFacts) -> str:
    return f"terradrift-{facts.run_id}"


def _license(facts: RunFacts) -> str:
    return "CC-BY-4.0" if ALPHAEARTH in (facts.attribution or "") else "other"


def _providers(facts: RunFacts) -> list[dict[str, Any]]:
    parts = urlsplit(facts.mosaic)
    name = parts.netloc or PurePosixPath(parts.path).name
    source = {"name": name, "roles": ["producer", "licensor"]}
    return [
        source | ({"description": facts.attribution} if facts.attribution else {}),
        {"name": "terradrift", "roles": ["processor"], "description": f"terradrift {facts.version}"},
    ]


def _mosaic_link(facts: RunFacts) -> str:
    if urlsplit(facts.mosaic).scheme or urlsplit(facts.root).scheme:
        return facts.mosaic
    return os.path.relpath(facts.mosaic, f"{facts.root}/runs/{facts.run_id}/stac")


def _footprint(grid: Grid, window: Window) -> Any:
    """Ring (point, 2) of longitudes and latitudes, counterclockwise."""
    xmin, ymin, xmax, ymax = grid.window_bounds(window)
    n = 2 if grid.is_geographic else EDGE_POINTS
    x, y = np.linspace(xmin, xmax, n), np.linspace(ymin, ymax, n)
    edges: list[tuple[Any, Any]] = [(x[:-1], ymin), (xmax, y[:-1]), (x[:0:-1], ymax), (xmin, y[:0:-1])]
    ring = np.concatenate([np.stack(np.broadcast_arrays(*edge), axis=-1) for edge in edges])
    to_degrees = pyproj.Transformer.from_crs(grid.pyproj_crs, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*np.concatenate([ring, ring[:1]]).T)
    return np.stack([lon, lat], axis=-1)


def _assets(facts: RunFacts) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and asset of every file and folder of the run that is there."""
    root = open_store(facts.root)
    run, scores = f"runs/{facts.run_id}", f"scores/{facts.score_id}"
    for key, (path, title) in {
        "scores": (f"{scores}/scores.zarr", "scores with overviews"),
        "change": (f"{run}/change.zarr", "mapped pixels with overviews"),
    }.items():
        yield key, {"href": _link(path, run), "type": ZARR, "title": title, "roles": ["data"]}
    for table in ("change_polygons", "polygon_parts", "raw_polygons", "zones", "gaps", "thresholds"):
        roles = ["data"] if "polygon" in table else ["metadata"]
        yield table, {"href": f"../tables/{table}", "type": PARQUET, "title": table.replace("_", " "), "roles": roles}
    yield "run", {"href": "../run.json", "type": JSON, "title": "parameters, versions, counts", "roles": ["metadata"]}
    files = [("statistics", f"{scores}/statistics.json")]
    files += [(_key(name), f"{run}/maps/{name}") for name in sorted(PurePosixPath(key).name for key in root.keys(f"{run}/maps"))]
    for key, path in files:
        if (found := _fingerprint(root, path)) is not None:
            yield key, {"href": _link(path, run), **_kind(path), **found}


def _link(path: str, run: str) -> str:
    """From `stac/` to a path of the output folder."""
    return f"..{path.removeprefix(run)}" if path.startswith(f"{run}/") else f"../../../{path}"


def _key(name: str) -> str:
    """`change_score` of change_score.tif; others keep their ending: changes_pmtiles, change_score_qml."""
    return name.removesuffix(".tif") if name.endswith(".tif") else name.replace(".", "_")


def _kind(path: str) -> dict[str, Any]:
    name, ending = PurePosixPath(path).name, PurePosixPath(path).suffix[1:]
    if (spec := {**COGS, **DECISION_COGS}.get(name)) is not None:
        band: dict[str, Any] = {"name": spec.array, "description": spec.description, "data_type": spec.dtype}
        band |= {"nodata": "nan" if spec.dtype == "float32" else int(spec.nodata)} | ({"unit": spec.unit} if spec.unit else {})
        return {"type": COG, "title": spec.description, "roles": ["data"], "bands": [band]}
    if ending in FORMATS:
        return {"type": FORMATS[ending].media_type, "title": "change polygons", "roles": ["data"]}
    return {
        "pmtiles": {"type": "application/vnd.pmtiles", "title": "vector tiles of the changes", "roles": ["visual"]},
        "png": {"type": "image/png", "title": "picture", "roles": ["overview"]},
        "qml": {"type": "application/xml", "title": "style for QGIS", "roles": ["style"]},
        "geojson": {"type": "application/geo+json", "title": "zones", "roles": ["metadata"]},
        "json": {"type": JSON, "title": name.removesuffix(".json"), "roles": ["metadata"]},
    }.get(ending, {"type": "application/octet-stream", "roles": ["data"]})


def _fingerprint(store: Store, key: str) -> dict[str, Any] | None:
    """Size and multihash of an object; None where it is not there."""
    size = store.size(key)
    if size is None:
        return None
    digest = hashlib.sha256()
    for start in range(0, size, HASH_BYTES):
        for part in store.get_ranges(key, [start], [min(size, start + HASH_BYTES)]) or []:
            digest.update(part)
    return {"file:size": size, "file:checksum": SHA256_MULTIHASH + digest.hexdigest()}
