"""The search for a picture with a given explanation."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from explman_lite import metrics
from explman_lite.attack.box import into_box, into_exact_box
from explman_lite.attack.loss import manipulation_loss
from explman_lite.attack.result import AttackStep, Manipulation
from explman_lite.attack.settings import Schedule, Settings
from explman_lite.explainers.base import (
    Explainer,
    check_explainer,
    names_what_has_no_gradient,
    ordinary,
    outside_inference_mode,
)
from explman_lite.maps import in_single, relevance_map, scale_to_mean_one
from explman_lite.networks.prepare import Network, prepare
from explman_lite.networks.smoothing import (
    can_round_pooling,
    round_activations,
    round_pooling,
    set_beta,
    set_pooling,
)
from explman_lite.validation import (
    as_classes,
    check_classes,
    check_fits,
    check_images,
    check_model,
    check_outputs,
    check_same_shape,
    check_several_logits,
    check_target_maps,
)

Callback = Callable[[AttackStep, Tensor], None]

_FRESH = 2**40
"""Seed of the first step's noise, far from those that people choose."""


def manipulate(
    model: nn.Module,
    images: Tensor,
    target_maps: Tensor,
    explainer: Explainer,
    *,
    steps: int = Settings.steps,
    lr: float = Settings.lr,
    output_weight: float = Settings.output_weight,
    beta: tuple[float, float] | None = Settings.beta,
    pooling: tuple[float, float] | None = Settings.pooling,
    growth: float = Settings.growth,
    schedule: Schedule = Settings.schedule,
    momentum: tuple[float, float] = Settings.momentum,
    epsilon: float | None = Settings.epsilon,
    fresh_noise: int | None = Settings.fresh_noise,
    start: Tensor | None = None,
    classes: Tensor | int | None = None,
    progress: bool = True,
    callback: Callback | None = None,
) -> Manipulation:
    r"""Change images so that their explanation becomes the target map.

    Adam with a one-cycle step size minimises the distance of the relevance map from its target
    plus ``output_weight`` times the change of the logits; pixels stay in [0, 1] after every step.
    ReLU is replaced by softplus meanwhile, with β growing as
    :math:`\beta_t = \beta_0 (\beta_e / \beta_0)^{(t/T)^p}`, because a ReLU network's gradient does
    not tell how to change it; so is maximum pooling, the other kink, by log-sum-exp. A map that is
    smoothed by softplus itself is searched no sharper than :math:`\beta_t`. What is returned was
    computed with the network and the explainer as given.
    Samples do not influence one another. A network in half precision is searched in float32,
    because steps and gradients would vanish otherwise, and judged in its own type.

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
        Number of optimisation steps; each costs two to three explanations.
    lr : float
        Largest step size, in units of the pixel range [0, 1].
    output_weight : float
        γ, how much a change of the output weighs; not negative.
    beta : (float, float) or None
        Sharpness of the softplus at the first and at the last step; None keeps ReLU.
    pooling : (float, float) or None
        Sharpness of the log-sum-exp at the first and at the last step, growing as β does, see
        `smoothed`; None keeps the maximum. A network that pools by none is searched as it is,
        and so are maxima that are not taken by PyTorch's ``max_pool2d``.
    growth : float
        p, see above: both grow with the fraction of the run to this power; 1 in the paper.
    schedule : callable
        From the fraction of the run, 0 to 1, to the share of ``lr`` to take: ``one_cycle``, or
        ``constant`` as in the paper.
    momentum : (float, float)
        Adam's decay rates. Its averages reach back 3 and 10 steps unless told otherwise: an
        attack is short, and β keeps changing its landscape.
    epsilon : float, optional
        Bound on the change of any pixel (L∞), in units of the pixel range; what is returned keeps
        it as computed, without any tolerance.
    fresh_noise : int, optional
        How many samples of an explainer's noise to draw anew at every step, and so to attack its
        expectation; the samples that ``explainer`` shows if not given.
    start : Tensor, optional
        (N, C, H, W) in [0, 1], where the search begins: the images themselves if not given. What
        it must stay close to remains the images, within ``epsilon`` from the first step on.
    classes : Tensor or int, optional
        (N,) the logits to explain, or that of all samples; the predicted classes if not given.
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
        If an argument is not of the form above, or the model returns a single logit, or logits
        that are not finite.

    Warns
    -----
    RuntimeWarning
        If a sample diverged; its best step is kept. If a map is zero everywhere, or the model's
        outputs look like probabilities, where logits are expected.

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
    settings = Settings(
        steps=steps,
        lr=lr,
        output_weight=output_weight,
        beta=beta,
        pooling=pooling,
        growth=growth,
        schedule=schedule,
        momentum=momentum,
        epsilon=epsilon,
        fresh_noise=fresh_noise,
    )
    with outside_inference_mode():
        network, images = prepare(model), ordinary(images.detach())
        with torch.no_grad():
            predicted = network(images)
        check_outputs(predicted)
        check_several_logits(predicted)
        if classes is None:
            classes = predicted.argmax(dim=1)
        classes = as_classes(classes, images)
        check_classes(classes, *predicted.shape)
        original = explainer.explain(network, images, classes)
        original_maps = relevance_map(original.attribution)
        _warn_of_zeros(original_maps, "original")
        targets = scale_to_mean_one(target_maps.detach().to(original_maps))
        targets = targets.expand(len(images), -1, -1)

        search = _Search(network, images, targets, classes, original.logits, explainer, settings)
        if start is not None:
            search.begin_at(start.detach())
        with torch.enable_grad():
            search.run(progress, callback)
        found, diverged = search.result()
        if diverged.any():
            warnings.warn(
                f"the attack diverged for {int(diverged.sum())} of {len(images)} samples and keeps "
                "their best step; a smaller lr may help",
                RuntimeWarning,
                stacklevel=2,
            )
        final = explainer.explain(network, found, classes)
        final_maps = relevance_map(final.attribution)
        _warn_of_zeros(final_maps, "final")
    return Manipulation(
        images=found,
        maps=final_maps,
        logits=final.logits,
        classes=classes,
        original_images=images,
        original_maps=original_maps,
        original_logits=original.logits,
        target_maps=targets,
        history=search.history,
        diverged=diverged,
        explainer=explainer,
        settings=settings,
    )


def _warn_of_zeros(maps: Tensor, which: str) -> None:
    zero = ~maps.flatten(1).any(dim=1)
    if zero.any():
        warnings.warn(
            f"the {which} map is zero everywhere for the samples "
            f"{zero.nonzero().flatten().tolist()}: the logit does not depend on the pixels there",
            RuntimeWarning,
            stacklevel=3,
        )


class _Search:
    """The optimisation of a batch: the pixels, the best of them so far, and the history.

    It works in float32 at least. What leaves it, `_valid`, is of the images' type.
    """

    def __init__(
        self,
        network: Network,
        images: Tensor,
        targets: Tensor,
        classes: Tensor,
        original_logits: Tensor,
        explainer: Explainer,
        settings: Settings,
    ) -> None:
        self.given, self.images = images, in_single(images)
        if self.images.dtype != images.dtype:
            network = copy.deepcopy(network).to(self.images.dtype)
        if settings.beta is not None and not explainer.is_smooth:
            network = round_activations(network, settings.beta[0])
        if settings.pooling is not None:
            if can_round_pooling(network):
                network = round_pooling(network, settings.pooling[0])
            else:
                settings = replace(settings, pooling=None)
        self.network = network
        self.targets, self.classes = targets, classes
        self.original_logits, self.explainer, self.settings = original_logits, explainer, settings
        self.pixels = self.images.clone().requires_grad_()
        self.best_pixels = self.images.clone()
        self.first_loss = self.last_loss = self.best_loss = torch.full_like(
            self.images[:, 0, 0, 0], math.inf
        )
        self.finite = torch.ones_like(self.best_loss, dtype=torch.bool)
        self.history: list[AttackStep] = []

    def begin_at(self, start: Tensor) -> None:
        """Move the pixels before the first step."""
        with torch.no_grad():
            self.pixels.copy_(start)
        self._project()

    def run(self, progress: bool, callback: Callback | None) -> None:
        """Take all steps, or those before Ctrl-C."""
        settings = self.settings
        optimiser = torch.optim.Adam([self.pixels], lr=settings.lr, betas=settings.momentum)
        (group,) = optimiser.param_groups
        try:
            for step in tqdm(range(settings.steps), desc=self.explainer.name, disable=not progress):
                fraction = step / max(settings.steps - 1, 1)
                group["lr"] = settings.lr * settings.schedule(fraction)
                record = self._differentiate(step, fraction)
                self.history.append(record)
                if callback is not None:
                    callback(record, self._valid(self.pixels.detach()))
                optimiser.step()
                self._project()
        except KeyboardInterrupt:
            warnings.warn(
                f"interrupted after {len(self.history)} of {settings.steps} steps",
                RuntimeWarning,
                stacklevel=3,
            )
        finally:
            self._project()

    def _differentiate(self, step: int, fraction: float) -> AttackStep:
        """Compute the loss and leave its gradient in the pixels."""
        beta, pooling = self.settings.sharpness(fraction)
        explainer = self.explainer
        if beta is not None:
            explainer = explainer.softened(beta)
            if not explainer.is_smooth:  # else the network is the user's own
                set_beta(self.network, beta)
        if pooling is not None:
            set_pooling(self.network, pooling)
        if self.settings.fresh_noise is not None:
            explainer = explainer.with_seed(_FRESH + step, self.settings.fresh_noise)
        explanation = explainer.explain(self.network, self.pixels, self.classes)
        maps, logits = relevance_map(explanation.attribution), explanation.logits
        loss = manipulation_loss(
            maps, self.targets, logits, self.original_logits, self.settings.output_weight
        )
        with names_what_has_no_gradient(self.network, self.pixels):
            (gradient,) = torch.autograd.grad(loss.sum(), self.pixels)
        self._remember(loss.detach(), gradient)
        usable = self.finite.view(-1, 1, 1, 1)
        self.pixels.grad = torch.where(usable, gradient, torch.zeros_like(gradient))
        return AttackStep(
            step,
            beta,
            pooling,
            metrics.mse(maps.detach(), self.targets),
            metrics.logit_change(logits.detach(), self.original_logits),
        )

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

    def _project(self) -> None:
        """Return to valid pixels, and to the ε-box around the original."""
        with torch.no_grad():
            self.pixels.copy_(into_box(self.pixels, self.images, self.settings.epsilon))

    def result(self) -> tuple[Tensor, Tensor]:
        """Return the pixels to keep (N, C, H, W), and which samples diverged (N,)."""
        lost = ~self.pixels.detach().isfinite().flatten(1).all(dim=1)
        diverged = ~self.finite | lost | (self.last_loss > 2 * self.first_loss)
        kept = torch.where(diverged.view(-1, 1, 1, 1), self.best_pixels, self.pixels.detach())
        return self._valid(kept), diverged

    def _valid(self, pixels: Tensor) -> Tensor:
        """Return pixels in the images' type, within ε as it computes differences."""
        return into_exact_box(pixels, self.given, self.settings.epsilon)
