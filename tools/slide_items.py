"""What of a chapter goes onto its slides, and about how much room each piece takes.

A chapter is prose, a slide is not: the prose goes into the speaker's notes. Lead sentences, lists,
formulas, tables, questions, figures, short definitions and what was checked are shown.
"""

import ast
import base64
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html import escape
from itertools import takewhile

import nbformat
from bs4 import BeautifulSoup
from chapters import is_elsewhere, page_of, without_folded
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from myst_parser.mdit_to_docutils.base import default_slugify
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

LONGEST_CODE = 15
SHORTEST_LEAD = 40
TABLE_WIDTH, SHORT_TABLE = 1160, 400
LONGEST_OUTPUT = 9
CLAIM = re.compile(r"^(?:Checked|Not reproduced)\b.*", re.DOTALL | re.MULTILINE)
SUBSTANCE = {"figure", "table", "formula", "code", "list", "output"}
PLOTTING = ("plt.", "figures.", "FrameSlider")
OPAQUE = re.compile(r"\$[^$]+\$|`[^`]+`|\]\([^)]*\)")
BY_HAND = re.compile(r"by hand:|lines", re.IGNORECASE)
SENTENCE = re.compile(r".+?[.!?](?<!\bal\.)(?<!e\.g\.)(?<!i\.e\.)[*)”\"]*(?=\s|$)", re.DOTALL)


@dataclass(frozen=True)
class Item:
    """A piece of a slide, or of its notes.

    ``characters`` of ``size`` pixels flow in lines, ``extra`` pixels come on top. A figure knows
    its ``aspect`` instead. Neighbours with the same ``wrap`` share one list or table, whose head
    takes ``head`` pixels. What is ``optional`` is shown where nothing else shows the result.
    """

    kind: str
    html: str
    characters: int = 0
    size: int = 26
    extra: int = 0
    aspect: float = 0
    wrap: tuple[str, str] = ("", "")
    head: int = 0
    hidden: bool = False
    optional: bool = False

    def height(self, width: int) -> int:
        """Estimate the pixels that it takes at a width, with a margin below it."""
        lines = math.ceil(self.characters * 0.53 * self.size / width)
        return math.ceil(1.35 * self.size * lines) + self.extra


@dataclass
class Section:
    """A heading and what stands below it."""

    title: str
    level: int
    items: list[Item] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Name the section as the book does."""
        return default_slugify(BeautifulSoup(self.title, "html.parser").get_text())

    def drop_optional(self) -> None:
        """Show printed numbers where nothing else shows a result, or else more sentences."""
        kept = None
        if not any(item.kind in SUBSTANCE and not item.optional for item in self.items):
            printed = any(item.kind == "output" for item in self.items)
            kept = "output" if printed else "lead"
        self.items = [item for item in self.items if not item.optional or item.kind == kept]

    @property
    def shown(self) -> list[Item]:
        """List what an audience sees."""
        return [item for item in self.items if item.kind != "note"]


def markdown(notebook: str) -> MarkdownIt:
    """Make a renderer whose formulas MathJax finds and whose links lead to the built book."""
    renderer = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)

    def math_inline(tokens: list[Token], index: int, *_: object) -> str:
        return rf'<span class="math">\({escape(tokens[index].content)}\)</span>'

    def math_block(tokens: list[Token], index: int, *_: object) -> str:
        return rf'<div class="math">\[{escape(tokens[index].content)}\]</div>'

    def link_open(tokens: list[Token], index: int, options: object, env: object) -> str:
        address = str(tokens[index].attrs["href"])
        if not is_elsewhere(address):
            tokens[index].attrs["href"] = "../" + page_of(address, f"notebooks/{notebook}")
        return renderer.renderer.renderToken(tokens, index, options, env)

    for rule in (math_inline, math_block, link_open):
        renderer.renderer.rules[rule.__name__] = rule
    return renderer


def first_sentence(source: str) -> str:
    """Give the first sentence of a paragraph, or the first two if it begins with a bold title."""
    masked = OPAQUE.sub(lambda found: "x" * len(found[0]), source)
    title = re.match(r"\*\*.*?\*\*[.:]?\s*", masked, re.DOTALL)
    start = title.end() if title else 0
    for sentence in SENTENCE.finditer(masked, start):
        if sentence.end() - start >= SHORTEST_LEAD:
            return source[: sentence.end()]
    return source


def text_of(html: str) -> int:
    """Count the characters that an audience reads, a formula's commands as one each."""
    text = BeautifulSoup(html, "html.parser").get_text()
    return len(re.sub(r"\\[a-zA-Z]+|[{}_^\\]", "x", text))


def blocks(tokens: list[Token]) -> Iterator[list[Token]]:
    """Cut what was parsed into blocks of the top level."""
    block: list[Token] = []
    depth = 0
    for token in tokens:
        block.append(token)
        depth += token.nesting
        if depth == 0:
            yield block
            block = []


