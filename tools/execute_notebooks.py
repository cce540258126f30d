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
from chapters import NOTEBOOKS, read
from nbclient import NotebookClient
from repository_address import ROOT

from explman_lite.results import load_table, save_table

RECORD = ROOT / "results" / "notebooks.csv"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


WIDGET = "application/vnd.jupyter.widget-view+json"


def code_digest(notebook: nbformat.NotebookNode) -> str:
    """Tell notebooks apart by their code: whoever changes a word of prose need not run it again.

    The set-up cell, which holds the repository's address, does not count.
    """
    sources = [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and "setup" not in cell.metadata.get("tags", [])
    ]
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
    notebook = read(path)
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
    table = pd.DataFrame([rows[path.stem] for path in NOTEBOOKS if path.stem in rows])
    save_table(RECORD, table, command="python tools/execute_notebooks.py")


if __name__ == "__main__":
    named = [Path(name) for name in sys.argv[1:]]
    for path in named or NOTEBOOKS:
        print(path, flush=True)
        record(execute(path))
