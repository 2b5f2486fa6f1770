"""What tilestats tell of an archive's properties, gathered batch by batch: the same for any order and any cut."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MOST_COUNTED = 1000
MOST_LISTED = 100
"""Different values of a property that are counted, and of texts and booleans listed: as tippecanoe does."""


@dataclass
class TileStats:
    """Features and the values of their properties; `fields` names the properties and their TileJSON types."""

    fields: Mapping[str, str]
    count: int = 0
    values: dict[str, list[Any]] = field(default_factory=dict)
    """Of each property its smallest `MOST_COUNTED` different values, in order."""
    largest: dict[str, Any] = field(default_factory=dict)
    """Of each property of numbers with any."""

    def add(self, count: int, attributes: pa.StructArray) -> None:
        """Take in `count` more features and the values that they have; NaN and infinity are none."""
        self.count += count
        for name, column in zip(attributes.type.names, attributes.flatten(), strict=True):
            if self.fields[name] == "Number" and pa.types.is_floating(column.type):
                column = column.filter(pc.is_finite(column))
            different = pc.unique(column).drop_null()
            first = different.take(pc.array_sort_indices(different)[:MOST_COUNTED]).to_pylist()
            largest = [pc.max(different).as_py()] if self.fields[name] == "Number" and first else []
            self._join(name, first, largest)

    def merge(self, others: Iterable[Mapping[str, Any]]) -> None:
        """Take in what other tasks gathered, as `told` gives it."""
        for other in others:
            self.count += other["count"]
            for name in self.fields:
                self._join(name, other["values"].get(name, []), [other["largest"][name]] if name in other["largest"] else [])

    def told(self) -> dict[str, Any]:
        """All that was gathered, for JSON."""
        return {"count": self.count, "values": self.values, "largest": self.largest}

    def tilestats(self) -> dict[str, Any]:
        """`count` of features, and `attributes`: of each property the number of its values, their range or the first of them."""
        attributes = []
        for name, kind in self.fields.items():
            values = self.values.get(name, [])
            told: dict[str, Any] = {"attribute": name, "count": len(values), "type": kind.lower(), "values": []}
            if kind == "Number":
                told |= {"min": values[0], "max": self.largest[name]} if values else {}
            else:
                told["values"] = values[:MOST_LISTED]
            attributes.append(told)
        return {"count": self.count, "attributes": attributes}

    def _join(self, name: str, values: list[Any], largest: list[Any]) -> None:
        known = self.values.get(name, [])
        self.values[name] = sorted({*known, *values})[:MOST_COUNTED] if values != known else known
        if largest:
            self.largest[name] = max(largest[0], self.largest.get(name, -math.inf))
