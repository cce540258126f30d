"""Training networks whose explanations turn slowly: two penalties and the training loop.

A penalty takes a network, images (N, C, H, W) in [0, 1] and classes (N,), and returns a number for
each image, differentiable with respect to the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from explman_lite.attack.box import into_box
from explman_lite.explainers.base import names_what_has_no_gradient
from explman_lite.progress import progress_bar
from explman_lite.validation import check_count, check_images, check_number, check_positive

Penalty = Callable[[nn.Module, Tensor, Tensor], Tensor]


def hessian_penalty(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    r"""Measure how fast the gradient of a logit turns along a random direction.

    .. math:: \frac{\lVert H v \rVert}{\lVert \nabla g_c \rVert},
        \qquad v \sim \mathcal N(0, 1), \qquad \mathbb E \lVert H v \rVert^2 = \lVert H \rVert_F^2

    with H the Hessian of the logit :math:`g_c`. A single Hessian-vector product estimates its
    Frobenius norm, in units of the gradient's length, so that a network cannot make the penalty
    small by making all its logits small.

    Parameters
    ----------
    model : nn.Module
        From images (N, C, H, W) in [0, 1] to logits (N, K).
    images : Tensor
        (N, C, H, W), floating point.
    classes : Tensor
        (N,) the class whose logit is explained.

    Returns
    -------
    Tensor
        (N,), in units of one over the pixel range; differentiable with respect to the weights.

    Raises
    ------
    ValueError
        If the gradient does not depend on the images, as with ReLU, whose Hessian is zero; if a
        batch norm layer is in training mode.

    References
    ----------
    Dombrowski et al. (2022), "Towards robust explanations for deep neural networks"; Srinivas et
    al. (2022), "Efficient training of low-curvature neural networks", for the ratio.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> model = el.load_model("crops_vgg_softplus")
    >>> images, labels = el.load_crops("test")
    >>> el.training.hessian_penalty(model, images[:4], labels[:4]).shape
    torch.Size([4])
    """
    _check(model, images)
    points = _points(images)
    slopes = _gradients(model, points, classes)
    directions = torch.randn_like(points)
    turned = _differentiated(model, (slopes * directions).sum(), points)
    ratios: Tensor = turned.flatten(1).norm(dim=1) / slopes.flatten(1).norm(dim=1)
    return ratios


def attribution_penalty(
    model: nn.Module, images: Tensor, classes: Tensor, *, epsilon: float = 8 / 255
) -> Tensor:
    r"""Measure how far the gradient of a logit turns within a box, in a direction chosen for it.

    .. math:: 1 - \cos\big(\nabla g_c(x + \delta), \nabla g_c(x)\big),
        \qquad \lVert \delta \rVert_\infty \le \varepsilon

    where δ is found by one step from a random point of the box, of the box's half width, in the
    direction of the sign of the derivative.

    Parameters
    ----------
    model : nn.Module
        From images (N, C, H, W) in [0, 1] to logits (N, K).
    images : Tensor
        (N, C, H, W), floating point.
    classes : Tensor
        (N,) the class whose logit is explained.
    epsilon : float
        Half the width ε of the box, in units of the pixel range.

    Returns
    -------
    Tensor
        (N,), from 0 to 2; differentiable with respect to the weights.

    Raises
    ------
    ValueError
        If the gradient does not depend on the images, as with ReLU; if a batch norm layer is in
        training mode; if ``epsilon`` is not positive.

    References
    ----------
    Chen et al. (2019), "Robust attribution regularization", for training against the worst change
    of an attribution; Goodfellow et al. (2015), for the step.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> model = el.load_model("crops_vgg_softplus")
    >>> images, labels = el.load_crops("test")
    >>> el.training.attribution_penalty(model, images[:4], labels[:4]).shape
    torch.Size([4])
    """
    check_positive(epsilon=epsilon)
    _check(model, images)
    points = _points(images)
    slopes = _gradients(model, points, classes)
    kept = slopes.detach()
    start = into_box(images + epsilon * (2 * torch.rand_like(images) - 1), images, epsilon)
    moved = _points(start)
    turned = _one_minus_cosine(_gradients(model, moved, classes), kept).sum()
    uphill = _differentiated(model, turned, moved).detach().sign()
    worst = _points(into_box(start + epsilon * uphill, images, epsilon))
    return _one_minus_cosine(_gradients(model, worst, classes), slopes)


def train(
    model: nn.Module,
    draw: Callable[[int], tuple[Tensor, Tensor]],
    *,
    epochs: int,
    lr: float = 2e-3,
    weight_decay: float = 0.0,
    batch: int = 64,
    vary: Callable[[Tensor], Tensor] = lambda images: images,
    penalty: Penalty | None = None,
    penalty_weight: float = 1.0,
    share: float = 1 / 8,
    progress: bool = True,
) -> nn.Module:
    r"""Train a classifier with AdamW and a one-cycle step size, and with a penalty if one is given.

    .. math:: \text{cross-entropy} + \lambda\, \overline{\text{penalty}},

    the penalty's mean taken over the first images of each batch only, as it costs several passes.

    Parameters
    ----------
    model : nn.Module
        From images (N, C, H, W) in [0, 1] to logits (N, K); trained in place.
    draw : callable
        From the number of an epoch to its images (N, C, H, W) and labels (N,), in training order.
    epochs : int
        Number of calls of ``draw``, at least 1, each of which returns equally many images.
    lr : float
        Largest step size of the cycle.
    weight_decay : float
        AdamW's weight decay; not negative.
    batch : int
        Number of images in a step.
    vary : callable
        Changes the images of a batch at random.
    penalty : callable, optional
        `hessian_penalty` or `attribution_penalty`, or one of your own.
    penalty_weight : float
        λ, not negative.
    share : float
        Share of each batch that the penalty is computed on; above 0 and at most 1.
    progress : bool
        Show a progress bar.

    Returns
    -------
    nn.Module
        The model, in evaluation mode.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Notes
    -----
    On one kind of machine, ``torch.manual_seed`` before the model is built makes a run repeatable.

    References
    ----------
    Loshchilov and Hutter (2019), "Decoupled weight decay regularization"; Smith and Topin (2019),
    "Super-convergence".

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> images, labels = el.load_digits("train")
    >>> small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 10))
    >>> trained = el.training.train(
    ...     small, lambda epoch: (images, labels), epochs=3, progress=False
    ... )
    >>> (trained(images).argmax(dim=1) == labels).float().mean() > 0.8
    tensor(True)
    """
    check_count(epochs=epochs, batch=batch)
    check_positive(lr=lr, share=share)
    check_number(weight_decay=weight_decay, penalty_weight=penalty_weight)
    for name, value in (("weight_decay", weight_decay), ("penalty_weight", penalty_weight)):
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}")
    if share > 1:
        raise ValueError(f"share must be at most 1, got {share}")
    model.train()
    images, labels = draw(0)
    steps = epochs * -(-len(images) // batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps)
    with progress_bar("training", steps, progress) as bar:
        for epoch in range(epochs):
            if epoch:
                images, labels = draw(epoch)
            for some, classes in zip(
                torch.split(images, batch), torch.split(labels, batch), strict=True
            ):
                varied = vary(some)
                loss = F.cross_entropy(model(varied), classes)
                if penalty is not None:
                    first = slice(math.ceil(share * len(some)))
                    added = penalty(model, varied[first], classes[first]).mean()
                    loss = loss + penalty_weight * added
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                bar.update()
    return model.eval()


def _check(model: nn.Module, images: Tensor) -> None:
    """Refuse what is not a batch of images, and a model that mixes the images of a batch."""
    check_images(images)
    for name, layer in model.named_modules():
        if isinstance(layer, _BatchNorm) and layer.training:
            raise ValueError(
                f"batch norm mixes the images of a batch while it is trained, so that none has a "
                f"gradient of its own: fold it, or put {name or 'the model'} in evaluation mode"
            )


def _points(images: Tensor) -> Tensor:
    return images.detach().requires_grad_()


def _gradients(model: nn.Module, points: Tensor, classes: Tensor) -> Tensor:
    """Return the gradient of each point's logit; it can be differentiated again."""
    logits = model(points).gather(1, classes.unsqueeze(1))
    (slopes,) = torch.autograd.grad(logits.sum(), points, create_graph=True)
    return slopes


def _differentiated(model: nn.Module, value: Tensor, points: Tensor) -> Tensor:
    with names_what_has_no_gradient(model, points):
        (found,) = torch.autograd.grad(value, points, create_graph=True)
    if not found.any():
        raise ValueError(
            "the network's gradient does not change with its images, as that of ReLU between its "
            "kinks: there is nothing to penalise; train with softplus"
        )
    return found


def _one_minus_cosine(first: Tensor, second: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(first.flatten(1), second.flatten(1))
