"""One line about a run file that cannot be used: field, found, expected, what to do."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import ValidationError

from terradrift.errors import near_miss

SHOWN = 60
"""Characters of a user's value that a message repeats."""

Schema = dict[str, Any]


def show(value: object, depth: int = 0) -> str:
    """A value as Python writes it, on one line, without control characters, cut to 60 characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 200:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, (list, tuple, dict)) and depth > 2:
        return "..."
    if isinstance(value, (list, tuple)):
        text = f"[{', '.join(show(item, depth + 1) for item in value[:9])}{', ...' if len(value) > 9 else ''}]"
    elif isinstance(value, dict):
        text = f"{{{', '.join(f'{show(key, depth + 1)}: {show(item, depth + 1)}' for key, item in list(value.items())[:9])}}}"
    elif isinstance(value, str):
        text = repr(value[: SHOWN + 1])
    else:
        text = value.isoformat() if isinstance(value, date) else repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def one_line(text: object, length: int = 120) -> str:
    """Foreign text (a parser's complaint, a name in a file) on one line, without control characters, cut to `length`."""
    line = " ".join(str(text).split())[:length]
    return "".join(character if character.isprintable() else "?" for character in line)


def explain(error: ValidationError, schema: Schema) -> str:
    """`field: found X, expected Y; what it is` for the first fault; an unknown key goes before what its absence causes."""
    faults = sorted(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
    path = [part for part in fault["loc"] if not isinstance(part, int)]
    field = ".".join(str(part) if str(part).isprintable() else repr(part) for part in path) or "run file"
    field = field if len(field) <= SHOWN else field[: SHOWN - 3] + "..."
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{field}: {_sentence(fault, schema)}{more}"


def _sentence(fault: Any, schema: Schema) -> str:
    kind, loc = fault["type"], fault["loc"]
    if kind == "extra_forbidden":
        known = _container(_node(schema, loc[:-1]), schema).get("properties", {})
        spark = "; Spark's settings go into conf/spark-defaults.conf" if str(loc[-1]).lower().startswith("spark") else ""
        return f"unknown key{near_miss(str(loc[-1])[:SHOWN], known)}{spark}"
    if kind == "invalid_key":
        return f"found the key {show(loc[-1])}, expected a key of text"
    if kind == "value_error":
        return str(fault["ctx"]["error"])
    if kind == "missing" and isinstance(loc[-1], int):  # a list too short: pydantic hands over the list
        loc = loc[:-1]
    missing = kind == "missing" and loc == fault["loc"]
    node = _node(schema, loc)
    described = node.get("description") or _node(schema, loc[:1]).get("description", "")
    meaning = " ".join(described.split()).split(". ")[0].rstrip(".")
    found = "nothing" if missing else show(fault["input"])
    return f"found {found}, expected {expected(node, schema)} ({meaning})"


def expected(node: Schema, schema: Schema) -> str:
    """A JSON Schema node in words."""
    node = _resolve(node, schema)
    if "anyOf" in node:
        return " or ".join(expected(choice, schema) for choice in node["anyOf"])
    if "enum" in node:
        return f"one of {', '.join(map(str, node['enum']))}"
    match node.get("type"):
        case "array" if "prefixItems" in node:
            return f"[{', '.join(expected(item, schema) for item in node['prefixItems'])}]"
        case "array":
            return f"a list of ({expected(node['items'], schema)})"
        case "object":
            return f"a mapping with the keys {', '.join(node['properties'])}"
        case "integer" | "number" as kind:
            return ("an integer" if kind == "integer" else "a number") + _bounds(node)
        case "boolean":
            return "true or false"
        case "null":
            return "nothing"
        case _:
            return f"text that matches {node['pattern']}" if "pattern" in node else "text"


def _bounds(node: Schema) -> str:
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    parts = [f"{sign} {node[key]}" if node[key] < 1e9 else "" for key, sign in signs.items() if key in node]
    text = " and ".join(part for part in parts if part)
    return f" {text}" if text else ""


def _resolve(node: Schema, schema: Schema) -> Schema:
    if "$ref" in node:
        target: Schema = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
        return {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def _node(schema: Schema, loc: tuple[int | str, ...]) -> Schema:
    """The schema of the value at `loc`; {} where there is none."""
    node = schema
    for part in loc:
        node = _container(node, schema)
        if isinstance(part, int):
            items = node.get("prefixItems")
            node = items[part] if items and part < len(items) else node.get("items", {})
        else:
            node = node.get("properties", {}).get(part, {})
        node = _resolve(node, schema)
    return node


def _container(node: Schema, schema: Schema) -> Schema:
    """The mapping or list among the choices of a node; {} where there is none."""
    choices = [_resolve(choice, schema) for choice in node.get("anyOf", [node])]
    return next((choice for choice in choices if choice.get("type") in ("object", "array")), {})
