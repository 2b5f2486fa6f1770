"""Chunks and shards of a Zarr v3 array as bytes: what zarr-python does for us in tests, at the cost of the decompression alone.

Reading through zarr-python costs two to three times the decompression; here a shard's index is read once, byte ranges are
fetched and decompressed straight into the caller's buffer. Only an explicit list of codecs is accepted: nothing in a mosaic
can make us run anything.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numcodecs.blosc
import numcodecs.zstd
import numpy as np
import numpy.typing as npt

from terradrift.buffers import BUFFERS
from terradrift.errors import DamagedError, InputError

ABSENT = 2**64 - 1
"""Offset and length of a chunk that is not in its shard."""

DATES = "numpy.datetime64"

EMBEDDINGS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "float32", "float64")

COORDINATES = (*EMBEDDINGS, "int64", "uint64", DATES)

_COMPRESSORS = ("zstd", "blosc", "gzip", "crc32c")


@dataclass(frozen=True)
class ArrayLayout:
    """Where the chunks of an array lie and how they are compressed."""

    path: str
    """Key prefix of the array in its store."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill_value: float
    chunk: tuple[int, ...]
    """The unit of compression (the inner chunk of a sharded array)."""
    shard: tuple[int, ...]
    """The unit of storage: one object; equal to `chunk` where the array is not sharded."""
    sharded: bool
    codecs: tuple[tuple[str, int], ...]
    """Compressors of a chunk in the order of encoding, with their level."""
    big_endian: bool = False
    index_at_end: bool = True
    index_checksum: bool = True
    separator: str = "/"
    prefix: str = "c"

    @property
    def chunks_per_shard(self) -> tuple[int, ...]:
        return tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))

    @property
    def index_bytes(self) -> int:
        return 16 * math.prod(self.chunks_per_shard) + (4 if self.index_checksum else 0)

    @property
    def most_bytes(self) -> int:
        """Bytes that a shard of this array cannot exceed: zstd stores what it cannot compress, with a little around it."""
        chunks = math.prod(self.chunks_per_shard)
        return chunks * (self.chunk_bytes + (self.chunk_bytes >> 8) + 128) + self.index_bytes

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a decompressed chunk."""
        return math.prod(self.chunk) * self.dtype.itemsize

    @property
    def most_chunk_bytes(self) -> int:
        """Bytes that a compressed chunk cannot exceed: a compressor may add to values that it cannot compress."""
        return 2 * self.chunk_bytes + (1 << 16)

    def key(self, shard_index: tuple[int, ...]) -> str:
        """Key of a shard (of a chunk where the array is not sharded)."""
        parts = [self.prefix] if self.prefix else []
        return f"{self.path}/" + self.separator.join([*parts, *map(str, shard_index)])

    def slot(self, chunk_index: tuple[int, ...]) -> int:
        """Position of a chunk in the index of its shard."""
        return int(
            np.ravel_multi_index(
                tuple(i % n for i, n in zip(chunk_index, self.chunks_per_shard, strict=True)), self.chunks_per_shard
            )
        )

    def parse_index(self, data: bytes, where: str) -> npt.NDArray[np.uint64]:
        """(chunk, 2) offsets and lengths from the bytes of a shard's index."""
        if len(data) != self.index_bytes:
            raise DamagedError(
                f"{where}: shard index of {len(data)} bytes, expected {self.index_bytes}: the object is cut or empty"
            )
        body = data[:-4] if self.index_checksum else data
        if self.index_checksum and google_crc32c.value(body) != int.from_bytes(data[-4:], "little"):
            raise DamagedError(f"{where}: shard index does not match its checksum: the object is damaged")
        return np.frombuffer(body, "<u8").reshape(-1, 2)

    def decode(self, data: Any, out: npt.NDArray[Any], where: str) -> None:
        """Decompress one chunk into `out`, C-contiguous, of shape `chunk` and this dtype."""
        try:
            self._decode(data, out)
        except DamagedError as cause:
            raise DamagedError(f"{where}: {cause}") from cause
        except Exception as cause:
            raise DamagedError(f"{where}: chunk cannot be decompressed ({cause}): the object is damaged") from cause

    def _decode(self, data: Any, out: npt.NDArray[Any]) -> None:
        target = out.reshape(-1).view(np.uint8)
        names = [name for name, _ in self.codecs]
        while names and names[-1] == "crc32c":
            view = memoryview(data)
            if google_crc32c.value(bytes(view[:-4])) != int.from_bytes(view[-4:], "little"):
                raise DamagedError("chunk does not match its checksum: the object is damaged")
            data, names = view[:-4], names[:-1]
        # a fixed target bounds memory: a bomb fails instead of filling it
        match names:
            case []:
                source = np.frombuffer(data, np.uint8)
                if source.size != target.size:
                    raise DamagedError(f"chunk of {source.size} bytes, expected {target.size}: the object is cut")
                target[:] = source
            case ["zstd"]:
                numcodecs.zstd.decompress(data, target)
            case ["blosc"]:
                numcodecs.blosc.decompress(data, target)
            case _:
                raw = zlib.decompressobj(wbits=31).decompress(data, target.size + 1)
                if len(raw) != target.size:
                    raise DamagedError(f"chunk of {len(raw)} bytes, expected {target.size}: the object is damaged")
                target[:] = np.frombuffer(raw, np.uint8)
        if self.big_endian:
            out.byteswap(inplace=True)

    def encode(self, chunk: npt.NDArray[Any]) -> bytes:
        """Compress one chunk (zstd with checksum: what we write)."""
        level = dict(self.codecs)["zstd"]
        return bytes(numcodecs.zstd.compress(np.ascontiguousarray(chunk), level, True))

    def encode_shard(self, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8] | None:
        """One whole shard object from the values it covers (cut at the array's edge), or None where all are the fill value.

        Its memory is lent by BUFFERS, for the caller to give back.
        """
        fill = np.asarray(self.fill_value, self.dtype)
        index = np.full((math.prod(self.chunks_per_shard), 2), ABSENT, np.uint64)
        shard = BUFFERS.array((self.most_bytes,), np.uint8)
        end = 0
        for slot, position in enumerate(np.ndindex(self.chunks_per_shard)):
            where = tuple(slice(i * c, (i + 1) * c) for i, c in zip(position, self.chunk, strict=True))
            part = values[where]
            if part.size == 0 or is_fill(part, fill):
                continue
            if part.shape != self.chunk:
                whole = np.full(self.chunk, fill, self.dtype)
                whole[tuple(slice(0, n) for n in part.shape)] = part
                part = whole
            data = self.encode(part)
            index[slot] = end, len(data)
            shard[end : end + len(data)] = np.frombuffer(data, np.uint8)
            end += len(data)
        if not end:
            BUFFERS.give(shard)
            return None
        tail = encode_index(index)
        shard[end : end + len(tail)] = np.frombuffer(tail, np.uint8)
        return shard[: end + len(tail)]


def encode_index(index: npt.NDArray[np.uint64]) -> bytes:
    """Index of a shard (chunk, 2: offset and length) as our stores hold it, with its checksum."""
    body = index.astype("<u8").tobytes()
    return body + google_crc32c.value(body).to_bytes(4, "little")


def is_fill(values: npt.NDArray[Any], fill: npt.NDArray[Any]) -> bool:
    """Whether every value is the fill value (NaN equals NaN); one value that is not mostly stands in the middle."""
    some = values[tuple(n // 2 for n in values.shape)]
    if some != fill and not (np.isnan(some) and np.isnan(fill)):
        return False
    if values.dtype.kind == "f" and np.isnan(fill):
        return bool(np.isnan(values).all())
    return bool((values == fill).all())


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
