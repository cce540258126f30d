"""Run notebooks from top to bottom and store their outputs, and nothing that changes by itself.

python tools/execute_notebooks.py [NOTEBOOK ...]        all of them, if none is named

What it took is recorded in results/notebooks.csv.
"""

import hashlib
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pandas as pd
from nbclient import NotebookClient

from explman_lite.results import load_table, save_table

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "results" / "notebooks.csv"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


WIDGET = "application/vnd.jupyter.widget-view+json"


def code_digest(notebook: nbformat.NotebookNode) -> str:
    """Tell notebooks apart by their code: whoever changes a word of prose need not run it again."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:12]


def strip_progress(notebook: nbformat.NotebookNode) -> None:
    """Drop progress bars: widgets, and what goes to stderr where outputs may vary anyway."""
    for cell in notebook.cells:
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            cell.outputs = [
                output
                for output in cell.outputs
                if output.get("name") != "stderr" and WIDGET not in output.get("data", {})
            ]


def execute(path: Path) -> dict[str, object]:
    """Run a notebook and store it; return what there is to record."""
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    seconds = round(time.perf_counter() - start)
    strip_progress(notebook)
    notebook.metadata = nbformat.from_dict(METADATA)
    nbformat.write(notebook, path)
    return {
        "notebook": path.stem,
        "seconds": seconds,
        "code cells": sum(cell.cell_type == "code" for cell in notebook.cells),
        "executed": datetime.now(UTC).date().isoformat(),
        "code": code_digest(notebook),
    }


def record(row: dict[str, object]) -> None:
    """Put a notebook's row in place of its old one."""
    known = load_table(RECORD).to_dict("records") if RECORD.is_file() else []
    rows = {line["notebook"]: line for line in [*known, row]}
    table = pd.DataFrame([rows[name] for name in sorted(rows) if is_chapter(name)])
    save_table(RECORD, table, command="python tools/execute_notebooks.py")


def is_chapter(name: str) -> bool:
    return (ROOT / "notebooks" / f"{name}.ipynb").is_file()


if __name__ == "__main__":
    named = [Path(name) for name in sys.argv[1:]]
    for path in named or sorted(ROOT.glob("notebooks/*.ipynb")):
        print(path, flush=True)
        record(execute(path))
