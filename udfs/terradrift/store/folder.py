"""Objects in a folder: whole or not there. Their data are on disk when they get their names, the names when they are settled."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from terradrift.errors import ChangedError, DamagedError

PARTIAL, GUARD = ".partial", ".guard"
"""Endings of the files of our own, whose names begin with a dot: an object on its way, and what writers of one key wait for."""

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)
_BAD_DISK = (errno.EIO, errno.ENOSPC, errno.EDQUOT)


def check_size(size: int, at_most: int | None) -> None:
    """Raise DamagedError for an object that is larger than it can be, before it is read."""
    if at_most is not None and size > at_most:
        raise DamagedError(f"found an object of {size} bytes; expected at most {at_most}")


def check_tag(found: str, expected: str | None) -> None:
    """Raise ChangedError where an object is not the one that was seen before."""
    if expected is not None and found != expected:
        raise ChangedError(f"found version {found}; expected {expected}, as a moment ago: the input changes under the run")


class Folder:
    """The verbs of a store on a folder. An absent object raises FileNotFoundError."""

    def __init__(self, root: Path) -> None:
        self.root = root

    client = None

    def get(self, key: str, at_most: int | None = None) -> bytes:
        with _opened(self.root / key) as handle:
            size = os.fstat(handle).st_size
            check_size(size, at_most)
            with os.fdopen(os.dup(handle), "rb") as file:
                return file.read() if at_most is None else file.read(at_most)

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        data = self.get(key)
        return data, _tag(data)

    def get_ranges(
        self,
        key: str,
        starts: Sequence[int],
        ends: Sequence[int],
        memory: Callable[[int], Any] = bytearray,
        tag: str | None = None,
    ) -> list[Any]:
        """An object client takes several times the processor time, most of it for memory that is new every time."""
        with _opened(self.root / key) as file:
            check_tag(_version(os.fstat(file)), tag)
            parts = [memory(end - start) for start, end in zip(starts, ends, strict=True)]
            for start, part in zip(starts, parts, strict=True):
                if os.preadv(file, [part], start) != len(part):
                    raise OSError(f"ends before byte {start + len(part)}: the object is cut")
        return parts

    def get_end(self, key: str, length: int, first: bool = False) -> tuple[bytes, str]:
        with _opened(self.root / key) as file:
            found = os.fstat(file)
            return os.pread(file, length, 0 if first else max(0, found.st_size - length)), _version(found)

    def head(self, key: str) -> tuple[int, str]:
        with _absent_below_files():
            found = (self.root / key).stat()
        return found.st_size, _version(found)

    def entries(self, prefix: str) -> Iterator[tuple[str, int]]:
        yield from self._walk(self.root / prefix if prefix else self.root, f"{prefix}/" if prefix else "")

    def _walk(self, folder: Path, prefix: str) -> Iterator[tuple[str, int]]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):  # what is linked is not ours to list, and to remove
                yield from self._walk(Path(entry.path), f"{prefix}{entry.name}/")
            elif not is_ours_on_the_way(entry.name):
                with suppress(FileNotFoundError):  # removed since
                    yield f"{prefix}{entry.name}", entry.stat().st_size

    def put(self, key: str, data: Any) -> None:
        self._place(key, lambda file: file.write(data), os.replace)

    def put_file(self, key: str, path: Path) -> None:
        with path.open("rb") as source:
            self._place(key, lambda file: shutil.copyfileobj(source, file, 1 << 20), os.replace)

    def put_new(self, key: str, data: bytes) -> bool:
        try:
            self._place(key, lambda file: file.write(data), self._link)
        except FileExistsError:
            return False
        return True

    def put_if(self, key: str, data: bytes, tag: str) -> bool:
        with _alone(self.root / key):
            try:
                if self.get_tagged(key)[1] != tag:
                    return False
            except FileNotFoundError:
                return False
            self.put(key, data)
            return True

    def settle(self, deep: bool) -> None:
        """A name is on disk only when its folder is, and that folder's own name likewise.

        One that a power cut takes before is that of an object never written: a record tells the size of what it names.
        """
        for folder in (path for path, _, _ in os.walk(self.root)) if deep else (self.root,):
            _sync_folder(folder)
        for folder in self.root.absolute().parents:
            _sync_folder(folder)

    def delete(self, key: str) -> None:
        file = self.root / key
        with _absent_below_files():
            file.unlink()
        _sync_folder(file.parent)

    def leftovers(self) -> list[tuple[str, int]]:
        return [
            (str(path.relative_to(self.root)), path.stat().st_size)
            for path in sorted(self.root.rglob(".*"))
            if is_ours_on_the_way(path.name)
        ]

    def prune(self, prefix: str) -> None:
        """Remove a prefix as far as that goes: its objects and folders, and objects that were on their way."""
        folder = self.root / prefix
        shutil.rmtree(folder, ignore_errors=True)
        _sync_folder(folder.parent)

    def _place(self, key: str, write: Callable[[IO[bytes]], Any], move: Callable[[Path, Path], Any]) -> None:
        """Beside its place first, under a name that no key has, forced to disk, then moved there in one step."""
        file = self.root / key
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}{PARTIAL}")
        try:
            with part.open("wb") as out:
                write(out)
                out.flush()
                os.fsync(out.fileno())
            move(part, file)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    @staticmethod
    def _link(part: Path, file: Path) -> None:
        """Give the file its name unless it is taken."""
        try:
            os.link(part, file)
        except OSError as cause:
            if cause.errno not in _NO_LINKS:
                raise
            with _alone(file):
                if file.exists():
                    raise FileExistsError(file) from cause
                os.replace(part, file)
        else:
            part.unlink()


def is_ours_on_the_way(name: str) -> bool:
    """Whether a file is no object: a part of one that is or was being written."""
    return name.startswith(".") and name.endswith((PARTIAL, GUARD))


def _version(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}"


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _absent_below_files() -> Iterator[None]:
    """`a/b` is absent where `a` is a file."""
    try:
        yield
    except NotADirectoryError as cause:
        raise FileNotFoundError(*cause.args) from cause


@contextmanager
def _opened(file: Path) -> Iterator[int]:
    with _absent_below_files():
        handle = os.open(file, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _sync_folder(folder: Path | str) -> None:
    """Raises OSError where the disk fails; some file systems cannot, and need not, and not every folder is ours to open."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as cause:
        if cause.errno in _BAD_DISK:
            raise


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One writer at a time, among all processes that compare before they write."""
    guard = file.with_name(f".{file.name}{GUARD}")
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(guard, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.stat(guard).st_ino == os.fstat(handle).st_ino:
                break
        os.close(handle)  # its name was removed while we waited
    try:
        yield
    finally:
        guard.unlink(missing_ok=True)
        os.close(handle)
