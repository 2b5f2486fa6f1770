"""terradrift: where, when and how the ground changed, from annual satellite embeddings.

`import terradrift as td` gives the names below; none of them needs Spark, and each is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "load_params": "terradrift.params",
    "plan": "terradrift.planning",
    "open_mosaic": "terradrift.mosaic",
    "open_run": "terradrift.results",
    "evaluate": "terradrift.evaluation",
    "gram": "terradrift.kernels.gram",
    "dequantize": "terradrift.kernels.quantize",
    "quantize": "terradrift.kernels.quantize",
    "SCORES": "terradrift.kernels.annual",
    "DISTANCES": "terradrift.kernels.distances",
    "DETECTORS": "terradrift.kernels.detectors",
    "robust_z": "terradrift.kernels.annual",
    "polygonize": "terradrift.raster_polygons",
    "write_scene": "terradrift.scene",
    "draw_sample": "terradrift.area_sample",
    "estimate_area": "terradrift.area_sample",
}

_OTHER_NAMES = {"plan": "plan_run", "SCORES": "ANNUAL"}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'terradrift' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), _OTHER_NAMES.get(name, name))
    globals()[name] = value  # also in place of the module that importing it just set
    return value


def __dir__() -> list[str]:
    return __all__
