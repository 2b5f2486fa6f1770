"""Styles for QGIS: a .qml file beside a raster or vector file is what QGIS shows it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from terradrift.kernels.series import KINDS
from terradrift.maps.colors import CHANGED, KIND, KIND_CODES, RGB, SCORE, hex_color, ramp, year_colors

CLASSES = 9
"""Colours named in a ramp; QGIS draws all between."""

OUTLINE_MM = 0.3

Document = ElementTree.Element


def ramp_style(low: float, high: float) -> bytes:
    """A raster of numbers: the colours of scores from `low` to `high`."""
    high = high if high > low else low + 1.0
    values = [low + (high - low) * k / (CLASSES - 1) for k in range(CLASSES)]
    document, renderer = _raster("singlebandpseudocolor", classificationMin=f"{low:.9g}", classificationMax=f"{high:.9g}")
    shader = ElementTree.SubElement(ElementTree.SubElement(renderer, "rastershader"), "colorrampshader")
    shader.attrib |= {"colorRampType": "INTERPOLATED", "classificationMode": "1", "clip": "0"}
    shader.attrib |= {"minimumValue": f"{low:.9g}", "maximumValue": f"{high:.9g}"}
    for value, color in zip(values, ramp(SCORE, CLASSES), strict=True):
        item = {"value": f"{value:.9g}", "label": f"{value:.3g}", "color": hex_color(color), "alpha": "255"}
        ElementTree.SubElement(shader, "item", item)
    return _text(document)


def year_style(years: Sequence[int]) -> bytes:
    """A raster of first years of the new state; 0, where nothing changed, is not drawn."""
    colors = {0: KIND["none"], **year_colors(tuple(years))}
    return _paletted(colors, {0: "none"}, hidden=0)


def kind_style() -> bytes:
    """A raster of kinds; `none` is not drawn."""
    return _paletted(KIND_CODES, dict(enumerate(KINDS)), hidden=0)


def changed_style() -> bytes:
    """The raster of mapped pixels; what is not mapped is not drawn."""
    return _paletted(CHANGED, {0: "not mapped", 1: "mapped as change"}, hidden=0)


def polygon_style(kinds: Sequence[str] = KINDS[1:]) -> bytes:
    """Polygons by the column `kind`."""
    document = ElementTree.Element("qgis", version="3.34.0", styleCategories="Symbology")
    renderer = ElementTree.SubElement(document, "renderer-v2", type="categorizedSymbol", attr="kind", symbollevels="0")
    categories, symbols = (ElementTree.SubElement(renderer, name) for name in ("categories", "symbols"))
    for number, kind in enumerate(kinds):
        category = {"value": kind, "label": kind, "symbol": str(number), "render": "true", "type": "string"}
        ElementTree.SubElement(categories, "category", category)
        symbol = ElementTree.SubElement(symbols, "symbol", name=str(number), type="fill", alpha="1", clip_to_extent="1")
        layer = ElementTree.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0", "locked": "0"})
        options = ElementTree.SubElement(layer, "Option", type="Map")
        for name, value in _fill(KIND[kind]).items():
            ElementTree.SubElement(options, "Option", name=name, type="QString", value=value)
    ElementTree.SubElement(document, "layerGeometryType").text = "2"
    return _text(document)


def _fill(color: RGB) -> dict[str, str]:
    red, green, blue = color
    outline = f"{red * 2 // 3},{green * 2 // 3},{blue * 2 // 3},255"
    return {
        "color": f"{red},{green},{blue},110",
        "style": "solid",
        "outline_color": outline,
        "outline_style": "solid",
        "outline_width": str(OUTLINE_MM),
        "outline_width_unit": "MM",
    }


def _raster(kind: str, **attributes: str) -> tuple[Document, Document]:
    document = ElementTree.Element("qgis", version="3.34.0", styleCategories="Symbology")
    pipe = ElementTree.SubElement(document, "pipe")
    renderer = ElementTree.SubElement(
        pipe, "rasterrenderer", {"type": kind, "band": "1", "opacity": "1", "alphaBand": "-1", **attributes}
    )
    return document, renderer


def _paletted(colors: Mapping[int, RGB], labels: Mapping[int, str], hidden: int) -> bytes:
    document, renderer = _raster("paletted")
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for value, color in colors.items():
        alpha = "0" if value == hidden else "255"
        entry = {"value": str(value), "label": labels.get(value, str(value)), "color": hex_color(color), "alpha": alpha}
        ElementTree.SubElement(palette, "paletteEntry", entry)
    return _text(document)


def _text(document: Document) -> bytes:
    ElementTree.indent(document, " ")
    body = ElementTree.tostring(document, encoding="unicode")
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{body}\n".encode()
