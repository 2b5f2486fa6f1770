"""`terradrift scene`: a synthetic embedding mosaic in the layout of the public one, with planted and therefore known changes."""

from __future__ import annotations

from terradrift.scene.write import SceneReport, write_scene

__all__ = ["SceneReport", "write_scene"]