class Chapter:
    """The sections of a notebook, the first of them under its title."""

    def __init__(self, notebook: nbformat.NotebookNode, name: str) -> None:
        self.markdown = markdown(name)
        self.sections: list[Section] = []
        self.revealing = False
        self.announcement = ""
        # The heading of the exercise at hand until its first paragraph, then empty.
        self.exercise: str | None = None
        for cell in notebook.cells:
            role = cell.metadata.get("slideshow", {}).get("slide_type")
            if role == "skip":
                continue
            if cell.cell_type == "markdown":
                self.revealing = False
                self.read_text(cell.source, only_notes=role == "notes")
                self.announcement = cell.source.strip().split("\n\n")[-1]
            elif not self.in_exercises() and role != "notes":
                self.read_code(cell)
                self.announcement = ""
        self.sections = [s for s in self.sections if s.title != "References"]
        for section in self.sections:
            section.drop_optional()
        self.announce_sections()

    def in_exercises(self) -> bool:
        """Say whether a reader is at work here."""
        tops = [section.title for section in self.sections if section.level <= 2]
        return bool(tops) and tops[-1] == "Exercises"

    def add(self, item: Item) -> None:
        hidden = self.revealing and item.kind in {"output", "table", "figure", "claim"}
        self.sections[-1].items.append(replace(item, hidden=hidden))

    def render(self, block: list[Token]) -> str:
        return self.markdown.renderer.render(block, self.markdown.options, {})

    def read_text(self, source: str, only_notes: bool) -> None:
        tokens = self.markdown.parse(without_folded(source, "Hint", "Solution"))
        inside_fold = False
        for block in blocks(tokens):
            kind, html = block[0].type, self.render(block)
            if kind == "heading_open":
                self.open_section(block)
                continue
            if kind == "html_block":
                inside_fold = "<summary>" in html
                title = re.sub(r"</?details>|</?summary>", "", html).strip()
                self.add(Item("note", f"<p><strong>{title}</strong></p>" if title else ""))
                continue
            if not inside_fold and not only_notes:
                for item in self.shown_of(block, html):
                    self.add(item)
            self.add(Item("note", html))

    def open_section(self, heading: list[Token]) -> None:
        """Begin a section; the exercises share one, so that short ones share a slide."""
        title, level = self.markdown.renderInline(heading[1].content), int(heading[0].tag[1])
        if self.in_exercises() and level == 3:
            self.exercise = f"<h3>{title}</h3>"
        else:
            self.exercise = None
            self.sections.append(Section(title, level))

    def shown_of(self, block: list[Token], html: str) -> Iterator[Item]:
        """Give what an audience sees of a block of text."""
        kind, on_title = block[0].type, self.sections[-1].level == 1
        if kind == "blockquote_open" and on_title:
            self.sections.append(Section("Before we begin", 2))
            on_title = False
        if kind in {"bullet_list_open", "ordered_list_open"}:
            yield from self.list_items(block, 22)
        elif on_title:
            return
        elif kind == "paragraph_open":
            yield from self.sentences(block[1].content)
        elif kind == "math_block":
            yield Item("formula", html, extra=formula_height(block[0].content))
        elif kind == "table_open":
            yield from table_rows(html)
        elif kind == "blockquote_open":
            self.revealing = "Predict, then reveal" in html
            heights = sum(formula_height(t.content) for t in block if t.type == "math_block")
            words = re.sub(r"\\\[.*?\\\]", "", html, flags=re.DOTALL)
            yield Item("quote", html, text_of(words), extra=50 + heights)

    def sentences(self, source: str) -> Iterator[Item]:
        """Show a section's lead and what has a bold title; an exercise's task in full."""
        optional = False
        if self.exercise is None:
            bold = source.startswith("**") and not source.startswith("**Next**")
            optional = bool(self.sections[-1].shown) and not bold
            source = first_sentence(source)
        html = f"{self.exercise or ''}<p>{self.markdown.renderInline(source)}</p>"
        size, extra = (26, 16) if self.exercise is None else (24, 20)
        extra += 40 * bool(self.exercise)
        kind = "lead" if self.exercise is None else "task"
        yield Item(
            kind, f'<div class="{kind}">{html}</div>', text_of(html), size, extra, optional=optional
        )
        self.exercise = self.exercise and ""

    def list_items(self, block: list[Token], size: int) -> Iterator[Item]:
        tag = block[0].tag
        for item in blocks(block[1:-1]):
            html = self.render(item)
            wrap = (f"<{tag}>", f"</{tag}>")
            yield Item("list", html, text_of(html) + 4, size, extra=10, wrap=wrap)

    def read_code(self, cell: nbformat.NotebookNode) -> None:
        if code := announced_code(cell.source, self.announcement):
            html = highlight(code, PythonLexer(), HtmlFormatter(cssclass="code"))
            self.add(Item("code", html, extra=25 * len(code.splitlines()) + 40))
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        for output in cell.outputs:
            if output.output_type == "stream":
                for item in printed(output.text, self.revealing):
                    self.add(item)
            else:
                for item in displayed(output.data, alt):
                    self.add(item)

    def announce_sections(self) -> None:
        """Let a heading with little but headings below it announce them."""
        for index, section in enumerate(self.sections[1:], 1):
            if len(section.shown) > 1:
                continue
            for below in self.sections[index + 1 :]:
                if below.level <= section.level:
                    break
                html = f"<li>{below.title}</li>"
                item = Item("list", html, len(html), 22, extra=10, wrap=("<ul>", "</ul>"))
                section.items.append(item)


