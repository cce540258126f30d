"""nbgrader grades what students hand in, by the commands that the page for lecturers prints."""

import csv
import os
import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from cells import needed
from printed_code import blocks
from traitlets.config import Config

from bookkit.archives import pack
from bookkit.archives.notebooks import STUB, bare
from bookkit.chapters import NOTEBOOKS, folded, read
from bookkit.places import ROOT

PAGE = (ROOT / "book" / "teach" / "grading.md").read_text("utf-8")
CHAPTER = NOTEBOOKS[0]
GRADING = runpy.run_path(str(pack.GRADING), {"get_config": Config})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_is_graded_by_its_stars(path):
    chapter = read(path)
    texts = [cell.source for cell in chapter.cells]
    stars = [line.count("★") for text in texts for line in text.splitlines() if "★" in line[:20]]
    checks = list(GRADING["graded_checks"](bare(path, solutions=False)))
    assert len(checks) == sum(len(folded(text, "Solution")) for text in texts) >= 3
    assert [check.metadata.nbgrader.points for check in checks] == stars
    assert len({check.metadata.nbgrader.grade_id for check in checks}) == len(checks)


def test_graded_checks_are_appended_once_to_any_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("source/week/chapter.ipynb"), bare(CHAPTER, solutions=False))
    notebook = nbformat.v4.new_notebook(nbformat_minor=4)
    resources = {"nbgrader": {"assignment": "week", "notebook": "chapter"}}
    for _ in range(2):
        GRADING["append_checks"](notebook, resources)
        nbformat.validate(notebook)
        assert len(notebook.cells) == 3


def write(path: Path, notebook: nbformat.NotebookNode) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def untouched() -> nbformat.NotebookNode:
    """Return what the chapter's checks need of a student's notebook, which is soon run."""
    notebook = bare(CHAPTER, solutions=False)
    code = [c for c in notebook.cells if c.cell_type == "code" and "%pip" not in c.source]
    checks = [place for place, cell in enumerate(code) if ".checks." in cell.source]
    wanted = {cell.id for place in checks for cell in needed(code[: place + 1])}
    notebook.cells = [cell for cell in code if cell.id in wanted]
    return notebook


def solved() -> nbformat.NotebookNode:
    """Return a notebook in which solutions stand in for stubs, and one prints a warning."""
    notebook, stubs = untouched(), bare(CHAPTER, solutions=True).cells
    solutions = {cell.id: cell.source for cell in stubs}
    for cell in notebook.cells:
        cell.source = solutions.get(f"{cell.id}-solution", cell.source)
    head, warning = "def signed_map(attribution):\n", "    __import__('warnings').warn('slow')\n"
    (cell,) = (cell for cell in notebook.cells if head in cell.source)
    cell.source = cell.source.replace(head, head + warning)
    return notebook


def partly_wrong() -> nbformat.NotebookNode:
    """Return a notebook with one right answer, a wrong one, a stub, and checks that praise all."""
    notebook = solved()
    stubs = [cell for cell in untouched().cells if STUB in cell.source]
    answers = [cell for cell in notebook.cells if cell.id in {stub.id for stub in stubs}]
    answers[1].source = "def signed_map(attribution):\n    return el.relevance_map(attribution)"
    answers[2].source = stubs[2].source
    for cell in notebook.cells:
        if ".checks." in cell.source:
            cell.source = "'✓ Right'"
    return notebook


def from_colab() -> nbformat.NotebookNode:
    """Return a solved notebook as Colab saves it, without cell ids, and without any check."""
    notebook = solved()
    notebook.nbformat_minor = 0
    notebook.cells = [cell for cell in notebook.cells if ".checks." not in cell.source]
    for cell in notebook.cells:
        cell.metadata.id = cell.pop("id")
    return notebook


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grade four students as the page says, in the folder of the students' zip."""
    pytest.importorskip("nbgrader", reason="`make grading` installs it")
    folder = tmp_path_factory.mktemp("course") / "explman-student"
    for name, text in pack.contents("student").items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    _, before, after = blocks(PAGE, "sh")

    def run(commands: str, where: Path) -> None:
        ours = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "JUPYTER_CONFIG_DIR": str(folder / "no-config"),
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            ["bash", "-ec", commands], cwd=where, env=os.environ | ours, capture_output=True
        )
        assert done.returncode == 0, done.stderr.decode()[-2000:]

    run(before, folder.parent)
    handed_in = {"ann": solved, "ben": partly_wrong, "cleo": untouched, "dan": from_colab}
    for student, notebook in handed_in.items():
        write(folder / "submitted" / student / "week1" / CHAPTER.name, notebook())
    run(after, folder)
    return folder


def test_points_are_those_of_the_exercises_solved(course):
    with (course / "grades.csv").open(encoding="utf-8") as table:
        rows = {row["student_id"]: row for row in csv.DictReader(table)}
    assert {float(row["max_score"]) for row in rows.values()} == {1 + 1 + 3}
    points = {student: float(row["score"]) for student, row in rows.items()}
    assert points == {"ann": 5, "ben": 1, "cleo": 0, "dan": 5}


def test_feedback_says_what_is_wrong(course):
    page = (course / "feedback" / "ben" / "week1" / f"{CHAPTER.stem}.html").read_text("utf-8")
    assert "✗ Nothing is negative" in page
    assert "… Not done yet" in page
