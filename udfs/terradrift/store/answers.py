"""What a store tells of objects, and what its errors may say."""

from __future__ import annotations

import re
from typing import NamedTuple


class Version(NamedTuple):
    """What tells an object from another that took its place."""

    size: int
    tag: str
    """ETag; in a folder the time of the last change."""


class Tagged(NamedTuple):
    """An object, or its end, with what tells it from another that takes its place."""

    data: bytes
    tag: str


def redacted(text: str) -> str:
    """A text without queries, user information and signing headers of URLs: signed ones carry secrets."""
    text = re.sub(r"\?[^\s\"']*", "?…", text)
    text = re.sub(r"(?<=://)[^/\s\"'@]*@", "…@", text)
    return re.sub(r"(?i)(x-amz-[\w-]+|authorization|sig(?:nature)?)(\"?\s*[=:]\s*\"?)[^\s\"'&,]+", r"\1\2…", text)