def formula_height(source: str) -> int:
    """Estimate the pixels of a displayed formula."""
    tall = any(command in source for command in (r"\frac", r"\sum", r"\int", r"\Bigl"))
    return 16 + (80 if tall else 45) * (1 + source.count(r"\\"))


def table_rows(html: str) -> Iterator[Item]:
    """Take a long table apart, so that it can go over several slides."""
    table = BeautifulSoup(html, "html.parser").table
    for tag in table.find_all(True):
        tag.attrs = {name: tag[name] for name in ("colspan", "rowspan") if name in tag.attrs}
    for empty in [tag for tag in table.find_all("th") if not tag.get_text(strip=True)]:
        empty.name = "td"
    head, rows = table.thead.extract(), table.tbody.find_all("tr")
    wrap = (f"<table>{head}<tbody>", "</tbody></table>")
    tall = 36 * len(head.find_all("tr")) + 20
    prose = max(len(cell.get_text()) for cell in table.find_all("td")) > 40
    items = []
    for row in rows:
        characters = math.ceil(1.3 * text_of(str(row))) if prose else 1
        items.append(Item("table", str(row), characters, 20, extra=12, wrap=wrap, head=tall))
    total = sum(item.height(TABLE_WIDTH) for item in items)
    if total <= SHORT_TABLE:
        whole = "\n".join(item.html for item in items)
        items = [Item("table", whole, extra=total, wrap=wrap, head=tall)]
    yield from items


def announced_code(source: str, announcement: str) -> str:
    """Give a cell's code if it is the point: announced by the text, short, and drawing nothing.

    Of definitions only they are shown, of work "by hand" what comes before its checks.
    """
    if not announcement.endswith(":") or any(word in source for word in PLOTTING):
        return ""
    nodes = ast.parse(source).body
    shown = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    if not shown and BY_HAND.search(announcement):
        shown = list(takewhile(lambda node: not isinstance(node, ast.Assert | ast.Expr), nodes))
    if not shown:
        return ""
    lines = source.splitlines()
    if len(shown) < len(nodes) and isinstance(shown[0], ast.FunctionDef | ast.ClassDef):
        code = "\n\n".join("\n".join(lines[n.lineno - 1 : n.end_lineno]) for n in shown)
    else:
        code = "\n".join(lines[shown[0].lineno - 1 : shown[-1].end_lineno])
    return code if len(code.splitlines()) <= LONGEST_CODE else ""


def printed(text: str, revealing: bool) -> Iterator[Item]:
    """Give what was checked, and what was printed where it answers a question."""
    claim = CLAIM.search(text)
    before = text[: claim.start() if claim else len(text)].rstrip()
    lines = len(before.splitlines())
    if before and lines <= LONGEST_OUTPUT and (revealing or lines > 1):
        html = f"<pre>{escape(before)}</pre>"
        yield Item("output", html, extra=28 * lines + 40, optional=not revealing)
    if claim:
        kind = "claim" if claim[0].startswith("Checked") else "claim not"
        html = f'<p class="{kind}">{escape(" ".join(claim[0].split()))}</p>'
        yield Item("claim", html, text_of(html), 24, extra=16)


def displayed(data: dict[str, str], alt: str) -> Iterator[Item]:
    """Give a figure, a slider over figures, or a table."""
    html = data.get("text/html", "")
    if "image/jpeg" in data:
        size = Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"]))).size
        source = f"data:image/jpeg;base64,{data['image/jpeg'].strip()}"
        yield figure(f'<img src="{source}" alt="{escape(alt)}">', *size)
    elif "frame-slider" in html:
        width, height = re.search(r'width="(\d+)" height="(\d+)"', html).groups()
        yield figure(html, int(width), int(height))
    elif "<table" in html:
        yield from table_rows(html)


def figure(html: str, width: int, height: int) -> Item:
    """Give a figure; neighbours share a row."""
    aspect = width / height
    html = f'<div class="figure" style="--aspect: {aspect:.3f}">{html}</div>'
    return Item("figure", html, aspect=aspect, wrap=("<div>", "</div>"))
