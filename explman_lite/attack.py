r"""The attack: change the picture invisibly until its explanation is the target map.

.. math::

   \mathcal L(x_{adv}) = \lVert h(x_{adv}) - h^t \rVert^2 + \gamma \lVert g(x_{adv}) - g(x) \rVert^2
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from explman_lite import metrics
from explman_lite.explainers import Explainer
from explman_lite.maps import relevance_map, scale_to_mean_one
from explman_lite.models import prepare
from explman_lite.smoothing import set_beta, smoothed
from explman_lite.validation import (
    check_classes,
    check_images,
    check_model,
    check_positive,
    check_target_maps,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WARM_UP = 0.3


@dataclass(frozen=True)
class AttackStep:
    """One step of the optimisation, as it looked before the pixels moved.

    Attributes
    ----------
    step : int
        From 0.
    beta : float or None
        Sharpness of the softplus at this step; None for ReLU.
    map_loss : Tensor
        (N,) mean squared distance between the map and the target, both of mean 1.
    output_loss : Tensor
        (N,) mean squared change of the logits.
    """

    step: int
    beta: float | None
    map_loss: Tensor
    output_loss: Tensor


Callback = Callable[[AttackStep, Tensor], None]


@dataclass(frozen=True)
class Manipulation:
    """What `manipulate` returns: pictures and maps before and after, judged by the ReLU network.

    Attributes
    ----------
    images, original_images : Tensor
        (N, C, H, W) in [0, 1], after and before the attack.
    maps, original_maps, target_maps : Tensor
        (N, H, W), not negative, mean 1 per sample.
    logits, original_logits : Tensor
        (N, K).
    classes : Tensor
        (N,) the class whose logit is explained.
    history : list of AttackStep
        A record per step.
    diverged : Tensor
        (N,) bool: the loss of this sample left the finite numbers or ended above twice its
        start, so its best step was kept instead of the last.
    explainer : Explainer
        The method that was attacked.
    """

    images: Tensor
    maps: Tensor
    logits: Tensor
    classes: Tensor
    original_images: Tensor
    original_maps: Tensor
    original_logits: Tensor
    target_maps: Tensor
    history: list[AttackStep]
    diverged: Tensor
    explainer: Explainer

    def summary(self) -> pd.DataFrame:
        """Measure each sample.

        Returns
        -------
        pandas.DataFrame
            One row per sample. ``pcc``, ``ssim`` and ``mse`` compare the new map with the target
            map (``…_target``) and with the map before the attack (``…_original``);
            ``image_ssim``, ``image_mse`` and ``image_linf`` compare the pictures,
            ``output_change`` the class probabilities (Euclidean distance).
        """
        comparisons = {"target": self.target_maps, "original": self.original_maps}
        columns = {
            f"{name}_{reference}": measure(self.maps, maps)
            for reference, maps in comparisons.items()
            for name, measure in (
                ("pcc", metrics.pcc),
                ("ssim", metrics.ssim),
                ("mse", metrics.mse),
            )
        }
        columns |= {
            "image_ssim": metrics.ssim(self.images, self.original_images, data_range=1.0),
            "image_mse": metrics.mse(self.images, self.original_images),
            "image_linf": (self.images - self.original_images).abs().flatten(1).amax(dim=1),
            "output_change": metrics.output_change(self.logits, self.original_logits),
            "class_kept": self.logits.argmax(dim=1) == self.original_logits.argmax(dim=1),
        }
        table = pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()})
        return table.rename_axis("sample")

    def plot(self, sample: int = 0) -> Figure:
        """Draw one sample: pictures above, maps below, before, after and target."""
        from explman_lite import figures

        return figures.manipulation(self, sample)


def manipulate(
    model: nn.Module,
    images: Tensor,
    target_maps: Tensor,
    explainer: Explainer,
    *,
    steps: int = 150,
    lr: float = 4e-3,
    output_weight: float = 10.0,
    beta: tuple[float, float] | None = (10.0, 100.0),
    epsilon: float | None = None,
    classes: Tensor | None = None,
    progress: bool = True,
    callback: Callback | None = None,
) -> Manipulation:
    r"""Change images so that their explanation becomes the target map.

    Adam with a one-cycle step size minimises the distance of the relevance map from its target
    plus ``output_weight`` times the change of the logits; pixels stay in [0, 1] after every step.
    ReLU is replaced by softplus meanwhile, with β growing as
    :math:`\beta_t = \beta_0 (\beta_e / \beta_0)^{t/T}`, because a ReLU network's gradient does
    not tell how to change it. What is returned was computed with the network as given.
    Samples do not influence one another.

    Parameters
    ----------
    model : nn.Module
        From `load_model` or `prepare`; in evaluation mode.
    images : Tensor
        (N, C, H, W) in [0, 1].
    target_maps : Tensor
        (N, H, W), or (1, H, W) for all samples; not negative, of any scale.
    explainer : Explainer
        The method to attack.
    steps : int
        Number of optimisation steps; each costs about two explanations.
    lr : float
        Largest step size, in units of the pixel range [0, 1].
    output_weight : float
        γ, how much a change of the output weighs; not negative.
    beta : (float, float) or None
        Sharpness of the softplus at the first and at the last step; None keeps ReLU.
    epsilon : float, optional
        Bound on the change of any pixel (L∞), in units of the pixel range.
    classes : Tensor, optional
        (N,) the logits to explain; the predicted classes if not given.
    progress : bool
        Show a progress bar.
    callback : callable, optional
        Called at every step with the `AttackStep` and the images (N, C, H, W) it describes.

    Returns
    -------
    Manipulation
        Also after Ctrl-C, with what was reached by then.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above.

    Warns
    -----
    RuntimeWarning
        If a sample diverged; its best step is kept.

    References
    ----------
    Dombrowski et al. (2019), "Explanations can be manipulated and geometry is to blame".

    Examples
    --------
    >>> import explman_lite as el
    >>> model = el.load_model()
    >>> cat = el.load_photo("chelsea", size=64)
    >>> target = el.text_target("no", size=64)
    >>> result = el.manipulate(model, cat, target, el.Gradient(), steps=2, progress=False)
    >>> result.images.shape, len(result.history)
    (torch.Size([1, 3, 64, 64]), 2)
    """
    check_model(model)
    check_images(images)
    check_target_maps(target_maps, images)
    _check_settings(steps, lr, output_weight, beta, epsilon)
    network = prepare(model)
    images = images.detach()
    with torch.no_grad():
        predicted = network(images)
    if classes is None:
        classes = predicted.argmax(dim=1)
    check_classes(classes, *predicted.shape)
    original = explainer.explain(network, images, classes)
    targets = scale_to_mean_one(target_maps.to(images)).expand(len(images), -1, -1)

    search = _Search(network, images, targets, classes, original.logits, explainer, beta)
    search.run(steps, lr, output_weight, epsilon, progress, callback)
    found, diverged = search.result()
    if diverged.any():
        warnings.warn(
            f"the attack diverged for {int(diverged.sum())} of {len(images)} samples and keeps "
            "their best step; a smaller lr may help",
            RuntimeWarning,
            stacklevel=2,
        )
    final = explainer.explain(network, found, classes)
    return Manipulation(
        images=found,
        maps=relevance_map(final.attribution),
        logits=final.logits,
        classes=classes,
        original_images=images,
        original_maps=relevance_map(original.attribution),
        original_logits=original.logits,
        target_maps=targets,
        history=search.history,
        diverged=diverged,
        explainer=explainer,
    )


class _Search:
    """The optimisation of a batch: the pixels, the best of them so far, and the history."""

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        targets: Tensor,
        classes: Tensor,
        original_logits: Tensor,
        explainer: Explainer,
        beta: tuple[float, float] | None,
    ) -> None:
        self.network = network if beta is None else smoothed(network, beta[0])
        self.images, self.targets, self.classes = images, targets, classes
        self.original_logits, self.explainer, self.beta = original_logits, explainer, beta
        self.pixels = images.clone().requires_grad_()
        self.best_pixels = images.clone()
        self.first_loss = self.last_loss = self.best_loss = torch.full_like(
            images[:, 0, 0, 0], math.inf
        )
        self.finite = torch.ones_like(self.best_loss, dtype=torch.bool)
        self.history: list[AttackStep] = []

    def run(
        self,
        steps: int,
        lr: float,
        output_weight: float,
        epsilon: float | None,
        progress: bool,
        callback: Callback | None,
    ) -> None:
        optimiser = torch.optim.Adam([self.pixels], lr=lr)
        try:
            for step in tqdm(range(steps), desc=self.explainer.name, disable=not progress):
                fraction = step / max(steps - 1, 1)
                optimiser.param_groups[0]["lr"] = lr * one_cycle(fraction)
                record = self._differentiate(step, fraction, output_weight)
                self.history.append(record)
                if callback is not None:
                    callback(record, self.pixels.detach().clone())
                optimiser.step()
                self._project(epsilon)
        except KeyboardInterrupt:
            warnings.warn(
                f"interrupted after {len(self.history)} of {steps} steps",
                RuntimeWarning,
                stacklevel=3,
            )

    def _differentiate(self, step: int, fraction: float, output_weight: float) -> AttackStep:
        """Compute the loss and leave its gradient in the pixels."""
        beta = None
        if self.beta is not None:
            start, end = self.beta
            beta = start * (end / start) ** fraction
            set_beta(self.network, beta)
        explanation = self.explainer.explain(self.network, self.pixels, self.classes)
        map_loss = metrics.mse(relevance_map(explanation.attribution), self.targets)
        output_loss = metrics.mse(explanation.logits, self.original_logits)
        loss = map_loss + output_weight * output_loss
        (gradient,) = torch.autograd.grad(loss.sum(), self.pixels)
        self._remember(loss.detach(), gradient)
        usable = self.finite.view(-1, 1, 1, 1)
        self.pixels.grad = torch.where(usable, gradient, torch.zeros_like(gradient))
        return AttackStep(step, beta, map_loss.detach(), output_loss.detach())

    def _remember(self, loss: Tensor, gradient: Tensor) -> None:
        finite = loss.isfinite() & gradient.isfinite().flatten(1).all(dim=1)
        if not self.history:
            self.first_loss = loss
        better = finite & (loss < self.best_loss)
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.best_pixels = torch.where(
            better.view(-1, 1, 1, 1), self.pixels.detach(), self.best_pixels
        )
        self.last_loss, self.finite = loss, self.finite & finite

    def _project(self, epsilon: float | None) -> None:
        """Return to valid pixels, and to the ε-box around the original."""
        with torch.no_grad():
            if epsilon is not None:
                self.pixels.copy_(self.pixels.clamp(self.images - epsilon, self.images + epsilon))
            self.pixels.clamp_(0, 1)

    def result(self) -> tuple[Tensor, Tensor]:
        """Return the pixels to keep (N, C, H, W), and which samples diverged (N,)."""
        diverged = ~self.finite | (self.last_loss > 2 * self.first_loss)
        kept = torch.where(diverged.view(-1, 1, 1, 1), self.best_pixels, self.pixels.detach())
        return kept, diverged


def one_cycle(fraction: float) -> float:
    """Share of the largest step size after ``fraction`` of the run: up for 30 %, then down.

    Half a cosine each way, from 1/25 to 1 and on to 0.

    References
    ----------
    Smith and Topin (2019), "Super-convergence".
    """
    if fraction < _WARM_UP:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * fraction / _WARM_UP)) / 2
    return (1 + math.cos(math.pi * (fraction - _WARM_UP) / (1 - _WARM_UP))) / 2


def _check_settings(
    steps: int,
    lr: float,
    output_weight: float,
    beta: tuple[float, float] | None,
    epsilon: float | None,
) -> None:
    if isinstance(steps, bool) or not isinstance(steps, int):
        raise TypeError(f"steps must be an integer, got {type(steps).__name__}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    check_positive(lr=lr)
    if not 0 <= output_weight < math.inf:
        raise ValueError(f"output_weight must be finite and not negative, got {output_weight}")
    if beta is not None:
        start, end = beta
        check_positive(beta_start=start, beta_end=end)
    if epsilon is not None:
        check_positive(epsilon=epsilon)
