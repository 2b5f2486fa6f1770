"""What a mosaic's attributes say: where it lies, which years it has, how its values are coded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj

from terradrift.errors import DamagedError, InputError
from terradrift.grid import Grid
from terradrift.store import Store
from terradrift.zarr_chunks import ABSENT, ArrayLayout
from terradrift.zarr_layout import COORDINATES, parse_json, parse_layout

MAX_YEARS = 100

MAX_METADATA_BYTES = 16 << 20
"""Of a zarr.json: consolidated metadata of a hundred arrays are less than one MB."""

MAX_COORDINATE_BYTES = 64 << 20
"""Of one object: the columns of the public mosaic are 32 MB."""

MAX_LONGITUDE = 181.0
"""The public mosaic has padding up to 180.22 degrees; one that counts 0 to 360 would lose its western half unseen."""

MAX_LATITUDE = 91.0
"""A grid may reach half a pixel beyond a pole; one in metres that says it is in degrees reaches further."""

QUANTIZATIONS = ("signed_square", "none")


def georeference(attributes: dict[str, Any], shape: tuple[int, ...], store: Store, where: str) -> Grid:
    """CRS and transform from `proj:` and `spatial:` attributes, or from a CF grid mapping."""
    transform, code = attributes.get("spatial:transform"), attributes.get("proj:code")
    wkt = attributes.get("proj:wkt2")
    if attributes.get("spatial:registration", "pixel") != "pixel":
        found = attributes["spatial:registration"]
        raise InputError(f"{where}: spatial:registration: found {found!r}; expected 'pixel'")
    if transform is None or (code is None and wkt is None):
        cf = _grid_mapping(attributes, store)
        wkt = wkt or cf.get("crs_wkt") or cf.get("spatial_ref")
        if transform is None and isinstance(cf.get("GeoTransform"), str):
            transform = _geo_transform(cf["GeoTransform"], where)
        transform = transform if transform is not None else _transform_of_coordinates(store, shape, where)
    if transform is None or (code is None and wkt is None):
        raise InputError(
            f"{where}: found no georeference; expected proj:code and spatial:transform, or a CF grid mapping with crs_wkt "
            "and GeoTransform"
        )
    crs = _crs(code if code is not None else wkt, where)
    grid = Grid(crs, _affine(transform, where), int(shape[0]), int(shape[1]))
    if grid.is_geographic:
        west, south, east, north = (grid.x(0), grid.y(grid.height), grid.x(grid.width), grid.y(0))
        if east > MAX_LONGITUDE or west < -MAX_LONGITUDE:
            found = f"{west:.2f} to {east:.2f}"
            advice = "shift the mosaic's columns" if east <= 2 * MAX_LONGITUDE + 90 else f"is the CRS {crs} right?"
            raise InputError(f"{where}: found longitudes {found}; expected -180 to 180; {advice}")
        if south < -MAX_LATITUDE or north > MAX_LATITUDE:
            found = f"{south:.2f} to {north:.2f}"
            raise InputError(f"{where}: found latitudes {found}; expected -90 to 90; is the CRS {crs} right?")
    return grid


def _crs(text: Any, where: str) -> str:
    try:
        crs = pyproj.CRS.from_user_input(text)
    except (pyproj.exceptions.CRSError, TypeError) as cause:
        raise InputError(f"{where}: CRS: found {str(text)[:80]!r}; expected a code like 'EPSG:4326' or WKT2") from cause
    if not (crs.is_geographic or crs.is_projected):
        raise InputError(f"{where}: CRS: found {crs.name!r} ({crs.type_name}); expected a geographic or projected CRS")
    authority = crs.to_authority()
    return ":".join(authority) if authority else crs.to_wkt()


def _affine(transform: Any, where: str) -> tuple[float, float, float, float, float, float]:
    if (
        not isinstance(transform, list | tuple)
        or len(transform) not in (6, 9)
        or not all(isinstance(n, int | float) and math.isfinite(n) for n in transform)
    ):
        raise InputError(f"{where}: spatial:transform: found {transform!r}; expected six finite numbers [a, b, c, d, e, f]")
    a, b, c, d, e, f = (float(n) for n in transform[:6])
    if b or d or a <= 0 or e >= 0:
        raise InputError(
            f"{where}: spatial:transform: found a={a}, b={b}, d={d}, e={e}; expected north-up (a > 0, b = d = 0, e < 0)"
        )
    return a, b, c, d, e, f


def _geo_transform(text: str, where: str) -> list[float]:
    """GDAL's order (c, a, b, f, d, e) to rasterio's."""
    try:
        c, a, b, f, d, e = (float(part) for part in text.split())
    except ValueError as cause:
        raise InputError(f"{where}: GeoTransform: found {text[:80]!r}; expected six numbers") from cause
    return [a, b, c, d, e, f]


def _grid_mapping(attributes: dict[str, Any], store: Store) -> dict[str, Any]:
    name = attributes.get("grid_mapping", "spatial_ref")
    data = store.get(f"{name}/zarr.json", MAX_METADATA_BYTES) if isinstance(name, str) and name.isidentifier() else None
    document = parse_json(data, f"{store.url}/{name}/zarr.json") if data else {}
    found = document.get("attributes")
    return found if isinstance(found, dict) else {}


def _transform_of_coordinates(store: Store, shape: tuple[int, ...], where: str) -> list[float] | None:
    """Transform of regular x and y coordinates (pixel centres): only where no attribute gives it, they can be large."""
    found = [_coordinate(store, name, length, where) for name, length in (("x", shape[1]), ("y", shape[0]))]
    if found[0] is None or found[1] is None or min(shape) < 2:
        return None
    x, y = (values.astype(float) for values, _ in (found[0], found[1]))
    a, e = (x[-1] - x[0]) / (len(x) - 1), (y[-1] - y[0]) / (len(y) - 1)
    if not (np.allclose(np.diff(x), a, rtol=1e-4) and np.allclose(np.diff(y), e, rtol=1e-4)):
        return None
    return [a, 0.0, x[0] - a / 2, 0.0, e, y[0] - e / 2]


def _coordinate(store: Store, name: str, length: int, where: str) -> tuple[npt.NDArray[Any], dict[str, Any]] | None:
    """Values and attributes of a coordinate of `length` numbers; None where there is none.

    Its objects come through `store`, whose rules for what is absent are stricter than zarr's.
    """
    metadata = store.get(f"{name}/zarr.json", MAX_METADATA_BYTES)
    if metadata is None:
        return None
    layout, document = parse_layout(name, metadata, f"{where}: {name}", COORDINATES)
    if layout.shape != (length,):
        raise InputError(f"{where}: {name}: found shape {layout.shape}; expected ({length},)")
    if (whole := layout.shard[0] * layout.dtype.itemsize) > MAX_COORDINATE_BYTES:
        raise InputError(f"{where}: {name}: found chunks of {whole >> 20} MiB; expected {MAX_COORDINATE_BYTES >> 20} at most")
    values = np.full(math.ceil(length / layout.shard[0]) * layout.shard[0], layout.fill_value).astype(layout.dtype)
    try:
        for k, shard in enumerate(np.split(values, len(values) // layout.shard[0])):
            if (data := store.get(layout.key((k,)), 2 * MAX_COORDINATE_BYTES)) is not None:
                _decode(layout, data, shard)
    except DamagedError as cause:
        raise InputError(f"{where}: {name}: found an array that cannot be read ({cause}); expected a coordinate") from cause
    return values[:length], dict(document.get("attributes") or {})


def _decode(layout: ArrayLayout, data: bytes, out: npt.NDArray[Any]) -> None:
    """The values of one object of a coordinate, into `out`."""
    if not layout.sharded:
        layout.decode(data, out, layout.path)
        return
    size = layout.index_bytes
    index = layout.parse_index(data[-size:] if layout.index_at_end else data[:size], layout.path)
    for (start, length), part in zip(index, np.split(out, len(index)), strict=True):
        if start != ABSENT:
            layout.decode(data[int(start) : int(start) + int(length)], part, layout.path)


def years_of(store: Store, length: int, where: str) -> tuple[int, ...]:
    """Calendar years of the `time` coordinate: whole numbers, or CF dates."""
    if length > MAX_YEARS:
        raise InputError(f"{where}: found {length} times; expected at most {MAX_YEARS} years")
    coordinate = _coordinate(store, "time", length, where)
    if coordinate is None:
        raise InputError(f"{where}: found no coordinate 'time'; expected the years along the time axis")
    values, units = coordinate[0], coordinate[1].get("units")
    wrong = InputError(f"{where}: time: found {values.dtype} values {values[:3].tolist()}; expected whole years or CF dates")
    if values.dtype.kind == "M":
        years: Sequence[int] = [int(value) for value in values.astype("datetime64[Y]").astype(int) + 1970]
    elif isinstance(units, str) and " since " in units:
        from xarray.coding.times import decode_cf_datetime

        try:
            decoded = decode_cf_datetime(values, units, str(coordinate[1].get("calendar", "standard")))
            years = [int(str(value)[:4]) for value in decoded.astype("datetime64[s]").astype(str)]
        except (ValueError, TypeError, OverflowError, ImportError) as cause:  # cftime, for calendars that numpy has not
            raise wrong from cause
    elif values.dtype.kind in "iuf" and np.isfinite(values).all() and np.array_equal(values, np.trunc(values)):
        years = [int(value) for value in values]
    else:
        raise wrong
    if len(set(years)) != len(years) or not all(1900 <= year <= 2100 for year in years):
        raise InputError(f"{where}: time: found years {list(years)}; expected different years between 1900 and 2100")
    return tuple(years)


def quantization_of(attributes: dict[str, Any], layout: ArrayLayout, where: str) -> str:
    """The coding the store declares; float arrays without a declaration are plain vectors."""
    declared = attributes.get("geoemb:quantization")
    if declared is None:
        if layout.dtype.kind == "f":
            return "none"
        raise InputError(
            f"{where}: found {layout.dtype} values without geoemb:quantization; expected a declared quantisation; "
            "set quantization: signed_square (AlphaEarth codes) or none in the run file"
        )
    method = declared.get("method") if isinstance(declared, dict) else declared
    if method not in QUANTIZATIONS:
        found = "no method" if method is None else f"method {method!r}"
        raise InputError(
            f"{where}: geoemb:quantization: found {found}; expected signed_square or none; "
            "if the store's declaration is wrong, set quantization in the run file"
        )
    return str(method)
