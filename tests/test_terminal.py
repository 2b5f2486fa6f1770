"""Progress without Spark: a bar on a terminal, nothing where nobody looks."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from terradrift.cli import main


class Terminal(io.StringIO):
    """What takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("screen", [Terminal(), io.StringIO()])
def test_a_scene_shows_how_far_it_is_on_a_terminal(screen: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen)
    assert main(["scene", str(tmp_path / "scene"), "--size", "64", "--years", "2"]) == 0
    shown = screen.getvalue()
    assert ("100%" in shown and "scene" in shown) if screen.isatty() else shown == ""
