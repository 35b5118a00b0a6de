"""The notebooks of examples/ run from top to bottom, each in a kernel of its own."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))

ZERO_INSIDE = {"2-evaluate-honestly": 3}
"""Sentences on fill models of which a notebook's text says that zero is inside."""


def test_there_are_three() -> None:
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    said = "".join(out.get("text", "") for c in notebook.cells for out in c.get("outputs", ()))
    if path.stem in ZERO_INSIDE:
        assert said.count("zero is inside") == said.count(" earned ") == ZERO_INSIDE[path.stem]
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert last.outputs
    assert all(out.get("name") != "stderr" or "compiling" in out.text for out in last.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_kept_without_its_results(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert not any(cell.get("outputs") for cell in cells)
