"""The wheel and the source hold what is needed and nothing else, and the wheel runs where it is."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from bookkit.places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PAGE = ROOT / PROJECT["readme"]
NAME = f"explman_lite-{PROJECT['version']}"
QUICK = ["--steps", "2", "--size", "64"]


@pytest.fixture(scope="module")
def dist(project_files, tmp_path_factory) -> Path:
    """Build what a release uploads from a copy of the project, the wheel from the source."""
    copy, out = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("dist")
    for name in project_files:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "build", "--outdir", out, copy]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"cannot build; is there a package index? {done.stdout[-2000:]}{done.stderr}")
    return out


@pytest.fixture(scope="module")
def wheel(dist) -> Iterator[zipfile.ZipFile]:
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def package(project_files) -> set[str]:
    """List the files of the package, as git knows them."""
    return {n for n in project_files if n.startswith("explman_lite/") and ROOT / n != PAGE}


def metadata(wheel: zipfile.ZipFile) -> Message:
    return Parser().parsestr(wheel.read(f"{NAME}.dist-info/METADATA").decode())


def test_the_wheel_holds_the_package_and_nothing_else(wheel, package):
    says = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}
    assert {"explman_lite/py.typed", "explman_lite/data/items.toml"} <= package
    assert set(wheel.namelist()) == package | {f"{NAME}.dist-info/{name}" for name in says}


def test_the_source_holds_what_builds_the_wheel_and_nothing_else(dist, package):
    with tarfile.open(dist / f"{NAME}.tar.gz") as opened:
        names = {member.name.removeprefix(f"{NAME}/") for member in opened if member.isfile()}
    ours = {"pyproject.toml", "MANIFEST.in", "LICENSE", "README.md", PROJECT["readme"]}
    written = {name for name in names - package - ours if not name.startswith("explman_lite.egg")}
    assert package | ours <= names
    assert written == {"PKG-INFO", "setup.cfg"}


def test_wheel_and_source_are_small(dist):
    """PyPI takes 100 MB; ours are small networks, and a large one would be a mistake."""
    assert {path.suffix for path in dist.iterdir()} == {".whl", ".gz"}
    assert all(2e6 < path.stat().st_size < 8e6 for path in dist.iterdir())


def test_the_wheel_is_for_every_machine(wheel):
    assert Path(wheel.filename).name == f"{NAME}-py3-none-any.whl"
    assert "Root-Is-Purelib: true" in wheel.read(f"{NAME}.dist-info/WHEEL").decode()


def test_the_metadata_say_what_pypi_shows(wheel):
    shown = metadata(wheel)
    assert shown["Summary"] == PROJECT["description"]
    assert shown["License-Expression"] == "BSD-3-Clause"
    assert shown["Requires-Python"] == ">=3.11"
    assert shown["Description-Content-Type"] == "text/markdown"
    assert shown.get_payload().strip() == PAGE.read_text("utf-8").strip()
    assert set(PROJECT["urls"]) == {"Repository", "Issues", "Releases"}
    assert len(shown.get_all("Project-URL")) == 3
    assert shown.get_all("Provides-Extra") == ["cluster", "imagenet"]
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.11"} <= set(
        shown.get_all("Classifier")
    )


def test_what_pypi_shows_has_no_relative_link():
    """A path of the repository leads nowhere there."""
    links = re.findall(r"\]\(([^)]+)\)", PAGE.read_text("utf-8"))
    assert links
    assert [link for link in links if not link.startswith("https://")] == []


@pytest.fixture
def installed(clean_python, dist) -> Path:
    """Install the wheel by its name where nothing of this checkout is seen; give its folder."""
    pip = [sys.executable, "-m", "pip", "--python", clean_python, "install", "--quiet"]
    options = ["--no-index", "--find-links", dist]
    done = subprocess.run([*pip, *options, PROJECT["name"]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return clean_python.parent


def commands() -> list[list[str]]:
    """Find the command lines of the package that pages print, from its name on."""
    text = PAGE.read_text("utf-8") + (ROOT / "README.md").read_text("utf-8")
    lines = [shlex.split(line, comments=True) for line in re.findall("-m (explman_lite .*)", text)]
    return [line for place, line in enumerate(lines) if line not in lines[:place]]


def run(*command: str | Path, folder: Path) -> str:
    """Run a program where this project is not; give what it printed."""
    variables = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_printed_runs_where_the_wheel_is_installed(installed, tmp_path):
    python, folder = installed / "python", tmp_path / "reader"
    folder.mkdir()
    for photo, name in ((data.chelsea(), "cat.jpg"), (data.coffee(), "cup.jpg")):
        Image.fromarray(photo).save(folder / name)
    first, bench, own = commands()
    run(python, "-m", *first, *QUICK, folder=folder)
    assert [path.name for path in folder.glob("out/*.json")] == ["summary.json"]
    run(python, "-m", *bench, "--smoke", folder=folder)
    assert [path.name for path in folder.glob("results/*.csv")] == ["digits-smoke.csv"]
    run(installed / "explman-lite", *own[1:], *QUICK, folder=folder)  # the same, as a script
    assert own[2:4] == ["cat.jpg", "cup.jpg"]

    code = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[1]
    assert "el.Gradient())\n" in code
    quick = code.replace("el.Gradient())\n", "el.Gradient(), steps=2)\n")
    *summary, where = run(python, "-c", f"{quick}print(el.__file__)", folder=folder).splitlines()
    assert "class_kept" in "\n".join(summary)
    assert Path(where).is_relative_to(installed.parent)
