"""Does a map show what the network looks at? Erase the pixels that it names, and see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explman_lite.explainers.base import class_logits
from explman_lite.validation import (
    as_classes,
    check_choice,
    check_count,
    check_images,
    check_model,
    check_several_logits,
    check_target_maps,
)


def pixel_flipping(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    classes: Tensor | int,
    steps: int = 20,
    patch: int = 1,
    erased_to: Literal["mean", "grey", "blur"] = "mean",
) -> Tensor:
    r"""Erase pixels from the most relevant to the least, and follow the probability of the class.

    .. math::

       p_c(x^t), \quad t = 0, \dots, T, \qquad x^t_i = \begin{cases}
       \bar x & \text{if } r_i < t\, n / T \\ x_i & \text{otherwise,} \end{cases}

    where :math:`p_c` is the softmax of the logits at the class c, T the number of steps,
    :math:`r_i` the rank of pixel i in its map, from 0 for the most relevant to :math:`n - 1`, and
    :math:`\bar x` what pixels are erased to, the mean colour of the picture unless told otherwise.
    With patches, :math:`r_i` is the rank of the pixel's square among all n squares, by the mean of
    the map over each; of equal squares the first in reading order goes first. Networks for
    photographs are upset by a sprinkle of erased pixels wherever they lie; erase squares there.

    The sooner the probability falls, the more faithful the map. The area under the curve,

    .. math:: \frac{1}{T + 1} \sum_{t=0}^{T} p_c(x^t),

    is the mean of what is returned. Compare it with that of a random order, which is what a map
    without any knowledge reaches.

    Parameters
    ----------
    model : nn.Module
        Input (N, C, H, W) in [0, 1], output logits (N, K); in evaluation mode.
    images : Tensor
        (N, C, H, W) in [0, 1].
    maps : Tensor
        (N, H, W), or (1, H, W) for all, not negative: the largest values are erased first.
    classes : Tensor or int
        (N,) integers: the classes whose probability is followed, or one for all.
    steps : int
        Number of equal portions in which the pixels are erased.
    patch : int
        Side in pixels of the squares that are erased together; divides height and width.
    erased_to : {"mean", "grey", "blur"}
        The mean colour of each picture; half-way from black to white; or the picture itself,
        blurred by a Gaussian whose standard deviation is an eighth of its shorter side. No choice
        is neutral: a network sees an edge around what is erased, or shapes in what is blurred.
        Trust an order of maps that all three agree on.

    Returns
    -------
    Tensor
        (N, steps + 1) in [0, 1]: the probability with nothing erased, and after each portion.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form.

    References
    ----------
    Samek et al. (2017), "Evaluating the visualization of what a deep neural network has learned".

    Examples
    --------
    >>> import explman_lite as el
    >>> from explman_lite.faithfulness import pixel_flipping
    >>> model = el.load_model("digits_vgg")
    >>> images, labels = el.load_digits()
    >>> maps = el.relevance_map(el.Gradient()(model, images[:5], labels[:5]))
    >>> curves = pixel_flipping(model, images[:5], maps, labels[:5], steps=10)
    >>> curves.shape, bool((curves[:, 0] > curves[:, 3]).all())
    (torch.Size([5, 11]), True)
    """
    check_model(model)
    check_images(images)
    check_target_maps(maps, images, "maps")
    check_count(steps=steps, patch=patch)
    check_choice("erased_to", erased_to, set(_ERASED))
    if images.shape[2] % patch or images.shape[3] % patch:
        raise ValueError(
            f"patch must divide height and width of {tuple(images.shape)}, got {patch}"
        )
    classes = as_classes(classes, images)
    squares = F.avg_pool2d(maps.expand(len(images), -1, -1), patch)
    order = squares.flatten(1).argsort(dim=1, descending=True, stable=True)
    # The inverse of a permutation: from what comes first to when something comes.
    ranks = order.argsort(dim=1).view(len(images), 1, *squares.shape[1:])
    ranks = ranks.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)
    count = squares[0].numel()
    neutral = _ERASED[erased_to](images)
    curve = []
    with torch.no_grad():
        for step in range(steps + 1):
            erased = ranks < step * count / steps
            logits = model(torch.where(erased, neutral, images))
            check_several_logits(logits)
            curve.append(class_logits(logits.softmax(dim=1), classes))
    return torch.stack(curve, dim=1)


def _mean_colour(images: Tensor) -> Tensor:
    return images.mean(dim=(2, 3), keepdim=True)


def _grey(images: Tensor) -> Tensor:
    return torch.full_like(images[..., :1, :1], 0.5)


def _blurred(images: Tensor) -> Tensor:
    """Blur without a frame: beyond its edge a picture is mirrored."""
    from torchvision.transforms.functional import gaussian_blur

    deviation = min(images.shape[2:]) / 8
    kernel = 2 * int(2 * deviation) + 1
    return gaussian_blur(images, [kernel, kernel], [deviation, deviation])  # type: ignore[no-any-return]


_ERASED: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": _mean_colour,
    "grey": _grey,
    "blur": _blurred,
}
