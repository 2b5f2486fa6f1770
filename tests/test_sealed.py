"""A sealed document is read back as it was, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terradrift.sealed import Written, objects_as_json, objects_from_json, seal, unseal

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(0, 20), inner, max_size=12),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(st.text(), VALUES, max_size=5)


@given(DOCUMENTS)
def test_what_is_sealed_is_read_back(document: dict[str, Any]) -> None:
    document.pop("seal", None)
    expected = json.loads(json.dumps(document))
    assert unseal(seal(document)) == expected
    assert seal(document) == seal(dict(reversed(document.items())))


@given(DOCUMENTS, st.data())
def test_one_altered_byte_unseals_nothing(document: dict[str, Any], data: st.DataObject) -> None:
    sealed = bytearray(seal(document))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= 1 << data.draw(st.integers(0, 7))
    assert unseal(bytes(sealed)) is None
    assert unseal(seal(document)[:at]) is None


@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b"1", b"{}", b'{"seal": 1}', b"\xff", b"[" * 100_000])
def test_what_nobody_sealed_is_nothing(data: bytes | None) -> None:
    assert unseal(data) is None


def test_what_json_does_not_know_is_text_and_zooms_may_be_names() -> None:
    report = {"path": Path("a"), "features": {zoom: zoom for zoom in range(4, 14)}}
    assert unseal(seal(report)) == {"path": "a", "features": {str(zoom): zoom for zoom in range(4, 14)}}


def test_objects_travel_through_a_record() -> None:
    objects = {"a/b": Written(3, "00"), "c": "absent"}
    assert objects_from_json(json.loads(json.dumps(objects_as_json(objects)))) == objects


@pytest.mark.parametrize("indent", [None, 1])
@given(document=DOCUMENTS)
def test_a_sealed_document_is_the_json_that_it_says(indent: int | None, document: dict[str, Any]) -> None:
    document.pop("seal", None)
    sealed = json.loads(seal(document, indent))
    assert list(sealed) == ["seal", *sorted(document)]
    assert unseal(seal(document, indent)) == {name: value for name, value in sealed.items() if name != "seal"}


@pytest.mark.parametrize("space", [" ", "\n ", "\t"])
def test_space_that_nobody_wrote_breaks_the_seal(space: str) -> None:
    for sealed in (seal({"a": 1}).decode(), seal({"a": 1}, 1).decode(), seal({}).decode()):
        assert unseal(sealed.encode()) is not None
        for at in range(len(sealed) + 1):
            assert unseal((sealed[:at] + space + sealed[at:]).encode()) is None
