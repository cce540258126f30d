"""What all explainers are: how they are called, and what they say of themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from explman_lite.networks.prepare import Network
from explman_lite.networks.refusals import refuse_state
from explman_lite.validation import (
    as_classes,
    check_classes,
    check_fits,
    check_images,
    check_logits,
    check_model,
    check_outputs,
)


class Explanation(NamedTuple):
    """What one pass through the network yields: the attribution and the output it explains."""

    attribution: Tensor
    """(N, C, H, W), signed."""
    logits: Tensor
    """(N, K), of the images themselves."""


class Explainer(ABC):
    """What all explainers share: the call, its checks, and facts about the method.

    A new method is a subclass with one method, `explain`, and a card in the registry. Where a fact
    below is another, it says so.
    """

    @property
    def name(self) -> str:
        """The method's name for figures and tables."""
        return type(self).__name__

    @property
    def is_smooth(self) -> bool:
        """Whether the map has a second derivative to follow even where the network has ReLUs."""
        return False

    def with_seed(self, seed: int, samples: int | None = None) -> Explainer:
        """Return the same explainer with other noise, or with so many samples of it.

        One that draws none returns itself.
        """
        return self

    def softened(self, beta: float) -> Explainer:
        """Return the same explainer, no sharper than softplus with ``beta``.

        One that smooths nothing returns itself.
        """
        return self

    def __call__(self, model: nn.Module, images: Tensor, classes: Tensor | int) -> Tensor:
        """Explain the logits of ``classes``.

        Parameters
        ----------
        model : nn.Module
            Input (N, C, H, W) in [0, 1], output logits (N, K); in evaluation mode.
        images : Tensor
            (N, C, H, W) in [0, 1], of the weights' type and on their device. If they require
            a gradient, the attribution is differentiable in them, and in the weights of a network
            from ``prepare(…, frozen=False)`` at any time.
        classes : Tensor or int
            (N,) integers: the logit to explain for each sample; an integer is that of all samples.

        Returns
        -------
        Tensor
            Attribution (N, C, H, W), signed. Under `torch.inference_mode` an ordinary tensor
            without a gradient, as under `torch.no_grad`.

        Raises
        ------
        TypeError, ValueError
            If an argument is not of this form, a part of the model is in training mode, normalises
            by the batch or is quantised, or the logits are not finite.

        Warns
        -----
        RuntimeWarning
            If the outputs look like probabilities, where logits are expected.
        """
        check_model(model)
        check_images(images)
        check_fits(model, images)
        refuse_state(model)
        with outside_inference_mode():
            explanation = self.attribute(model, ordinary(images), as_classes(classes, images))
        check_outputs(explanation.logits)
        return explanation.attribution

    @abstractmethod
    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Explain images that were checked before, and return the logits as well."""

    def attribute(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Explain where only the attribution counts: the logits may be those it was made from."""
        return self.explain(model, images, classes)


class Wrapper(Explainer):
    """An explainer made of another one, ``explainer``, whose facts it takes over."""

    explainer: Explainer

    @property
    def is_smooth(self) -> bool:
        """Whether the inner explainer is."""
        return self.explainer.is_smooth


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


@contextmanager
def outside_inference_mode() -> Iterator[None]:
    """Replace `torch.inference_mode`, where nothing can be differentiated, by `torch.no_grad`."""
    if torch.is_inference_mode_enabled():
        with torch.inference_mode(False), torch.no_grad():
            yield
    else:
        yield


def ordinary(values: Tensor) -> Tensor:
    """Return a tensor made under `torch.inference_mode` as a copy that can be differentiated."""
    return values.clone() if values.is_inference() else values


def is_differentiated(model: nn.Module, images: Tensor) -> bool:
    """Whether an attribution will be differentiated, in the images or in the weights.

    The weights count where somebody prepared the network to be trained, and not merely because
    PyTorch's own layers require gradients unless told otherwise.
    """
    trained = isinstance(model, Network) and model.trainable
    return torch.is_grad_enabled() and (images.requires_grad or trained)


def input_gradient(model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
    """Differentiate each sample's logit with respect to its pixels."""
    keep_graph = is_differentiated(model, images)
    with torch.enable_grad(), names_what_has_no_gradient(model, images):
        follows = keep_graph and images.requires_grad
        inputs = images if follows else images.detach().requires_grad_()
        logits = run(model, inputs)
        score = class_logits(logits, classes).sum()
        (gradient,) = torch.autograd.grad(score, inputs, create_graph=keep_graph)
    return Explanation(gradient, logits if keep_graph else logits.detach())


def run(model: nn.Module, images: Tensor) -> Any:
    """Return what a model makes of images; one that writes to what it is given gets a copy."""
    return model(images if isinstance(model, Network) else images.clone())


@contextmanager
def names_what_has_no_gradient(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Turn an error into a refusal, if the model runs where nothing is differentiated."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        try:
            with torch.no_grad():
                run(model, images.detach())
        except RuntimeError:
            raise error from None
        prepared = isinstance(model, Network)
        name = "the prepared network" if prepared else type(model).__name__
        hint = (
            "" if prepared else ". What works in place can be once it is prepared, see el.prepare"
        )
        raise ValueError(
            f"{name} cannot be differentiated with respect to its images: {error}{hint}"
        ) from error
