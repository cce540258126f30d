"""Does a map tell what the network looks at? Erase the pixels it names, and see."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explman_lite.explainers.base import class_logits
from explman_lite.validation import (
    as_classes,
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
) -> Tensor:
    """Erase pixels from the most relevant to the least, and follow the probability of the class.

    An erased pixel gets the mean colour of its picture. Networks for photographs are upset by a
    sprinkle of erased pixels wherever they lie; there, erase whole squares. The sooner the
    probability falls, the more faithful the map: the mean of the curve is the area under it.
    Compare it with that of a random order, which is what a map without any knowledge reaches.

    Parameters
    ----------
    model : nn.Module
        Input (N, C, H, W) in [0, 1], output logits (N, K); in evaluation mode.
    images : Tensor
        (N, C, H, W) in [0, 1].
    maps : Tensor
        (N, H, W), not negative: what is erased first.
    classes : Tensor or int
        (N,) integers: whose probability is followed, or the class of all images.
    steps : int
        In how many equal portions the pixels are erased.
    patch : int
        Side of the squares that are erased together; divides height and width.

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
    if images.shape[2] % patch or images.shape[3] % patch:
        raise ValueError(
            f"patch must divide height and width of {tuple(images.shape)}, got {patch}"
        )
    classes = as_classes(classes, images)
    squares = F.avg_pool2d(maps.expand(len(images), -1, -1), patch)
    order = squares.flatten(1).argsort(dim=1, descending=True, stable=True)
    ranks = order.argsort(dim=1).view(len(images), 1, *squares.shape[1:])
    ranks = ranks.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)
    count = squares[0].numel()
    neutral = images.mean(dim=(2, 3), keepdim=True)
    curve = []
    with torch.no_grad():
        for step in range(steps + 1):
            erased = ranks < step * count / steps
            logits = model(torch.where(erased, neutral, images))
            check_several_logits(logits)
            curve.append(class_logits(logits.softmax(dim=1), classes))
    return torch.stack(curve, dim=1)
