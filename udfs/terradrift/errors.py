"""The error tree. Every message is one line: what, where, expected, what to do; on an executor the text is all that survives."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TerradriftError(Exception):
    """Anything terradrift itself reports; `exit_code` is what the command ends with."""

    exit_code = 1


class InputError(TerradriftError):
    """A run file, AOI, mosaic or argument that cannot be used. Raised before Spark starts and before anything is written."""

    exit_code = 2


class IncompleteError(TerradriftError):
    """The run ended with failed tiles; nothing was published."""

    exit_code = 3


class StoreError(TerradriftError):
    """Storage could not be read or written."""

    exit_code = 4


class DamagedError(StoreError):
    """An object is there and is not what was written: cut, empty or altered."""


class ChangedError(StoreError):
    """An object was replaced between two requests of one reader."""


class KilledError(TerradriftError):
    """A process that did a part of the work was killed."""


class LockedError(TerradriftError):
    """Another run holds the output."""

    exit_code = 5


class SetupError(TerradriftError):
    """Java, a Sedona jar or a package is missing or broken; the message holds the remedy."""

    exit_code = 2


def near_miss(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where a known name is close to `name`; always followed by the known names."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}? ({', '.join(names)})" if close else f"; expected one of {', '.join(names)}"
