"""Georeferenced Zarr v3 arrays that others wrote: which of them have overviews, how, and their values in slabs."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from terradrift.errors import InputError, StoreError, TerradriftError
from terradrift.grid import Grid, Window
from terradrift.kernels.overview import METHODS, RESAMPLING, VECTORS
from terradrift.mosaic_metadata import georeference
from terradrift.pyramid import BLOCK, SPAN
from terradrift.raster_template import RasterArray
from terradrift.score_store import RasterStore, raster_store
from terradrift.store import Store, open_store
from terradrift.store.zarr_view import ZarrView
from terradrift.zarr_layout import parse_json, parse_layout

DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")

PLACES = (("y", "x"), ("lat", "lon"), ("latitude", "longitude"))

SHARD_BYTES = 256 << 20
"""Most of a shard of BLOCK x BLOCK pixels before compression: it is held in memory."""

SLAB_BYTES = 64 << 20
"""About what is read at a time."""

OURS = ("terradrift scores", "terradrift change")
"""Titles of the stores whose overviews are made in place."""


@dataclass(frozen=True)
class ZarrSource:
    """What is made overviews of."""

    url: str
    grid: Grid
    arrays: tuple[RasterArray, ...]
    paths: Mapping[str, str]
    """Path of every array in the store."""
    coordinates: Mapping[str, tuple[npt.NDArray[Any], Mapping[str, Any]]]
    depth: Mapping[str, int]
    """Lengths of the dimensions before y and x."""
    attributes: Mapping[str, Any]


def is_ours(url: str) -> bool:
    """Whether a store is one of a run's rasters."""
    data = open_store(url).get("zarr.json")
    document = {} if data is None else parse_json(data, f"{url}/zarr.json")
    attributes = document.get("attributes")
    return isinstance(attributes, dict) and attributes.get("title") in OURS and "multiscales" in attributes


def open_raster(url: str) -> tuple[RasterStore, tuple[RasterArray, ...]]:
    """A run's raster by itself, and those of its arrays that have overviews, from their metadata."""
    store = open_store(url)
    document = _document(store, "")
    nodes = document["consolidated_metadata"]["metadata"]
    methods = {RESAMPLING[name]: name for name in METHODS}
    arrays = tuple(
        RasterArray(path[2:], node["data_type"], 0, overview=methods[node["attributes"]["resampling_method"]])
        for path, node in sorted(nodes.items())
        if path.startswith("0/") and "resampling_method" in node["attributes"]
    )
    first = parse_layout(f"0/{arrays[0].name}", store.get(f"0/{arrays[0].name}/zarr.json") or b"", url)[0]
    grid = georeference(_attributes(document), first.shape[-2:], store, url)
    return raster_store(url, grid, grid.window, first.shard[-1]), arrays


def open_source(url: str, method: str | None) -> ZarrSource:
    """Read the metadata of a Zarr v3 group, or of one array in it. Raises InputError in one line.

    method: of every array; None: the mean, of arrays with CF `flag_values` the mode, of embeddings the mean vector.
    """
    store = open_store(url)
    document = _document(store, "")
    if document.get("node_type") == "array":
        parent, _, name = url.rstrip("/").rpartition("/")
        group, documents, paths = _attributes(_parent(parent)), {name: document}, {name: ""}
        place = open_store(parent) if group else store
    else:
        documents = _children(store, document)
        group, paths, place = _attributes(document), {name: name for name in documents}, store
    rasters = {name: found for name, found in documents.items() if _is_raster(found)}
    if not rasters:
        raise InputError(
            f"store: {url}: found no array of 2 to 4 dimensions (..., y, x) among {', '.join(sorted(documents)) or 'nothing'}; "
            f"expected one; name the group or the array, like {url}/0"
        )
    shapes = {tuple(found["shape"][-2:]) for found in rasters.values()}
    if len(shapes) > 1:
        raise InputError(f"store: {url}: found rasters of {sorted(shapes)} pixels; expected one grid; name one array: {url}/NAME")
    first = next(iter(rasters.values()))
    grid = georeference({**group, **_attributes(first)}, tuple(first["shape"][-2:]), place, f"store {url}")
    arrays = tuple(_raster_array(name, found, group, method, url) for name, found in rasters.items())
    depth = _depth(arrays, rasters, url)
    kept = {key: value for key, value in group.items() if key.split(":")[0] not in ("proj", "spatial", "multiscales")}
    return ZarrSource(
        url, grid, arrays, {name: paths[name] for name in rasters}, _coordinates(place, depth), depth,
        {key: value for key, value in kept.items() if key != "zarr_conventions"},
    )  # fmt: skip


