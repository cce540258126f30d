"""The repository's address, which stands in ``_config.yml``, and what follows from it."""

import re
from urllib.parse import urljoin, urlsplit

import yaml

from bookkit.places import ROOT

FILES = [
    "*.md",
    "book/**/*.md",
    "explman_lite/README.md",
    "notebooks/*.ipynb",
    "CITATION.cff",
    "pyproject.toml",
]
SETUP_CELL = """\
# Set-up. In Colab this installs the helper package of this book; elsewhere it is already there.
import importlib.util

if importlib.util.find_spec("explman_lite") is None:
    %pip install --quiet "git+{address}\""""

# What precedes our own address: other people's repositories may be cited freely.
OURS = re.compile(
    r"""((?:git\+|git[ ]clone[ ]|(?:Repository|Issues|Releases)[ ]=[ ]"|repository-code:[ ]"?
        |url[ ]+=[ ]\{)https://github\.com/
        |https://colab\.research\.google\.com/github/
        |https://mybinder\.org/v2/gh/)
        ([\w.-]+/[\w.-]+)""",
    re.VERBOSE,
)


def repository_address() -> str:
    """Read the address from ``_config.yml``."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    return str(config["repository"]["url"])


def repository_name() -> str:
    """Return the repository's owner and name, with a slash between them."""
    return urlsplit(repository_address()).path.strip("/")


def on_the_site(page: str) -> str:
    """Return the address of a page of the published book, which lives on GitHub Pages."""
    owner, name = repository_name().split("/")
    return urljoin(f"https://{owner}.github.io/{name}/", page)


def setup_cell() -> str:
    """Return the text of the set-up cell with which every notebook begins."""
    return SETUP_CELL.format(address=repository_address())


def deviations(text: str, name: str) -> list[str]:
    """List the addresses of this repository that are not its name."""
    return [match[0] for match in OURS.finditer(text) if match[2] != name]


def differing() -> list[str]:
    """List the places where the address differs from that in ``_config.yml``."""
    name = repository_name()
    return [
        f"{path.relative_to(ROOT)}: {address}"
        for path in sorted(path for pattern in FILES for path in ROOT.glob(pattern))
        for address in deviations(path.read_text("utf-8"), name)
    ]


def rewrite() -> None:
    """Write the address of ``_config.yml`` wherever else it stands."""
    name = repository_name()
    for path in (path for pattern in FILES for path in ROOT.glob(pattern)):
        text = path.read_text("utf-8")
        path.write_text(OURS.sub(rf"\g<1>{name}", text), "utf-8")
