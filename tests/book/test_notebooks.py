"""Every notebook is executed, quiet, described, and begins with the same set-up cell."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from bookkit.address import setup_cell
from bookkit.chapters import NOTEBOOKS


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    """Read the code cells of a notebook."""
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_drawn(output: nbformat.NotebookNode) -> bool:
    """Return whether an output is a figure or a gallery; a slider describes its own frames."""
    data = output.get("data", {})
    html = data.get("text/html", "")
    pictures = "explman-pictures" in html and "frame-slider" not in html
    return pictures or any(kind.startswith("image/") for kind in data)


def test_there_are_notebooks():
    assert NOTEBOOKS, "notebooks/ holds no notebook"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


def test_every_cell_was_executed_in_order(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), "run `make execute`"


def test_no_cell_fails_or_grumbles(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source


def test_every_figure_has_alt_text(path):
    for cell in code_cells(path):
        if any(is_drawn(output) for output in cell.outputs):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) >= 20, (
                f"describe the figure in metadata.mystnb.image.alt:\n{cell.source}"
            )


def test_first_code_cell_is_the_set_up(path):
    first, *others = code_cells(path)
    assert first.source == setup_cell(), "the text stands in bookkit/address.py"
    assert first.metadata.get("tags") == ["setup"]
    assert not any("setup" in cell.metadata.get("tags", []) for cell in others)


def test_cells_are_short(path):
    for cell in code_cells(path):
        lines = cell.source.splitlines()
        assert len(lines) <= 30, f"{len(lines)} lines:\n{cell.source}"


def test_a_claim_is_asserted(path):
    assert any(re.search(r"^\s*assert ", cell.source, re.MULTILINE) for cell in code_cells(path))


def test_what_was_checked_is_what_the_cell_prints(path):
    """Where numbers stand in the same cell, nbval does not look at the sentence."""
    for cell in code_cells(path):
        if 'print("Checked' in cell.source:
            printed = "".join(output.get("text", "") for output in cell.outputs)
            for node in ast.walk(ast.parse(cell.source)):
                match node:
                    case ast.Call(ast.Name("print"), [ast.Constant(str(line))], []):
                        assert line in printed.splitlines(), "run `make execute`"
