"""What all tests share, and what those of the repository, of the wheel and of Colab do."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

from bookkit.places import ROOT

# Several folders have a `conftest.py`; as modules to search for doctests their names would clash.
collect_ignore_glob = ["*conftest.py"]


@pytest.fixture(autouse=True)
def _same_whatever_ran_before():
    """Seed what is drawn, and put back the style of figures."""
    torch.manual_seed(0)
    with plt.rc_context():
        yield
    plt.close("all")


@pytest.fixture(scope="session")
def project_files() -> list[str]:
    """List the files that git holds or would take in."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture
def clean_python(tmp_path) -> Path:
    """Create an environment that lacks the package and has everything else; give its Python."""
    everything_else, environment = tmp_path / "packages", tmp_path / "environment"
    everything_else.mkdir()
    for path in {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}:
        for entry in path.iterdir():
            if "explman" not in entry.name:
                (everything_else / entry.name).symlink_to(entry)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (site,) = environment.glob("lib/*/site-packages")
    (site / "everything_else.pth").write_text(f"{everything_else}\n")
    return environment / "bin" / "python"
