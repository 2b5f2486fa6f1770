"""Chunks and shards of a Zarr v3 array as bytes: what zarr-python does for us in tests, at the cost of the decompression alone.

Reading through zarr-python costs two to three times the decompression; here a shard's index is read once, byte ranges are
fetched and decompressed straight into the caller's buffer. Only an explicit list of codecs is accepted: nothing in a mosaic
can make us run anything.
"""

from __future__ import annotations

import hashlib
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
from terradrift.errors import DamagedError

ABSENT = 2**64 - 1
"""Offset and length of a chunk that is not in its shard."""

NAMED = {"shard_name": "blake2b, 8 bytes, of the key in this store, before the index"}
"""Attribute of the arrays whose shards are so."""

NAME_BYTES = 8


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
    named: bool = False
    """Whether a shard says which it is, before its index: so do ours (NAMED)."""

    @property
    def chunks_per_shard(self) -> tuple[int, ...]:
        return tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))

    @property
    def index_bytes(self) -> int:
        return 16 * math.prod(self.chunks_per_shard) + (4 if self.index_checksum else 0)

    @property
    def tail_bytes(self) -> int:
        """Bytes of the index and of the name before it."""
        return self.index_bytes + (NAME_BYTES if self.named else 0)

    @property
    def most_bytes(self) -> int:
        """Bytes that a shard of this array cannot exceed: zstd stores what it cannot compress, with a little around it."""
        chunks = math.prod(self.chunks_per_shard)
        return chunks * (self.chunk_bytes + (self.chunk_bytes >> 8) + 128) + self.tail_bytes

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

    def parse_tail(self, data: bytes, key: str, where: str) -> npt.NDArray[np.uint64]:
        """The index from the `tail_bytes` of the shard `key`. Raises DamagedError where it is cut, damaged or another shard."""
        index = self.parse_index(data[self.tail_bytes - self.index_bytes :], where)
        if self.named and data[:NAME_BYTES] != shard_name(key):
            raise DamagedError(
                f"{where}: found a shard that was written elsewhere; expected that of this place; run with --fresh"
            )
        return index

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

    def encode_shard(self, values: npt.NDArray[Any], key: str) -> npt.NDArray[np.uint8] | None:
        """The whole shard object `key` from the values it covers (cut at the array's edge), or None where all are the fill value.

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
        tail = (shard_name(key) if self.named else b"") + encode_index(index)
        shard[end : end + len(tail)] = np.frombuffer(tail, np.uint8)
        return shard[: end + len(tail)]


def shard_name(key: str) -> bytes:
    """What stands before the index of the shard `key` of our stores: whole bytes in the wrong place are no values."""
    return hashlib.blake2b(key.encode(), digest_size=NAME_BYTES).digest()


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
