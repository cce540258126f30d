"""Notebooks without outputs: for students without solutions, for instructors with them."""

import copy
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell

from bookkit.archives.links import relinked
from bookkit.chapters import CODE, folded, read, without_folded

STUB = "# your turn"


def bare(path: Path, solutions: bool) -> nbformat.NotebookNode:
    """Return a notebook without outputs, with or without its solutions."""
    notebook = copy.deepcopy(read(path))
    if solutions:
        notebook.cells = solved(notebook.cells)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        else:
            text = without_folded(cell.source, "Solution").strip()
            cell.source = relinked(text, f"notebooks/{path.name}")
    return notebook


def solved(cells: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Put each solution's code into a cell below its stub, and unfold what explains it."""
    result: list[nbformat.NotebookNode] = []
    for cell in cells:
        for solution in folded(cell.source, "Solution"):
            fold = f"<details><summary>Solution</summary>\n\n{solution}\n\n</details>"
            code = CODE.search(solution)
            if fold not in cell.source or code is None:
                raise ValueError(f"the solution in cell {cell.id} is not folded as usual")
            stub = max(i for i, earlier in enumerate(result) if STUB in earlier.source)
            below = new_code_cell(
                f"# Solution\n{code[1].rstrip()}", id=f"{result[stub].id}-solution"
            )
            result.insert(stub + 1, below)
            explained = CODE.sub("", solution, count=1).strip()
            shown = f"**Solution.** {explained}" if explained else ""
            cell.source = cell.source.replace(fold, shown).strip()
        result.append(cell)
    return result
