"""What the code of a chapter puts onto slides: itself, what it printed, drew and tabulated."""

import ast
import math
import re
from collections.abc import Iterator
from html import escape
from itertools import takewhile

import nbformat
from bs4 import BeautifulSoup, Tag
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from bookkit.chapters import described, has_tag
from bookkit.slides.pieces import Piece
from bookkit.slides.text import length

TAG = "slide-code"
TABLE_WIDTH, SHORT_TABLE = 1160, 400
LONGEST_OUTPUT = 9
CLAIM = re.compile(r"^(?:Checked|Not reproduced)\b.*", re.DOTALL | re.MULTILINE)
# Of galleries: rows on a slide, the size of captions and of a slider in pixels, and the usual room.
MOST_ROWS, CAPTION, SLIDER, WIDE, TALL = 3, 15, 84, 1000, 450


def code_of(cell: nbformat.NotebookNode) -> str:
    """Return what slides show of a cell's code, which is nothing unless the cell is tagged so.

    Of a cell that defines functions or classes the definitions are shown, of any other what stands
    above its first assertion or printed value.
    """
    if not has_tag(cell, TAG):
        return ""
    nodes, lines = ast.parse(cell.source).body, cell.source.splitlines()
    definitions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    if definitions:
        return "\n\n".join("\n".join(lines[d.lineno - 1 : d.end_lineno]) for d in definitions)
    shown = list(takewhile(lambda node: not isinstance(node, ast.Assert | ast.Expr), nodes))
    if not shown:
        raise ValueError(f"cell {cell.id} is tagged {TAG}, but begins with a check or an output")
    return "\n".join(lines[: shown[-1].end_lineno])


def highlighted(code: str) -> Piece:
    """Show code in colours."""
    html = highlight(code, PythonLexer(), HtmlFormatter(cssclass="code"))
    return Piece("code", html, extra=25 * len(code.splitlines()) + 40)


def printed(text: str, revealing: bool) -> Iterator[Piece]:
    """Return what was checked, and what was printed where it answers a question."""
    claim = CLAIM.search(text)
    before = text[: claim.start() if claim else len(text)].rstrip()
    lines = len(before.splitlines())
    if before and lines <= LONGEST_OUTPUT and (revealing or lines > 1):
        html = f"<pre>{escape(before)}</pre>"
        yield Piece("output", html, extra=28 * lines + 40, optional=not revealing)
    if claim:
        kind = "claim" if claim[0].startswith("Checked") else "claim not"
        html = f'<p class="{kind}">{escape(" ".join(claim[0].split()))}</p>'
        yield Piece("claim", html, length(html), 24, extra=16)


def displayed(data: dict[str, str], alt: str, caption: int = CAPTION) -> Iterator[Piece]:
    """Return a gallery, a figure as one, a slider over either, or a table; captions have a size."""
    html = data.get("text/html", "")
    if "frame-slider" in html:
        yield gallery(html, caption)
    elif "explman-pictures" in html:
        for part in parts_of(described(html, alt)):
            yield gallery(part, caption)
    elif "<table" in html:
        yield from table_rows(html)


def figure(html: str, aspect: float, text: int = 0, columns: int = 1) -> Piece:
    """Return a figure, with so many pixels of text below its pictures; neighbours share a row."""
    style = f"--aspect: {aspect:.3f}; --text: {text}px; --columns: {columns}"
    html = f'<div class="figure" style="{style}">{html}</div>'
    return Piece("figure", html, extra=text, aspect=aspect, wrap=("<div>", "</div>"))


def group_of(html: str) -> tuple[Tag, Tag, list[Tag], int]:
    """Read pictures as the package writes them; a figure's parts stand in one row."""
    page = BeautifulSoup(html, "html.parser")
    (group,) = page.select(".explman-pictures")
    figures = list(group.select("figure"))
    return page, group, figures, int(str(group.get("data-columns") or len(figures)))


def gallery(html: str, caption: int = CAPTION) -> Piece:
    """Return pictures side by side, or a slider over them, with captions of a size in pixels."""
    _, group, figures, columns = group_of(html)
    sides = [
        (int(str(img["width"])), int(str(img["height"]))) for img in group.select("figure > img")
    ]
    slider = SLIDER if "frame-slider" in html else 0
    if "data-columns" not in group.attrs:
        return figure(html, sum(width / height for width, height in sides), slider)
    rows = math.ceil(len(figures) / columns)
    captions = [found.get_text() for found in group.select("figcaption")]
    letters = min(WIDE / columns, TALL / rows) / caption * 2
    lines = max(
        (sum(math.ceil(len(line) / letters) for line in text.splitlines()) for text in captions),
        default=0,
    )
    aspect = columns / rows * max(width / height for width, height in sides)
    text = round(rows * (lines * caption * 1.25 + 14)) + 11 + caption
    return figure(html, aspect, text + slider, columns)


def refill(group: Tag, figures: list[Tag], kept: list[Tag]) -> None:
    """Leave only some of its pictures in a group, or put back what was taken out."""
    for picture in figures:
        picture.extract()
    for place, picture in enumerate(kept):
        group.insert(place, picture)


def parts_of(html: str) -> Iterator[str]:
    """Cut a gallery of many rows, so that its pictures are not too small on a slide."""
    page, group, figures, columns = group_of(html)
    rows = math.ceil(len(figures) / columns)
    most = math.ceil(rows / math.ceil(rows / MOST_ROWS)) * columns
    for start in range(0, len(figures), most):
        refill(group, figures, figures[start : start + most])
        yield str(page)


def table_rows(html: str) -> Iterator[Piece]:
    """Take a long table apart, so that it can go over several slides."""
    table = BeautifulSoup(html, "html.parser")
    for tag in table.find_all(True):
        tag.attrs = {name: tag[name] for name in ("colspan", "rowspan") if name in tag.attrs}
    for empty in [tag for tag in table.find_all("th") if not tag.get_text(strip=True)]:
        empty.name = "td"
    (head,), rows = table.select("thead"), table.select("tbody tr")
    wrap = (f"<table>{head}<tbody>", "</tbody></table>")
    tall = 36 * len(head.find_all("tr")) + 20
    prose = max(len(cell.get_text()) for cell in table.find_all("td")) > 40
    pieces = []
    for row in rows:
        characters = math.ceil(1.3 * length(str(row))) if prose else 1
        pieces.append(Piece("table", str(row), characters, 20, extra=12, wrap=wrap, head=tall))
    total = sum(piece.height(TABLE_WIDTH) for piece in pieces)
    if total <= SHORT_TABLE:
        whole = "\n".join(piece.html for piece in pieces)
        pieces = [Piece("table", whole, extra=total, wrap=wrap, head=tall)]
    yield from pieces
