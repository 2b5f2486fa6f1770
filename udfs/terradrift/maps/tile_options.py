"""How polygons become vector tiles: the knobs, checked before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from terradrift.errors import InputError, near_miss
from terradrift.kernels.rings import MAX_WORLD
from terradrift.params.locations import BIDI_CONTROLS

FINEST = 4096
"""Tolerance and area floor are in units of this part of a tile's edge, whatever the tiles' own resolution is."""
MAX_RESOLUTION = 16384
"""A tile is looked at cell by cell: 32 MiB a picture of it at this resolution."""
MAX_NAME = 128
SIMPLIFY = ("dp", "snap")


@dataclass(frozen=True)
class Thin:
    """One attribute at low zooms: rounded, or left out."""

    attribute: str
    zoom: int
    """From this zoom on it is given as it is."""
    decimals: int | None = None
    """Below, it is rounded to so many decimals (-2: hundreds); None: left out."""

    @classmethod
    def parse(cls, text: str) -> Thin:
        """NAME:ZOOM or NAME:ZOOM:DECIMALS; the name may hold colons of its own. Raises InputError."""
        name, *numbers = text.rsplit(":", 2)
        if len(numbers) == 2 and not _is_whole(numbers[0]):
            name, numbers = f"{name}:{numbers[0]}", numbers[1:]
        if not name or not numbers or not all(map(_is_whole, numbers)) or not 0 <= int(numbers[0]) <= 99:
            raise InputError(f"thin: found {text!r}; expected NAME:ZOOM or NAME:ZOOM:DECIMALS, such as score:10:1")
        return cls(name, *map(int, numbers))


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and len(text) < 4


def _check_name(layer: str) -> None:
    """Refuse a layer that nobody could name in a style, or that reads as another."""
    if not layer.strip() or len(layer) > MAX_NAME or not layer.isprintable() or BIDI_CONTROLS & set(layer):
        raise InputError(f"layer: found {layer[:MAX_NAME]!r}; expected a name of 1 to {MAX_NAME} printable characters")


@dataclass(frozen=True)
class TileOptions:
    """How polygons become tiles. A tile unit is 1 / `tile_resolution` of a tile's edge."""

    layer: str = "polygons"
    """Name of the layer; with a layer column, of the layer of rows that name none."""
    layer_column: str | None = None
    """Column of text that names each row's layer, no property then."""
    layers: tuple[str, ...] = ()
    """The layers that the layer column names, in order; filled in when they are known."""
    id_column: str = "id"
    """Column with the feature ids: whole numbers in 0 .. 2**53 - 1; a property too, as all columns are."""
    min_zoom: int = 0
    max_zoom: int = 13
    """Smallest and largest zoom; every polygon is drawn at the largest."""
    tile_resolution: int = 4096
    """Units across a tile (the MVT extent)."""
    buffer: float = 80 / 4096
    """Margin drawn around each tile, as a fraction of its edge."""
    simplify: Literal["dp", "snap"] = "dp"
    """dp: Douglas-Peucker. snap: lines as the tile's grid has them, for coverages whose borders must meet."""
    tolerance: float = 4.0
    """Of Douglas-Peucker, in 4096ths of a tile's edge."""
    area_floor: float = 64.0
    """Smallest polygon drawn as it is below the largest zoom, in squares of a 4096th of a tile's edge. Of smaller ones some
    become squares of about this area, so sized that the area covered in each tile is right."""
    max_features_per_tile: int = 50_000
    """Of more, the smallest are left out and counted; squares for small ones grow instead."""
    max_tile_bytes: int = 500_000
    """Largest tile, compressed; the smallest polygons of a tile beyond it are left out and counted."""
    thin: tuple[Thin, ...] = ()
    """Attributes that are rounded or left out at low zooms; at most one entry an attribute."""

    def __post_init__(self) -> None:
        _check_name(self.layer)
        if not 0 <= self.min_zoom <= self.max_zoom:
            raise InputError(f"min_zoom, max_zoom: found {self.min_zoom}, {self.max_zoom}; expected 0 <= min_zoom <= max_zoom")
        for name in ("max_features_per_tile", "max_tile_bytes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: found {getattr(self, name)}; expected a whole number of at least 1")
        if not 1 <= self.tile_resolution <= MAX_RESOLUTION:
            raise InputError(f"tile_resolution: found {self.tile_resolution}; expected 1 to {MAX_RESOLUTION}, such as 4096")
        if not 0 <= self.buffer <= 1:
            raise InputError(f"buffer: found {self.buffer}; expected a fraction of a tile's edge, 0 to 1")
        if self.simplify not in SIMPLIFY:
            raise InputError(f"simplify: found {self.simplify!r}; expected dp or snap{near_miss(self.simplify, SIMPLIFY)}")
        if not 0 <= self.tolerance < FINEST:
            raise InputError(f"tolerance: found {self.tolerance}; expected 0 or more, in {FINEST}ths of a tile, below {FINEST}")
        if not self.area_floor >= 1:
            raise InputError(f"area_floor: found {self.area_floor}; expected at least 1")
        if self.tile_resolution << min(self.max_zoom, MAX_WORLD.bit_length()) > MAX_WORLD:
            most = (MAX_WORLD // self.tile_resolution).bit_length() - 1
            raise InputError(f"max_zoom: found {self.max_zoom}; expected at most {most} at {self.tile_resolution} units a tile")
        names = [rule.attribute for rule in self.thin]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise InputError(f"thin: found {twice} twice; expected one rule an attribute")

    @property
    def tolerance_units(self) -> float:
        """Tolerance of the simplification in tile units; 0 keeps the snapped lines."""
        return 0.0 if self.simplify == "snap" else self.tolerance * self.tile_resolution / FINEST

    @property
    def floor_units(self) -> float:
        """`area_floor` in square tile units."""
        return self.area_floor * (self.tile_resolution / FINEST) ** 2

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Of all layers, in the order of the rows' layer numbers."""
        return self.layers if self.layer_column else (self.layer,)
