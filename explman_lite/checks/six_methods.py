"""Checks for the exercises of the chapter on the six methods."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from explman_lite.checks.exercise import Exercise
from explman_lite.checks.random_numbers import normal
from explman_lite.checks.verdict import Verdict, judge, wrong
from explman_lite.explainers.averaging import IntegratedGradients
from explman_lite.explainers.gradients import Gradient, GradientTimesInput


def completeness_gap(answer: Callable[[nn.Module, Tensor, Tensor], Any]) -> Verdict:
    """Check a reader's answer to: how much of the logit does gradient × input not explain?

    Parameters
    ----------
    answer : callable
        From a model, images (N, C, H, W) and classes (N,) to the gap (N,): the logit of the class
        minus the sum of its gradient × input.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.completeness_gap(lambda model, images, classes: model(images).amax(dim=1))
    ✗ That is not the logit minus the sum of gradient × input over channels, height and width.
    """
    model, images = _network_with_biases(), normal(3, 1, 3, 3).sigmoid()
    logits = model(images)
    classes = logits.argmin(dim=1)
    of_class = partial(torch.gather, dim=1, index=classes.unsqueeze(1))
    logit, probability = (of_class(part).squeeze(1) for part in (logits, logits.softmax(dim=1)))
    attribution, of_favourite = (
        GradientTimesInput()(model, images, label) for label in (classes, logits.argmax(dim=1))
    )
    total = attribution.sum(dim=(1, 2, 3))
    exercise = Exercise(
        right=logit - total,
        praise="Right: this is what the biases contribute, sample by sample.",
        mistakes={
            "The sign is the wrong way round: the logit minus the sum.": total - logit,
            "You start from the probability; gradient × input explains the logit.": (
                probability - total
            ),
            "You add up absolute values; contributions against the class must count as "
            "negative.": logit - attribution.abs().sum(dim=(1, 2, 3)),
            "You explain the predicted class; explain the one that is given in `classes`.": (
                logits.amax(dim=1) - of_favourite.sum(dim=(1, 2, 3))
            ),
            "You add up the gradient alone; multiply it by the images first.": (
                logit - Gradient()(model, images, classes).sum(dim=(1, 2, 3))
            ),
        },
        otherwise="That is not the logit minus the sum of gradient × input over channels, height "
        "and width.",
        same=_close,
    )
    return exercise(answer, model, images, classes)


def positive_shares(answer: Callable[[Tensor, Tensor, Tensor], Any]) -> Verdict:
    """Check a reader's z⁺ rule for a dense layer whose inputs have either sign.

    Parameters
    ----------
    answer : callable
        From inputs (N, I), a weight (J, I) and the relevance of the outputs (N, J) to that of the
        inputs (N, I): each output shares among the inputs in proportion to the positive x·w.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.positive_shares(lambda x, w, relevance: relevance @ w)
    ✗ These are not the shares of the positive contributions x·w.
    """
    numbers = normal(3, 5 + 4)
    inputs, relevance, weight = numbers[:, :5], numbers[:, 5:].abs(), normal(4, 5)
    products = inputs.unsqueeze(1) * weight
    above = products.clamp(min=0)

    def shared(parts: Tensor, over: int = 2) -> Tensor:
        return (parts / parts.sum(dim=over, keepdim=True) * relevance.unsqueeze(2)).sum(dim=1)

    exercise = Exercise(
        right=shared(above),
        praise="Right: only what speaks for an output is paid, and all of it is.",
        mistakes={
            "You clamp the weight; an input's sign counts as well. Clamp the product.": (
                shared(inputs.unsqueeze(1) * weight.clamp(min=0))
            ),
            "You let negative contributions take part; clamp x·w at zero first.": shared(products),
            "You share by magnitude; negative contributions get nothing.": shared(products.abs()),
            "You divide by a sum over the outputs; sum over the inputs.": shared(above, over=1),
            "You do not divide by the sum of the contributions, so nothing is conserved.": (
                (above * relevance.unsqueeze(2)).sum(dim=1)
            ),
        },
        otherwise="These are not the shares of the positive contributions x·w.",
        same=_close,
    )

    def examine(found: tuple[Any, Any]) -> Verdict:
        value, of_silence = found
        verdict = exercise.examine(value)
        if verdict and not isinstance(of_silence, Tensor):
            return exercise.examine(of_silence)
        if verdict and not _close(of_silence.detach().to(inputs), torch.zeros_like(inputs)):
            return wrong("An output that nothing speaks for gives 0/0; let it hand down nothing.")
        return verdict

    def twice() -> tuple[Any, Any] | None:
        value = answer(inputs.clone(), weight.clone(), relevance.clone())
        if value is None:
            return None
        return value, answer(inputs.abs(), -weight.abs(), relevance.clone())

    return judge(twice, examine)


def from_baseline(answer: Callable[[nn.Module, Tensor, Tensor, Tensor, int], Any]) -> Verdict:
    """Check a reader's Integrated Gradients with a baseline of one's own.

    Parameters
    ----------
    answer : callable
        From a model, images (N, C, H, W), classes (N,), a baseline in the shape of the images and
        a number of steps to the attribution (N, C, H, W), by the middles of equal parts.

    Examples
    --------
    >>> import explman_lite as el
    >>> answer = lambda m, x, c, b, n: x * el.Gradient()(m, x, c)
    >>> el.checks.from_baseline(answer)
    ✗ That is not the mean gradient on the way, times images minus baseline.
    """
    model, steps = _network_with_biases(), 4
    images, baseline = normal(2, 3, 1, 3, 3).mul(3).sigmoid()
    classes = model(images).argmin(dim=1)
    way = images - baseline

    def gradient(share: float) -> Tensor:
        return Gradient()(model, baseline + share * way, classes)

    starts, middles, ends = (
        sum(gradient((k + shift) / steps) for k in range(steps)) / steps for shift in (0, 0.5, 1)
    )
    exercise = Exercise(
        right=way * middles,
        praise="Right: the gradient averaged on the way from the baseline, times the way.",
        mistakes={
            "You start from black; start from the baseline that is given.": (
                IntegratedGradients(steps)(model, images, classes)
            ),
            "You multiply by the images; multiply by images minus baseline.": images * middles,
            "You walk the wrong way: multiply by images minus baseline.": -way * middles,
            "You add up all gradients; divide by the number of steps.": way * middles * steps,
            "You take the gradient at the end of each part; take the middle.": way * ends,
            "You take the gradient at the start of each part; take the middle.": way * starts,
            "You look at the image alone; average on the way.": way * gradient(1),
        },
        otherwise="That is not the mean gradient on the way, times images minus baseline.",
        same=_close,
    )
    return exercise(answer, model, images, classes, baseline, steps)


def _network_with_biases() -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # leave the reader's random numbers alone
        model = nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    for parameter in model.parameters():
        parameter.data = normal(*parameter.shape)
    return model.requires_grad_(False)


def _close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
