"""A store as zarr-python reads it, with this room's rules of what is absent: for arrays that others wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from terradrift.store.store import Store as Objects
from terradrift.store.store import open_store


class ZarrView(Store):
    """Read-only, and known by name: nothing is listed."""

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, url: str) -> None:
        super().__init__(read_only=True)
        self._objects: Objects = open_store(url)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZarrView) and other._objects.url == self._objects.url

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        data = self._get(key, byte_range)
        return None if data is None else prototype.buffer.from_bytes(data)

    def _get(self, key: str, byte_range: ByteRequest | None) -> bytes | None:
        match byte_range:
            case None:
                return self._objects.get(key)
            case RangeByteRequest(start, end):
                parts = self._objects.get_ranges(key, [start], [end])
                return None if parts is None else bytes(parts[0])
            case SuffixByteRequest(suffix):
                found = self._objects.get_end(key, suffix)
                return None if found is None else found.data
            case OffsetByteRequest(offset):
                whole = self._objects.get(key)
                return None if whole is None else whole[offset:]

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        return self._objects.size(key) is not None

    async def set(self, key: str, value: Buffer) -> None:
        raise PermissionError(f"{key}: the store is read only")

    async def delete(self, key: str) -> None:
        raise PermissionError(f"{key}: the store is read only")

    def list(self) -> AsyncIterator[str]:
        raise NotImplementedError

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError
