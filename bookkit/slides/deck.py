"""Write a deck of slides for each notebook, and a page that lists the decks.

It needs no network and no browser.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pygments.formatters import HtmlFormatter

from bookkit.chapters import NOTEBOOKS, read
from bookkit.places import HTML
from bookkit.slides.chapter import Chapter
from bookkit.slides.layout import layout, split
from bookkit.slides.pieces import Piece, Section

SLIDES = HTML / "slides"
LOOK = Path(__file__).parent / "templates"
TEMPLATES = Environment(
    loader=FileSystemLoader(LOOK),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
REVEAL = ("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js", "LICENSE")
FRAGMENT = '<div class="fragment" data-fragment-index="0">'


@dataclass(frozen=True)
class Slide:
    """A slide as its template needs it."""

    anchor: str
    title: str
    part: str
    layout: str | None
    figure: str
    body: str
    others: str
    notes: str


@dataclass(frozen=True)
class Deck:
    """A chapter's deck: its first slide, and the others below one another in stacks."""

    name: str
    number: str
    title: Slide
    stacks: list[list[Slide]]

    @property
    def count(self) -> int:
        """Count the slides."""
        return 1 + sum(map(len, self.stacks))


def wrapped(pieces: Iterable[Piece]) -> str:
    """Join pieces, neighbours of one kind within their list, table or row of figures.

    What follows a question is hidden until it is asked for, all of it at once.
    """
    html: list[str] = []
    for (opening, closing), group in groupby(pieces, key=lambda piece: piece.wrap):
        same = list(group)
        if not opening:
            html += [f"{FRAGMENT}{p.html}</div>" if p.hidden else p.html for p in same]
            continue
        if same[0].hidden:
            opening = opening.replace(">", FRAGMENT.removeprefix("<div"), 1)
        html += [opening, *(piece.html for piece in same), closing]
    return "\n".join(html)


def slide(section: Section, pieces: list[Piece], number: int, count: int) -> Slide:
    """Make one of the slides of a section."""
    shown = [piece for piece in pieces if piece.kind != "note"]
    if not any(piece.kind == "quote" for piece in shown):
        shown = [replace(piece, hidden=False) for piece in shown]
    return Slide(
        anchor=section.anchor + (f"-{number}" if number > 1 else ""),
        title=section.title,
        part=f"{number} of {count}" if count > 1 else "",
        layout=layout(pieces),
        figure=wrapped(piece for piece in shown if piece.aspect),
        body=wrapped(shown),
        others=wrapped(piece for piece in shown if not piece.aspect),
        notes="\n".join(piece.html for piece in pieces if piece.kind == "note"),
    )


def stacks(chapter: Chapter) -> list[list[Slide]]:
    """Put the slides of each second-level heading below one another."""
    found: list[list[Slide]] = []
    for section in chapter.sections[1:]:
        pages = split(section)
        slides = [slide(section, pieces, i, len(pages)) for i, pieces in enumerate(pages, 1)]
        if section.level == 2:
            found.append([])
        found[-1] += slides
    return found


def deck(path: Path) -> Deck:
    """Make a chapter's deck."""
    chapter = Chapter(read(path), path.name)
    title = chapter.sections[0]
    number = path.stem.split("_")[0].removeprefix("0")
    return Deck(path.stem, number, slide(title, title.pieces, 1, 1), stacks(chapter))


def package_folder(name: str) -> Path:
    """Find an installed package without running it."""
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"{name} is not installed")
    return Path(found.submodule_search_locations[0])


def copy_libraries() -> None:
    """Bring reveal.js and MathJax along, from the Python packages that carry them."""
    revealjs = package_folder("sphinx_revealjs") / "_static" / "revealjs"
    (SLIDES / "reveal").mkdir(parents=True, exist_ok=True)
    for name in REVEAL:
        shutil.copyfile(revealjs / name, SLIDES / "reveal" / Path(name).name)
    # Where the pages of the book have it too.
    if not (mathjax := HTML / "_static" / "mathjax").is_dir():
        shutil.copytree(package_folder("sphinx-mathjax-offline") / "static" / "mathjax", mathjax)


def write_style() -> None:
    """Add the colours of code, by day and by night, to our own style."""
    day, night = (
        HtmlFormatter(style=style).get_style_defs(".code")
        for style in ("a11y-high-contrast-light", "a11y-high-contrast-dark")
    )
    style = (LOOK / "slides.css").read_text("utf-8")
    night = f"@media screen and (prefers-color-scheme: dark) {{\n{night}\n}}\n"
    (SLIDES / "slides.css").write_text(f"{style}\n{day}\n{night}", "utf-8")


def make_slides() -> list[Deck]:
    """Write all decks and the page that lists them, and return the decks."""
    shutil.rmtree(SLIDES, ignore_errors=True)
    copy_libraries()
    write_style()
    decks = [deck(path) for path in NOTEBOOKS]
    for made in decks:
        html = TEMPLATES.get_template("deck.html").render(deck=made)
        (SLIDES / f"{made.name}.html").write_text(html, "utf-8")
    index = TEMPLATES.get_template("index.html").render(decks=decks)
    (SLIDES / "index.html").write_text(index, "utf-8")
    return decks
