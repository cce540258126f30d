"""How the pieces of a section are spread over slides."""

from itertools import groupby

from bookkit.slides.pieces import Piece, Section

# The room below the heading of a slide of 1280 × 720 pixels.
WIDTH, HEIGHT = 1160, 560
COLUMN, LOWEST_FIGURE, NARROWEST_FIGURE = 420, 240, 480
WIDE, WIDEST_PAIR = 1.75, 3.9
LONGEST_HEADING = 48


def height(pieces: list[Piece], width: int) -> int:
    """Estimate the room that pieces take below one another, the heads of tables included."""
    heads = [next(same).head for _, same in groupby(pieces, key=lambda piece: piece.wrap)]
    return sum(piece.height(width) for piece in pieces) + sum(heads)


def layout(pieces: list[Piece], room: int = HEIGHT) -> str | None:
    """Return how pieces fit onto one slide, if they do."""
    shown = [piece for piece in pieces if piece.kind != "note"]
    figures = [piece for piece in shown if piece.aspect]
    others = [piece for piece in shown if not piece.aspect]
    if not figures:
        return "plain" if height(others, WIDTH) <= room else None
    rows = sum(is_figure for is_figure, _ in groupby(shown, key=lambda piece: piece.aspect > 0))
    aspect = sum(piece.aspect for piece in figures)
    if rows > 1 or (len(figures) > 1 and aspect > WIDEST_PAIR):
        return None
    narrow = all(piece.kind in {"lead", "list", "quote", "claim"} for piece in others)
    if others and narrow and aspect < WIDE and height(others, COLUMN) <= room:
        return "beside"
    text = max(piece.extra for piece in figures)
    lowest = min(max(LOWEST_FIGURE, NARROWEST_FIGURE / aspect), WIDTH / aspect) + text
    lowest = min(lowest, HEIGHT - 80)
    return "below" if height(others, WIDTH) + lowest <= room else None


def fill(pieces: list[Piece], room: int) -> list[list[Piece]]:
    """Put onto each slide what fits; the rest flows over to the next."""
    slides: list[list[Piece]] = [[]]
    for piece in pieces:
        if piece.kind != "note" and slides[-1] and layout([*slides[-1], piece], room) is None:
            slides.append([])
        slides[-1].append(piece)
    return slides


def split(section: Section) -> list[list[Piece]]:
    """Cut a section into as few slides as it needs, filled as evenly as they can be."""
    room = HEIGHT - 40 * (len(section.title) > LONGEST_HEADING)
    slides = fill(section.pieces, room)
    while len(fewer := fill(section.pieces, room := room - 20)) == len(slides) and room > 0:
        slides = fewer
    return slides