@dataclass(frozen=True)
class ZarrSlabs:
    """The values of one array, through zarr-python."""

    url: str
    path: str

    def slabs(self, lead: tuple[slice, ...], block: Window) -> Iterator[tuple[tuple[slice, ...], Window, npt.NDArray[Any]]]:
        """Strips of whole rows of a block, each with all of `lead`."""
        array = _open_array(self.url, self.path)
        row_bytes = math.prod(part.stop - part.start for part in lead) * block.width * array.dtype.itemsize
        step = math.lcm(1 << SPAN, array.chunks[-2]) if array.chunks[-2] <= BLOCK else 1 << SPAN
        rows = max(1, SLAB_BYTES // row_bytes // step) * step
        for y0 in range(block.y0, block.y1, rows):
            strip = Window(y0, block.x0, min(rows, block.y1 - y0), block.width)
            where = (*lead, slice(strip.y0, strip.y1), slice(strip.x0, strip.x1))
            try:
                values = np.asarray(array[where])
            except TerradriftError:
                raise
            except Exception as cause:  # whatever codecs of foreign arrays raise
                raise StoreError(f"{self.url}/{self.path}: cannot read {strip}: {' '.join(str(cause).split())}") from cause
            yield lead, strip, values.astype(values.dtype.newbyteorder("="), copy=False)


@lru_cache(maxsize=16)
def _open_array(url: str, path: str) -> Any:
    return zarr.open_array(ZarrView(url), path=path, mode="r", zarr_format=3)


def _document(store: Store, path: str) -> dict[str, Any]:
    key = f"{path}/zarr.json".lstrip("/")
    data = store.get(key)
    if data is None:
        v2 = any(store.size(name) is not None for name in (".zgroup", ".zarray"))
        hint = "a Zarr v2 store is not read, convert it" if v2 else "check the path"
        raise InputError(f"store: found no {key} in {store.url}; expected a Zarr v3 group or array; {hint}")
    return parse_json(data, f"{store.url}/{key}")


def _parent(url: str) -> dict[str, Any]:
    data = open_store(url).get("zarr.json")
    return {} if data is None else parse_json(data, f"{url}/zarr.json")


def _children(store: Store, document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Metadata of the arrays right under a group, by name."""
    consolidated = document.get("consolidated_metadata")
    if isinstance(consolidated, dict) and isinstance(consolidated.get("metadata"), dict):
        nodes = {name: node for name, node in consolidated["metadata"].items() if "/" not in name and isinstance(node, dict)}
    elif store.local_path is not None:
        names = sorted(path.parent.name for path in store.local_path.glob("*/zarr.json"))
        nodes = {name: _document(store, name) for name in names}
    else:
        raise InputError(f"store: {store.url}: found no consolidated metadata; expected the name of an array: {store.url}/NAME")
    return {name: node for name, node in nodes.items() if node.get("node_type") == "array"}


def _attributes(document: dict[str, Any]) -> dict[str, Any]:
    found = document.get("attributes")
    return found if isinstance(found, dict) else {}


def _is_raster(document: dict[str, Any]) -> bool:
    shape, dims = document.get("shape"), document.get("dimension_names")
    if not isinstance(shape, list) or not 2 <= len(shape) <= 4 or document.get("data_type") not in DTYPES or 0 in shape:
        return False
    return not dims or (str(dims[-2]).lower(), str(dims[-1]).lower()) in PLACES


def _raster_array(name: str, document: dict[str, Any], group: dict[str, Any], method: str | None, url: str) -> RasterArray:
    attributes = _attributes(document)
    dtype, n = np.dtype(document["data_type"]), len(document["shape"]) - 2
    dims = tuple(document.get("dimension_names") or [f"{name}_{k}" for k in range(n)] + ["y", "x"])
    quantization = {**group, **attributes}.get("geoemb:quantization")
    coded = dtype == np.int8 and n and isinstance(quantization, dict) and quantization.get("method") == "signed_square"
    if coded and method not in (None, "mean"):
        raise InputError(f"--method: found {method} for the embeddings {url}/{name}; expected mean: codes have no {method}")
    chosen = VECTORS if coded else method or ("mode" if "flag_values" in attributes else "mean")
    lengths = document["shape"][:-2]
    # what the codes mean stands on the array too: a level opened by itself is a mosaic
    kept = {key: value for key, value in group.items() if coded and key.startswith("geoemb:")} | attributes
    return RasterArray(
        name,
        str(dtype),
        _nodata(attributes.get("_FillValue", document.get("fill_value")), dtype, f"{url}/{name}"),
        (*dims[:-2], "y", "x"),
        {key: value for key, value in kept.items() if key.split(":")[0] not in ("proj", "spatial", "zarr_conventions")},
        chosen,
        (*(1,) * (n - 1), lengths[-1]) if coded else None,
        (*(1,) * (n - 1), lengths[-1]) if coded else _shard_depth(lengths, dtype),
    )


def _shard_depth(lengths: list[int], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """As many planes, last dimension first, as one shard may hold."""
    room = max(1, SHARD_BYTES // (BLOCK * BLOCK * dtype.itemsize))
    depth: list[int] = []
    for length in reversed(lengths):
        depth.insert(0, min(length, room))
        room = max(1, room // length) if depth[0] == length else 1
    return tuple(depth)


def _nodata(value: Any, dtype: np.dtype[Any], where: str) -> float:
    special = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
    number = special.get(value, value) if isinstance(value, str) else value
    if isinstance(number, str) and dtype.kind == "f":
        with suppress(ValueError, struct.error):  # as xarray writes the attribute _FillValue of floats
            (number,) = struct.unpack("<d", base64.b64decode(number, validate=True))
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InputError(f"store: {where}: fill_value: found {value!r}; expected a number")
    if dtype.kind != "f" and not (math.isfinite(number) and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max):
        raise InputError(f"store: {where}: fill_value: found {value!r}; expected a value of {dtype}")
    return number if dtype.kind == "f" else int(number)


def _depth(arrays: tuple[RasterArray, ...], documents: Mapping[str, dict[str, Any]], url: str) -> dict[str, int]:
    depth: dict[str, int] = {}
    for array in arrays:
        for dim, length in zip(array.dims[:-2], documents[array.name]["shape"], strict=False):
            if depth.setdefault(dim, length) != length:
                raise InputError(f"store: {url}: found {depth[dim]} and {length} of {dim!r}; name one array: {url}/NAME")
    return depth


def _coordinates(store: Store, depth: Mapping[str, int]) -> dict[str, tuple[npt.NDArray[Any], Mapping[str, Any]]]:
    """Those of the dimensions before y and x that can be read."""
    found: dict[str, tuple[npt.NDArray[Any], Mapping[str, Any]]] = {}
    for dim, length in depth.items():
        if store.get(f"{dim}/zarr.json") is None:
            continue
        try:
            array = _open_array(store.url, dim)
            if array.shape == (length,):
                values = np.asarray(array[:])
                found[dim] = (values if values.dtype.kind in "iuf" else values.astype(object), dict(array.attrs))
        except Exception as cause:  # whatever codecs of foreign arrays raise
            raise InputError(f"store: {store.url}/{dim}: found a coordinate that cannot be read ({cause})") from cause
    return found
