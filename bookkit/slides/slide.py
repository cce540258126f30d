"""A slide and a deck of slides, as their templates need them."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from bookkit.slides.pieces import Piece

FRAGMENT = '<div class="fragment" data-fragment-index="0">'


@dataclass(frozen=True)
class Slide:
    """A slide: what is shown, how it is laid out, and what only the speaker reads.

    A slide of a lecture has a number of ``seconds``, by which the speaker's clock goes.
    """

    anchor: str
    title: str
    part: str
    layout: str | None
    figure: str
    body: str
    others: str
    notes: str
    seconds: int | None = None


@dataclass(frozen=True)
class Deck:
    """A deck: its first slide, and the others below one another in stacks.

    ``home`` is the page of the book that it belongs to, ``invitation`` what the link to it says.
    """

    name: str
    kind: str
    label: str
    home: str
    invitation: str
    title: Slide
    stacks: list[list[Slide]]

    @property
    def slides(self) -> list[Slide]:
        """List the slides in their order."""
        return [self.title, *(slide for stack in self.stacks for slide in stack)]

    @property
    def live(self) -> bool:
        """Return whether a slide holds the live attack."""
        return any("<explman-attack" in slide.body for slide in self.slides)


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


def arranged(
    shown: list[Piece],
    layout: str | None,
    *,
    anchor: str,
    title: str,
    part: str = "",
    notes: str = "",
    seconds: int | None = None,
) -> Slide:
    """Make a slide of what it shows."""
    return Slide(
        anchor=anchor,
        title=title,
        part=part,
        layout=layout,
        figure=wrapped(piece for piece in shown if piece.aspect),
        body=wrapped(shown),
        others=wrapped(piece for piece in shown if not piece.aspect),
        notes=notes,
        seconds=seconds,
    )
