"""Pictures as HTML, in a grid that fits a phone, with captions that follow the theme.

The tags carry their styles, since Jupyter drops style sheets from notebooks it does not trust, and
the pictures are part of the page: neither a kernel nor JavaScript nor a connection is needed.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from PIL import Image

_GAP, _PHONE = 10, 560
"""Pixels between two pictures, and the width of a page below which they are rearranged."""
_SMALL = 96
"""Pictures up to this side, in pixels, are magnified as squares and stored without loss."""
_QUALITY = 80
_SHARP, _LONGEST = 200, 60_000
"""Dots per inch of figures, and the length of a picture's data from which half of them do."""

_GROUP = """\
<div class="explman-pictures" role="group" {form} style="{style}">
{pictures}
</div>"""
_PICTURE = """\
<figure style="margin: 0; padding: 0; min-width: 0{style}">
<img{kind} src="{source}" alt="{alt}" width="{width}" height="{height}" \
style="display: block; width: 100%; height: auto; margin: 0{rendering}" />{caption}
</figure>"""
_CAPTION = """
<figcaption style="margin: 0.3em 0 0; padding: 0; font-size: 0.85em; line-height: 1.3; \
text-align: center; white-space: pre-line; overflow-wrap: anywhere">{caption}</figcaption>"""


@dataclass(frozen=True)
class Embedded:
    """A picture as a page holds it.

    Parameters
    ----------
    source : str
        A data URI.
    size : tuple of int
        Width and height of the file in pixels.
    alt, caption : str
        What stands in for the picture, and what stands below it.
    small : bool
        Whether its pixels are to be seen as squares.
    plot : bool
        Whether it is ink on white, which a dark page may turn round.
    dpi : int
        Pixels of the file on an inch, which has a hundred on a page.
    """

    source: str
    size: tuple[int, int]
    alt: str
    caption: str = ""
    small: bool = False
    plot: bool = False
    dpi: int = 100

    def as_html(self, style: str = "") -> str:
        """Return it as a figure of HTML."""
        return _PICTURE.format(
            style=style and f"; {style}",
            kind=' class="explman-plot"' if self.plot else "",
            source=self.source,
            alt=escape(" ".join(self.alt.split())),
            width=self.size[0],
            height=self.size[1],
            rendering="; image-rendering: pixelated" if self.small else "",
            caption=_CAPTION.format(caption=escape(self.caption)) if self.caption else "",
        )


def grid(
    pictures: Sequence[Embedded],
    columns: int,
    width: float,
    *,
    keep_rows: bool = False,
    legend: str = "",
) -> str:
    """Arrange pictures in a grid.

    Parameters
    ----------
    pictures : sequence of Embedded
        In reading order.
    columns : int
        Pictures per row where there is room; on a phone there are two at most.
    width : float
        Of the whole grid in pixels, at most.
    keep_rows : bool
        Whether each row begins a new one on a phone, too.
    legend : str
        HTML below all pictures.

    Returns
    -------
    str
        HTML.
    """

    def share(count: int) -> str:
        return f"(100% - {_GAP * (count - 1)}px) / {count} - 0.1px"

    template = f"repeat({columns}, minmax(0, 1fr))"
    if columns > 2:
        # A wide page makes the middle negative, a narrow one makes it huge.
        middle = f"({_PHONE}px - 100%) * 999"
        smallest = f"clamp({share(columns)}, {middle}, {share(2)})"
        template = f"repeat(auto-fill, minmax({smallest}, 1fr))"
    figures = [
        picture.as_html("grid-column-start: 1" if keep_rows and number % columns == 0 else "")
        for number, picture in enumerate(pictures)
    ]
    room = round(width + _GAP * (columns - 1))
    style = f"display: grid; gap: {_GAP}px; grid-template-columns: {template}; max-width: {room}px"
    form = f'data-columns="{columns}"'
    return _GROUP.format(form=form, style=style, pictures="\n".join([*figures, legend]).rstrip())


def row(parts: Sequence[Embedded]) -> str:
    """Set the parts of a figure side by side and equally high, on a phone below one another."""
    figures = []
    for part in parts:
        width = round(part.size[0] * 100 / part.dpi)
        # A wide page makes what a part asks for negative, a narrow one makes it huge.
        asked = f"calc(({_PHONE}px - 100%) * 999)" if len(parts) > 1 else "100%"
        figures.append(part.as_html(f"flex: {width} 1 {asked}; max-width: {width}px"))
    style = "display: flex; flex-wrap: wrap"
    return _GROUP.format(form="data-parts", style=style, pictures="\n".join(figures))


