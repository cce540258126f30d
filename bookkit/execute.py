"""Run notebooks from top to bottom and store their outputs, and nothing that changes by itself.

What it took is recorded in ``results/notebooks.csv``.
"""

import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pandas as pd
from nbclient import NotebookClient

import explman_lite as el
from bookkit.chapters import NOTEBOOKS, has_tag, read
from bookkit.places import RESULTS

RECORD = RESULTS / "notebooks.csv"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


def code_digest(notebook: nbformat.NotebookNode) -> str:
    """Return a digest of the code: whoever changes a word of prose need not run it again.

    The set-up cell, which holds the repository's address, does not count, nor do tags.
    """
    sources = [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and not has_tag(cell, "setup")
    ]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:12]


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
    known = el.results.load_table(RECORD).to_dict("records") if RECORD.is_file() else []
    rows = {line["notebook"]: line for line in [*known, row]}
    table = pd.DataFrame([rows[path.stem] for path in NOTEBOOKS if path.stem in rows])
    el.results.save_table(RECORD, table, command="python -m bookkit execute")
