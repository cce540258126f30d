"""Write a deck for each lecture and for each notebook, and a page that lists the decks.

It needs no network and no browser.
"""

import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from pygments.formatters import HtmlFormatter

from bookkit.chapters import NOTEBOOKS, read
from bookkit.places import HTML
from bookkit.slides.chapter import Chapter
from bookkit.slides.layout import layout, split
from bookkit.slides.lecture import LECTURES, read_lecture
from bookkit.slides.pieces import Piece, Section
from bookkit.slides.slide import Deck, Slide, arranged
from bookkit.templates import templates_in

SLIDES = HTML / "slides"
LOOK = Path(__file__).parent / "templates"
TEMPLATES = templates_in(LOOK, lstrip_blocks=True)
REVEAL = ("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js", "LICENSE")


def slide(section: Section, pieces: list[Piece], number: int, count: int) -> Slide:
    """Make one of the slides of a section."""
    shown = [piece for piece in pieces if piece.kind != "note"]
    if not any(piece.kind == "quote" for piece in shown):
        shown = [replace(piece, hidden=False) for piece in shown]
    return arranged(
        shown,
        layout(pieces),
        anchor=section.anchor + (f"-{number}" if number > 1 else ""),
        title=section.title,
        part=f"{number} of {count}" if count > 1 else "",
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


def chapter_deck(path: Path) -> Deck:
    """Make a chapter's deck, a handout."""
    chapter = Chapter(read(path), path.name)
    title = chapter.sections[0]
    number = path.stem.split("_")[0].removeprefix("0")
    return Deck(
        name=path.stem,
        kind="handout",
        label=f"Chapter {number}",
        home=f"../notebooks/{path.stem}.html",
        invitation="Read this chapter",
        title=slide(title, title.pieces, 1, 1),
        stacks=stacks(chapter),
    )


def lecture_deck(path: Path) -> Deck:
    """Make a lecture's deck, to be spoken to."""
    lecture = read_lecture(path)
    return Deck(
        name=path.stem,
        kind="lecture",
        label=lecture.label,
        home=lecture.home,
        invitation="The syllabus",
        title=lecture.opening,
        stacks=[list(section.slides) for section in lecture.sections],
    )


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
        HtmlFormatter(style=f"a11y-high-contrast-{style}").get_style_defs(code)
        for style, code in (("light", ".code"), ("dark", ":root:not(.reveal-print) .code"))
    )
    style = (LOOK / "slides.css").read_text("utf-8")
    night = f"@media screen and (prefers-color-scheme: dark) {{\n{night}\n}}\n"
    (SLIDES / "slides.css").write_text(f"{style}\n{day}\n{night}", "utf-8")


def make_slides() -> list[Deck]:
    """Write all decks and the page that lists them, and return the decks."""
    shutil.rmtree(SLIDES, ignore_errors=True)
    copy_libraries()
    write_style()
    lectures = [lecture_deck(path) for path in LECTURES]
    handouts = [chapter_deck(path) for path in NOTEBOOKS]
    for made in (*lectures, *handouts):
        html = TEMPLATES.get_template("deck.html").render(deck=made)
        (SLIDES / f"{made.name}.html").write_text(html, "utf-8")
    index = TEMPLATES.get_template("index.html").render(lectures=lectures, handouts=handouts)
    (SLIDES / "index.html").write_text(index, "utf-8")
    return [*lectures, *handouts]
