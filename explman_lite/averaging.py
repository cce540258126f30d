"""Explainers that look at more than one point, and the one that does so in a single pass.

Integrated Gradients averages over a path, SmoothGrad over noise; by Theorem 2 of the paper the
softplus network averages over noise as well, for the price of one explanation.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from explman_lite.explainers import Explainer, Explanation, Gradient, check_explainer
from explman_lite.models import Network
from explman_lite.smoothing import smoothed
from explman_lite.validation import check_classes, check_count, check_logits, check_positive

PIXELS_KEPT = 32 * 224**2
"""Up to so many pixels, in all points and samples, the graphs of a differentiable map are kept."""
PIXELS_PER_PASS = 2 * 224**2
"""How many pixels go through the network at once on a CPU, where more gain nothing and buffers
beyond some 30 MB are slow to allocate; a GPU takes as many as are kept."""


class _Recomputed(torch.autograd.Function):
    """Evaluate without a graph, and build it anew when the gradient is asked for.

    The graphs of many points at once would fill the memory. This keeps none, at the price of
    computing each chunk twice.
    """

    @staticmethod
    def forward(ctx: Any, points: Tensor, explain: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(points)
        ctx.explain = explain
        return explain(points.detach())

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (points,) = ctx.saved_tensors
        with torch.enable_grad():
            again = points.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(ctx.explain(again), again, grad_outputs[0])
        return gradient, None


class Averaged(Explainer):
    """What the averaging explainers share: another explainer, and the points to average over.

    The graphs of up to 32 points of 224 × 224 pixels are kept, so that an attack step costs two
    explanations. With more, graphs are built pass by pass when the gradient needs them: memory
    stays bounded and a step costs three.
    """

    def __init__(self, explainer: Explainer, count: int, name: str) -> None:
        check_explainer(explainer)
        check_count(**{name: count})
        self.explainer, self.count = explainer, count

    @abstractmethod
    def points(self, images: Tensor, start: int, stop: int) -> Tensor:
        """Return the points ``start`` to ``stop`` of each image: (points · N, C, H, W)."""

    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Average the inner explanation; the logits are those of the images themselves."""
        logits = model(images)
        check_logits(logits)
        check_classes(classes, *logits.shape)
        return Explanation(self.mean(model, images, classes), logits)

    def mean(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """Average the inner attribution over all points."""
        pixels = len(images) * images[0, 0].numel()
        per_pass = PIXELS_PER_PASS if images.device.type == "cpu" else PIXELS_KEPT
        at_once = max(per_pass // pixels, 1)
        differentiable = images.requires_grad and torch.is_grad_enabled()
        bounded = differentiable and self.count * pixels > PIXELS_KEPT
        total = torch.zeros_like(images)
        for start in range(0, self.count, at_once):
            stop = min(start + at_once, self.count)
            points, repeated = self.points(images, start, stop), classes.repeat(stop - start)

            def explain(points: Tensor, classes: Tensor = repeated) -> Tensor:
                return self.explainer.explain(model, points, classes).attribution

            found = _Recomputed.apply(points, explain) if bounded else explain(points)
            total = total + found.view(stop - start, *images.shape).sum(dim=0)
        return total / self.count


class IntegratedGradients(Averaged):
    r"""The gradient averaged on the way from black to the picture, times the pixel.

    .. math:: h(x) = x \odot \int_0^1 \nabla_x\, g_c(\alpha x)\, d\alpha

    The integral is a sum over the middles of ``steps`` equal parts. The attributions add up to
    :math:`g_c(x) - g_c(0)`, as nearly as the sum is the integral.

    Parameters
    ----------
    steps : int
        Number of points on the way.

    Raises
    ------
    ValueError
        If ``steps`` is no positive integer.

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

    def __init__(self, steps: int = 30) -> None:
        super().__init__(Gradient(), steps, "steps")

    def points(self, images: Tensor, start: int, stop: int) -> Tensor:
        """Darken the images to the middles of the parts."""
        numbers = torch.arange(start, stop, dtype=images.dtype, device=images.device)
        middles = (numbers + 0.5) / self.count
        return (middles.view(-1, 1, 1, 1, 1) * images).flatten(0, 1)

    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Average the gradient on the way, and weight it by the pixels."""
        mean, logits = super().explain(model, images, classes)
        return Explanation(images * mean, logits)


@lru_cache(maxsize=1)
def _unit_noise(distribution: str, seed: int, shape: tuple[int, ...]) -> Tensor:
    """Draw noise of standard deviation 1; the passes of one explanation share it."""
    generator = torch.Generator().manual_seed(seed)
    if distribution == "gaussian":
        return torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu")
    return uniform.clamp(min=1e-15).logit() * math.sqrt(3) / math.pi


class SmoothGrad(Averaged):
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
    explainer : Explainer, optional
        What is averaged; the gradient if not given.
    distribution : {"gaussian", "logistic"}
        The logistic distribution is that of Theorem 2: a unit with weights w that sees the pixels
        is smoothed by :math:`\beta = \pi / (\sqrt 3\, \mathrm{noise}\, \lVert w \rVert)`.
    seed : int
        Of the noise.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not of this form.

    References
    ----------
    Smilkov et al. (2017), "SmoothGrad: removing noise by adding noise"; Dombrowski et al.
    (2019), Theorem 2.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)).eval()
    >>> el.SmoothGrad(samples=5)(model, torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).shape
    torch.Size([2, 1, 2, 2])
    """

    def __init__(
        self,
        samples: int = 10,
        noise: float = 0.05,
        *,
        explainer: Explainer | None = None,
        distribution: Literal["gaussian", "logistic"] = "gaussian",
        seed: int = 0,
    ) -> None:
        super().__init__(Gradient() if explainer is None else explainer, samples, "samples")
        check_positive(noise=noise)
        if distribution not in {"gaussian", "logistic"}:
            raise ValueError(f"distribution must be 'gaussian' or 'logistic', got {distribution!r}")
        self.noise, self.distribution, self.seed = noise, distribution, seed

    @property
    def name(self) -> str:
        """The method's name, with what is averaged."""
        return f"SmoothGrad({self.explainer.name})"

    def points(self, images: Tensor, start: int, stop: int) -> Tensor:
        """Add the noise of the samples ``start`` to ``stop``."""
        shape = (self.count, 1, *images.shape[1:])
        unit = _unit_noise(self.distribution, self.seed, shape)
        return (images - self.noise * unit[start:stop].to(images)).flatten(0, 1)


