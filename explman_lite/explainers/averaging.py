"""Explainers that look at more than one point: along a path, or in noise."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from explman_lite.explainers.base import (
    Explainer,
    Explanation,
    Wrapper,
    check_explainer,
    is_differentiated,
    names_what_has_no_gradient,
    run,
)
from explman_lite.explainers.baseline import Baseline, baseline_of, settled
from explman_lite.explainers.gradients import Gradient
from explman_lite.validation import (
    check_choice,
    check_classes,
    check_count,
    check_logits,
    check_positive,
    is_integer,
    plain_numbers,
)

PIXELS_KEPT = 32 * 224**2
"""Up to so many pixels, in all points and samples, the graphs of a differentiable map are kept."""
PIXELS_PER_PASS = 2 * 224**2
"""How many pixels go through the network at once on a CPU, where more gain nothing and buffers
beyond some 30 MB are slow to allocate; a GPU takes as many as are kept."""


class _Recomputed(torch.autograd.Function):
    """Evaluate without a graph, and build it anew when the gradient is asked for.

    The graphs of many points at once would fill the memory. This keeps none, at the price of
    computing each chunk twice. The weights are those that ``explain`` depends on.
    """

    @staticmethod
    def forward(
        ctx: Any, explain: Callable[[Tensor], Tensor], points: Tensor, *weights: Tensor
    ) -> Tensor:
        ctx.save_for_backward(points, *weights)
        ctx.explain = explain
        return explain(points.detach()).detach()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        points, *weights = ctx.saved_tensors
        with torch.enable_grad():
            again = points.detach().requires_grad_()
            found = torch.autograd.grad(
                ctx.explain(again), [again, *weights], grad_outputs[0], materialize_grads=True
            )
        return None, *found


class Averaged(Explainer):
    """What the averaging explainers share: another explainer, and the points to average over.

    The graphs of up to 32 points of 224 × 224 pixels are kept, so that an attack step costs two
    explanations. With more, graphs are built pass by pass when the gradient needs them: memory
    stays bounded and a step costs three.
    """

    @property
    @abstractmethod
    def inner(self) -> Explainer:
        """What is averaged."""

    @property
    @abstractmethod
    def count(self) -> int:
        """Over how many points."""

    @abstractmethod
    def points(self, images: Tensor, start: int, stop: int) -> Tensor:
        """Return the points ``start`` to ``stop`` of each image: (points · N, C, H, W)."""

    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Average the inner explanation; the logits are those of the images themselves."""
        with names_what_has_no_gradient(model, images):
            logits = run(model, images)
        check_logits(logits)
        check_classes(classes, *logits.shape)
        return Explanation(self.mean(model, images, classes), logits)

    def mean(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """Average the inner attribution over all points."""
        pixels = len(images) * images[0, 0].numel()
        per_pass = PIXELS_PER_PASS if images.device.type == "cpu" else PIXELS_KEPT
        at_once = max(per_pass // pixels, 1)
        bounded = is_differentiated(model, images) and self.count * pixels > PIXELS_KEPT
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        # Half precision would lose the smaller half of the samples.
        total = torch.zeros_like(images, dtype=torch.promote_types(images.dtype, torch.float32))
        for start in range(0, self.count, at_once):
            stop = min(start + at_once, self.count)
            points, repeated = self.points(images, start, stop), classes.repeat(stop - start)

            def explain(points: Tensor, classes: Tensor = repeated) -> Tensor:
                return self.inner.attribute(model, points, classes).attribution

            found = _Recomputed.apply(explain, points, *weights) if bounded else explain(points)
            total = total + found.view(stop - start, *images.shape).sum(dim=0, dtype=total.dtype)
        return (total / self.count).to(images.dtype)


@dataclass(frozen=True)
class IntegratedGradients(Averaged):
    r"""The gradient averaged on the way from a baseline to the picture, times the difference.

    .. math:: h(x) = (x - x') \odot \int_0^1 \nabla_x\, g_c(x' + \alpha (x - x'))\, d\alpha

    The integral is a sum over the middles of ``steps`` equal parts. The attributions add up to
    :math:`g_c(x) - g_c(x')`, as nearly as the sum is the integral. The baseline x' is black unless
    another one is asked for; that of the paper's code is the mean colour of ImageNet,
    ``baseline=(0.485, 0.456, 0.406)``, the zero of normalised pixels.

    Parameters
    ----------
    steps : int
        Number of points on the way.
    baseline : float, sequence of float, or Tensor
        x', in [0, 1]: a value for all pixels, a colour with a value for each channel, or a picture
        (C, H, W) or (1, C, H, W).

    Raises
    ------
    TypeError, ValueError
        If a parameter is not of this form; on a call, if the baseline does not fit the images.

    References
    ----------
    Sundararajan et al. (2017), "Axiomatic attribution for deep networks".

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)).eval()
    >>> images, classes = torch.rand(1, 1, 2, 2), torch.tensor([1])
    >>> attribution = el.IntegratedGradients(steps=5)(model, images, classes)
    >>> gain = model(images)[0, 1] - model(0 * images)[0, 1]
    >>> torch.allclose(attribution.sum(), gain, atol=1e-6)
    True
    """

    steps: int = 30
    baseline: Baseline = 0.0

    def __post_init__(self) -> None:
        """Refuse parameters that are not of the form above."""
        plain_numbers(self)
        check_count(steps=self.steps)
        object.__setattr__(self, "baseline", settled(self.baseline))

    @property
    def inner(self) -> Explainer:
        """The gradient."""
        return Gradient()

    @property
    def count(self) -> int:
        """The number of points on the way."""
        return self.steps

    def points(self, images: Tensor, start: int, stop: int) -> Tensor:
        """Mix images and baseline at the middles of the parts."""
        numbers = torch.arange(start, stop, dtype=images.dtype, device=images.device)
        middles = (numbers + 0.5) / self.count
        baseline = baseline_of(self.baseline, images)
        return (baseline + middles.view(-1, 1, 1, 1, 1) * (images - baseline)).flatten(0, 1)

    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Average the gradient on the way, and weight it by the length of the way."""
        mean, logits = super().explain(model, images, classes)
        return Explanation((images - baseline_of(self.baseline, images)) * mean, logits)


@lru_cache(maxsize=1)
def _unit_noise(distribution: str, seed: int, shape: tuple[int, ...]) -> Tensor:
    """Draw noise of standard deviation 1; the passes of one explanation share it."""
    generator = torch.Generator().manual_seed(seed)
    if distribution == "gaussian":
        return torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu")
    if distribution == "uniform":
        return (2 * uniform - 1) * math.sqrt(3)
    return uniform.clamp(min=1e-15).logit() * math.sqrt(3) / math.pi


@dataclass(frozen=True)
class SmoothGrad(Wrapper, Averaged):
    r"""Any explanation, averaged over pictures with noise.

    .. math:: h(x) = \frac{1}{n} \sum_{k=1}^n h_{inner}(x - \epsilon_k)

    The noise is drawn anew from the same seed at every call, and is the same for each sample of
    a batch, so that equal calls give equal maps.

    Parameters
    ----------
    samples : int
        Number of noisy pictures.
    noise : float
        Standard deviation of the noise, in units of the pixel range [0, 1].
    explainer : Explainer
        What is averaged.
    distribution : {"gaussian", "uniform", "logistic"}
        Uniform noise reaches :math:`\sqrt 3` times its standard deviation to either side. The
        logistic distribution is that of Theorem 2: a unit with weights w that sees the pixels is
        smoothed by :math:`\beta = \pi / (\sqrt 3\, \mathrm{noise}\, \lVert w \rVert)`.
    seed : int
        Of the noise.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not of this form.

    References
    ----------
    Smilkov et al. (2017), "SmoothGrad: removing noise by adding noise"; Dombrowski et al.
    (2019), Theorem 2; Wang et al. (2020), "Smoothed geometry for robust attribution", for uniform
    noise.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)).eval()
    >>> el.SmoothGrad(samples=5)(model, torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).shape
    torch.Size([2, 1, 2, 2])
    """

    samples: int = 10
    noise: float = 0.05
    _: KW_ONLY
    explainer: Explainer = Gradient()
    distribution: Literal["gaussian", "uniform", "logistic"] = "gaussian"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse parameters that are not of the form above."""
        plain_numbers(self)
        check_explainer(self.explainer)
        check_count(samples=self.samples)
        check_positive(noise=self.noise)
        if not is_integer(self.seed):
            raise TypeError(f"seed must be an integer, got {self.seed!r}")
        check_choice("distribution", self.distribution, {"gaussian", "uniform", "logistic"})

    @property
    def name(self) -> str:
        """The method's name, with what is averaged."""
        return f"SmoothGrad({self.explainer.name})"

    @property
    def inner(self) -> Explainer:
        """What is averaged."""
        return self.explainer

    @property
    def count(self) -> int:
        """The number of noisy pictures."""
        return self.samples

    def with_seed(self, seed: int, samples: int | None = None) -> SmoothGrad:
        """Return the same average over other noise, of so many samples if given."""
        return replace(
            self,
            samples=self.samples if samples is None else samples,
            seed=seed,
            explainer=self.explainer.with_seed(seed, samples),
        )

    def softened(self, beta: float) -> SmoothGrad:
        """Return the same average of the inner explainer, no sharper than ``beta``."""
        return replace(self, explainer=self.explainer.softened(beta))

    def points(self, images: Tensor, start: int, stop: int) -> Tensor:
        """Add the noise of the samples ``start`` to ``stop``."""
        shape = (self.count, 1, *images.shape[1:])
        unit = _unit_noise(self.distribution, self.seed, shape)
        return (images - self.noise * unit[start:stop].to(images)).flatten(0, 1)
