"""The files at the root agree with one another."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bookkit.__main__ import main
from bookkit.address import OURS, deviations, setup_cell
from bookkit.places import ROOT

MACHINE_PATH = re.compile(r"(?<![\w.:/*-])/(?:work|tmp|root|home|Users|opt)/\w")


def requirements() -> list[Requirement]:
    """Read what requirements.txt names, except the package itself."""
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").open())
    return [Requirement(line) for line in lines if line and not line.startswith("-e")]


def dependencies() -> list[Requirement]:
    """Read what the helper package depends on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [Requirement(line) for line in project["dependencies"]]


def locked() -> dict[str, str]:
    """Read the tested versions by package."""
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    return {canonicalize_name(name): version for name, version in (x.split("==") for x in lines)}


def test_lock_satisfies_every_requirement():
    versions = locked()
    for requirement in requirements() + dependencies():
        version = versions.get(canonicalize_name(requirement.name))
        assert version, f"requirements.lock lacks {requirement.name}: run `make lock`"
        assert requirement.specifier.contains(version), f"{requirement}, but locked is {version}"


def test_package_states_floors_only():
    for requirement in dependencies():
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators == {">="}, f"{requirement}: a pin would change what Colab ships"


def test_every_requirement_has_a_reason():
    for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            assert re.search(r" # \S", line), line


def test_address_stands_in_one_place(capsys):
    assert main(["address", "--check"]) == 0, capsys.readouterr().out


def test_an_address_that_differs_is_found():
    name = OURS.search(setup_cell())[2]
    assert deviations(setup_cell(), name) == []
    assert deviations(setup_cell(), "someone/else") == [OURS.search(setup_cell())[0]]
    assert deviations("[a paper's code](https://github.com/some/lab)", name) == []


def test_citation_is_complete():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [project["authors"][0]["name"]]
    assert "geometry is to blame" in citation["references"][0]["title"]


@pytest.mark.parametrize("command", ["make book", "make test"])
def test_readme_names_the_two_commands(command):
    assert command in (ROOT / "README.md").read_text("utf-8")


def test_no_file_holds_a_path_of_a_machine(project_files):
    found = []
    for name in project_files:
        try:
            text = (ROOT / name).read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name}: {match[0]}" for match in MACHINE_PATH.finditer(text)]
    assert not found, "\n".join(found)


def test_the_printed_citation_is_that_of_the_file():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    page = (ROOT / "book" / "cite.md").read_text("utf-8")
    for value in (
        citation["authors"][0]["name"],
        citation["title"],
        citation["version"],
        citation["repository-code"],
    ):
        assert f"{{{value}}}" in page
    shown = (ROOT / "book" / "references.bib").read_text("utf-8").splitlines()[:9]
    assert shown[0] == "@inproceedings{dombrowski2019," and shown[-1] == "}"
