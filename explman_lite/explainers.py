"""Explainers: which pixels does the network's answer hang on?

Each is called as ``explainer(model, images, classes)`` and returns the attribution (N, C, H, W)
of the logit of each sample's class. The result is differentiable in ``images`` when those require
a gradient: that is all an attack needs, and explainers know nothing of attacks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from explman_lite.validation import (
    check_classes,
    check_fits,
    check_images,
    check_integers,
    check_logits,
    check_model,
)


class Explanation(NamedTuple):
    """What one pass through the network yields: the attribution and the output it explains."""

    attribution: Tensor
    """(N, C, H, W), signed."""
    logits: Tensor
    """(N, K), of the images themselves."""


class Explainer(ABC):
    """What all explainers share: the call, its checks and its name.

    A new method is a subclass with one method, `explain`.
    """

    @property
    def name(self) -> str:
        """The method's name for figures and tables."""
        return type(self).__name__

    def __call__(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """Explain the logits of ``classes``.

        Parameters
        ----------
        model : nn.Module
            Input (N, C, H, W) in [0, 1], output logits (N, K); in evaluation mode.
        images : Tensor
            (N, C, H, W) in [0, 1], of the weights' type and on their device. If they require
            a gradient, the attribution is differentiable in them.
        classes : Tensor
            (N,) integers: the logit to explain for each sample.

        Returns
        -------
        Tensor
            Attribution (N, C, H, W), signed.

        Raises
        ------
        TypeError, ValueError
            If an argument is not of this form.
        """
        check_model(model)
        check_images(images)
        check_fits(model, images)
        check_integers(classes, "classes")
        return self.explain(model, images, classes.long()).attribution

    @abstractmethod
    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Explain images that were checked before, and return the logits as well."""


def check_explainer(explainer: object) -> None:
    """Refuse anything but an explainer, a class of explainers too."""
    if isinstance(explainer, type):
        raise TypeError(
            "explainer must be an instance such as Gradient(), "
            f"got the class {explainer.__name__}: add ()"
        )
    if not isinstance(explainer, Explainer):
        raise TypeError(f"explainer must be an instance such as Gradient(), got {explainer!r}")


def class_logits(logits: Tensor, classes: Tensor) -> Tensor:
    """Pick each sample's logit: (N, K) and (N,) to (N,)."""
    check_logits(logits)
    check_classes(classes, *logits.shape)
    return logits.gather(1, classes.to(logits.device).long().unsqueeze(1)).squeeze(1)


def input_gradient(model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
    """Differentiate each sample's logit by its pixels; twice if the images require it."""
    keep_graph = images.requires_grad and torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = images if keep_graph else images.detach().requires_grad_()
        logits = model(inputs)
        score = class_logits(logits, classes).sum()
        (gradient,) = torch.autograd.grad(score, inputs, create_graph=keep_graph)
    return Explanation(gradient, logits if keep_graph else logits.detach())


class Gradient(Explainer):
    r"""The gradient of the logit by the pixels, the plainest saliency map.

    .. math:: h(x) = \nabla_x\, g_c(x)

    References
    ----------
    Simonyan et al. (2014), "Deep inside convolutional networks".

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)).eval()
    >>> el.Gradient()(model, torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).shape
    torch.Size([2, 1, 2, 2])
    """

    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Differentiate the logit."""
        return input_gradient(model, images, classes)


class GradientTimesInput(Explainer):
    r"""The gradient times the pixel: how much each pixel contributes to a linear network.

    .. math:: h(x) = x \odot \nabla_x\, g_c(x)

    References
    ----------
    Shrikumar et al. (2016), "Not just a black box".

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3, bias=False)).eval()
    >>> images, classes = torch.rand(1, 1, 2, 2), torch.tensor([1])
    >>> attribution = el.GradientTimesInput()(model, images, classes)
    >>> torch.allclose(attribution.sum(), model(images)[0, 1])
    True
    """

    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Weight the gradient by the pixels."""
        gradient, logits = input_gradient(model, images, classes)
        return Explanation(images * gradient, logits)
