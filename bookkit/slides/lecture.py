"""A lecture: slides written by hand, in the order and with the minutes of its syllabus.

``book/teach/decks/`` has a file for each lecture, which lists the slides of each section, and
``slides/`` within it a file for each chapter with the slides themselves, so that lectures share
them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import urldefrag

from bs4 import BeautifulSoup
from markdown_it.token import Token

from bookkit.links import headings, page_of
from bookkit.places import ROOT
from bookkit.slides.cited import cited, shown
from bookkit.slides.drawn import drawn
from bookkit.slides.layout import HEIGHT, layout
from bookkit.slides.pieces import Piece
from bookkit.slides.slide import Slide, arranged
from bookkit.slides.text import blocks, formula_height, length, markdown

DECKS = ROOT / "book" / "teach" / "decks"
SYLLABI = ("one_lecture", "two_lectures", "six_weeks")
LECTURES = [path for name in SYLLABI for path in sorted(DECKS.glob(f"{name}*.md"))]

LABEL = re.compile(r"^\(([\w-]+)\)=\n", re.MULTILINE)
SLIDE = re.compile(r"\s*## ([^\n]+)\n(.*?)^Note:\n(.+)", re.DOTALL | re.MULTILINE)
SECTION = re.compile(r"^## (.+)\n", re.MULTILINE)
ENTRY = re.compile(r"- \[.+?\]\((\S+\.md)#([\w-]+)\), (\d+)")
LINK = re.compile(r"\[(.+?)\]\((\S+\.md#\S+)\)")
ROW = re.compile(r"^\| (\d+) \| (\d+) \|", re.MULTILINE)

MOST_WORDS = 30
LETTERS, LIVE = 34, 540
HEADING, LONGEST_HEADING = 60, 52
"""What large letters take of a slide's room: pixels for a heading's second line, and its letters
that fit the first."""


@dataclass(frozen=True)
class Spoken:
    """A slide for speaking, wherever in a lecture it comes."""

    title: str
    shown: list[Piece]
    layout: str
    notes: str


@dataclass(frozen=True)
class Section:
    """A row of a syllabus's table, with its slides."""

    title: str
    start: int
    slides: tuple[Slide, ...]


@dataclass(frozen=True)
class Lecture:
    """A lecture with its first slide, before the clock runs."""

    label: str
    home: str
    opening: Slide
    sections: list[Section]


def relative(path: Path) -> str:
    """Name a file by its path below the root."""
    return path.relative_to(ROOT).as_posix()


def pieces(body: str, path: Path) -> Iterator[Piece]:
    """Read what a slide shows; what follows a question waits until it is asked for."""
    parser = markdown(relative(path))
    asked = False
    for block in blocks(parser.parse(body)):
        inside = block[1].children or [] if len(block) > 1 else []
        if [token.type for token in inside] == ["image"]:
            found = list(pictured(inside[0], path))
        else:
            html = str(parser.renderer.render(block, parser.options, {}))
            found = list(written(block[0], html))
        for piece in found:
            yield replace(piece, hidden=asked)
        asked = asked or block[0].type == "blockquote_open"


def written(block: Token, html: str) -> Iterator[Piece]:
    """Show a block of Markdown, which begins with a token."""
    match block.type:
        case "paragraph_open":
            yield Piece("lead", html, length(html), LETTERS, extra=16)
        case "blockquote_open":
            yield Piece("quote", html, length(html), LETTERS, extra=50)
        case "math_block":
            yield Piece("formula", html, extra=round(1.4 * formula_height(block.content)))
        case "bullet_list_open" | "ordered_list_open":
            wrap = (f"<{block.tag}>", f"</{block.tag}>")
            for item in BeautifulSoup(html, "html.parser").select("li"):
                yield Piece("list", str(item), length(str(item)) + 4, LETTERS, extra=12, wrap=wrap)
        case "html_block" if html.startswith("<explman-attack "):
            yield Piece("live", html, extra=LIVE)
        case other:
            raise ValueError(f"a slide has no room for a {other}: {html[:60]!r}")


def pictured(image: Token, path: Path) -> Iterator[Piece]:
    """Show what a Markdown image points to: a cell of a chapter, or a figure of the book."""
    address, name = urldefrag(str(image.attrs["src"]))
    target = (path.parent / address).resolve()
    if target.suffix != ".ipynb":
        yield drawn(target, image.content)
        return
    found = list(shown(target, name, str(image.attrs.get("title", ""))))
    if not found:
        raise ValueError(f"cell {name!r} of {target.name} draws nothing")
    yield from found


