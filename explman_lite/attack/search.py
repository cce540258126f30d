"""The search for a picture with a given explanation."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from explman_lite import metrics
from explman_lite.attack.box import into_box, into_exact_box
from explman_lite.attack.loss import manipulation_loss
from explman_lite.attack.result import AttackStep
from explman_lite.attack.settings import Settings
from explman_lite.explainers.base import Explainer, names_what_has_no_gradient
from explman_lite.maps import in_single, relevance_map
from explman_lite.networks.prepare import Network
from explman_lite.networks.smoothing import (
    can_round_pooling,
    round_activations,
    round_pooling,
    set_beta,
    set_pooling,
)
from explman_lite.progress import progress_bar

Callback = Callable[[AttackStep, Tensor], None]

_FRESH = 2**40
"""Seed of the first step's noise, far from those that people choose."""


class Search:
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
                network = round_pooling(network, settings.pooling[0], in_spreads=True)
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
        self.interrupted = False

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
            with progress_bar(self.explainer.name, settings.steps, progress) as bar:
                for step in range(settings.steps):
                    fraction = step / max(settings.steps - 1, 1)
                    group["lr"] = settings.lr * settings.schedule(fraction)
                    record = self._differentiate(step, fraction)
                    self.history.append(record)
                    if callback is not None:
                        callback(record, self._valid(self.pixels.detach()))
                    optimiser.step()
                    self._project()
                    bar.update()
        except KeyboardInterrupt:
            self.interrupted = True
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
