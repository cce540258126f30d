"""What needs ipywidgets works with Colab's version too; all other tests run with the locked one."""

import os
import subprocess
import sys

import nbformat
import pytest
from cells import needed

from bookkit.chapters import NOTEBOOKS
from bookkit.places import ROOT

WIDGET = "application/vnd.jupyter.widget-view+json"
PLAYGROUND = "el.playground."


@pytest.fixture(scope="module")
def older(install_apart, colab) -> dict[str, str]:
    """Give the variables with which Python finds Colab's version."""
    folder = install_apart(f"ipywidgets=={colab['ipywidgets']}", "ipython_genutils")
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "EXPECTED_IPYWIDGETS": colab["ipywidgets"]}


def playgrounds() -> list[tuple[str, list[nbformat.NotebookNode]]]:
    """Find each cell of the notebooks that shows a playground, with the cells it needs."""
    found = []
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        code = [cell for cell in cells if cell.cell_type == "code" and "%pip" not in cell.source]
        for place, cell in enumerate(code):
            if PLAYGROUND in cell.source:
                found.append((path.stem, needed(code[: place + 1])))
    return found


def test_the_tests_of_the_playground_pass(older):
    tests = ["-p", "no:cacheprovider", "tests/unit/test_playground.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tests],
        cwd=ROOT,
        env=older,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_there_is_a_playground():
    assert playgrounds()


@pytest.mark.parametrize(("chapter", "cells"), playgrounds())
def test_a_playground_in_a_notebook_shows_a_widget(older, colab, chapter, cells, tmp_path):
    check = f"import ipywidgets\n\nassert ipywidgets.__version__ == '{colab['ipywidgets']}'"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(check), *cells])
    path = tmp_path / f"{chapter}.ipynb"
    nbformat.write(notebook, path)
    program = "from nbclient.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--inplace", path],
        cwd=tmp_path,
        env=older,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    outputs = nbformat.read(path, as_version=4).cells[-1].outputs
    assert [WIDGET in output.get("data", {}) for output in outputs] == [True]


def test_the_cells_a_cell_needs_are_found():
    sources = ["import a.b", "def f():\n    return a", "unused = 1", "x = f()", "y = 2", "x"]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    assert [cell.source for cell in needed(cells)] == [sources[i] for i in (0, 1, 3, 5)]
