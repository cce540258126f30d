"""Reading the built pages."""

from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup


@cache
def parse(path: Path) -> BeautifulSoup:
    """Parse a page, once."""
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")
