"""One style for every figure of the book.

Maps are drawn with a perceptually uniform colour map that is safe for the colour-blind, and all
maps of a figure share one scale. The background is opaque white, so that a figure looks the same on
a dark page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import matplotlib.pyplot as plt
import torch
from cycler import cycler
from IPython.core.getipython import get_ipython
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib_inline.backend_inline import set_matplotlib_formats
from torch import Tensor

from explman_lite.maps import to_numpy

MAP_COLOURS = "inferno"
BEFORE, AFTER, THIRD = "#0072B2", "#D55E00", "#009E73"

_DRAWN_AS_THEY_ARE = {1, 3}
"""How many channels an image has that is drawn as it is: grey, or red, green and blue."""
_COLOUR_BAR, _TITLE = 0.9, 0.3
"""Space for a colour bar and for a title, in inches."""

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

    In a notebook figures become JPEGs: relevance maps are mostly noise, which PNG cannot compress,
    and a chapter would be five times as large.

    Examples
    --------
    >>> from explman_lite import figures
    >>> figures.use_style()
    """
    plt.style.use(_STYLE)
    if get_ipython() is not None:
        set_matplotlib_formats(  # type: ignore[no-untyped-call]
            "jpeg", pil_kwargs={"quality": 85}
        )


def panel(
    pictures: Mapping[str, Tensor],
    *,
    columns: int | None = None,
    height: float = 2.6,
    top: float | None = None,
) -> Figure:
    """Draw images and relevance maps side by side, all maps on one scale.

    Parameters
    ----------
    pictures : mapping of str to Tensor
        Each picture by its title: an image (C, H, W) in [0, 1], or a map (H, W). Of an image with
        other than 1 or 3 channels the mean is drawn in grey, and its title says so.
    columns : int, optional
        Pictures per row; all in one row if not given.
    height : float
        Height of a row in inches, without titles.
    top : float, optional
        Relevance that gets the brightest colour; `colour_limit` of the maps if not given.

    Returns
    -------
    Figure
        With a colour bar if there is a map.

    Raises
    ------
    ValueError
        If there is no picture, or one of another shape.

    Examples
    --------
    >>> import torch
    >>> from explman_lite import figures
    >>> figure = figures.panel({"picture": torch.rand(3, 8, 8), "map": torch.rand(8, 8)})
    >>> len(figure.axes)
    3
    """
    if not pictures:
        raise ValueError("give at least one picture")
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    maps = [picture for picture in pictures.values() if picture.ndim == 2]
    top = colour_limit(maps) if top is None else top
    width = height * columns + (_COLOUR_BAR if maps else 0)
    figure, axes = plt.subplots(
        rows, columns, figsize=(width, (height + _TITLE) * rows), squeeze=False
    )
    drawn = None
    for ax, (title, picture) in zip(axes.flat, pictures.items(), strict=False):
        if picture.ndim == 2:
            drawn = show_map(ax, picture, top)
        else:
            show_image(ax, picture)
            if len(picture) not in _DRAWN_AS_THEY_ARE:
                title = f"{title}\n(mean of {len(picture)} channels)"
        ax.set_title(title)
    for ax in axes.flat[len(pictures) :]:
        ax.set_axis_off()
    if drawn is not None:
        figure.colorbar(drawn, ax=axes, label="relevance (mean 1)", extend="max", aspect=25)
    return figure


def colour_limit(maps: Sequence[Tensor]) -> float:
    """Return the largest 99.5 % quantile of the maps, the relevance of the brightest colour."""
    quantiles = [torch.quantile(m.detach().flatten().float(), 0.995).item() for m in maps]
    return max(quantiles, default=1.0)


def show_image(ax: Axes, image: Tensor) -> None:
    """Draw an image (C, H, W) in [0, 1]: with 3 channels in colour, else their mean in grey."""
    if image.ndim != 3 or len(image) == 0:
        raise ValueError(f"expected an image (C, H, W), got {tuple(image.shape)}")
    if len(image) not in _DRAWN_AS_THEY_ARE:
        image = image.mean(dim=0, keepdim=True)
    pixels = image.permute(1, 2, 0).squeeze(-1).clamp(0, 1)
    ax.imshow(to_numpy(pixels), cmap="gray", vmin=0, vmax=1)
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


def manipulation(result: _Attack, sample: int = 0, gain: float = 10.0) -> Figure:
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
    Figure
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
    figure, ax = plt.subplots(figsize=(7, 0.5 * count + 0.8))
    width = 0.8 / len(outputs)
    for index, (label, probabilities) in enumerate(outputs.items()):
        places = [place + index * width for place in range(count)]
        ax.barh(places, probabilities[leading].tolist(), width, label=label)
    ax.set_yticks([place + 0.4 - width / 2 for place in range(count)], [names[c] for c in leading])
    ax.invert_yaxis()
    ax.set(xlabel="probability", xlim=(0, 1))
    ax.legend()
    return figure
