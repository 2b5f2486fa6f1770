"""Charts as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from terradrift.pages.html import escaped

WIDTH, HEIGHT, LEFT, TOP = 360, 300, 48, 14
"""Of a line chart; its plotting area ends RIGHT and BOTTOM of its edges."""

RIGHT, BOTTOM = 14, 42

Points = Sequence[tuple[float, float]]


def line_chart(
    lines: Iterable[tuple[str, Points]], x_label: str, y_label: str, *, x_max: float = 1.0, y_max: float = 1.0, dots: str = ""
) -> str:
    """SVG of lines (CSS class, points in data units) from 0 to x_max and y_max; the points of class `dots` are marked."""

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x / x_max * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / y_max * (HEIGHT - TOP - BOTTOM)

    label = f"{escaped(y_label)} by {escaped(x_label)}"
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">']
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
        if name == dots:
            parts += [f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in placed]
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escaped(x_label)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{escaped(y_label)}</text></svg>')
    return "".join(parts)


def stacked_bars(names: Sequence[str], stacks: Mapping[str, Sequence[float]], colours: Mapping[str, str], unit: str) -> str:
    """SVG of a bar a name, made of `stacks` (name of the part -> a value a bar) in their order, with the sum over it."""
    width, height, left, top, bottom = 720, 260, 56, 22, 26
    totals = [sum(values[k] for values in stacks.values()) for k in range(len(names))]
    step = _round_step(max(totals, default=0) / 4)
    most = step * max(1, math.ceil(max(totals, default=0) / step))
    pitch, floor = (width - left - 8) / max(len(names), 1), height - bottom
    scale = (floor - top) / most
    parts = [f'<svg class="chart bars" viewBox="0 0 {width} {height}" role="img" aria-label="{escaped(unit)} by year and kind">']
    for line in range(round(most / step) + 1):
        y = floor - line * step * scale
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{width - 8}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{line * step:,g}</text>')
    for k, name in enumerate(names):
        x, y = left + pitch * (k + 0.15), floor
        for part, values in stacks.items():
            if values[k] > 0:
                y -= values[k] * scale
                tip = f"<title>{escaped(f'{name}: {part} {values[k]:,.1f} {unit}')}</title>"
                box = f'x="{x:.1f}" y="{y:.1f}" width="{pitch * 0.7:.1f}" height="{values[k] * scale:.1f}"'
                parts.append(f'<rect {box} fill="{colours[part]}">{tip}</rect>')
        middle = x + pitch * 0.35
        parts.append(f'<text x="{middle:.1f}" y="{y - 5:.1f}" text-anchor="middle">{totals[k]:,.4g}</text>')
        parts.append(f'<text x="{middle:.1f}" y="{height - 8}" text-anchor="middle">{escaped(name)}</text>')
    parts.append(f'<text x="{left - 48}" y="12">{escaped(unit)}</text></svg>')
    return "".join(parts)


def legend(colours: Mapping[str, str]) -> str:
    """Names with a swatch of their colour."""
    parts = (
        '<span class="key"><svg width="12" height="12" aria-hidden="true">'
        f'<rect width="12" height="12" fill="{colour}" stroke="#8888"/></svg>'
        f" {escaped(name)}</span>"
        for name, colour in colours.items()
    )
    return f'<p class="legend">{" ".join(parts)}</p>'


def ramp_legend(colours: Sequence[str], low: str, high: str) -> str:
    """A ramp with the values at its ends."""
    boxes = "".join(f'<rect x="{5 * k}" width="5.2" height="10" fill="{colour}"/>' for k, colour in enumerate(colours))
    bar = f'<svg width="{5 * len(colours)}" height="10" aria-hidden="true">{boxes}</svg>'
    return f'<p class="legend"><span class="key">{escaped(low)} {bar} {escaped(high)}</span></p>'


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, at least `least`."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))
