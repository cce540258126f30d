"""What the tests of the repository and of Colab share."""

import subprocess

import pytest

from bookkit.places import ROOT

# Several folders have a `conftest.py`; as modules to search for doctests their names would clash.
collect_ignore_glob = ["*conftest.py"]


@pytest.fixture(scope="session")
def project_files() -> list[str]:
    """List the files that git holds or would take in."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
