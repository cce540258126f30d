"""Lead from the first use of a term in each chapter to the glossary."""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx

CHAPTERS = "notebooks/"

# Where a link does not belong: in another one, in a heading, and in what is not prose.
CLOSED = (
    nodes.reference,
    nodes.title,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.comment,
)


def link_terms(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Link each term that a chapter uses, once."""
    if not page.startswith(CHAPTERS):
        return
    places = terms(app)
    found = pattern(list(places))
    for text in list(doctree.findall(nodes.Text)):
        if is_open(text):
            links = {
                match.span(): link(app, page, match[0], places.pop(match[1].lower()))
                for match in found.finditer(str(text))
                if match[1].lower() in places
            }
            if links:
                text.parent.replace(text, list(interleaved(str(text), links)))


def terms(app: Sphinx) -> dict[str, tuple[str, str]]:
    """Map each term, in small letters, to its page and anchor."""
    found = app.env.get_domain("std").get_objects()
    return {
        name.lower(): (page, anchor) for name, _, kind, page, anchor, _ in found if kind == "term"
    }


def is_open(text: nodes.Text) -> bool:
    """Return whether text may become a link."""
    node = text.parent
    while node is not None and not isinstance(node, CLOSED):
        node = node.parent
    return node is None


def pattern(names: list[str]) -> re.Pattern[str]:
    """Find any of the names, the longest first, as a word and in the plural too."""
    longest = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return re.compile(rf"(?<![\w-])({longest})(?:s|es)?(?![\w-])", re.IGNORECASE)


def link(app: Sphinx, page: str, words: str, place: tuple[str, str]) -> nodes.reference:
    """Make words lead to a term's entry."""
    where, anchor = place
    address = f"{app.builder.get_relative_uri(page, where)}#{anchor}"
    return nodes.reference("", words, refuri=address, internal=True, classes=["term"])


def interleaved(text: str, links: dict[tuple[int, int], nodes.reference]) -> Iterator[nodes.Node]:
    """Put links in the place of the words they stand for."""
    end = 0
    for (start, stop), reference in links.items():
        yield nodes.Text(text[end:start])
        yield reference
        end = stop
    yield nodes.Text(text[end:])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("doctree-resolved", link_terms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
