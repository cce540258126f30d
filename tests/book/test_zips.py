"""The archives hold what they promise, and their notebooks run."""

import os
import re
import zipfile
from collections.abc import Callable
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from cells import needed
from nbclient import NotebookClient
from pages import anchors

from bookkit.address import on_the_site, repository_address, setup_cell
from bookkit.archives import pack
from bookkit.archives.notebooks import STUB
from bookkit.chapters import CODE, NOTEBOOKS, folded, read
from explman_lite.checks.verdict import passed

NAMES = [path.name for path in NOTEBOOKS]
AUDIENCES = ("student", "instructor")
CHECK = re.compile(r"^el\.checks\.\w+\(\w+\)$")


@pytest.fixture(scope="module")
def unpacked(html: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Unpack both archives, as those who download them do."""
    folder = tmp_path_factory.mktemp("downloads")
    for audience in AUDIENCES:
        archive = html / "downloads" / f"explman-{audience}.zip"
        if not archive.is_file():
            pytest.fail(f"there is no archive: run `make {audience}` first")
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
    return {audience: folder / f"explman-{audience}" for audience in AUDIENCES}


def cells(folder: Path, name: str) -> list[nbformat.NotebookNode]:
    return nbformat.read(folder / "notebooks" / name, as_version=4).cells


def solutions(name: str) -> list[str]:
    """Read the folded solutions of a chapter."""
    chapter = next(path for path in NOTEBOOKS if path.name == name)
    return [s for cell in read(chapter).cells for s in folded(cell.source, "Solution")]


@pytest.mark.parametrize("audience", AUDIENCES)
def test_archive_is_reproducible(html, audience, tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "DOWNLOADS", tmp_path)
    anew = pack.make_zip(audience).read_bytes()
    assert anew == pack.make_zip(audience).read_bytes()
    assert anew == (html / "downloads" / f"explman-{audience}.zip").read_bytes()


@pytest.mark.parametrize("audience", AUDIENCES)
def test_archive_says_how_to_begin(unpacked, audience):
    folder = unpacked[audience]
    assert sorted(path.name for path in folder.glob("notebooks/*")) == NAMES
    readme = (folder / "README.txt").read_text("utf-8")
    address = f"{repository_address()}/archive/refs/heads/main.zip"
    assert f'pip install jupyterlab "{address}"' in readme
    assert {"LICENSE", "LICENSE-text"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("audience", AUDIENCES)
@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_valid_and_has_no_outputs(unpacked, audience, name):
    notebook = nbformat.read(unpacked[audience] / "notebooks" / name, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.parametrize("name", NAMES)
def test_student_holds_no_solution_and_every_hint(unpacked, name):
    text = "\n".join(cell.source for cell in cells(unpacked["student"], name))
    assert len(solutions(name)) >= 3
    for solution in solutions(name):
        assert CODE.search(solution)[1].strip() not in text
    assert "Solution</summary>" not in text
    assert text.count("Hint</summary>") == len(solutions(name))


@pytest.mark.parametrize("name", NAMES)
def test_instructor_has_solutions_below_stubs_and_nothing_else_differs(unpacked, name):
    student, instructor = (cells(unpacked[audience], name) for audience in AUDIENCES)
    added = [cell for cell in instructor if cell.id.endswith("-solution")]
    kept = [cell for cell in instructor if not cell.id.endswith("-solution")]
    assert [c.source.removeprefix("# Solution\n") for c in added] == [
        CODE.search(solution)[1].rstrip() for solution in solutions(name)
    ]
    for before, cell in pairwise(instructor):
        if cell in added:
            assert STUB in before.source and cell.id == f"{before.id}-solution"
    assert [cell.id for cell in kept] == [cell.id for cell in student]
    for ours, theirs in zip(student, kept, strict=True):
        if ours.source != theirs.source:
            assert ours.cell_type == "markdown" and "Hint</summary>" in ours.source
    explained = "\n".join(cell.source for cell in kept)
    for solution in solutions(name):
        assert CODE.sub("", solution, count=1).strip() in explained


def test_a_tagged_build_installs_its_tag(monkeypatch):
    monkeypatch.setenv("GITHUB_REF_TYPE", "tag")
    monkeypatch.setenv("GITHUB_REF_NAME", "v1.2")
    assert pack.package_address().endswith("/archive/refs/tags/v1.2.zip")


def texts(folder: Path) -> dict[str, str]:
    """Read the prose of an archive: that of its notebooks, and its notes."""
    prose = {path.name: path.read_text("utf-8") for path in folder.glob("notes/*.md")}
    for name in NAMES:
        markdown = [c.source for c in cells(folder, name) if c.cell_type == "markdown"]
        prose[name] = "\n\n".join(markdown)
    return prose


@pytest.mark.parametrize("audience", AUDIENCES)
def test_links_lead_into_the_archive_or_to_the_published_book(html, unpacked, audience):
    prose, broken = texts(unpacked[audience]), []
    for name, text in prose.items():
        for address in re.findall(r"\]\(([^)\s]+)\)", text):
            site = address.startswith(on_the_site(""))
            parts = urlsplit(address.removeprefix(on_the_site("")))
            if site:
                page = html / (parts.path or "index.html")
                found = {"", *anchors(page)} if page.is_file() else set()
            else:  # JupyterLab names a heading by its text, with dashes for spaces
                lines = prose.get(parts.path or name, "").splitlines()
                titles = [line.lstrip("#").strip() for line in lines if line.startswith("#")]
                found = {"", *(title.replace(" ", "-") for title in titles)}
            missing = unquote(parts.fragment) not in found
            if (site or not parts.scheme) and missing:
                broken.append(f"{name}: {address}")
    assert broken == []


def exercised(notebook: nbformat.NotebookNode) -> set[str]:
    """List the cells that the checks of an instructor's notebook need, solutions among them."""
    code = [c for c in notebook.cells if c.cell_type == "code" and c.source != setup_cell()]
    checks = [place for place, cell in enumerate(code) if CHECK.match(cell.source)]
    return {cell.id for place in checks for cell in needed(code[: place + 1])}


def run(folders: dict[str, Path], name: str, whole: bool) -> dict[str, dict[str, str]]:
    """Run a student's notebook, then in the same kernel what the instructor's has beyond it.

    Every other cell of the instructor's is the student's, which another test makes sure of. To run
    those once saves half of the time. Unless the whole is wanted, run only what the checks need.
    Return what each check said.
    """
    student, instructor = (
        nbformat.read(folders[audience] / "notebooks" / name, as_version=4)
        for audience in AUDIENCES
    )
    solved = {cell.id for cell in instructor.cells if cell.id.endswith("-solution")}
    wanted = {cell.id for cell in student.cells} if whole else exercised(instructor)
    client = NotebookClient(
        student,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(folders["student"] / "notebooks")}},
    )
    client.reset_execution_trackers()
    said: dict[str, dict[str, str]] = {audience: {} for audience in AUDIENCES}
    with client.setup_kernel(env=os.environ | {"OMP_NUM_THREADS": "1"}):
        for audience, notebook in zip(AUDIENCES, (student, instructor), strict=True):
            for index, cell in enumerate(notebook.cells):
                check = bool(CHECK.match(cell.source))
                runs = cell.id in wanted if audience == "student" else cell.id in solved
                if cell.cell_type == "code" and (check or runs):
                    client.nb = notebook
                    client.execute_cell(cell, index)
                if check:
                    said[audience][cell.id] = cell.outputs[-1].data["text/plain"]
    return said


@pytest.fixture(scope="module")
def verdicts(unpacked) -> Callable[[str], dict[str, dict[str, str]]]:
    """Run the exercises of a notebook, and the whole of one of them: another one every day."""
    whole = NAMES[date.today().toordinal() % len(NAMES)]
    return cache(lambda name: run(unpacked, name, name == whole))


@pytest.mark.parametrize("name", NAMES)
def test_a_students_checks_wait(verdicts, name):
    said = verdicts(name)["student"]
    assert len(said) == len(solutions(name))
    assert [text for text in said.values() if not text.startswith("… Not done yet")] == []


@pytest.mark.parametrize("name", NAMES)
def test_instructor_solutions_are_right(verdicts, name):
    said = verdicts(name)["instructor"]
    assert len(said) == len(solutions(name))
    assert [text for text in said.values() if not text.startswith(repr(passed("")))] == []
