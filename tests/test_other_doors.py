"""What Binder and development containers read agrees with what this project tests."""

import json
import re
from pathlib import Path

import pytest

from bookkit.places import ROOT

BINDER = ROOT / "binder" / "requirements.txt"
CONTAINER = ROOT / ".devcontainer" / "devcontainer.json"
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
WORKFLOW = (ROOT / ".github" / "workflows" / "book.yml").read_text("utf-8")


def words(path: Path) -> list[list[str]]:
    """Read the lines of a requirements file, without comments."""
    lines = (line.partition("#")[0].split() for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line]


def python_of_the_tests() -> str:
    """Read which Python the tests run with."""
    return re.search(r'python-version: "([\d.]+)"', WORKFLOW)[1]


def commands(container: dict) -> str:
    """Join the commands of a container."""
    return " && ".join(text for key, text in container.items() if key.endswith("Command"))


def unknown_targets(text: str) -> set[str]:
    """Name what `make` is asked for and cannot make."""
    asked = re.findall(r"(?<![\w-])make ([\w-]+)", text)
    assert asked, f"nothing is made: {text}"
    return set(asked) - set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))


@pytest.fixture
def container() -> dict:
    return json.loads(CONTAINER.read_text("utf-8"))


def test_binder_installs_the_package_with_the_tested_versions():
    lines = words(BINDER)
    assert ["-e", "."] in lines
    (constraints,) = [words[1] for words in lines if words[0] == "-c"]
    assert (BINDER.parent / constraints).resolve() == ROOT / "requirements.lock"
    options = {"--extra-index-url", "-c", "-e"}
    assert {line[0] for line in lines} == options, "a version of its own would differ some day"


def test_binder_takes_pytorch_without_cuda():
    (index,) = [line[1] for line in words(BINDER) if line[0] == "--extra-index-url"]
    assert index.endswith("/whl/cpu")


def test_binder_reads_one_folder_only():
    """With a folder binder/ it ignores these at the root; a file there would only mislead."""
    named = ("runtime.txt", "environment.yml", "apt.txt", "postBuild", "start")
    assert [name for name in named if (ROOT / name).exists()] == []
    assert not (ROOT / ".binder").exists()


def test_every_door_has_the_python_that_is_tested(container):
    version = python_of_the_tests()
    assert (ROOT / "binder" / "runtime.txt").read_text("utf-8").strip() == f"python-{version}"
    assert container["image"].startswith(f"python:{version}-")


def test_the_container_makes_only_what_the_makefile_can(container):
    assert unknown_targets(commands(container)) == set()
    assert unknown_targets("apt-get install make && make book && make cake") == {"cake"}


def test_the_container_has_a_browser_and_forwards_the_port_of_make_serve(container):
    assert re.search(r"apt-get install .*\bchromium\b", commands(container))
    port = int(re.search(r"^PORT \?= (\d+)$", MAKEFILE, re.MULTILINE)[1])
    assert container["forwardPorts"] == [port]
    assert list(container["portsAttributes"]) == [str(port)]


def test_the_container_offers_python_and_jupyter(container):
    extensions = container["customizations"]["vscode"]["extensions"]
    assert {"ms-python.python", "ms-toolsai.jupyter"} <= set(extensions)
