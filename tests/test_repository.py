"""The files at the root agree with one another."""

import os
import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import noxfile
from bookkit.__main__ import main
from bookkit.address import OURS, deviations, setup_cell
from bookkit.places import ROOT

MACHINE_PATH = re.compile(r"(?<![\w.:/*-])/(?:work|tmp|root|home|Users|opt)/\w")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ASKED = ["requirements.txt", "requirements-test.txt"]


def requirements(*files: str) -> list[Requirement]:
    """Read what files of requirements name, except the package itself."""
    lines = [line for name in files for line in (ROOT / name).read_text("utf-8").splitlines()]
    stated = (line.split("#")[0].strip() for line in lines)
    return [Requirement(line) for line in stated if line and not line.startswith("-e")]


def dependencies() -> list[Requirement]:
    """Read what the helper package depends on."""
    return [Requirement(line) for line in PROJECT["dependencies"]]


def locked() -> dict[str, str]:
    """Read the tested versions by package."""
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    return {canonicalize_name(name): version for name, version in (x.split("==") for x in lines)}


def test_lock_satisfies_every_requirement():
    versions = locked()
    for requirement in requirements(*ASKED) + dependencies():
        version = versions.get(canonicalize_name(requirement.name))
        assert version, f"requirements.lock lacks {requirement.name}: run `make lock`"
        assert requirement.specifier.contains(version), f"{requirement}, but locked is {version}"


def test_package_states_floors_only():
    for requirement in dependencies():
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators == {">="}, f"{requirement}: a pin would change what Colab ships"


def test_every_requirement_has_a_reason():
    for name in ASKED:
        for line in (ROOT / name).read_text("utf-8").splitlines():
            if line and not line.startswith("#"):
                assert re.search(r" # \S", line), line


def test_reading_needs_no_tool_of_the_tests():
    tools = {"captum", "hypothesis", "mypy", "pytest", "ruff", "timm", "zennit"}
    assert tools & {requirement.name for requirement in requirements(ASKED[0])} == set()
    assert tools <= {requirement.name for requirement in requirements(ASKED[1])}


def workflow(name: str) -> dict:
    """Read the jobs of a workflow on GitHub."""
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text("utf-8"))["jobs"]


def test_github_tests_each_set_of_versions_with_its_python():
    sets = {name: getattr(noxfile, name).python for name in noxfile.nox.options.sessions}
    matrix = workflow("versions.yml")["test"]["strategy"]["matrix"]["include"]
    assert {one["session"]: one["python"] for one in matrix} == sets
    assert {"floors", "colab"} <= sets.keys()
    assert PROJECT["requires-python"] == f">={sets['floors']}"


def test_pypi_gets_what_was_tested_and_trusts_no_other_job():
    jobs = workflow("book.yml")
    assert "make dist" in [step.get("run") for step in jobs["test"]["steps"]]
    used = [step["uses"].partition("@")[0] for step in jobs["pypi"]["steps"]]
    assert used == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]
    assert "test" in jobs["pypi"]["needs"]
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}
    assert jobs["pypi"]["if"] == jobs["release"]["if"] == "startsWith(github.ref, 'refs/tags/v')"


def dry_run(*arguments: str) -> list[str]:
    """List what `make` would run in a checkout where nothing is installed or built."""
    command = ["make", "--dry-run", "--always-make", *arguments]
    outer = {"MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "TORCH"}  # of the `make test` that runs this
    variables = {name: value for name, value in os.environ.items() if name not in outer}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(done.stderr)
    return done.stdout.splitlines()


def test_make_read_builds_the_pages_alone():
    lines = dry_run("read")
    assert [line.split()[-2:] for line in lines if "pip install" in line] == [["-r", ASKED[0]]]
    assert any("jupyter-book build" in line for line in lines)
    assert not any("-m bookkit" in line for line in lines)


@pytest.mark.parametrize("target", ["book", "test"])
def test_make_does_all_that_its_two_commands_need(target):
    installed = [line.split()[-1] for line in dry_run(target) if "pip install" in line]
    assert set(installed) == set(ASKED[: 1 + (target == "test")])
    assert sum("jupyter-book build" in line for line in dry_run(target)) == 1


def test_a_variable_takes_the_cpu_build_of_pytorch_before_the_rest():
    cpu = "--no-deps --index-url https://download.pytorch.org/whl/cpu torch torchvision"
    first, second = [line for line in dry_run("read", "TORCH=cpu") if "pip install" in line]
    assert first.endswith(f"-c requirements.lock {cpu}")
    assert second in dry_run("read")
    assert not any("download.pytorch.org" in line for line in dry_run("read"))
    with pytest.raises(ValueError, match="TORCH must be pypi or cpu, got 'gpu'"):
        dry_run("read", "TORCH=gpu")


def test_address_stands_in_one_place(capsys):
    assert main(["address", "--check"]) == 0, capsys.readouterr().out


def test_an_address_that_differs_is_found():
    name = OURS.search(setup_cell())[2]
    assert deviations(setup_cell(), name) == []
    assert deviations(setup_cell(), "someone/else") == [OURS.search(setup_cell())[0]]
    assert deviations("[a paper's code](https://github.com/some/lab)", name) == []


def test_citation_is_complete():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [PROJECT["authors"][0]["name"]]
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
