"""What slides and downloads know of the chapters: where they are, and what may be left out."""

import re
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import nbformat
from docutils.nodes import make_id
from myst_parser.mdit_to_docutils.base import default_slugify
from repository_address import ROOT, repository_address

sys.path.append(str(ROOT / "book" / "_ext"))
from explman_book import site_address

NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
HTML = ROOT / "_build" / "html"
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
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


@cache
def headings(source: str) -> dict[str, str]:
    """Give the headings of a page or notebook by MyST's names, from its path below the root."""
    path = ROOT / source
    if path.suffix == ".ipynb":
        cells = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
        text = "\n\n".join(cells)
    else:
        text = path.read_text("utf-8") if path.suffix == ".md" else ""
    return {default_slugify(heading): heading for heading in HEADING.findall(text)}


def page_of(address: str, source: str) -> str:
    """Give the page, seen from the root of the site, to which a link in a source file leads.

    In the sources a link names a heading as MyST does, on the page it bears the name that Sphinx
    gave.
    """
    target, anchor = urldefrag(urljoin(source, address))
    heading = headings(target).get(unquote(anchor))
    anchor = make_id(heading) if heading else anchor
    page = re.sub(r"\.(md|ipynb)$", ".html", target)
    return f"{page}#{anchor}" if anchor else page


def is_elsewhere(address: str) -> bool:
    """Say whether a link leaves the book."""
    return bool(urlsplit(address).scheme)


def on_the_site(page: str) -> str:
    """Give the address of a page of the published book."""
    return urljoin(site_address(repository_address()), page)
