"""A mosaic with a tile that kills whoever reads it; a module, for workers import it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from terradrift.grid import Window
from terradrift.mosaic import Mosaic


@dataclass(frozen=True)
class Poisoned(Mosaic):
    """SIGKILL, as the system gives it when memory runs out."""

    poison: Window | None = None
    """Of the tile."""

    def read_blocks(self, window: Window, *arguments: Any, **named: Any) -> Iterator[Any]:
        """Blocks of every window but that of the tile."""
        if window == self.poison:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read_blocks(window, *arguments, **named)
