"""What tilestats tell of an archive's properties, gathered batch by batch: the same for any order and any cut."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from terradrift.kernels.rings import Array

MOST_COUNTED = 1000
MOST_LISTED = 100
"""Different values of a property that are counted, and of texts and booleans listed: as tippecanoe does."""


class LayerStats:
    """`TileStats` of every layer; the properties are those of all."""

    def __init__(self, names: Sequence[str], fields: Mapping[str, str]) -> None:
        self.layers = {name: TileStats(fields) for name in names}

    def add(self, counts: Array, layer: Array, attributes: pa.StructArray) -> None:
        """Take in more features of each layer and the values that they have; `layer`: (row) its number."""
        if len(self.layers) == 1:
            next(iter(self.layers.values())).add(int(counts[0]), attributes)
            return
        for number, stats in enumerate(self.layers.values()):
            stats.add(int(counts[number]), attributes.filter(pa.array(layer == number)))

    def merge(self, others: Iterable[Sequence[Mapping[str, Any]]]) -> None:
        """Take in what other tasks gathered, as `told` gives it."""
        for other in others:
            for stats, told in zip(self.layers.values(), other, strict=True):
                stats.merge([told])

    def told(self) -> list[dict[str, Any]]:
        """All that was gathered, for JSON."""
        return [stats.told() for stats in self.layers.values()]

    def tilestats(self) -> dict[str, dict[str, Any]]:
        """Of each layer by name."""
        return {name: stats.tilestats() for name, stats in self.layers.items()}


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
        """`count` of features, `fields`, and `attributes`: of each the number of its values and their range or list."""
        attributes = []
        for name, kind in self.fields.items():
            values = self.values.get(name, [])
            told: dict[str, Any] = {"attribute": name, "count": len(values), "type": kind.lower(), "values": []}
            if kind == "Number":
                told |= {"min": values[0], "max": self.largest[name]} if values else {}
            else:
                told["values"] = values[:MOST_LISTED]
            attributes.append(told)
        return {"count": self.count, "fields": self.fields, "attributes": attributes}

    def _join(self, name: str, values: list[Any], largest: list[Any]) -> None:
        known = self.values.get(name, [])
        self.values[name] = sorted({*known, *values})[:MOST_COUNTED] if values != known else known
        if largest:
            self.largest[name] = max(largest[0], self.largest.get(name, -math.inf))
