"""One style for every figure of the book.

Maps are drawn with a perceptually uniform colour map that is safe for the colour-blind, and all
maps of a gallery share one scale. In a notebook galleries and figures become HTML that fits a
phone; the book turns plots, which are ink on white, round on a dark page, but never a colour map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from os import PathLike
from typing import Any, Protocol

import matplotlib.pyplot as plt
import numpy as np
import torch
from cycler import cycler
from IPython.core.getipython import get_ipython
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib_inline.backend_inline import set_matplotlib_formats
from numpy.typing import NDArray
from torch import Tensor

from explman_lite.embedding import Embedded, figure_html, grid, of_pixels
from explman_lite.maps import to_numpy

MAP_COLOURS = "inferno"
BEFORE, AFTER, THIRD = "#0072B2", "#D55E00", "#009E73"

_DRAWN_AS_THEY_ARE = {1, 3}
"""How many channels an image has that is drawn as it is: grey, or red, green and blue."""
_COLOUR_BAR, _TITLE = 0.9, 0.3
"""Space for a colour bar and for a title, in inches."""
_RELEVANCE = "relevance (mean 1)"
_LEGEND = f"""\
<div class="explman-scale" style="grid-column: 1 / -1; display: flex; flex-wrap: wrap; \
gap: 0 0.6em; align-items: center; font-size: 0.85em">
<span>{_RELEVANCE}: 0</span>
<img src="{{source}}" alt="black, violet, red, orange, pale yellow" width="64" height="1" \
style="flex: 1 1 4em; min-width: 0; max-width: 9em; height: 0.9em; margin: 0" />
<span>{{top:.2g}} and above</span>
</div>"""

_STYLE: dict[str, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=[BEFORE, AFTER, THIRD, "#CC79A7", "#E69F00", "#56B4E9"]),
    "legend.frameon": False,
    "image.interpolation": "nearest",
}


def use_style() -> None:
    """Switch matplotlib to the style of the book.

    In a notebook figures become HTML, each column of their subplots a picture of its own: on a
    phone they stand below one another. A column should be at most five inches wide, or its letters
    become too small there.

    Examples
    --------
    >>> from explman_lite import figures
    >>> figures.use_style()
    """
    plt.style.use(_STYLE)
    shell = get_ipython()
    if shell is not None and shell.display_formatter is not None:
        set_matplotlib_formats()  # type: ignore[no-untyped-call]
        shell.display_formatter.formatters["text/html"].for_type(Figure, figure_html)


class Gallery:
    """Images and relevance maps in a grid, drawn as HTML where it is the last value of a cell.

    Captions are text, which follows the theme of the page, and on a phone at most two pictures
    share a row. It needs neither a kernel nor JavaScript. `panel` makes one.

    Parameters
    ----------
    pictures : mapping of str to Tensor
        Each picture by its caption.
    columns : int
        Pictures per row where there is room.
    height : float
        Height of a row in inches of a hundred pixels, at most, without captions.
    top : float
        Relevance that gets the brightest colour.
    alts : sequence of str
        What stands in for each picture.
    keep_rows : bool
        Whether each row begins a new one on a phone, too.
    """

    def __init__(
        self,
        pictures: Mapping[str, Tensor],
        columns: int,
        height: float,
        top: float,
        alts: Sequence[str],
        keep_rows: bool,
    ) -> None:
        self.pictures = {
            _caption(title, picture): picture.detach().cpu() for title, picture in pictures.items()
        }
        self.columns, self.height, self.top = columns, height, top
        self.alts, self.keep_rows = list(alts), keep_rows

    def __repr__(self) -> str:
        """Return what stands in for the gallery where there is only text."""
        count = len(self.pictures)
        return f"Gallery of {count} picture{'s' * (count != 1)}"

    def _repr_html_(self) -> str:
        pictures = self._embedded
        widest = max(width / height for width, height in (one.size for one in pictures))
        maps = any(picture.ndim == 2 for picture in self.pictures.values())
        return grid(
            pictures,
            self.columns,
            100 * self.height * widest * self.columns,
            keep_rows=self.keep_rows,
            legend=_LEGEND.format(source=_colour_bar().source, top=self.top) if maps else "",
        )

    @cached_property
    def _embedded(self) -> list[Embedded]:
        """Return the pictures as a page holds them."""
        named = zip(self.pictures.items(), self.alts, strict=True)
        return [
            of_pixels(_pixels(picture, self.top), alt, caption) for (caption, picture), alt in named
        ]

    def figure(self) -> Figure:
        """Draw it as one figure of matplotlib, with captions above and a colour bar if needed."""
        rows = -(-len(self.pictures) // self.columns)
        maps = any(picture.ndim == 2 for picture in self.pictures.values())
        width = self.height * self.columns + (_COLOUR_BAR if maps else 0)
        figure, axes = plt.subplots(
            rows, self.columns, figsize=(width, (self.height + _TITLE) * rows), squeeze=False
        )
        drawn = None
        for ax, (title, picture) in zip(axes.flat, self.pictures.items(), strict=False):
            if picture.ndim == 2:
                drawn = show_map(ax, picture, self.top)
            else:
                show_image(ax, picture)
            ax.set_title(title)
        for ax in axes.flat[len(self.pictures) :]:
            ax.set_axis_off()
        if drawn is not None:
            figure.colorbar(drawn, ax=axes, label=_RELEVANCE, extend="max", aspect=25)
        return figure

    def save(self, path: str | PathLike[str]) -> None:
        """Save it as one image, whose format the end of the path names.

        Parameters
        ----------
        path : str or path
            Such as ``"attack.png"``.
        """
        figure = self.figure()
        figure.savefig(path)
        plt.close(figure)


def panel(
    pictures: Mapping[str, Tensor],
    *,
    columns: int | None = None,
    height: float = 2.6,
    top: float | None = None,
    alts: Sequence[str] | None = None,
    keep_rows: bool = False,
) -> Gallery:
    """Show images and relevance maps side by side, all maps on one scale.

    Parameters
    ----------
    pictures : mapping of str to Tensor
        Each picture by its caption: an image (C, H, W) in [0, 1], or a map (H, W). Of an image with
        other than 1 or 3 channels the mean is drawn in grey, and its caption says so.
    columns : int, optional
        Pictures per row; all in one row if not given. On a phone there are two at most.
    height : float
        Height of a row in inches of a hundred pixels, at most, without captions.
    top : float, optional
        Relevance that gets the brightest colour; `colour_limit` of the maps if not given.
    alts : sequence of str, optional
        A description of each picture for those who cannot see it; its caption if not given.
    keep_rows : bool
        Whether each row begins a new one on a phone, too: where it tells a story of its own.

    Returns
    -------
    Gallery
        With a scale of colours if there is a map. Its method ``save`` writes it to a file.

    Raises
    ------
    ValueError
        If there is no picture, one of another shape, or not a description for each.

    Examples
    --------
    >>> import torch
    >>> from explman_lite import figures
    >>> figures.panel({"picture": torch.rand(3, 8, 8), "map": torch.rand(8, 8)})
    Gallery of 2 pictures
    """
    if not pictures:
        raise ValueError("give at least one picture")
    for picture in pictures.values():
        _check_picture(picture)
    if alts is None:
        alts = [
            f"{'Relevance map' if picture.ndim == 2 else 'Picture'}: {title}"
            for title, picture in pictures.items()
        ]
    if len(alts) != len(pictures) or not all(alt.strip() for alt in alts):
        raise ValueError(
            f"describe each of the {len(pictures)} pictures, got {len(alts)} descriptions"
        )
    maps = [picture for picture in pictures.values() if picture.ndim == 2]
    top = colour_limit(maps) if top is None else top
    return Gallery(pictures, columns or len(pictures), height, top, alts, keep_rows)


def _check_picture(picture: Tensor) -> None:
    """Refuse what is neither a map nor an image."""
    if picture.ndim != 2 and (picture.ndim != 3 or len(picture) == 0):
        raise ValueError(f"expected an image (C, H, W) or a map (H, W), got {tuple(picture.shape)}")


def _caption(title: str, picture: Tensor) -> str:
    """Return a caption that says where only the mean of the channels is drawn."""
    if picture.ndim == 2 or len(picture) in _DRAWN_AS_THEY_ARE:
        return title
    return f"{title}\n(mean of {len(picture)} channels)"


def _pixels(picture: Tensor, top: float) -> NDArray[np.uint8]:
    """Return the bytes of an image, or of a map in its colours."""
    if picture.ndim == 2:
        shares = to_numpy(picture.float() / top) if top > 0 else to_numpy(picture.float() * 0)
        colours: NDArray[np.uint8] = colormaps[MAP_COLOURS](shares, bytes=True)[..., :3]
        return np.ascontiguousarray(colours)
    shown = to_numpy(_channels_last(picture).float() * 255).round().astype(np.uint8)
    return np.ascontiguousarray(shown)


def _channels_last(image: Tensor) -> Tensor:
    """Return an image in colour (H, W, 3), or the mean of its channels in grey (H, W)."""
    if len(image) not in _DRAWN_AS_THEY_ARE:
        image = image.mean(dim=0, keepdim=True)
    return image.permute(1, 2, 0).squeeze(-1).clamp(0, 1)


@cache
def _colour_bar() -> Embedded:
    """Return the colours of maps, from dark to bright."""
    colours = colormaps[MAP_COLOURS](np.linspace(0, 1, 64), bytes=True)[None, :, :3]
    return of_pixels(np.ascontiguousarray(colours), "colours")


def colour_limit(maps: Sequence[Tensor]) -> float:
    """Return the largest 99.5 % quantile of the maps, the relevance of the brightest colour."""
    quantiles = [torch.quantile(m.detach().flatten().float(), 0.995).item() for m in maps]
    return max(quantiles, default=1.0)


def show_image(ax: Axes, image: Tensor) -> None:
    """Draw an image (C, H, W) in [0, 1]: with 3 channels in colour, else their mean in grey."""
    if image.ndim != 3 or len(image) == 0:
        raise ValueError(f"expected an image (C, H, W), got {tuple(image.shape)}")
    ax.imshow(to_numpy(_channels_last(image)), cmap="gray", vmin=0, vmax=1)
    ax.set_axis_off()


def show_map(ax: Axes, relevance: Tensor, top: float) -> AxesImage:
    """Draw a relevance map (H, W) from 0 to ``top``."""
    if relevance.ndim != 2:
        raise ValueError(f"expected a map (H, W), got {tuple(relevance.shape)}")
    drawn = ax.imshow(to_numpy(relevance), cmap=MAP_COLOURS, vmin=0, vmax=top)
    ax.set_axis_off()
    return drawn


def magnified(perturbation: Tensor, factor: float) -> Tensor:
    """Turn a perturbation (C, H, W) into an image, ``factor`` times as strong, on mid-grey."""
    return (0.5 + factor * perturbation).clamp(0, 1)


class _Step(Protocol):
    """What is drawn of a step of an attack: of an `AttackStep`."""

    @property
    def step(self) -> int: ...
    @property
    def beta(self) -> float | None: ...
    @property
    def map_loss(self) -> Tensor: ...
    @property
    def output_loss(self) -> Tensor: ...


class _Attack(Protocol):
    """What is drawn of an attack: of a `Manipulation`, whose module imports this one."""

    @property
    def images(self) -> Tensor: ...
    @property
    def original_images(self) -> Tensor: ...
    @property
    def maps(self) -> Tensor: ...
    @property
    def original_maps(self) -> Tensor: ...
    @property
    def target_maps(self) -> Tensor: ...
    @property
    def history(self) -> Sequence[_Step]: ...


def manipulation(result: _Attack, sample: int = 0, gain: float = 10.0) -> Gallery:
    """Draw an attack: pictures above, maps below.

    Parameters
    ----------
    result : Manipulation
        From `explman_lite.manipulate`.
    sample : int
        The index of the sample in the batch.
    gain : float
        The factor by which the difference of the pictures is magnified.

    Returns
    -------
    Gallery
        Two rows of three pictures.
    """
    before, after = result.original_images[sample], result.images[sample]
    return panel(
        {
            "picture before": before,
            "picture after": after,
            f"difference, × {gain:g}": magnified(after - before, gain),
            "map before": result.original_maps[sample],
            "map after": result.maps[sample],
            "target map": result.target_maps[sample],
        },
        columns=3,
        keep_rows=True,
    )


def history(result: _Attack, sample: int = 0) -> Figure:
    """Draw both terms of the loss, and β, against the steps of an attack.

    Parameters
    ----------
    result : Manipulation
        From `explman_lite.manipulate`.
    sample : int
        The index of the sample in the batch.

    Returns
    -------
    Figure
        Two plots with logarithmic axes.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8))
    steps = [record.step for record in result.history]
    left.plot(steps, [record.map_loss[sample].item() for record in result.history], label="map")
    left.plot(
        steps,
        [record.output_loss[sample].item() for record in result.history],
        "--",
        label="output",
    )
    left.set(xlabel="step", ylabel="mean squared error", yscale="log", title="terms of the loss")
    left.legend()
    right.plot(steps, [record.beta or float("inf") for record in result.history], color=THIRD)
    right.set(xlabel="step", ylabel="β", yscale="log", title="sharpness of the softplus")
    return figure


def top_classes(logits: Mapping[str, Tensor], names: Sequence[str], count: int = 5) -> Figure:
    """Draw the largest class probabilities of several outputs side by side.

    Parameters
    ----------
    logits : mapping of str to Tensor
        Logits (K,) by their label; the first ones decide which classes are shown.
    names : sequence of str
        The K names of the classes, in the order of the logits.
    count : int
        Number of classes, at most K.

    Returns
    -------
    Figure
        A group of bars for each class, the most probable one on top.
    """
    outputs = {label: values.detach().cpu().softmax(dim=0) for label, values in logits.items()}
    leading = next(iter(outputs.values())).topk(count).indices.tolist()
    figure, ax = plt.subplots(figsize=(5.2, 0.5 * count + 0.8))
    width = 0.8 / len(outputs)
    for index, (label, probabilities) in enumerate(outputs.items()):
        places = [place + index * width for place in range(count)]
        ax.barh(places, probabilities[leading].tolist(), width, label=label)
    ax.set_yticks([place + 0.4 - width / 2 for place in range(count)], [names[c] for c in leading])
    ax.invert_yaxis()
    ax.set(xlabel="probability", xlim=(0, 1))
    ax.legend()
    return figure
