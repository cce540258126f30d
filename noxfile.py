"""Tests with other versions, and what a release needs, each in an environment of its own.

``nox`` runs the tests with every set of versions, ``nox -s colab`` with one of them. A set whose
Python is not installed is skipped, and fails where ``CI`` is set.
"""

import os
from itertools import chain
from pathlib import Path

import nox

nox.options.sessions = ["floors", "colab", "newest"]

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
(COLAB,) = Path("tests/colab").glob("pip-freeze-*.txt")


def lines(path: Path) -> list[str]:
    """Read the lines of a file."""
    return path.read_text("utf-8").splitlines()


def install(session: nox.Session, versions: list[str]) -> None:
    """Install the package, and what tests it, with these versions."""
    constraints = Path(session.create_tmp()) / "versions.txt"
    constraints.write_text("\n".join(versions))
    session.install("-e", ".", "-r", "requirements-test.txt", "-c", str(constraints))


def test(session: nox.Session, *what: str) -> None:
    """Run some of the tests."""
    options = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    one_thread = {"OMP_NUM_THREADS": "1"}
    session.run("python", "-m", "pytest", *options, *what, *session.posargs, env=one_thread)


@nox.session(python="3.11")
def floors(session: nox.Session) -> None:
    """Run the tests of the package with the oldest versions that it admits."""
    extras = chain.from_iterable(PROJECT["optional-dependencies"].values())
    versions = [line.replace(">=", "==") for line in (*PROJECT["dependencies"], *extras)]
    install(session, versions)
    test(session, "tests/unit")


@nox.session(python="3.13")
def colab(session: nox.Session) -> None:
    """Run the tests of the package, and the notebooks, with the versions that Colab ships.

    Save NVIDIA's, of which Colab has installed later ones than PyPI's PyTorch admits.
    """
    install(session, [line for line in lines(COLAB) if not line.startswith("nvidia-")])
    test(session, "tests/unit")
    # Apart from them: to run notebooks changes asyncio, and then no cluster starts.
    nbval = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", "tests/nbval.cfg"]
    test(session, *nbval, "notebooks")


@nox.session(python="3.14")
def newest(session: nox.Session) -> None:
    """Run the tests of the package with the newest Python, and the versions that are locked."""
    install(session, lines(Path("requirements.lock")))
    test(session, "tests/unit")


@nox.session
def dist(session: nox.Session) -> None:
    """Build and check the wheel and the source; install the wheel, try it, list what it brings."""
    tag, version = os.environ.get("GITHUB_REF_NAME", ""), PROJECT["version"]
    if os.environ.get("GITHUB_REF_TYPE") == "tag" and tag != f"v{version}":
        session.error(f"the tag is {tag}, and pyproject.toml says {version}")
    session.install("build==1.6.1", "twine==7.0.0", "cyclonedx-bom==7.5.0")
    session.run("python", "-m", "build")
    session.run("twine", "check", "--strict", *map(str, sorted(Path("dist").iterdir())))
    (wheel,) = Path("dist").glob("*.whl")
    user = Path(session.create_tmp()) / "user"
    session.run("python", "-m", "venv", "--clear", str(user))
    pip = ["python", "-m", "pip", "--python", str(user), "install", "--quiet"]
    session.run(*pip, str(wheel), "--constraint", "requirements.lock")
    quick = ["--size", "64", "--steps", "2", "--out", str(user / "out")]
    program = str(user / "bin" / "explman-lite")
    session.run(program, "manipulate", "chelsea", "coffee", *quick, external=True)
    about = ["--pyproject", "pyproject.toml", "--mc-type", "library", "--output-reproducible"]
    Path("_build").mkdir(exist_ok=True)
    sbom = ["--output-file", "_build/sbom.cdx.json", str(user / "bin" / "python")]
    session.run("cyclonedx-py", "environment", *about, *sbom)


@nox.session
def audit(session: nox.Session) -> None:
    """Look for known vulnerabilities in the versions that are locked."""
    session.install("pip-audit==2.10.1")
    locked = ["--disable-pip", "--no-deps", "--requirement", "requirements.lock"]
    session.run("pip-audit", "--strict", *locked)
