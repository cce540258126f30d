"""The set-up cell makes a lone notebook run where this package is not installed."""

import os
import subprocess
from pathlib import Path

import nbformat

from bookkit.address import repository_address, setup_cell
from bookkit.places import ROOT

NOTEBOOK = ROOT / "notebooks" / "01_saliency_maps.ipynb"
ELSEWHERE = {"PYTHONPATH", "VIRTUAL_ENV", "JUPYTER_PATH"}


def alone(cells: list[nbformat.NotebookNode], folder: Path) -> Path:
    """Write a notebook of these cells into a folder of its own."""
    folder.mkdir()
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(notebook, folder / NOTEBOOK.name)
    return folder / NOTEBOOK.name


def run(python: Path, *arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the clean Python in a folder, with nothing of this project in its environment."""
    variables = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    variables["JUPYTER_DATA_DIR"] = str(folder / "no-kernels-of-the-user")
    return subprocess.run(
        [python, *arguments], cwd=folder, env=variables, capture_output=True, text=True
    )


def execute(python: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """Execute a notebook in place, as its reader would from top to bottom."""
    program = "from nbclient.cli import main; main()"
    return run(python, "-c", program, "--inplace", path, folder=path.parent)


def test_a_lone_notebook_installs_the_package_and_runs(clean_python, colab_pip, snapshot, tmp_path):
    address = f"git+{repository_address()}"
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (first,) = [cell for cell in cells if cell.source == setup_cell()]
    assert first.source.count(address) == 1
    first.source = first.source.replace(address, snapshot)
    path = alone(cells, tmp_path / "alone")
    done = execute(clean_python, path)
    assert done.returncode == 0, done.stderr
    (output,) = [cell for cell in nbformat.read(path, 4).cells if cell.source == first.source]
    assert "error" not in str(output.outputs).lower()

    where = "import explman_lite as el; print(el.__file__); el.load_model('digits_vgg')"
    found = run(clean_python, "-c", where, folder=path.parent)
    assert found.returncode == 0, found.stderr
    installed = Path(found.stdout.strip()).parent
    assert installed.is_relative_to(clean_python.parents[1])
    ours, theirs = files(ROOT / "explman_lite"), files(installed)
    assert theirs == ours
    assert {"py.typed", "data/digits_vgg.pt"} <= theirs


def files(folder: Path) -> set[str]:
    """List the files below a folder, but for what Python compiles and what PyPI shows."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix() for path in paths}
    return {name for name in names if not name.endswith((".pyc", ".md"))}


def test_without_the_set_up_cell_a_lone_notebook_fails(clean_python, tmp_path):
    cells = [c for c in nbformat.read(NOTEBOOK, as_version=4).cells if c.source != setup_cell()]
    done = execute(clean_python, alone(cells, tmp_path / "alone"))
    assert done.returncode != 0
    assert "No module named 'explman_lite'" in done.stderr
