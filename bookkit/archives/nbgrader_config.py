"""How nbgrader grades the exercises: a point for each star, if the check passes.

Lay this file into the folder of a course. Below it, ``source/ASSIGNMENT/`` holds chapters, and
``submitted/STUDENT/ASSIGNMENT/`` what a student hands in. At the end of each of these notebooks
nbgrader finds one cell for every check of the chapter, whatever became of the check itself.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, upgrade

EXERCISE = re.compile(r"^### Exercise \d+ (★+)", re.MULTILINE)
CHECK = re.compile(r"el\.checks\.(\w+)\(\1\)")


def graded_checks(chapter: nbformat.NotebookNode) -> Iterator[nbformat.NotebookNode]:
    """Make a graded cell of each check of a chapter. It raises unless the exercise is solved."""
    stars = ""
    for cell in chapter.cells:
        stars = (EXERCISE.findall(cell.source) or [stars])[-1]
        if check := CHECK.fullmatch(cell.source):
            graded = {
                "grade_id": f"check-{check[1]}",
                "grade": True,
                "points": len(stars),
                "locked": True,
                "solution": False,
                "task": False,
                "cell_type": "code",
                "schema_version": 3,
            }
            source = f"verdict = {check[0]}\nassert verdict, verdict\nprint(verdict)"
            yield new_code_cell(source, metadata={"nbgrader": graded})


def append_checks(notebook: nbformat.NotebookNode, resources: dict[str, Any]) -> Any:
    """Append the graded checks of its chapter to a notebook, in place of any that it has."""
    name = resources["nbgrader"]
    path = Path("source", name["assignment"]) / f"{name['notebook']}.ipynb"
    checks = list(graded_checks(nbformat.read(path, as_version=4)))
    ours = {check.metadata.nbgrader.grade_id for check in checks}
    upgrade(notebook)  # Colab hands out notebooks in which cells have no ids
    kept = (c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") not in ours)
    notebook.cells = [*kept, *checks]
    return notebook, resources


c = get_config()  # type: ignore[name-defined]  # noqa: F821
c.GenerateAssignment.preprocessors.prepend([append_checks])
c.Autograde.sanitize_preprocessors.prepend([append_checks])
c.Execute.timeout = 600  # seconds for a cell; it would be 30
c.IgnorePattern.enabled = True  # a warning costs no points
c.IgnorePattern.pattern = "."
