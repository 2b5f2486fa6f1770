"""Styles for QGIS: well-formed, over the data's own range and kinds, told apart by every eye."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import numpy as np
import pytest

from terradrift.kernels.series import KINDS
from terradrift.maps.colors import KIND, SCORE, YEAR, ramp
from terradrift.maps.styles import changed_style, kind_style, polygon_style, ramp_style, year_style

YEARS = tuple(range(2017, 2026))

# linear RGB seen without one kind of cones: Machado, Oliveira and Fernandes (2009), severity 1
SIGHT = {
    "all": np.eye(3),
    "no red": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "no green": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "no blue": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colors: list[tuple[int, int, int]], sight: str) -> np.ndarray:
    """CIE Lab of colours as they are seen."""
    srgb = np.array(colors) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ SIGHT[sight].T, 0, 1)
    xyz = seen @ XYZ.T / (XYZ @ np.ones(3))
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("stops", [SCORE, YEAR], ids=["score", "year"])
def test_a_ramp_gets_evenly_lighter_for_every_eye(sight: str, stops: tuple) -> None:
    lightness = lab(ramp(stops, 17), sight)[:, 0]
    assert (np.diff(lightness) > 1).all()


@pytest.mark.parametrize("sight", SIGHT)
def test_kinds_and_years_are_told_apart_by_every_eye(sight: str) -> None:
    for colors, least in ((list(KIND.values()), 18), (ramp(YEAR, len(YEARS)), 6)):
        seen = lab(colors, sight)
        assert min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)) > least


def test_a_ramp_spans_the_values_it_is_given() -> None:
    root = ElementTree.fromstring(ramp_style(-0.25, 7.5))
    renderer = root.find("pipe/rasterrenderer")
    assert renderer is not None
    assert renderer.attrib["type"] == "singlebandpseudocolor"
    values = [float(item.attrib["value"]) for item in root.iter("item")]
    assert (values[0], values[-1]) == (-0.25, 7.5)
    assert values == sorted(values)
    assert len({item.attrib["color"] for item in root.iter("item")}) == len(values)
    flat = [float(item.attrib["value"]) for item in ElementTree.fromstring(ramp_style(2.0, 2.0)).iter("item")]
    assert flat == sorted(set(flat))


@pytest.mark.parametrize(
    ("style", "labels"),
    [
        (year_style(YEARS), {"0": "none"} | {str(year): str(year) for year in YEARS}),
        (kind_style(), {str(code): name for code, name in enumerate(KINDS)}),
        (changed_style(), {"0": "not mapped", "1": "mapped as change"}),
    ],
    ids=["year", "kind", "changed"],
)
def test_a_palette_has_every_class_and_hides_what_did_not_change(style: bytes, labels: dict[str, str]) -> None:
    entries = list(ElementTree.fromstring(style).iter("paletteEntry"))
    assert {entry.attrib["value"]: entry.attrib["label"] for entry in entries} == labels
    assert [entry.attrib["value"] for entry in entries if entry.attrib["alpha"] == "0"] == ["0"]
    assert len({entry.attrib["color"] for entry in entries}) == len(entries)


def test_polygons_are_drawn_by_kind() -> None:
    root = ElementTree.fromstring(polygon_style())
    renderer = root.find("renderer-v2")
    assert renderer is not None
    assert renderer.attrib["attr"] == "kind"
    categories = {found.attrib["value"]: found.attrib["symbol"] for found in root.iter("category")}
    assert set(categories) == set(KINDS) - {"none"}
    symbols = {found.attrib["name"]: found for found in root.iter("symbol")}
    for kind, symbol in categories.items():
        options = {
            option.attrib["name"]: option.attrib["value"] for option in symbols[symbol].iter("Option") if "name" in option.attrib
        }
        assert tuple(map(int, options["color"].split(",")[:3])) == KIND[kind]
