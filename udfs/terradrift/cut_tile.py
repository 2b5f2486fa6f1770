"""One tile: decide which pixels are mapped, write that, cut the polygons, write them, then the tile's record."""

from __future__ import annotations

from collections.abc import Iterator

from terradrift.aoi import Zones
from terradrift.decision import DecisionRule
from terradrift.drawing import Drawing
from terradrift.fragments import FRAGMENT_SCHEMA, fragments
from terradrift.grid import Tile
from terradrift.records import Ledger
from terradrift.sealed import Written, under
from terradrift.table_parts import TableFormat, write_part

FRAGMENTS = "_work/fragments"

FRAGMENT_FORMAT = TableFormat(FRAGMENT_SCHEMA)


def fragment_key(tile_id: str) -> str:
    """Key of the polygons of a tile and their parts, in its run."""
    return f"{FRAGMENTS}/{tile_id}.parquet"


def cut_tile(tile: Tile, rule: DecisionRule, rule_id: str, zones: Zones, ledger: Ledger, drawing: Drawing) -> None:
    """Write the tile's shards of the decision and its fragments; the same bytes for the same tile and rule.

    Raises StoreError where the scores cannot be read or the result not written; nothing is recorded then.
    """
    around = drawing.around(tile.window, rule.scores.window)
    wide = rule.decide(around)
    decision = wide.cut(tile.window.slices(around))
    objects = under(rule.decision.name, rule.decision.write_tile(tile, decision.rasters()))
    if decision.classes.any():
        batch = fragments(
            tile.window,
            rule.scores.window,
            decision.classes,
            score=decision.score,
            effect=decision.effect,
            year=decision.year,
            kind=decision.kind,
            q=decision.q,
            zones=zones.mask(tile.window),
            years=rule.years,
            pixel_area=rule.scores.grid.pixel_area,
            mosaic_width=rule.scores.grid.width,
            connectivity=rule.polygons.connectivity,
            min_pixels=rule.polygons.min_pixels,
            fill_holes_pixels=rule.polygons.fill_holes_pixels,
            high=rule.high,
            drawing=drawing,
            marks=drawing.marks(wide.classes, wide.surface, around, tile.window),
        )
        if batch.num_rows:
            part = write_part(ledger.store, fragment_key(tile.id), [batch], FRAGMENT_FORMAT)
            objects[part.key] = Written(part.bytes, part.sha256)
    ledger.write(tile.id, objects, tile_id=tile.id, rule=rule_id)


def cut_tiles(ledger: Ledger, rule_id: str) -> Iterator[tuple[str, str | None]]:
    """Tiles cut by this very rule whose objects are there, with the key of their fragments."""
    for record in ledger.trusted():
        if record.get("rule") == rule_id and record.get("tile_id") == record["name"]:
            key = fragment_key(record["name"])
            yield record["name"], key if key in record["objects"] else None
