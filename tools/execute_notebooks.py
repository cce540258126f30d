"""Run notebooks from top to bottom and store their outputs, and nothing that changes by itself.

python tools/execute_notebooks.py [NOTEBOOK ...]        all of them, if none is named
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


WIDGET = "application/vnd.jupyter.widget-view+json"


def strip_progress(notebook: nbformat.NotebookNode) -> None:
    """Drop progress bars: widgets, and what goes to stderr where outputs may vary anyway."""
    for cell in notebook.cells:
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            cell.outputs = [
                output
                for output in cell.outputs
                if output.get("name") != "stderr" and WIDGET not in output.get("data", {})
            ]


def execute(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    strip_progress(notebook)
    notebook.metadata = nbformat.from_dict(METADATA)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    named = [Path(name) for name in sys.argv[1:]]
    for path in named or sorted(ROOT.glob("notebooks/*.ipynb")):
        print(path, flush=True)
        execute(path)
