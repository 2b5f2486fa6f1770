"""Curves and pictures as inline SVG and PNG: nothing is fetched from anywhere."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from terradrift.evaluation.figures import Mistake
from terradrift.maps.preview import classes, palette

WIDTH, HEIGHT, LEFT, TOP = 360, 300, 48, 14
"""Of a chart; its plotting area ends RIGHT and BOTTOM of its edges."""

RIGHT, BOTTOM = 14, 42

Points = Sequence[tuple[float, float]]


def line_chart(
    lines: Iterable[tuple[str, Points]], x_label: str, y_label: str, *, x_max: float = 1.0, y_max: float = 1.0, dots: bool = False
) -> str:
    """SVG of lines (CSS class, points in data units) from 0 to x_max and y_max."""

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x / x_max * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / y_max * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_text(y_label)} by {_text(x_label)}">']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = place(share * x_max, share * y_max)
        (left, low), (right, high) = place(0, 0), place(x_max, y_max)
        parts.append(f'<path class="grid" d="M{left:.1f} {y:.1f}H{right:.1f}M{x:.1f} {low:.1f}V{high:.1f}"/>')
        parts.append(f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{share * y_max:g}</text>')
        parts.append(f'<text x="{x:.1f}" y="{low + 16:.1f}" text-anchor="middle">{share * x_max:g}</text>')
    for name, points in lines:
        placed = [place(min(x, x_max), min(y, y_max)) for x, y in points]
        if placed:
            parts.append(f'<polyline class="{name}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in placed)}"/>')
        if dots:
            parts += [f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in placed]
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{_text(x_label)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{_text(y_label)}</text></svg>')
    return "".join(parts)


def picture(mistake: Mistake) -> str:
    """SVG: the score as colours, outlines of the truth and of the map over it."""
    window = mistake.window
    image = base64.b64encode(png(classes(mistake.score), palette())).decode()
    box = f'x="{window.x0}" y="{window.y0}" width="{window.width}" height="{window.height}"'
    return (
        f'<svg class="crop" viewBox="{window.x0} {window.y0} {window.width} {window.height}" role="img" '
        f'aria-label="change score round {_text(mistake.what)} {_text(mistake.name)}">'
        f'<image {box} preserveAspectRatio="none" href="data:image/png;base64,{image}"/>'
        f"{_outlines('mapped', mistake.mapped)}{_outlines('truth', mistake.truth)}</svg>"
    )


def png(index: npt.NDArray[np.uint8], colours: Sequence[tuple[int, int, int]]) -> bytes:
    """A PNG of palette indices (y, x)."""
    height, width = index.shape
    rows = np.zeros((height, width + 1), np.uint8)  # every row begins with its filter, 0 = none
    rows[:, 1:] = index
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    entries = bytes(channel for colour in colours for channel in colour)
    parts = ((b"IHDR", header), (b"PLTE", entries), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def _outlines(name: str, geometries: Sequence[Any]) -> str:
    """Rings as one path; a point as a small circle."""
    rings = []
    circles = []
    for part in shapely.get_parts(np.array(geometries, object)):
        if part.geom_type == "Point":
            circles.append(f'<circle class="{name}" cx="{part.x:.2f}" cy="{part.y:.2f}" r="1.5"/>')
            continue
        for ring in shapely.get_rings(part):
            corners = shapely.get_coordinates(ring)[:-1]
            rings.append("M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in corners) + "Z")
    return (f'<path class="{name}" d="{"".join(rings)}"/>' if rings else "") + "".join(circles)


def _text(text: str) -> str:
    return html.escape(text, quote=True)
