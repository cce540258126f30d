"""The check for the hardest exercise of the chapter on softplus as a defence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explman_lite.checks.verdict import Verdict, judge, misfit, passed, wrong

SmoothGradient = Callable[[Callable[[Tensor], Tensor], Tensor, int, float, torch.Generator], Any]
_SAMPLES, _NOISE = 24, 0.25


@dataclass(frozen=True)
class _Call:
    """What a call returned, the points that it explained, and whether it used the generator."""

    value: Any
    points: Tensor
    drawn: bool


def fresh_smoothgrad(answer: SmoothGradient) -> Verdict:
    """Check a reader's SmoothGrad that draws its noise anew at every call.

    Parameters
    ----------
    answer : callable
        From a function that explains a batch (N, C, H, W), an image (1, C, H, W), a number of
        samples, the standard deviation of the noise and a generator to the mean (1, C, H, W) of
        the explanations of so many noisy images, differentiable in the image.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.fresh_smoothgrad(lambda explain, image, *others: explain(image))
    ✗ You explain a single picture; explain each noisy one, and average the explanations.
    """
    place = torch.get_default_device()
    drawn = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0), device="cpu")
    image = drawn.to(place).double()
    given = image.clone().requires_grad_()

    def call(generator: torch.Generator) -> _Call:
        points: list[Tensor] = []

        def explain(batch: Tensor) -> Tensor:
            if batch.shape[1:] != image.shape[1:]:
                raise ValueError(
                    f"explain takes a batch (N, 3, 8, 8) of pictures, got {tuple(batch.shape)}"
                )
            points.append(batch.detach().to(image))
            return batch**3

        before = generator.get_state()
        value = answer(explain, given, _SAMPLES, _NOISE, generator)
        seen = torch.cat(points) if points else image[:0]
        return _Call(value, seen, not torch.equal(before, generator.get_state()))

    def every() -> list[_Call] | None:
        with torch.random.fork_rng(devices=[]):  # leave the reader's random numbers alone
            generator = torch.Generator(place).manual_seed(1906)
            first = call(generator)
            if first.value is None:
                return None
            return [first, call(generator), call(torch.Generator(place).manual_seed(1906))]

    def examine(calls: list[_Call]) -> Verdict:
        value, points = calls[0].value, calls[0].points
        if isinstance(value, Tensor) and value.shape == points.shape != image.shape:
            return wrong("You return the explanation of every noisy picture; return their mean.")
        if (form := misfit(value, image.shape)) is not None:
            return form
        if (fault := _misdrawn(calls, image)) is not None:
            return fault
        if (fault := _misspread(points, image)) is not None:
            return fault
        if (fault := _misaveraged(value, points)) is not None:
            return fault
        return _judge_slope(value, points, given)

    return judge(every, examine)


def _misdrawn(calls: list[_Call], image: Tensor) -> Verdict | None:
    """Return what is wrong with where the noise comes from, if anything."""
    first, second, again = calls
    noise = first.points - image
    if len(noise) == 1:
        return wrong(
            "You explain a single picture; explain each noisy one, and average the explanations."
        )
    if len(noise) != _SAMPLES:
        return wrong(f"There should be {_SAMPLES} noisy pictures to explain, not {len(noise)}.")
    if not noise.any():
        return wrong("There is no noise on the pictures that you explain.")
    if torch.equal(noise, noise[:1].expand_as(noise)):
        return wrong("All samples have the same noise, so there is nothing to average: draw each.")
    if torch.pdist(noise.flatten(1)).min() < 1e-6:
        return wrong("Some samples have the same noise; draw it for each.")
    if torch.equal(first.points, second.points):
        return wrong(
            "Two calls draw the same noise: set no seed inside, or the attacker learns one noise "
            "by heart."
        )
    if not first.drawn:
        return wrong("The generator you were given is untouched: draw the noise from it.")
    if not torch.equal(first.points, again.points):
        return wrong(
            "Two generators in the same state give different noise; some of it comes from "
            "elsewhere."
        )
    return None


def _misspread(points: Tensor, image: Tensor) -> Verdict | None:
    """Return what is wrong with the distribution of the noise, if anything."""
    noise = points - image
    if noise.flatten(1).std(dim=1).max() < 1e-6:
        return wrong(
            "Each picture gets one number, which makes it brighter or darker; draw one for every "
            "pixel and channel."
        )
    if noise.std(dim=1).max() < 1e-6:
        return wrong("The noise is the same in all channels; draw it for each of them.")
    if points.min() >= 0 and points.max() <= 1:
        return wrong(
            "You clamp the noisy pictures to [0, 1]. Near black and white that makes the noise "
            "one-sided; leave it."
        )
    sizes = noise.flatten(1).std(dim=1)
    if sizes[-1] > 2 * sizes[0]:
        return wrong("The noise piles up from sample to sample; start from the image each time.")
    spread = noise.std().item()
    if noise.mean().abs() > 0.2 * spread:
        return wrong("Your noise is not centred: torch.randn is, torch.rand is not.")
    mistakes = {
        "You multiply by the square of `noise`, which is a standard deviation and no variance.": (
            _NOISE**2
        ),
        "You take the root of `noise`, which is a standard deviation and no variance.": (
            math.sqrt(_NOISE)
        ),
        "You forget to multiply by `noise`.": 1.0,
    }
    if not math.isclose(spread, _NOISE, rel_tol=0.1):
        for sentence, mistake in mistakes.items():
            if math.isclose(spread, mistake, rel_tol=0.1):
                return wrong(sentence)
        return wrong(f"Your noise has a standard deviation of {spread:.3g} instead of {_NOISE:g}.")
    if ((noise / spread) ** 4).mean().sub(3).abs() > 0.5:
        return wrong("The size of your noise is right, but it is not normally distributed.")
    return None


def _misaveraged(value: Tensor, points: Tensor) -> Verdict | None:
    """Return what is wrong with the mean of the explanations, if anything."""
    expected = (points**3).mean(dim=0, keepdim=True)
    found = value.detach().to(expected)
    if torch.allclose(found, expected, rtol=1e-4, atol=1e-5):
        return None
    if torch.allclose(found, _SAMPLES * expected, rtol=1e-4, atol=1e-4):
        return wrong("You add the explanations up; divide by the number of samples.")
    if torch.allclose(found, (points**3).abs().mean(dim=0, keepdim=True), atol=1e-5):
        return wrong("You average absolute values; the signs must be allowed to cancel.")
    if torch.allclose(found, points[:1] ** 3) or torch.allclose(found, points[-1:] ** 3):
        return wrong("You return the explanation of one noisy picture; return the mean of all.")
    return wrong("That is not the mean of the explanations of the noisy pictures.")


def _judge_slope(value: Tensor, points: Tensor, given: Tensor) -> Verdict:
    """Judge whether the attacker can follow the gradient."""
    cut = wrong(
        "The right mean, but no gradient reaches the image: somewhere it leaves PyTorch's graph, "
        "by .detach(), .item(), NumPy or torch.no_grad()."
    )
    if not value.requires_grad:
        return cut
    try:
        (slope,) = torch.autograd.grad(value.sum(), given, materialize_grads=True)
    except RuntimeError as error:
        return wrong(f"The right mean, but its gradient stops with: {error}")
    if not slope.any():
        return cut
    if not torch.allclose(slope, 3 * points.square().mean(dim=0, keepdim=True), rtol=1e-4):
        return wrong("The right mean, but only a part of its gradient reaches the image.")
    return passed("Right: fresh noise at every call, and a gradient to follow through it.")
