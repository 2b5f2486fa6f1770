"""Objects in a bucket or behind HTTPS, by an object client. Credentials come from the environment of each process."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import obstore
from obstore import exceptions
from obstore import store as object_stores

from terradrift.store.folder import check_size, check_tag

CLIENT = {"timeout": timedelta(seconds=60), "connect_timeout": timedelta(seconds=10)}
RETRY = {"max_retries": 6, "retry_timeout": timedelta(seconds=120)}

RANGES = 8
"""Ranges of one object that are asked for at a time."""

NEAR = 1 << 16
"""Bytes between two ranges that cost less than a request."""

TRIED_AGAIN = {"RequestTimeout": (0.5, 1.0, 2.0, 4.0), "request or response body error": (0.5,)}
"""Words of errors that the client takes for final (every 400, some bodies that end early): seconds before each further try."""

_S3_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
ABSENT = (exceptions.NotFoundError, FileNotFoundError)
"""The client's two words for an object that is not there."""

ABSENT_CODES = ("NoSuchKey", "NotFound")
FORBIDDEN_CODE = "AccessDenied"
NO_BUCKET = "NoSuchBucket"
_CODE = re.compile(r"<Code>(\w+)</Code>")
"""S3's word for what is wrong."""

_REGION_IN_BUCKET = re.compile(r"^([a-z]{2}(?:-[a-z]+)+-\d)\.")

_Result = TypeVar("_Result")


class Remote:
    """The verbs of a store on an object client. An absent object raises one of ABSENT."""

    def __init__(self, url: str) -> None:
        self.url = url

    @cached_property
    def client(self) -> Any:
        parts = urlsplit(self.url)
        options: dict[str, Any] = {"client_options": dict(CLIENT), "retry_config": RETRY}
        if parts.scheme == "http":
            options["client_options"]["allow_http"] = True
        if parts.scheme == "s3":
            options |= _s3_options(parts.netloc)
            if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
                options["client_options"]["allow_http"] = True
        if parts.scheme == "gs" and not os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
            options["skip_signature"] = True
        return object_stores.from_url(self.url, **options)

    def get(self, key: str, at_most: int | None = None) -> bytes:
        found = obstore.get(self.client, key)
        check_size(int(found.meta["size"]), at_most)
        return bytes(found.bytes())

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        found = obstore.get(self.client, key)
        return bytes(found.bytes()), found.meta["e_tag"] or ""

    def get_ranges(
        self,
        key: str,
        starts: Sequence[int],
        ends: Sequence[int],
        _: Callable[[int], Any] = bytearray,
        tag: str | None = None,
    ) -> list[Any]:
        """Near ranges are asked for as one. The client would do that too, and panics where an answer is too short."""
        merged = _merged(starts, ends)
        with ThreadPoolExecutor(min(len(merged), RANGES)) as pool:  # each by itself: so the client tells the tag of what it got
            found = list(pool.map(lambda start: self._range(key, start, merged[start], tag), merged))
        whole = {start: memoryview(part) for start, part in zip(merged, found, strict=True)}
        first = np.array(list(merged))
        parts = []
        for start, end in zip(starts, ends, strict=True):
            at = int(first[np.searchsorted(first, start, "right") - 1])
            parts.append(whole[at][start - at : end - at])
            if len(parts[-1]) != end - start:
                raise OSError(f"the answer ends before byte {end}: it is cut")
        return parts

    def _range(self, key: str, start: int, end: int, tag: str | None) -> Any:
        found = obstore.get(self.client, key, options={"range": (start, end)})
        check_tag(found.meta["e_tag"] or "", tag)
        return found.bytes()

    def get_end(self, key: str, length: int, first: bool = False) -> tuple[bytes, str]:
        part: Any = (0, length) if first else {"suffix": length}
        found = obstore.get(self.client, key, options={"range": part})
        return bytes(found.bytes()), found.meta["e_tag"] or ""

    def head(self, key: str) -> tuple[int, str]:
        found = obstore.head(self.client, key)
        return int(found["size"]), found["e_tag"] or ""

    def entries(self, prefix: str) -> Iterator[tuple[str, int]]:
        for page in obstore.list(self.client, prefix=prefix or None):
            for item in page:
                yield item["path"], int(item["size"])

    def put(self, key: str, data: Any) -> None:
        obstore.put(self.client, key, bytes(data) if isinstance(data, memoryview) else data)

    def put_file(self, key: str, path: Path) -> None:
        obstore.put(self.client, key, path)  # in parts; the object appears when the last is there

    def put_new(self, key: str, data: bytes) -> bool:
        try:
            obstore.put(self.client, key, data, mode="create")
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            return self._is(key, data)
        return True

    def put_if(self, key: str, data: bytes, tag: str) -> bool:
        try:
            obstore.put(self.client, key, data, mode={"e_tag": tag})
        except (exceptions.PreconditionError, *ABSENT):
            return self._is(key, data)
        return True

    def _is(self, key: str, data: bytes) -> bool:
        """Whether the object is the one we wrote: of a request whose reply was lost, the second try is refused."""
        try:
            return self.get(key) == data
        except ABSENT:
            return False

    def settle(self, deep: bool) -> None:
        """An object is durable when its request is answered."""

    def delete(self, key: str) -> None:
        obstore.delete(self.client, key)

    def leftovers(self) -> list[tuple[str, int]]:
        """Parts of an upload are no objects; the bucket's own lifecycle rule removes them."""
        return []

    def prune(self, prefix: str) -> None:
        """A bucket has no folders."""