def of_pixels(pixels: NDArray[np.uint8], alt: str, caption: str = "") -> Embedded:
    """Embed pixels (H, W) or (H, W, 3): as they are if few, else compressed."""
    height, width = pixels.shape[:2]
    image, small = Image.fromarray(pixels), max(height, width) <= _SMALL
    if small:
        colours = image.convert("RGB").getcolors(256)
        if pixels.ndim == 3 and colours is not None:
            image = image.quantize(len(colours), dither=Image.Dither.NONE)
        source = _data_uri(image, "png", optimize=True)
    else:
        source = _data_uri(image, "webp", quality=_QUALITY, method=6)
    return Embedded(source, (width, height), alt, caption, small=small)


def of_figure(figure: Figure, cuts: Sequence[float] | None = None) -> list[Embedded]:
    """Embed a figure, each column of its subplots as a picture of its own.

    Parameters
    ----------
    figure : Figure
        It stays open.
    cuts : sequence of float, optional
        The edges of the columns in inches, from `columns_of` of a figure of the same size. Without,
        what surrounds the figure is cut off.

    Returns
    -------
    list of Embedded
        From left to right.
    """
    edges, box = list(cuts or columns_of(figure)), None
    columns = [
        [ax for ax in figure.axes if left <= _middle(ax) <= right]
        for left, right in pairwise(edges)
    ]
    if cuts is None:
        box = figure.get_tightbbox().padded(0.05)
        edges = [box.x0, *edges[1:-1], box.x1]
    image = _drawn(figure, box)
    marks = [*(round((edge - edges[0]) * _SHARP) for edge in edges[:-1]), image.width]
    parts = []
    for (left, right), axes in zip(pairwise(marks), columns, strict=True):
        part = image.crop((left, 0, right, image.height))
        titles = [ax.get_title() or ax.get_ylabel() or ax.get_xlabel() for ax in axes]
        alt = "; ".join(filter(None, titles)) or "plot"
        plot = not any(ax.findobj(_is_mapped) for ax in axes)
        colours = part.quantize(64 if plot else 256, dither=Image.Dither.NONE)
        source, dpi = _data_uri(colours, "png", optimize=True), _SHARP
        if not plot and len(source) > _LONGEST:
            dpi //= 2
            part = part.resize((part.width // 2, part.height // 2), Image.Resampling.BOX)
            source = _data_uri(part, "webp", quality=_QUALITY, method=6)
        parts.append(Embedded(source, part.size, alt, plot=plot, dpi=dpi))
    return parts


def _drawn(figure: Figure, box: Bbox | None) -> Image.Image:
    """Draw a figure, or a part of it, on white."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_SHARP, bbox_inches=box)
    with Image.open(stream) as opened:
        return opened.convert("RGB")


def _middle(ax: Axes) -> float:
    """Return where the middle of axes stands, in inches from the left."""
    box = ax.get_window_extent()
    return float(box.x0 + box.x1) / 2 / float(ax.figure.dpi)


def figure_html(figure: Figure) -> str:
    """Return a figure as HTML, as `row` arranges it."""
    return row(of_figure(figure))


def columns_of(figure: Figure) -> list[float]:
    """Return where the columns of a figure's subplots begin, and where the last ends, in inches.

    A figure of one column, or with something that spans several, is one piece.
    """
    whole = [0.0, float(figure.get_size_inches()[0])]
    if figure.legends or figure.get_suptitle():
        return whole
    columns: dict[int, list[Axes]] = {}
    for ax in figure.axes:
        spec = ax.get_subplotspec()
        if spec is None or ax.get_label() == "<colorbar>":
            continue
        if len(spec.colspan) > 1:
            return whole
        columns.setdefault(spec.colspan.start, []).append(ax)
    for number, axes in columns.items():
        for ax in axes:
            if number > min(columns) and ax.get_shared_y_axes().get_siblings(ax) != [ax]:
                ax.tick_params(labelleft=True)
    figure.draw_without_rendering()
    boxes = {ax: ax.get_tightbbox() for ax in figure.axes}
    cuts = []
    for number in sorted(columns)[1:]:
        edge = min((box.x0 for ax in columns[number] if (box := boxes[ax])), default=0)
        before = max(
            (box.x1 for box in boxes.values() if box and (box.x0 + box.x1) / 2 < edge),
            default=edge + 1,
        )
        if before > edge:
            return whole
        cuts.append((before + edge) / 2 / figure.dpi)
    return [whole[0], *cuts, whole[1]]


def _is_mapped(artist: Artist) -> bool:
    """Return whether something is drawn with a colour map, or is a picture."""
    return isinstance(artist, ScalarMappable) and artist.get_array() is not None


def _data_uri(image: Image.Image, kind: str, **settings: Any) -> str:
    """Encode an image."""
    stream = io.BytesIO()
    image.save(stream, format=kind, **settings)
    return f"data:image/{kind};base64," + base64.b64encode(stream.getvalue()).decode()
