"""In both packages imports go one way, and the helper package knows nothing of the book."""

import ast
import re
import tomllib
from graphlib import TopologicalSorter

import pytest

import bookkit
import explman_lite
from bookkit.places import ROOT


def modules(package: str) -> dict[str, set[str]]:
    """List the modules of a package, each with what it imports, anywhere in it."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in ROOT.glob(f"{package}/**/*.py")
    }
    found: dict[str, set[str]] = {name: set() for name in paths}
    for name, path in paths.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name} imports relative to itself"
                members = (f"{node.module}.{alias.name}" for alias in node.names)
                found[name] |= {m if m in paths else str(node.module) for m in members}
    return found


def listed(package) -> list[str]:
    """Read the parts in a package's docstring, from the first to be used to the last to use."""
    return re.findall(r"^(\w+) +\w.*$", package.__doc__.split("\n===")[1], re.MULTILINE)


def part(module: str) -> str:
    return module.split(".")[1]


@pytest.fixture(params=[bookkit, explman_lite], ids=lambda package: package.__name__)
def package(request):
    return request.param


def test_every_part_is_listed(package):
    found = {part(name) for name in modules(package.__name__) if "." in name} - {"__main__"}
    assert sorted(listed(package)) == sorted(found)


def test_no_part_imports_one_that_is_listed_below_it(package):
    parts = listed(package)
    upwards = [
        f"{name} imports {other}"
        for name, others in modules(package.__name__).items()
        if "." in name and part(name) in parts
        for other in others
        if other.startswith(f"{package.__name__}.")
        if parts.index(part(other)) > parts.index(part(name))
    ]
    assert upwards == []


def test_no_imports_form_a_circle(package):
    found = modules(package.__name__)
    graph = {name: others & found.keys() for name, others in found.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(found) > 20


def test_the_helper_package_knows_nothing_of_the_book():
    for name, others in modules("explman_lite").items():
        assert not [other for other in others if f"{other}.".startswith("bookkit.")], name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["setuptools"]["packages"]["find"]["include"] == ["explman_lite*"]
