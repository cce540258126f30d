"""The pieces of slides, and about how much room each of them takes."""

import math
from dataclasses import dataclass, field

from bs4 import BeautifulSoup
from myst_parser.mdit_to_docutils.base import default_slugify

SUBSTANCE = {"figure", "table", "formula", "code", "list", "output"}


@dataclass(frozen=True)
class Piece:
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
    pieces: list[Piece] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Name the section as the book does."""
        return default_slugify(BeautifulSoup(self.title, "html.parser").get_text())

    def drop_optional(self) -> None:
        """Show printed numbers where nothing else shows a result, or else more sentences."""
        kept = None
        if not any(piece.kind in SUBSTANCE and not piece.optional for piece in self.pieces):
            printed = any(piece.kind == "output" for piece in self.pieces)
            kept = "output" if printed else "lead"
        self.pieces = [piece for piece in self.pieces if not piece.optional or piece.kind == kept]

    @property
    def shown(self) -> list[Piece]:
        """List what an audience sees."""
        return [piece for piece in self.pieces if piece.kind != "note"]
