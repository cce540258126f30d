"""Reading the built pages."""

from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup


@cache
def parse(path: Path) -> BeautifulSoup:
    """Parse a page, once."""
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


@cache
def anchors(path: Path) -> frozenset[str]:
    """List the anchors of a page."""
    return frozenset(tag["id"] for tag in parse(path).find_all(id=True))


def has_anchor(path: Path, anchor: str) -> bool:
    """Say whether a page can be entered at an anchor; the empty one is its top."""
    return not anchor or anchor in anchors(path)
