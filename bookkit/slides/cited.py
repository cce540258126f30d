"""What slides cite of a chapter: what a cell drew, tabulated or defined, and numbers it printed."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup

from bookkit.chapters import alt_in, described, read
from bookkit.places import ROOT
from bookkit.recorded.numbers import filled
from bookkit.slides.outputs import code_of, displayed, gallery, group_of, highlighted, refill
from bookkit.slides.pieces import Piece

CAPTION = 20
"""The size of captions in pixels, to be read from the last row."""

ROLE = re.compile(r"\{printed\}`(\w+)#(\S+) ([^`]+)`")
ZERO = re.compile(r"(?<![\w.])-(?=0(?:\.0+)?(?![\w.]))")
MINUS = re.compile(r"(?<![\w.])-(?=\d)")


@cache
def cells(chapter: str) -> dict[str, nbformat.NotebookNode]:
    """Return a chapter's cells of code by their ids."""
    path = ROOT / "notebooks" / f"{chapter}.ipynb"
    if not path.is_file():
        raise ValueError(f"there is no chapter {chapter!r}")
    return {cell.id: cell for cell in read(path).cells if cell.cell_type == "code"}


def cell_of(chapter: str, name: str) -> nbformat.NotebookNode:
    """Find a cell."""
    if name not in cells(chapter):
        raise ValueError(f"chapter {chapter!r} has no cell of code {name!r}")
    return cells(chapter)[name]


def numbers_of(choice: str) -> list[int]:
    """Read which pictures are chosen, such as "1 2 5-7"."""
    found: list[int] = []
    for part in choice.split():
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def chosen(html: str, choice: str) -> str:
    """Leave some pictures of a gallery, in rows no longer than before."""
    numbers = numbers_of(choice)
    page, group, figures, columns = group_of(html)
    if "frame-slider" in html or not set(numbers) <= set(range(1, len(figures) + 1)):
        raise ValueError(f"of {len(figures)} pictures {choice!r} cannot be chosen")
    refill(group, figures, [figures[number - 1] for number in numbers])
    group["data-columns"] = str(min(len(numbers), columns))
    return str(page)


def shown(path: Path, name: str, choice: str) -> Iterator[Piece]:
    """Return what a cell drew or tabulated, or else its code if it is tagged for slides."""
    cell = cell_of(path.stem, name)
    alt = alt_in(cell.metadata)
    for output in cell.outputs:
        data = output.get("data", {})
        if choice and "explman-pictures" in data.get("text/html", ""):
            yield gallery(chosen(described(data["text/html"], alt), choice), CAPTION)
        elif output.output_type != "stream":
            yield from displayed(data, alt, CAPTION)
    if code := code_of(cell):
        yield highlighted(code)


def text_of(cell: nbformat.NotebookNode) -> str:
    """Return what a cell printed, and its tables with a line for each row."""
    lines: list[str] = []
    for output in cell.outputs:
        lines += output.get("text", "").splitlines()
        for row in BeautifulSoup(output.get("data", {}).get("text/html", ""), "html.parser")("tr"):
            lines.append(" | ".join(cell.get_text(strip=True) for cell in row(["td", "th"])))
    return "\n".join(lines)


def printed(chapter: str, name: str, pattern: str) -> str:
    """Return the part of a cell's output that the group of a pattern matches, with true minuses."""
    found = re.search(pattern, text_of(cell_of(chapter, name)), re.MULTILINE)
    if found is None:
        raise ValueError(f"cell {name!r} of {chapter!r} printed nothing like {pattern!r}")
    return MINUS.sub("−", ZERO.sub("", found[found.re.groups and 1]))


def cited(text: str) -> str:
    """Write the numbers of recorded tables and of cells into a text."""
    return ROLE.sub(lambda role: printed(role[1], role[2], role[3]), filled(text))
