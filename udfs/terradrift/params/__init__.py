"""The run file: what a run does, as one frozen value. Spark tuning is never in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from terradrift.errors import InputError
from terradrift.params.locations import is_wkt
from terradrift.params.messages import explain, show
from terradrift.params.models import Change, Maps, Params, Polygons, Refine, Scores, Threshold
from terradrift.params.run_file import read_mapping

__all__ = [
    "Change",
    "Maps",
    "Params",
    "Polygons",
    "Refine",
    "Scores",
    "Threshold",
    "is_wkt",
    "json_schema",
    "load_params",
    "params_from",
]


def load_params(path: Path | str) -> Params:
    """The parameters in a run file (YAML). InputError of one line where it cannot be used."""
    return params_from(read_mapping(path), str(path) if str(path).isprintable() else repr(str(path)))


def params_from(mapping: Mapping[str, Any], name: str = "parameters") -> Params:
    """The parameters in a mapping with a run file's keys; `name` opens the message of an InputError."""
    if not isinstance(mapping, Mapping):
        raise InputError(f"{name}: found {show(mapping)}, expected a mapping with a run file's keys")
    try:
        return Params.model_validate(dict(mapping))
    except ValidationError as error:
        raise InputError(f"{name}: {explain(error, json_schema())}") from None


@cache
def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the run file, for editors."""
    schema = Params.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "terradrift run file"}
