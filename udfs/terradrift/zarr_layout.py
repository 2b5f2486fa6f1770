"""How a Zarr v3 array is stored, from its zarr.json: chunks, shards, codecs of an explicit list, and one line for all else."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np

from terradrift.errors import InputError
from terradrift.zarr_chunks import NAMED, ArrayLayout

DATES = "numpy.datetime64"

EMBEDDINGS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "float32", "float64")

COORDINATES = (*EMBEDDINGS, "int64", "uint64", DATES)

_COMPRESSORS = ("zstd", "blosc", "gzip", "crc32c")


def parse_layout(
    path: str, metadata: bytes, where: str, dtypes: tuple[str, ...] = EMBEDDINGS
) -> tuple[ArrayLayout, dict[str, Any]]:
    """Layout and the raw metadata of an array of one of `dtypes` from its zarr.json; one line for whatever is not supported."""
    document = parse_json(metadata, where)
    if document.get("zarr_format") != 3 or document.get("node_type") != "array":
        found = f"zarr_format {document.get('zarr_format')!r}, node_type {document.get('node_type')!r}"
        raise InputError(f"{where}: found {found}; expected a Zarr v3 array")
    try:
        return _layout(path, document, where, dtypes), document
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as cause:
        raise InputError(f"{where}: found metadata without a valid {cause}; expected a Zarr v3 array") from cause


def own_layout(path: str, metadata: bytes, where: str) -> ArrayLayout:
    """Layout of an array of a raster of ours, whose shards name their place.

    Of other stores the attribute is not believed: a copy made by other libraries keeps it and writes shards of its own.
    """
    layout, document = parse_layout(path, metadata, where)
    attributes = document.get("attributes")
    return replace(layout, named=isinstance(attributes, dict) and NAMED.items() <= attributes.items())


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """A JSON object, or one line saying that it is none."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as cause:
        raise InputError(f"{where}: found text that is not JSON ({cause}); expected Zarr v3 metadata") from cause
    if not isinstance(document, dict):
        raise InputError(f"{where}: found {type(document).__name__}; expected a JSON object")
    return document


def _layout(path: str, document: dict[str, Any], where: str, dtypes: tuple[str, ...]) -> ArrayLayout:
    dtype = _dtype(document["data_type"], where, dtypes)
    shape = _sizes(document["shape"], "shape", where)
    shard = _sizes(document["chunk_grid"]["configuration"]["chunk_shape"], "chunk_shape", where)
    encoding = document.get("chunk_key_encoding", {"name": "default"})
    separator = encoding.get("configuration", {}).get("separator", "/" if encoding["name"] == "default" else ".")
    if encoding["name"] not in ("default", "v2") or separator not in ("/", "."):  # anything else could name any file
        found = f"{encoding['name']!r} with {separator!r}"
        raise InputError(f"{where}: chunk_key_encoding: found {found[:80]}; expected default or v2 with '/' or '.'")
    codecs = document["codecs"]
    sharded = codecs[0]["name"] == "sharding_indexed"
    extra: dict[str, Any] = {}
    chunk = shard
    if sharded:
        if len(codecs) > 1:
            raise InputError(f"{where}: codecs: found {codecs[1]['name']!r} after sharding_indexed; expected nothing there")
        configuration = codecs[0]["configuration"]
        chunk = _sizes(configuration["chunk_shape"], "inner chunk_shape", where)
        codecs = configuration["codecs"]
        names = [codec["name"] for codec in configuration.get("index_codecs", [])]
        if names not in (["bytes"], ["bytes", "crc32c"]):
            raise InputError(f"{where}: index_codecs: found {names}; expected bytes and crc32c")
        location = configuration.get("index_location", "end")
        extra = {"index_checksum": names[-1] == "crc32c", "index_at_end": location == "end"}
    if not len(shape) == len(shard) == len(chunk):
        raise InputError(f"{where}: found shape {shape} with chunks {chunk} in {shard}; expected as many numbers in each")
    if any(s % c for s, c in zip(shard, chunk, strict=True)):
        raise InputError(f"{where}: found shape {shape}, shards {shard}, chunks {chunk}; expected chunks that divide shards")
    if codecs[0]["name"] != "bytes":
        raise InputError(f"{where}: codecs: found {codecs[0]['name']!r} first; expected 'bytes'")
    compressors = tuple(
        (c["name"], int(c.get("configuration", {}).get("level") or 0) if c["name"] == "zstd" else 0) for c in codecs[1:]
    )
    names = [name for name, _ in compressors]
    unknown = [name for name in names if name not in _COMPRESSORS]
    if unknown or len([name for name in names if name != "crc32c"]) > 1 or "crc32c" in names[:-1]:
        raise InputError(f"{where}: codecs: found {names}; expected one of zstd, blosc, gzip, or none, then at most crc32c")
    return ArrayLayout(
        path=path,
        shape=shape,
        dtype=dtype,
        fill_value=_fill_value(document["fill_value"], dtype, where),
        chunk=chunk,
        shard=shard,
        sharded=sharded,
        codecs=compressors,
        big_endian=codecs[0].get("configuration", {}).get("endian", "little") == "big" and dtype.itemsize > 1,
        separator=separator,
        prefix="c" if encoding["name"] == "default" else "",
        **extra,
    )


def _sizes(value: Any, name: str, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(isinstance(n, int) and n > 0 for n in value):
        raise InputError(f"{where}: {name}: found {value!r}; expected positive whole numbers")
    return tuple(value)


def _dtype(name: Any, where: str, known: tuple[str, ...]) -> np.dtype[Any]:
    if isinstance(name, dict) and name.get("name") == DATES and DATES in known:
        unit, scale = name["configuration"]["unit"], name["configuration"].get("scale_factor", 1)
        if unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns") and isinstance(scale, int) and 0 < scale < 1 << 31:
            return np.dtype(f"datetime64[{scale}{unit}]")
    if name not in known or name == DATES:
        raise InputError(f"{where}: data_type: found {str(name)[:80]!r}; expected one of {', '.join(known)}")
    return np.dtype(name)


def _fill_value(value: Any, dtype: np.dtype[Any], where: str) -> float:
    special = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
    if dtype.kind == "M":
        return np.iinfo(np.int64).min if value == "NaT" else int(value)
    if isinstance(value, str) and value in special and dtype.kind == "f":
        return special[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where}: fill_value: found {value!r}; expected a number")
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        raise InputError(f"{where}: fill_value: found {value!r}; expected a value of {dtype}")
    return value
