"""Make a deck of slides from each notebook, and a page that lists them.

python tools/make_slides.py        writes _build/html/slides/; needs no network and no browser

How a slide looks stands in book/_slides/, what goes onto it in tools/slide_items.py.
"""

import shutil
from dataclasses import replace
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

from chapters import HTML, NOTEBOOKS, read
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pygments.formatters import HtmlFormatter
from repository_address import ROOT
from slide_items import Chapter, Item, Section

SLIDES = HTML / "slides"
TEMPLATES = Environment(
    loader=FileSystemLoader(ROOT / "book" / "_slides"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
REVEAL = ("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js", "LICENSE")
FRAGMENT = '<div class="fragment" data-fragment-index="0">'

# The room below the heading of a slide of 1280 × 720 pixels.
WIDTH, HEIGHT = 1160, 560
COLUMN, LOWEST_FIGURE, NARROWEST_FIGURE = 420, 240, 480
WIDE, WIDEST_PAIR = 1.75, 3.9
LONGEST_HEADING = 48


def height(items: list[Item], width: int) -> int:
    """Estimate the room that pieces take below one another, the heads of tables included."""
    heads = [next(same).head for _, same in groupby(items, key=lambda item: item.wrap)]
    return sum(item.height(width) for item in items) + sum(heads)


def layout(items: list[Item], room: int = HEIGHT) -> str | None:
    """Say how pieces fit onto one slide, if they do."""
    shown = [item for item in items if item.kind != "note"]
    figures = [item for item in shown if item.aspect]
    others = [item for item in shown if not item.aspect]
    if not figures:
        return "plain" if height(others, WIDTH) <= room else None
    rows = sum(is_figure for is_figure, _ in groupby(shown, key=lambda item: item.aspect > 0))
    aspect = sum(item.aspect for item in figures)
    if rows > 1 or (len(figures) > 1 and aspect > WIDEST_PAIR):
        return None
    narrow = all(item.kind in {"lead", "list", "quote", "claim"} for item in others)
    if others and narrow and aspect < WIDE and height(others, COLUMN) <= room:
        return "beside"
    lowest = min(max(LOWEST_FIGURE, NARROWEST_FIGURE / aspect), WIDTH / aspect, HEIGHT - 80)
    return "below" if height(others, WIDTH) + lowest <= room else None


def fill(items: list[Item], room: int) -> list[list[Item]]:
    """Put onto each slide what fits; the rest flows over to the next."""
    slides: list[list[Item]] = [[]]
    for item in items:
        if item.kind != "note" and slides[-1] and layout([*slides[-1], item], room) is None:
            slides.append([])
        slides[-1].append(item)
    return slides


def split(section: Section) -> list[list[Item]]:
    """Cut a section into as few slides as it needs, filled as evenly as they can be."""
    room = HEIGHT - 40 * (len(section.title) > LONGEST_HEADING)
    slides = fill(section.items, room)
    while len(fewer := fill(section.items, room := room - 20)) == len(slides) and room > 0:
        slides = fewer
    return slides


def wrapped(items: list[Item]) -> str:
    """Join pieces, neighbours of one kind within their list, table or row of figures.

    What follows a question is hidden until it is asked for, all of it at once.
    """
    html = []
    for (opening, closing), same in groupby(items, key=lambda item: item.wrap):
        pieces = list(same)
        if not opening:
            html += [f"{FRAGMENT}{p.html}</div>" if p.hidden else p.html for p in pieces]
            continue
        if pieces[0].hidden:
            opening = opening.replace(">", FRAGMENT.removeprefix("<div"), 1)
        html += [opening, *(piece.html for piece in pieces), closing]
    return "\n".join(html)


def slide(section: Section, items: list[Item], number: int, count: int) -> dict[str, object]:
    """Give the template what it needs for a slide."""
    shown = [item for item in items if item.kind != "note"]
    if not any(item.kind == "quote" for item in shown):
        shown = [replace(item, hidden=False) for item in shown]
    return {
        "anchor": section.anchor + (f"-{number}" if number > 1 else ""),
        "title": section.title,
        "part": f"{number} of {count}" if count > 1 else "",
        "layout": layout(items),
        "figure": wrapped([item for item in shown if item.aspect]),
        "body": wrapped(shown),
        "others": wrapped([item for item in shown if not item.aspect]),
        "notes": "\n".join(item.html for item in items if item.kind == "note"),
    }


def stacks(chapter: Chapter) -> list[list[dict[str, object]]]:
    """Put the slides of each second-level heading below one another."""
    found: list[list[dict[str, object]]] = []
    for section in chapter.sections[1:]:
        pages = split(section)
        slides = [slide(section, items, i, len(pages)) for i, items in enumerate(pages, 1)]
        if section.level == 2:
            found.append([])
        found[-1] += slides
    return found


def make_deck(path: Path, number: int) -> dict[str, object]:
    """Write a chapter's deck, and say what the list of decks tells about it."""
    chapter = Chapter(read(path), path.name)
    title = chapter.sections[0]
    context = {
        "name": path.stem,
        "number": number,
        "title": slide(title, title.items, 1, 1),
        "stacks": stacks(chapter),
    }
    html = TEMPLATES.get_template("deck.html").render(context)
    (SLIDES / f"{path.stem}.html").write_text(html, "utf-8")
    return context | {"count": 1 + sum(map(len, context["stacks"]))}


def package_folder(name: str) -> Path:
    """Find an installed package without running it."""
    return Path(find_spec(name).submodule_search_locations[0])


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
    style = (ROOT / "book" / "_slides" / "slides.css").read_text("utf-8")
    night = f"@media screen and (prefers-color-scheme: dark) {{\n{night}\n}}\n"
    (SLIDES / "slides.css").write_text(f"{style}\n{day}\n{night}", "utf-8")


if __name__ == "__main__":
    shutil.rmtree(SLIDES, ignore_errors=True)
    copy_libraries()
    write_style()
    decks = [make_deck(path, number) for number, path in enumerate(NOTEBOOKS, 1)]
    index = TEMPLATES.get_template("index.html").render(decks=decks)
    (SLIDES / "index.html").write_text(index, "utf-8")
    for deck in decks:
        print(f"{deck['name']}: {deck['count']} slides")
