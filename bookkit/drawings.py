"""Figures that are drawn and not measured: ``python -m bookkit drawings`` writes them anew.

Each is an SVG, by day and by night, as wide as the text on a phone.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from textwrap import indent

from bookkit.places import DRAWINGS

WIDTH = 358
"""Pixels between the margins of a page on a phone of 390."""
FONTS = '"Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans Condensed", sans-serif'
PALETTES = {
    "light": {"ink": "#1f2328", "soft": "#55606b", "line": "#8592a0", "paper": "#ffffff"}
    | {"red": "#b3263d", "blue": "#1d5c8f"},
    "dark": {"ink": "#e6e6e6", "soft": "#b4bcc6", "line": "#76818e", "paper": "#121212"}
    | {"red": "#ff8a94", "blue": "#7fb8e6"},
}
SHAPES = """\
    text {{ font: 13px {fonts} }}
    .name {{ font-weight: 700 }}
    .math {{ font-style: italic }}
    .index {{ font-size: 10.5px; font-style: normal }}
    .middle {{ text-anchor: middle }}
    .end {{ text-anchor: end }}
    path {{ fill: none; stroke-width: 2; stroke-linejoin: round }}
    .thin, .unit {{ stroke-width: 1.3 }}
    .dashed {{ stroke-dasharray: 4 4 }}
    .head {{ stroke: none }}
"""
COLOURS = """\
    text, .head.soft {{ fill: {soft} }}
    .ink {{ fill: {ink} }}
    .red {{ fill: {red} }}
    .blue {{ fill: {blue} }}
    .go {{ fill: none }}
    path {{ stroke: {ink} }}
    .thin {{ stroke: {line} }}
    .go.red {{ stroke: {red} }}
    .go.blue {{ stroke: {blue} }}
    .go.soft {{ stroke: {soft} }}
    .head {{ stroke: none }}
    .unit {{ fill: {paper}; stroke: {ink} }}
    .paper {{ fill: {paper} }}
