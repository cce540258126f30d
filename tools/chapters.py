"""What slides and downloads know of the chapters: where they are, and what may be left out."""

import re
import sys
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import nbformat
from repository_address import ROOT, repository_address

sys.path.append(str(ROOT / "book" / "_ext"))
from explman_book import site_address

NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
HTML = ROOT / "_build" / "html"
FOLDED = re.compile(r"<details><summary>(.*?)</summary>\n(.*?)</details>\n*", re.DOTALL)
CODE = re.compile(r"```python\n(.*?)```\n*", re.DOTALL)


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook."""
    return nbformat.read(path, as_version=4)


def folded(source: str, title: str) -> list[str]:
    """List what is folded under a title such as "Solution"."""
    return [body.strip() for heading, body in FOLDED.findall(source) if heading == title]


def without_folded(source: str, *titles: str) -> str:
    """Leave out what is folded under some titles."""
    return FOLDED.sub(lambda fold: "" if fold[1] in titles else fold[0], source)


def page_of(address: str, source: str) -> str:
    """Give the page, seen from the root of the site, to which a link in a source file leads."""
    target, anchor = urldefrag(urljoin(source, address))
    page = re.sub(r"\.(md|ipynb)$", ".html", target)
    return f"{page}#{anchor}" if anchor else page


def is_elsewhere(address: str) -> bool:
    """Say whether a link leaves the book."""
    return bool(urlsplit(address).scheme)


def on_the_site(page: str) -> str:
    """Give the address of a page of the published book."""
    return urljoin(site_address(repository_address()), page)
