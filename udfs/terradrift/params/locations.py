"""Where a mosaic, an area of interest and an output may lie: local paths made absolute, URLs checked, everything else refused."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import unicodedata
from urllib.parse import SplitResult, unquote, urlsplit

MAX_LENGTH = 4096
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that reorder what is displayed: a path must read as what it is."""

METADATA_HOSTS = frozenset({"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"})
METADATA_ADDRESSES = frozenset(ipaddress.ip_address(address) for address in ("100.100.100.200", "168.63.129.16", "fd00:ec2::254"))
"""Cloud metadata services outside the link-local ranges (Alibaba, Azure, AWS over IPv6)."""

MOSAIC_FORMS = "a local path, file:///path, s3://bucket/key, gs://bucket/key or https://host/path"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_WKT = re.compile(
    r"\s*(SRID\s*=|(POINT|LINESTRING|LINEARRING|POLYGON|MULTIPOINT|MULTILINESTRING|MULTIPOLYGON|GEOMETRYCOLLECTION)"
    r"(\s+(Z|M|ZM))?\s*(\(|EMPTY\b))",
    re.IGNORECASE,
)


def is_wkt(text: str) -> bool:
    """Whether an AOI text is WKT rather than the path of a file."""
    return _WKT.match(text) is not None


def check_characters(text: str) -> None:
    """Refuse empty and overlong texts, control characters (NUL among them) and bidi controls."""
    if not text.strip():
        raise ValueError("found an empty text, expected a path")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"found {len(text)} characters, expected a path of at most {MAX_LENGTH}")
    for character in text:
        if character in BIDI_CONTROLS or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise ValueError(f"found the character U+{ord(character):04X}, expected a path without control and bidi characters")


def local_path(text: str) -> str:
    """An absolute local path from a local path; relative ones start at the current directory. ValueError for any URL."""
    check_characters(text)
    url = _URL.match(text)
    if url:
        raise ValueError(f"found a URL with scheme {url[1].lower()!r}, expected a local path; fetch the file first")
    if text.startswith("/vsi"):
        raise ValueError("found a GDAL virtual path, expected a local path; copy the file first")
    return os.path.abspath(os.path.expanduser(text))


def output_location(text: str) -> str:
    """An absolute local path or a checked s3:// prefix without trailing slash. ValueError for everything else."""
    check_characters(text)
    url = _URL.match(text)
    if url and url[1].lower() == "s3":
        return mosaic_location(text)
    if url:
        raise ValueError(f"found a URL with scheme {url[1].lower()!r}, expected a local path or s3://bucket/prefix")
    return local_path(text)


def mosaic_location(text: str) -> str:
    """An absolute local path or a checked URL without trailing slash. ValueError for other schemes, hosts that are not
    for data (link-local, metadata services), credentials and queries; the message never repeats a URL."""
    check_characters(text)
    scheme = _URL.match(text)
    if scheme is None:
        return local_path(text)
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        raise ValueError(f"found a URL that cannot be parsed, expected {MOSAIC_FORMS}") from None
    if not text[scheme.end() :].startswith("/"):
        raise ValueError(f"found {url.scheme}:/ with one slash, expected {MOSAIC_FORMS}")
    if url.username is not None or url.password is not None:
        raise ValueError(
            "found user information in the URL, expected none; credentials come from the environment of each process"
        )
    if url.query or url.fragment:
        raise ValueError(
            "found a query or fragment in the URL, expected none; credentials come from the environment of each process"
        )
    path = unquote(url.path)
    if path:
        check_characters(path)
    if url.scheme == "file":
        return _file_path(host, path)
    if ".." in path.split("/"):
        raise ValueError("found '..' in the URL, expected its plain path")
    _check_authority(url, host)
    return text.rstrip("/")


def _file_path(host: str, path: str) -> str:
    if host not in ("", "localhost") or not path.startswith("/"):
        raise ValueError("found a file URL with a host, expected file:///path")
    return os.path.abspath(path)


def _check_authority(url: SplitResult, host: str) -> None:
    if url.scheme in ("s3", "gs"):
        if not _BUCKET.fullmatch(url.netloc):
            raise ValueError(f"found bucket name {url.netloc[:80]!r}, expected {url.scheme}://bucket/key")
        return
    if url.scheme not in ("http", "https"):
        raise ValueError(f"found a URL with scheme {url.scheme!r}, expected {MOSAIC_FORMS}")
    if not host:
        raise ValueError("found a URL without a host, expected https://host/path")
    if not _HOST.fullmatch(host):  # clients read percent signs, wide digits and full stops of other scripts as plain ones
        raise ValueError("found a host of other characters than letters, digits, '-' and '.', expected its ASCII form")
    address = _address(host)
    if host.rstrip(".") in METADATA_HOSTS or (address is not None and _is_closed(address)):
        raise ValueError(
            "found a link-local, metadata or unspecified address, expected a host that serves data; it is never asked"
        )
    loopback = host == "localhost" or (address is not None and address.is_loopback)
    if url.scheme == "http" and not loopback:
        raise ValueError("found http://, expected https:// (plain http is for 127.0.0.1, localhost and [::1] alone)")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address a host is written as, in any form the C library reads (decimal, hexadecimal, octal), or None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
        except OSError:
            return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_closed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    listed = address in METADATA_ADDRESSES
    return listed or address.is_link_local or address.is_unspecified or address.is_multicast