"""

Point = tuple[float, float]


def way(points: Iterable[Point], style: str = "") -> str:
    """Draw a line through points."""
    there = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="{style}" d="M{there}"/>' if style else f'<path d="M{there}"/>'


def arrow(start: Point, end: Point, style: str = "ink", width: float = 2) -> str:
    """Draw a straight arrow."""
    length = math.dist(start, end)
    along = ((end[0] - start[0]) / length, (end[1] - start[1]) / length)
    size = 5 + 1.2 * width
    neck = (end[0] - size * along[0], end[1] - size * along[1])
    side = (-along[1] * size / 2, along[0] * size / 2)
    corners = [(neck[0] + side[0], neck[1] + side[1]), end, (neck[0] - side[0], neck[1] - side[1])]
    head = " L".join(f"{x:.1f} {y:.1f}" for x, y in corners)
    line = f"M{start[0]:.1f} {start[1]:.1f} L{neck[0]:.1f} {neck[1]:.1f}"
    return (
        f'<path class="go {style}" style="stroke-width: {width:g}" d="{line}"/>'
        f'<path class="head {style}" d="M{head} Z"/>'
    )


def text(x: float, y: float, words: str, style: str = "") -> str:
    """Write words; what stands in {braces} is a lower index, and in [brackets] an upper one."""
    for opening, closing, down in (("{", "}", 3.5), ("[", "]", -4)):
        words += "</tspan>" * words.count(opening)
        words = words.replace(opening, f'<tspan class="index" dy="{down:g}">')
        words = words.replace(closing, f'</tspan><tspan dy="{-down:g}">')
    return f'<text class="{style}" x="{x:g}" y="{y:g}">{words}</text>'


def dot(place: Point, style: str, radius: float = 4.5) -> str:
    """Draw a dot."""
    return f'<circle class="{style}" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="{radius:g}"/>'


def level_line() -> tuple[int, str, list[str]]:
    """Draw a level line, a hyperbola, and the gradients along it."""
    middle, width, slope = 190.0, 26.0, 0.78

    def line(x: float, above: float = 0) -> Point:
        return x, 78 + above + slope * math.hypot(x - middle, width)

    def normal(x: float, length: float) -> tuple[Point, Point]:
        tilt = slope * (x - middle) / math.hypot(x - middle, width)
        scale = length / math.hypot(tilt, 1)
        x0, y0 = line(x)
        return (x0, y0), (x0 + tilt * scale, y0 - scale)

    def along(above: float = 0) -> list[Point]:
        return [line(x, above) for x in range(14, 350, 4)]

    first, second = 158.0, 222.0
    drawn = [way(along(-34), "thin"), way(along())]
    drawn += [arrow(*normal(x, 30), "soft", 1.5) for x in (40, 78, 116, 264, 298, 332)]
    drawn += [arrow(*normal(first, 62), "blue", 2.5), arrow(*normal(second, 62), "red", 2.5)]
    drawn += [dot(line(first), "blue"), dot(line(second), "red")]
    drawn += [
        text(first + 2, line(first)[1] + 23, "p{0}", "name blue math middle"),
        text(second - 2, line(second)[1] + 23, "p", "name red math middle"),
        text(WIDTH / 2, 18, "The gradient is perpendicular to the level line", "ink middle"),
        text(112, 62, "gradient at p{0}", "blue end"),
        text(262, 62, "gradient at p", "red"),
        text(190, 186, "a short walk:", "middle"),
        text(190, 203, "the output stays,", "middle"),
        text(190, 220, "the gradient turns", "middle"),
        text(6, 93, "hardly bent:", ""),
        text(6, 110, "hardly turns", ""),
        text(354, 232, "level line g(x) = c", "ink end"),
    ]
    return 244, "A bent level line with its normals", drawn


def spring(start: Point, end: float, turns: int, height: float, style: str) -> str:
    """Draw a spring that lies."""
    x, y = start
    step = (end - x - 12) / (2 * turns)
    points: list[Point] = [(x, y), (x + 6, y)]
    points += [
        (x + 6 + step * (i + 0.5), y + (height if i % 2 else -height)) for i in range(2 * turns)
    ]
    return way([*points, (end - 6, y), (end, y)], f"go {style}")


def post(x: float, y: float) -> list[str]:
    """Draw what a spring is fixed to."""
    hatch = [way([(x, y + i), (x + 7, y + i - 6)], "thin") for i in range(-18, 25, 7)]
    return [*hatch, way([(x, y - 22), (x, y + 22)])]


def springs() -> tuple[int, str, list[str]]:
    """Draw the loss: the map is pulled to the target, the output held where it was."""
    upper, lower, wall = 84.0, 208.0, 318.0
    drawn = [
        way([(54, 130), (54, upper), (150, upper)], "thin"),
        way([(54, 158), (54, lower), (254, lower)], "thin"),
        '<rect class="unit" x="14" y="126" width="80" height="40" rx="6"/>',
        text(54, 151, "x{adv}", "ink math middle name"),
        spring((150, upper), wall, 7, 11, "red"),
        spring((254, lower), wall, 5, 11, "blue"),
        *post(wall, upper),
        *post(wall, lower),
        dot((150, upper), "red", 7),
        dot((254, lower), "blue", 7),
        text(150, upper - 20, "its map h(x{adv})", "red middle name"),
        text(344, upper - 32, "target h[t]", "ink end name"),
        text(224, upper + 32, "stretched: pulls the map there", "middle"),
        text(226, lower - 20, "its output g(x{adv})", "blue middle name"),
        text(344, lower - 32, "g(x)", "ink end name"),
        text(234, lower + 32, "stiff by γ: holds the output", "middle"),
        text(WIDTH / 2, 22, "The loss: two springs on one picture", "ink middle"),
    ]
    return 254, "The loss as two springs", drawn


def relevance() -> tuple[int, str, list[str]]:
    """Draw a small network whose logit is handed back by the z⁺ rule, as computed here."""
    pixels, inner, outer = (1, 2, 2), ((1, 1, 0), (-1, 1, 1)), (1, 2)
    hidden = [max(sum(w * x for w, x in zip(row, pixels, strict=True)), 0) for row in inner]
    logit = sum(v * z for v, z in zip(outer, hidden, strict=True))

    def shares(values: Sequence[float], weights: Sequence[float], given: float) -> list[float]:
        gains = [max(w, 0) * value for w, value in zip(weights, values, strict=True)]
        return [given * gain / sum(gains) for gain in gains]

    to_hidden = shares(hidden, outer, logit)
    to_pixels = [shares(pixels, row, given) for row, given in zip(inner, to_hidden, strict=True)]
    sums = [sum(column) for column in zip(*to_pixels, strict=True)]
    left = [(58.0, y) for y in (72.0, 134.0, 196.0)]
    middle = [(184.0, y) for y in (98.0, 170.0)]
    right = (306.0, 134.0)

    def flow(start: Point, end: Point, amount: float) -> str:
        length = math.dist(start, end)
        gap = 19 / length
        tail = (start[0] + (end[0] - start[0]) * gap, start[1] + (end[1] - start[1]) * gap)
        tip = (end[0] + (start[0] - end[0]) * gap, end[1] + (start[1] - end[1]) * gap)
        return arrow(tail, tip, "red", 1 + amount)

    below_zero = [
        (pixel, unit)
        for unit, row in zip(middle, inner, strict=True)
        for pixel, weight in zip(left, row, strict=True)
        if weight < 0
    ]
    drawn = [way(edge, "thin dashed") for edge in below_zero]
    drawn += [flow(right, unit, share) for unit, share in zip(middle, to_hidden, strict=True)]
    for unit, row in zip(middle, to_pixels, strict=True):
        drawn += [flow(unit, pixel, share) for pixel, share in zip(left, row, strict=True) if share]
    for places, amounts in ((left, sums), (middle, to_hidden), ([right], [logit])):
        for (x, y), amount in zip(places, amounts, strict=True):
            drawn += [dot((x, y), "unit", 17), text(x, y + 5, f"{amount:g}", "red middle name")]
    for x, word, amounts in (
        (58, "pixels", sums),
        (184, "hidden", to_hidden),
        (306, "logit", [logit]),
    ):
        total = " + ".join(f"{amount:g}" for amount in amounts)
        drawn.append(text(x, 40, word, "ink middle name"))
        drawn.append(text(x, 240, total, "red middle"))
    drawn += [text(x, 240, "=", "middle") for x in (122, 250)]
    drawn += [
        text(WIDTH / 2, 18, "The logit is handed back in shares", "ink middle"),
        text(WIDTH / 2, 262, "Dashed: a weight below zero gets no share (z⁺ rule).", "middle"),
    ]
    return 274, "Relevance flows back through a small network", drawn


KINKS = ((70.0, -1.0), (176.0, 1.6), (276.0, -1.2))
"""Where a piecewise linear function bends, and by how much its slope changes there."""


def rounded(x: float, beta: float) -> float:
    """Return softplus, without overflow."""
    return max(x, 0) + math.log1p(math.exp(-beta * abs(x))) / beta


def bumps() -> tuple[int, str, list[str]]:
    """Draw a piecewise linear function and its second derivative: a bump for each kink."""
    places = [20 + 2 * i for i in range(162)]

    def height(x: float, beta: float) -> float:
        bends = sum(change * rounded(x - kink, beta) for kink, change in KINKS)
        return 142 - 0.38 * (x - 20) - 0.38 * bends

    def bend(x: float, beta: float) -> float:
        slopes = [(change, 1 / (1 + math.exp(-beta * (x - kink)))) for kink, change in KINKS]
        return sum(change * beta * s * (1 - s) for change, s in slopes)

    def curve(of: Callable[[float, float], float], beta: float, style: str) -> str:
        return way([(x, of(x, beta)) for x in places], style)

    def below(x: float, beta: float) -> float:
        return 226 - 620 * bend(x, beta)

    drawn = [way([(20, 226), (342, 226)], "thin")]
    for kink, change in KINKS:
        drawn += [
            way([(kink, y), (kink, end)], "thin dashed") for y, end in ((34, 152), (182, 290))
        ]
        drawn.append(arrow((kink, 226), (kink, 226 - 44 * change), "soft", 1.2))
    drawn += [curve(height, 9, "")]
    for beta, style in ((0.16, "go blue"), (0.06, "go red")):
        drawn += [curve(height, beta, style), curve(below, beta, style)]
    drawn += [
        text(14, 20, "a piecewise linear function with three kinks", "ink"),
        text(14, 172, "its second derivative", "ink"),
        text(14, 310, "ReLU: zero, but for a spike at each kink"),
        text(14, 328, "softplus, large β: bumps, narrow and high", "blue"),
        text(14, 346, "softplus, small β: bumps as large, wide and low", "red"),
    ]
    return 356, "A bump in the second derivative for each kink", drawn


def roles() -> tuple[int, str, list[str]]:
    """Draw what is given and what moves, in training and in the attack."""

    def row(name: str, top: float, moving: int) -> list[str]:
        boxes, middle = ((14.0, 92.0, "picture"), (142.0, 92.0, "network")), top + 38
        words = ("given", "moves") if moving else ("moves", "given")
        drawn = [text(14, top, name, "ink name")]
        for (x, width, word), state in zip(boxes, words, strict=True):
            style = "red" if state == "moves" else "soft"
            drawn += [
                f'<rect class="unit" x="{x:g}" y="{top + 16:g}" width="{width:g}" '
                f'height="44" rx="6"/>',
                text(x + width / 2, top + 35, word, "ink middle name"),
                text(x + width / 2, top + 52, state, f"{style} middle"),
            ]
        x, width, _ = boxes[moving]
        below, target = top + 82, x + width / 2
        drawn += [
            arrow((108, middle), (140, middle), "ink"),
            arrow((236, middle), (268, middle), "ink"),
            text(308, middle + 5, "loss", "ink middle name"),
            way([(308, middle + 16), (308, below), (target, below)], "go red"),
            arrow((target, below), (target, top + 62), "red"),
            text((308 + target) / 2 + 8, below - 6, "gradient", "red middle"),
        ]
        return drawn

    drawn = row("Training", 20, moving=1) + row("Attack", 138, moving=0)
    return 232, "In training the weights move, in the attack the pixels", drawn


def paper() -> tuple[int, str, list[str]]:
    """Draw a creased level set: hardly longer than the straight way, with normals all over."""
    heights = (0, 9, -5, 6, -11, 2, -8, 7, -2, 8, 0)
    points = [(24 + 31.0 * i, 98 + 1.5 * h) for i, h in enumerate(heights)]
    drawn = [way(points)]
    for i, ((x0, y0), (x1, y1)) in enumerate(pairwise(points)):
        middle, length = ((x0 + x1) / 2, (y0 + y1) / 2), math.dist((x0, y0), (x1, y1))
        tip = (middle[0] + 26 * (y1 - y0) / length, middle[1] - 26 * (x1 - x0) / length)
        style = {0: "blue", len(points) - 2: "red"}.get(i, "soft")
        drawn.append(arrow(middle, tip, style, 1.5))
    drawn += [
        dot(points[0], "blue"),
        dot(points[-1], "red"),
        text(24, 132, "picture", "blue middle"),
        text(334, 132, "forgery", "red middle"),
        text(WIDTH / 2, 20, "at each crease the normal turns", "ink middle"),
        arrow((24, 156), (334, 156), "ink", 1.5),
        text(WIDTH / 2, 176, "from afar the way is straight", "ink middle"),
    ]
    return 190, "A creased line, straight from afar, with its normals", drawn


def free() -> tuple[int, str, list[str]]:
    """Draw two gradients that agree along the data, and nowhere else."""
    foot, along, up = (96.0, 190.0), 128.0, 118.0
    honest, lying = (foot[0] + along, foot[1] - 34), (foot[0] + along, foot[1] - up)
    drawn = [way([(14, 190), (344, 190)], "thin")]
    drawn += [dot((x, 190), "ink", 3) for x in (30, 52, 66, 120, 142, 178, 204, 250, 281, 318)]
    drawn += [
        way([(foot[0] + along, 190), lying], "thin dashed"),
        arrow(foot, honest, "blue", 2.5),
        arrow(foot, lying, "red", 2.5),
        dot(foot, "ink", 5),
        text(232, 160, "honest gradient", "blue"),
        text(232, 76, "lying gradient", "red"),
        text(14, 28, "across the data: no picture asks,", "ink"),
        text(14, 46, "the map may show anything", "ink"),
        text(WIDTH / 2, 218, "along the data: the same part, the same answers", "ink middle"),
        text(WIDTH / 2, 238, "(dots: pictures)", "middle"),
    ]
    return 250, "Two gradients with the same part along the data", drawn


IDEAS: dict[str, Callable[[], tuple[int, str, list[str]]]] = {
    "level_line": level_line,
    "springs": springs,
    "relevance": relevance,
    "bumps": bumps,
    "roles": roles,
    "paper": paper,
    "free": free,
}


def drawing(name: str, scheme: str | None = None) -> str:
    """Draw a figure in the colours of a scheme, or on paper of its own in those of the page."""
    height, title, parts = IDEAS[name]()
    style = SHAPES.format(fonts=FONTS)
    if scheme:
        style += COLOURS.format(**PALETTES[scheme])
    else:
        style += COLOURS.format(**PALETTES["light"])
        night = COLOURS.format(**PALETTES["dark"])
        style += f"    @media (prefers-color-scheme: dark) {{\n{indent(night, '  ')}    }}\n"
        parts = ['<rect class="paper" width="100%" height="100%"/>', *parts]
    lines = "\n".join(f"  {part}" for part in parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}">\n'
        f"  <title>{title}</title>\n"
        f"  <style>\n{style}  </style>\n{lines}\n</svg>\n"
    )


def files() -> dict[str, str]:
    """Return what each file holds: by day, by night, and for both, where a page names one only."""
    return {
        f"{name}{ending}.svg": drawing(name, scheme)
        for name in IDEAS
        for ending, scheme in (("-light", "light"), ("-dark", "dark"), ("", None))
    }


def draw() -> None:
    """Write all figures."""
    for name, drawn in files().items():
        (DRAWINGS / name).write_text(drawn, "utf-8")
