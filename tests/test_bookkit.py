"""In bookkit data flow one way, and the helper package knows nothing of the book."""

import ast
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import bookkit
from bookkit.__main__ import main
from bookkit.places import ROOT

PARTS = re.findall(r"^(\w+)  +\S", bookkit.__doc__, re.MULTILINE)
"""What the package's docstring lists, from the first that is used to the last that uses."""


def imported(path: Path, package: str) -> set[str]:
    """List the modules of a package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if f"{name}.".startswith(f"{package}.")}


def modules() -> dict[str, set[str]]:
    """List the modules of bookkit, each with those that it imports."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in ROOT.glob("bookkit/**/*.py")
    }
    return {name: imported(path, "bookkit") & paths.keys() for name, path in paths.items()}


def test_every_part_is_listed():
    found = {name.split(".")[1] for name in modules()} - {"__init__", "__main__"}
    assert sorted(PARTS) == sorted(found)


def test_no_part_imports_one_that_is_listed_below_it():
    upwards = [
        f"{name} imports {other}"
        for name, others in modules().items()
        if name.split(".")[1] in PARTS
        for other in others
        if PARTS.index(other.split(".")[1]) > PARTS.index(name.split(".")[1])
    ]
    assert upwards == []


def test_no_imports_form_a_circle():
    assert len(list(TopologicalSorter(modules()).static_order())) == len(modules()) > 20


def test_the_helper_package_knows_nothing_of_the_book():
    for path in ROOT.glob("explman_lite/**/*.py"):
        assert imported(path, "bookkit") == set(), path
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["setuptools"]["packages"]["find"]["include"] == ["explman_lite*"]


def test_make_calls_only_commands_that_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE))
    called = re.findall(r"-m bookkit (\w+)", (ROOT / "Makefile").read_text("utf-8"))
    assert {"slides", "archives", "execute"} == set(called) < commands
