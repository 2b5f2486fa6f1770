"""The notebook of the docs runs as it stands, from a run to a map to SQL; in git it holds no outputs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import terradrift as td

ROOT = Path(__file__).resolve().parents[2]
TOUR = ROOT / "docs" / "tour.ipynb"

pytestmark = pytest.mark.slow


def outputs(cell: Any, kind: str) -> str:
    """All that a cell shows of one kind."""
    shown = [output.get("data", {}).get(kind, "") for output in cell.outputs]
    return "".join([*shown, *(output["text"] for output in cell.outputs if kind == "text/plain" and "text" in output)])


def test_in_git_it_is_without_outputs() -> None:
    cells = [cell for cell in nbformat.read(TOUR, as_version=4).cells if cell.cell_type == "code"]
    assert len(cells) > 5
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


def test_it_runs(finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("docs", "results", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "results" / "demo").symlink_to(finished_run / "out")
    (tmp_path / "data" / "demo").symlink_to(finished_run / "scene")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("COLUMNS", "100")
    notebook = nbformat.read(TOUR, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path / "docs")}}).execute()
    by_source = {cell.source: cell for cell in notebook.cells if cell.cell_type == "code"}
    assert "<iframe" in outputs(by_source["run.map()"], "text/html")
    (query,) = (cell for source, cell in by_source.items() if "!terradrift sql" in source)
    polygons = td.open_run(finished_run / "out").polygons
    text = outputs(query, "text/plain")
    assert all(kind in text for kind in polygons.kind.unique()), text
    (last,) = (cell for source, cell in by_source.items() if "!terradrift report" in source)
    assert "report.html" in outputs(last, "text/plain")