class BetaSmoothing(Explainer):
    r"""Any explanation, of the network with every ReLU replaced by softplus.

    The attribution is that of the smoothed network, the output stays that of the network itself.

    Parameters
    ----------
    explainer : Explainer
        What explains the smoothed network.
    beta : float
        Sharpness of the softplus; the smaller, the smoother the map.

    Raises
    ------
    TypeError, ValueError
        If ``explainer`` is none, or ``beta`` is not positive.

    References
    ----------
    Dombrowski et al. (2019), section 4.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> model, photo = el.load_model(), el.load_photo("chelsea", 64)
    >>> smooth = el.BetaSmoothing(el.Gradient(), beta=5.0)
    >>> smooth(model, photo, torch.tensor([285])).shape
    torch.Size([1, 3, 64, 64])
    """

    def __init__(self, explainer: Explainer, beta: float) -> None:
        check_explainer(explainer)
        check_positive(beta=beta)
        self.explainer, self.beta = explainer, beta
        self._networks: WeakKeyDictionary[nn.Module, Network] = WeakKeyDictionary()

    @property
    def name(self) -> str:
        """The method's name, with what is smoothed and β."""
        return f"BetaSmoothing({self.explainer.name}, β = {self.beta:g})"

    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Explain the smoothed network in place of ``model``."""
        network = self._networks.get(model) or smoothed(model, self.beta)
        if isinstance(model, Network):  # any other was copied in part, and may change
            self._networks[model] = network
        explanation = self.explainer.explain(network, images, classes)
        return Explanation(explanation.attribution, model(images))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the networks, which hang on weak references that cannot be pickled."""
        return self.__dict__ | {"_networks": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start without networks."""
        self.__dict__.update(state, _networks=WeakKeyDictionary())
