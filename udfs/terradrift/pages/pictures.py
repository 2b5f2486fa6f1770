"""Rasters as PNG and, with outlines over them, as inline SVG; all coordinates are pixels of the mosaic."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from terradrift.grid import Window
from terradrift.pages.html import escaped

SMALLEST_SIDE, LARGEST_SIDE = 48, 256
"""Pixels of a picture round a geometry."""

MARGIN = 1.6
"""Side of a picture, as a multiple of what it shows."""

Colours = Sequence[tuple[int, int, int]]


@dataclass(frozen=True)
class Outline:
    """Polygons and points drawn alike."""

    css: str
    """Class of the lines."""
    geometries: Sequence[Any]
    """In (column, row) of the mosaic."""
    title: str = ""
    """Shown where the pointer rests."""
    target: str = ""
    """Id of the element of the page that it leads to."""


def picture(
    window: Window, png: bytes, outlines: Sequence[Outline], label: str, *, stretch: float = 1.0, over: str = "", css: str = ""
) -> str:
    """SVG of a PNG that fills `window`, outlines over it.

    `stretch`: width over height of a pixel on the ground; `over`: more SVG, x in pixels times `stretch`, y in pixels.
    """
    box = f'x="{window.x0}" y="{window.y0}" width="{window.width}" height="{window.height}"'
    wide = f"{window.x0 * stretch:.6g} {window.y0} {window.width * stretch:.6g} {window.height}"
    image = f'<image {box} preserveAspectRatio="none" href="data:image/png;base64,{base64.b64encode(png).decode()}"/>'
    return (
        f'<svg class="picture{f" {css}" if css else ""}" viewBox="{wide}" role="img" aria-label="{escaped(label)}">'
        f'<g transform="scale({stretch:.6g} 1)">{image}{"".join(map(_drawn, outlines))}</g>{over}</svg>'
    )


def _drawn(outline: Outline) -> str:
    """Rings as one path; a point as a small circle."""
    rings, circles = [], []
    title = f"<title>{escaped(outline.title)}</title>" if outline.title else ""
    for part in shapely.get_parts(np.array(outline.geometries, object)):
        if part.geom_type == "Point":
            circles.append(f'<circle class="{outline.css}" cx="{part.x:.2f}" cy="{part.y:.2f}" r="1.5">{title}</circle>')
        else:
            rings += [_ring(shapely.get_coordinates(ring)) for ring in shapely.get_rings(part)]
    drawn = (f'<path class="{outline.css}" d="{"".join(rings)}">{title}</path>' if rings else "") + "".join(circles)
    return f'<a href="#{escaped(outline.target)}">{drawn}</a>' if outline.target else drawn


def _ring(corners: npt.NDArray[np.float64]) -> str:
    """A closed ring as steps from its first corner, to a tenth of a pixel: rounded before they are told apart."""
    tenths = np.rint(corners * 10).astype(np.int64)
    steps = "".join(f"l{x / 10:g} {y / 10:g}" for x, y in np.diff(tenths, axis=0)[:-1])
    return f"M{tenths[0, 0] / 10:.10g} {tenths[0, 1] / 10:.10g}{steps}Z"


def frame(geometry: Any, raster: Window) -> Window:
    """A square round a geometry, or round its middle where it is larger than a picture, kept on the raster."""
    x0, y0, x1, y1 = shapely.bounds(geometry)
    side = int(np.clip(MARGIN * max(x1 - x0, y1 - y0), SMALLEST_SIDE, LARGEST_SIDE))
    corner = [
        int(np.clip(round((low + high - side) / 2), start, max(start, end - side)))
        for low, high, start, end in ((y0, y1, raster.y0, raster.y1), (x0, x1, raster.x0, raster.x1))
    ]
    return Window(corner[0], corner[1], side, side).intersection(raster) or raster


def indexed_png(index: npt.NDArray[np.uint8], colours: Colours) -> bytes:
    """A PNG of palette indices (y, x)."""
    palette = bytes(channel for colour in colours for channel in colour)
    return _png(index, 3, (b"PLTE", palette))


def rgb_png(values: npt.NDArray[np.uint8]) -> bytes:
    """A PNG of red, green and blue: (y, x, 3)."""
    return _png(values.reshape(values.shape[0], -1), 2)


def _png(rows: npt.NDArray[np.uint8], colour_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 8 bits a channel from rows of bytes; format: W3C Portable Network Graphics, second edition."""
    height, length = rows.shape
    filtered = np.zeros((height, length + 1), np.uint8)  # every row begins with its filter, 0 = none
    filtered[:, 1:] = rows
    width = length // 3 if colour_type == 2 else length
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    parts = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