def words(shown: list[Piece]) -> int:
    """Count the words that an audience has to read, tables and figures aside."""
    read = [piece for piece in shown if piece.kind in {"lead", "quote", "list"}]
    return sum(len(BeautifulSoup(piece.html, "html.parser").get_text().split()) for piece in read)


def arrangement(title: str, shown: list[Piece]) -> str:
    """Return how a slide is laid out, and refuse one that is too full."""
    if words(shown) > MOST_WORDS:
        raise ValueError(f"it has {words(shown)} words, and {MOST_WORDS} are enough")
    taken = HEADING * (1 + (len(title) > LONGEST_HEADING)) - 40
    found = layout(shown, HEIGHT - taken)
    if found is None:
        raise ValueError("it is too full: what it shows does not fit below its heading")
    return found


@cache
def slides_of(path: Path) -> dict[str, Spoken]:
    """Read the slides of a file by their labels."""
    _, *parts = LABEL.split(path.read_text("utf-8"))
    found: dict[str, Spoken] = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        try:
            if name in found:
                raise ValueError("there are two of this label")
            found[name] = spoken(text, path)
        except ValueError as error:
            raise ValueError(f"slide {name!r} in {relative(path)}: {error}") from error
    return found


def spoken(text: str, path: Path) -> Spoken:
    """Read a slide: its heading, what is shown, and what is said."""
    parts = SLIDE.fullmatch(text)
    if parts is None:
        raise ValueError("it needs a heading with ##, and what is said below a line Note:")
    title, body, notes = (cited(part) for part in parts.groups())
    parser = markdown(relative(path))
    shown = list(pieces(body, path))
    return Spoken(
        parser.renderInline(title), shown, arrangement(title, shown), parser.render(notes)
    )


def slide(path: Path, name: str, start: int, minutes: int, section: str) -> Slide:
    """Make a slide of a lecture, which has its time and its place."""
    if name not in slides_of(path):
        raise ValueError(f"there is no slide {name!r} in {relative(path)}")
    found = slides_of(path)[name]
    when = f"<p><strong>{start}–{start + minutes}</strong> · {section}</p>"
    return arranged(
        found.shown,
        found.layout,
        anchor=name,
        title=found.title,
        notes=f"{when}\n{found.notes}",
        seconds=60 * minutes,
    )


def timetable(page: Path, anchor: str) -> list[tuple[int, int]]:
    """Read when the parts of a lecture begin and how long they take, below a heading of a page."""
    heading = headings(relative(page)).get(anchor)
    if heading is None:
        raise ValueError(f"{relative(page)} has no heading #{anchor}")
    below = page.read_text("utf-8").split(f"{heading}\n", 1)[1]
    table = below[: end.start()] if (end := re.search(r"^#", below, re.MULTILINE)) else below
    return [(int(start), int(minutes)) for start, minutes in ROW.findall(table)]


def read_lecture(path: Path) -> Lecture:
    """Read a lecture, and hold it to its syllabus."""
    head, *parts = SECTION.split(path.read_text("utf-8"))
    title, line, before = head.removeprefix("# ").split("\n\n", 2)
    link = LINK.search(line)
    if link is None:
        raise ValueError(f"{relative(path)} does not say which syllabus it follows")
    page, anchor = urldefrag(link[2])
    rows = timetable((path.parent / page).resolve(), anchor)
    if len(rows) != len(parts) // 2:
        raise ValueError(f"{relative(path)} has {len(parts) // 2} sections, {page} {len(rows)}")
    sections = []
    for (start, minutes), name, entries in zip(rows, parts[::2], parts[1::2], strict=True):
        made, clock = [], start
        for file, label, taken in ENTRY.findall(entries):
            made.append(slide(path.parent / file, label, clock, int(taken), name))
            clock += int(taken)
        if clock != start + minutes:
            raise ValueError(
                f"{relative(path)}: the slides of {name!r} take {clock - start} minutes, "
                f"{minutes} in {page}"
            )
        sections.append(Section(name, start, tuple(made)))
    parser = markdown(relative(path))
    opening = arranged(
        [], "title", anchor="title", title=title, notes=parser.render(cited(before)), seconds=0
    )
    return Lecture(link[1], f"../{page_of(link[2], relative(path))}", opening, sections)
