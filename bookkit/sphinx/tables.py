"""Tables that are wider than a phone become lists there: each cell says which column it is of."""

import re
from html import escape, unescape
from typing import Any

from sphinx.application import Sphinx

FITS = 44
"""So many characters are a line on a phone."""
WRAPS = 20
"""A cell with more than so many is wrapped, which makes its column no wider."""

TABLE = re.compile(r"<table\b.*?</table>", re.DOTALL)
ROW = re.compile(r"<tr\b.*?</tr>", re.DOTALL)
HEAD = re.compile(r"<thead\b.*?</thead>", re.DOTALL)
CELL = re.compile(r"<(t[hd])\b([^>]*)>(.*?)</\1>", re.DOTALL)
# A table that is laid out as blocks is no table any more to a screen reader, unless it says so.
ROLES = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row"}


def words(html: str) -> str:
    """Return the text of a cell."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def width(headings: list[str], rows: list[list[str]]) -> int:
    """Estimate the width of a table in characters, of three columns or more."""
    columns = zip(*rows, strict=True)
    return sum(
        2 + max(max(map(len, heading.split()), default=0), *(min(len(c), WRAPS) for c in column))
        for heading, column in zip(headings, columns, strict=True)
    )


def stacked(table: str) -> str:
    """Label the cells of a wide table that has one row of headings; leave others as they are."""
    head = HEAD.search(table)
    if not head or len(ROW.findall(head[0])) != 1 or re.search(r"(col|row)span=", table):
        return table
    headings = [words(cell[2]) for cell in CELL.findall(head[0])]
    cells = [[words(c[2]) for c in CELL.findall(row)] for row in ROW.findall(table[head.end() :])]
    ragged = {len(row) for row in cells} != {len(headings)}
    if len(headings) < 3 or ragged or width(headings, cells) <= FITS:
        return table

    def labelled(row: re.Match[str]) -> str:
        names = iter(headings)

        def label(cell: re.Match[str]) -> str:
            kind, attributes, content = cell.groups()
            name = escape(next(names), quote=True)
            role = "cell" if kind == "td" else "rowheader"
            return f'<{kind}{attributes} role="{role}" data-label="{name}">{content}</{kind}>'

        return CELL.sub(label, row[0])

    body = ROW.sub(labelled, table[head.end() :])
    top = CELL.sub(headed, table[: head.end()])
    whole = re.sub(
        rf"<({'|'.join(ROLES)})\b", lambda tag: f'{tag[0]} role="{ROLES[tag[1]]}"', top + body
    )
    return re.sub(r'class="', 'class="stacks ', whole, count=1)


def headed(cell: re.Match[str]) -> str:
    """Say that a cell is the heading of a column, if it says anything."""
    kind, attributes, content = cell.groups()
    role = "columnheader" if words(content) else "cell"
    return f'<{kind}{attributes} role="{role}">{content}</{kind}>'


def stack(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Do so on a page."""
    if "body" in context:
        context["body"] = TABLE.sub(lambda table: stacked(table[0]), context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("html-page-context", stack, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
