"""A run file's text: YAML without its traps (duplicate keys, aliases, tags that build objects, `1e-3` as text)."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from terradrift.errors import InputError
from terradrift.params.messages import one_line, show

MAX_BYTES = 1 << 20
MAX_DEPTH = 12
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+")


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key stands once and an alias never (nested aliases unfold to gigabytes)."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="an alias, expected the value written out", problem_mark=mark)
        if self.depth >= MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_DEPTH} levels, expected fewer", problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, AttributeError) as cause:  # PyYAML's own constructors raise these
            problem = f"{show(getattr(node, 'value', ''))}, expected a value of its type"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from cause

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                found = f"the key {show(key.value)}" if isinstance(key, yaml.ScalarNode) else "a key of several values"
                raise yaml.MarkedYAMLError(problem=f"{found}, expected a key of text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {show(key.value)} twice, expected it once", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 1e-3 as text for want of a dot; YAML 1.2 and every user read a number
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))


def read_mapping(path: Path | str) -> dict[str, Any]:
    """The mapping a run file holds. InputError (one line) where there is none."""
    name = str(path) if str(path).isprintable() else repr(str(path))
    text = _read_text(Path(path), name)
    try:
        value = yaml.load(text, _Loader)  # noqa: S506  the loader is a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise InputError(f"{name}: {line}{_complaint(error)}") from error
    except yaml.reader.ReaderError as error:
        line = f"line {text.count(chr(10), 0, error.position) + 1}: "
        raise InputError(f"{name}: {line}found a control character, expected YAML text") from error
    if value is None:
        raise InputError(f"{name}: found an empty file, expected a mapping; write at least mosaic: and output:")
    if not isinstance(value, dict):
        raise InputError(f"{name}: found {show(value)}, expected a mapping; write at least mosaic: and output:")
    return value


def _complaint(error: yaml.MarkedYAMLError) -> str:
    """What is wrong with the YAML: our own complaints are whole, the parser's speaks of its insides."""
    problem = one_line(error.problem or error.context)
    if isinstance(error, yaml.constructor.ConstructorError):
        tag = problem.rsplit(" ", 1)[-1].strip("'")
        return f"found the tag {show(tag)}, expected a plain value; remove the tag"
    if type(error) is yaml.MarkedYAMLError:
        return f"found {problem}"
    return f"found text that is not YAML ({problem}), expected YAML lines such as 'tile_size: 1024'"


def _read_text(path: Path, name: str) -> str:
    try:
        if path.is_dir():
            raise InputError(f"{name}: found a directory, expected a run file (YAML)")
        if not path.is_file():
            found = "something that is no regular file" if path.exists() else "no such file"
            raise InputError(f"{name}: found {found}, expected a run file (YAML)")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"{name}: found a path that cannot be read ({cause}), expected a run file (YAML)") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{name}: found more than {MAX_BYTES} bytes, expected a run file of at most 1 MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: found a byte at {error.start} that is not UTF-8, expected UTF-8 text") from error
