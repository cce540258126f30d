r"""The attack: change the picture invisibly until its explanation is the target map.

.. math::

   \mathcal L(x_{adv}) = \lVert h(x_{adv}) - h^t \rVert^2 + \gamma \lVert g(x_{adv}) - g(x) \rVert^2

Both terms are free of units, so that γ means the same for every network and resolution: the maps
have mean 1, and the change of the logits is measured against their own spread.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from explman_lite import metrics
from explman_lite.explainers import Explainer, check_explainer
from explman_lite.lrp import LRP
from explman_lite.manipulation import AttackStep, Manipulation
from explman_lite.maps import relevance_map, scale_to_mean_one
from explman_lite.models import prepare
from explman_lite.patterns import PatternAttribution
from explman_lite.smoothing import set_beta, smoothed
from explman_lite.validation import (
    check_classes,
    check_fits,
    check_images,
    check_logits,
    check_model,
    check_positive,
    check_same_shape,
    check_target_maps,
)

Schedule = Callable[[float], float]
"""From the fraction of the run, 0 to 1, to the share of the largest step size."""

_WARM_UP = 0.1

Callback = Callable[[AttackStep, Tensor], None]


def step_size(explainer: Explainer) -> float:
    """Return the largest step size that `manipulate` takes for a method unless told otherwise.

    Propagated relevance follows at half the pace of gradients, which spares the picture. A method
    that averages or smooths another takes the pace of that one. The choice stands on
    ``results/optimisers.csv``.
    """
    inner = getattr(explainer, "explainer", explainer)
    return 2e-3 if isinstance(inner, LRP | PatternAttribution) else 4e-3


def one_cycle(fraction: float) -> float:
    """Share of the largest step size after ``fraction`` of the run: up for 10 %, then down.

    Half a cosine each way, from 1/25 to 1 and on to 0.

    References
    ----------
    Smith and Topin (2019), "Super-convergence".
    """
    if fraction < _WARM_UP:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * fraction / _WARM_UP)) / 2
    return (1 + math.cos(math.pi * (fraction - _WARM_UP) / (1 - _WARM_UP))) / 2


def constant(fraction: float) -> float:
    """Share of the largest step size after ``fraction`` of the run: all of it, all the time."""
    return 1.0


def manipulate(
    model: nn.Module,
    images: Tensor,
    target_maps: Tensor,
    explainer: Explainer,
    *,
    steps: int = 100,
    lr: float | None = None,
    output_weight: float = 13.0,
    beta: tuple[float, float] | None = (5.0, 100.0),
    schedule: Schedule = one_cycle,
    momentum: tuple[float, float] = (0.8, 0.99),
    epsilon: float | None = None,
    start: Tensor | None = None,
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
        (N, C, H, W) in [0, 1], of the weights' type and on their device.
    target_maps : Tensor
        (N, H, W), or (1, H, W) for all samples; not negative, of any scale.
    explainer : Explainer
        The method to attack.
    steps : int
        Number of optimisation steps; each costs about two explanations.
    lr : float, optional
        Largest step size, in units of the pixel range [0, 1]; by method if not given, see
        ``step_size``.
    output_weight : float
        γ, how much a change of the output weighs; not negative.
    beta : (float, float) or None
        Sharpness of the softplus at the first and at the last step; None keeps ReLU.
    schedule : callable
        From the fraction of the run, 0 to 1, to the share of ``lr`` to take: ``one_cycle``, or
        ``constant`` as in the paper.
    momentum : (float, float)
        Adam's decay rates. Its averages reach back 5 and 100 steps unless told otherwise: an
        attack is short, and β keeps changing its landscape.
    epsilon : float, optional
        Bound on the change of any pixel (L∞), in units of the pixel range.
    start : Tensor, optional
        (N, C, H, W) in [0, 1], where the search begins: the images themselves if not given. What
        it must stay close to remains the images, within ``epsilon`` from the first step on.
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
    check_fits(model, images)
    check_target_maps(target_maps, images)
    if start is not None:
        check_images(start, "start")
        check_same_shape(start, images)
    check_explainer(explainer)
    lr = step_size(explainer) if lr is None else lr
    _check_settings(steps, lr, output_weight, beta, epsilon)
    network = prepare(model)
    images = images.detach()
    with torch.no_grad():
        predicted = network(images)
    check_logits(predicted)
    if classes is None:
        classes = predicted.argmax(dim=1)
    check_classes(classes, *predicted.shape)
    classes = classes.long()
    original = explainer.explain(network, images, classes)
    targets = scale_to_mean_one(target_maps.detach().to(images)).expand(len(images), -1, -1)

    search = _Search(network, images, targets, classes, original.logits, explainer, beta)
    if start is not None:
        search.begin_at(start.detach().to(images), epsilon)
    optimiser = torch.optim.Adam([search.pixels], lr=lr, betas=momentum)
    with torch.enable_grad():
        search.run(optimiser, steps, output_weight, schedule, epsilon, progress, callback)
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

    def begin_at(self, start: Tensor, epsilon: float | None) -> None:
        """Move the pixels before the first step."""
        with torch.no_grad():
            self.pixels.copy_(start)
        self._project(epsilon)

    def run(
        self,
        optimiser: torch.optim.Optimizer,
        steps: int,
        output_weight: float,
        schedule: Schedule,
        epsilon: float | None,
        progress: bool,
        callback: Callback | None,
    ) -> None:
        (group,) = optimiser.param_groups
        lr = group["lr"]
        try:
            for step in tqdm(range(steps), desc=self.explainer.name, disable=not progress):
                fraction = step / max(steps - 1, 1)
                group["lr"] = lr * schedule(fraction)
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
        finally:
            self._project(epsilon)

    def _differentiate(self, step: int, fraction: float, output_weight: float) -> AttackStep:
        """Compute the loss and leave its gradient in the pixels."""
        beta = None
        if self.beta is not None:
            start, end = self.beta
            beta = start * (end / start) ** fraction
            set_beta(self.network, beta)
        explanation = self.explainer.explain(self.network, self.pixels, self.classes)
        map_loss = metrics.mse(relevance_map(explanation.attribution), self.targets)
        output_loss = metrics.logit_change(explanation.logits, self.original_logits)
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
        lost = ~self.pixels.detach().isfinite().flatten(1).all(dim=1)
        diverged = ~self.finite | lost | (self.last_loss > 2 * self.first_loss)
        kept = torch.where(diverged.view(-1, 1, 1, 1), self.best_pixels, self.pixels.detach())
        return kept, diverged


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
        if not isinstance(beta, tuple | list) or len(beta) != 2:
            raise TypeError(f"beta must be a pair (start, end) or None, got {beta!r}")
        start, end = beta
        check_positive(beta_start=start, beta_end=end)
    if epsilon is not None:
        check_positive(epsilon=epsilon)
