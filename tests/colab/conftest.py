"""What the tests of Colab share: its list of packages, this project as git sees it, a pip."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from bookkit.places import ROOT

# A copy of `pip-freeze.txt` in googlecolab/backend-info on GitHub, named by the day it was taken.
# To refresh: put the new one beside it, delete this one, and run the tests.
(LIST,) = Path(__file__).parent.glob("pip-freeze-*.txt")


@pytest.fixture(scope="session")
def colab() -> dict[str, str]:
    """Read the versions that Colab ships, by package."""
    lines = (line.strip() for line in LIST.read_text("utf-8").splitlines())
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pins}


@pytest.fixture(scope="session")
def snapshot(project_files, tmp_path_factory) -> str:
    """Commit the files of the project to a repository of their own; give its address for pip."""
    folder = tmp_path_factory.mktemp("repository")
    for name in project_files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for arguments in (["init"], ["add", "--all"], [*author, "commit", "--message", "snapshot"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
    return f"git+file://{folder}"


@pytest.fixture(scope="session")
def install_apart(tmp_path_factory):
    """Give a function that installs packages into a folder of their own, without dependencies."""

    def install(*packages: str) -> Path:
        folder = tmp_path_factory.mktemp("packages")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--retries", "2"]
        done = subprocess.run(
            [*command, "--target", str(folder), *packages], capture_output=True, text=True
        )
        if done.returncode:
            give_up = pytest.fail if os.environ.get("CI") else pytest.skip
            reason = done.stderr.strip().rpartition("\n")[2]
            give_up(f"cannot install {packages}; is there a package index? {reason}")
        return folder

    return install


@pytest.fixture(scope="session")
def colab_pip(install_apart, colab) -> Path:
    """Install the pip that Colab has; where that works, there is a package index."""
    return install_apart(f"pip=={colab['pip']}")
