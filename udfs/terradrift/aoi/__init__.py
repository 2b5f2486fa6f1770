"""The area of interest: zones from any vector file, WKT or a box, on the mosaic's grid."""

from __future__ import annotations

from terradrift.aoi.read import read_aoi
from terradrift.aoi.zones import Zones, usable_bounds, usable_width

__all__ = ["Zones", "read_aoi", "usable_bounds", "usable_width"]