def _merged(starts: Sequence[int], ends: Sequence[int]) -> dict[int, int]:
    """Ranges, first byte: end, in order, those less than NEAR bytes apart joined."""
    merged: dict[int, int] = {}
    last = -1
    for start, end in sorted(zip(starts, ends, strict=True)):
        if last >= 0 and start <= merged[last] + NEAR:
            merged[last] = max(merged[last], end)
        else:
            merged[last := start] = end
    return merged


def _s3_options(bucket: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if not any(os.environ.get(name) for name in _S3_CREDENTIALS):
        options["skip_signature"] = True  # public buckets need no account
    region = _REGION_IN_BUCKET.match(bucket)
    if not os.environ.get("AWS_REGION") and not os.environ.get("AWS_DEFAULT_REGION"):
        options["region"] = region.group(1) if region else "us-east-1"
    return options


def patiently(ask: Callable[[], _Result]) -> _Result:
    """What a request gives; sent again where the client gives up too soon."""
    tries = 0
    while True:
        try:
            return _of_the_object(ask)
        except exceptions.BaseError as cause:
            pauses = next((pauses for words, pauses in TRIED_AGAIN.items() if words in str(cause)), ())
            if tries >= len(pauses):
                raise
        time.sleep(pauses[tries])
        tries += 1


def _of_the_object(ask: Callable[[], _Result]) -> _Result:
    """What a request gives; a 404 that is about the bucket or the account does not say that the object is absent."""
    try:
        return ask()
    except ABSENT as cause:
        if (code := _CODE.search(str(cause))) and code[1] not in ABSENT_CODES:
            raise exceptions.GenericError(str(cause)) from cause
        raise


def is_forbidden(cause: Exception) -> bool:
    """Whether an answer is a 403 that says no more than this: what S3 answers, to whoever may not list, of absent objects too."""
    if not isinstance(cause, exceptions.PermissionDeniedError):
        return False
    code = _CODE.search(str(cause))
    return code is None or code[1] == FORBIDDEN_CODE  # an answer to HEAD has no words


def advice(cause: Exception) -> str:
    """What an error of the client is and what to do about it, to stand before its own words."""
    text, code = str(cause), _CODE.search(str(cause))
    if "Expired" in text:
        return "the credentials have expired: renew them and run again, finished tiles are kept; "
    if NO_BUCKET in text:
        return f"{NO_BUCKET}: check the bucket's name; "
    if isinstance(cause, exceptions.PermissionDeniedError):
        return "403, so no telling whether it is there: allow reading and, on S3, s3:ListBucket; "
    if isinstance(cause, exceptions.UnauthenticatedError):
        return "401: set credentials in the environment (AWS_*, GOOGLE_APPLICATION_CREDENTIALS); "
    return f"{code[1]}: " if code else ""
