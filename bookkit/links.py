"""Where a link of a page or chapter leads, on the site."""

import re
from functools import cache
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from docutils.nodes import make_id
from myst_parser.mdit_to_docutils.base import default_slugify

from bookkit.chapters import read
from bookkit.places import ROOT

HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@cache
def headings(source: str) -> dict[str, str]:
    """Return the headings of a page or notebook by MyST's names, from its path below the root."""
    path = ROOT / source
    if path.suffix == ".ipynb":
        cells = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
        text = "\n\n".join(cells)
    else:
        text = path.read_text("utf-8") if path.suffix == ".md" else ""
    return {default_slugify(heading): heading for heading in HEADING.findall(text)}


def page_of(address: str, source: str) -> str:
    """Return the page, seen from the root of the site, to which a link in a source file leads.

    In the sources a link names a heading as MyST does, on the page it bears the name that Sphinx
    gave.
    """
    target, anchor = urldefrag(urljoin(source, address))
    heading = headings(target).get(unquote(anchor))
    anchor = make_id(heading) if heading else anchor
    page = re.sub(r"\.(md|ipynb)$", ".html", target)
    page = re.sub("^book/_static/", "_static/", page)  # Sphinx copies these to the root
    return f"{page}#{anchor}" if anchor else page


def is_elsewhere(address: str) -> bool:
    """Return whether a link leaves the book."""
    return bool(urlsplit(address).scheme)
