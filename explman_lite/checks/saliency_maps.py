"""Checks for the exercises of the chapter on saliency maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import eq
from typing import Any

import torch
from torch import Tensor, nn

from explman_lite.checks.exercise import Exercise
from explman_lite.checks.random_numbers import normal
from explman_lite.checks.verdict import Verdict, judge, wrong
from explman_lite.explainers.averaging import IntegratedGradients
from explman_lite.explainers.gradients import Gradient, GradientTimesInput
from explman_lite.maps import scale_to_mean_one


def relevance_map(answer: Callable[[Tensor], Any]) -> Verdict:
    """Check a reader's relevance map.

    Parameters
    ----------
    answer : callable
        From an attribution (N, C, H, W) to a map (N, H, W), not negative, mean 1 per sample.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.relevance_map(lambda attribution: attribution.sum(dim=1))
    ✗ There are negative values: take the absolute value before the sum over the channels.
    """
    given = _attribution()
    sums = given.abs().sum(dim=1)
    exercise = _scaled_maps(
        sums,
        "Right: not negative, one map per sample, and each has mean 1.",
        {
            "There are negative values: take the absolute value before the sum over the "
            "channels.": lambda found: (found < 0).any(),
            "You take the absolute value after the sum; by then red has cancelled green.": (
                lambda found: _proportional(found, given.sum(dim=1).abs())
            ),
        },
        "The values are not the sum of the absolute values over the channels (dimension 1).",
    )
    return exercise(answer, given)


def signed_map(answer: Callable[[Tensor], Any]) -> Verdict:
    """Check a reader's map that keeps the sign.

    Parameters
    ----------
    answer : callable
        From an attribution (N, C, H, W) to a map (N, H, W): the sum over the channels, with its
        sign, scaled so that the absolute value has mean 1 per sample.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.signed_map(el.relevance_map)
    ✗ Nothing is negative: the sign, which is the point of this map, is lost.
    """
    given = _attribution()
    sums = given.sum(dim=1)
    exercise = _scaled_maps(
        sums,
        "Right: the sign is kept, and the absolute value of each map has mean 1.",
        {
            "Nothing is negative: the sign, which is the point of this map, is lost.": (
                lambda found: (found >= 0).all()
            ),
            "You divide by the mean of the signed values. It may be close to zero or negative, and "
            "then the map explodes or swaps its colours: divide by the mean of the absolute "
            "values.": lambda found: (found.mean(dim=(1, 2)) - 1).abs().max() <= 1e-4,
        },
        "The values are not the sum over the channels (dimension 1).",
    )
    return exercise(answer, given)


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


def depends_on_neighbours(answer: Callable[[Callable[[Tensor], Tensor]], Any]) -> Verdict:
    """Check a reader's test for the batch trap.

    Parameters
    ----------
    answer : callable
        Takes a function that scales maps (N, H, W) and says whether what it makes of a map
        depends on the other maps of the batch.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.depends_on_neighbours(lambda scale: True)
    ✗ Your test accuses a function that scales each map by its own mean.
    """
    innocent: Callable[[Tensor], Tensor] = scale_to_mean_one
    suspects = {
        "Your test accuses a function that scales each map by its own mean.": innocent,
        "Your test lets through a function that divides by the mean of the whole batch. One map, "
        "equal maps or maps of about equal mean cannot reveal it: take maps of clearly different "
        "mean.": lambda maps: maps / maps.mean(),
        "Your test lets through a function that divides every map by the mean of the first. The "
        "first map gets its due, so compare the others too.": lambda maps: maps / maps[0].mean(),
    }
    praise = "Right: your test accuses both guilty functions and spares the innocent one."
    for sentence, scale in suspects.items():
        exercise = Exercise(scale is not innocent, praise, {}, otherwise=sentence, same=eq)
        if not (verdict := judge(partial(_said, answer, scale), exercise.compare)):
            return verdict
    return verdict


def _said(answer: Callable[[Callable[[Tensor], Tensor]], Any], scale: Any) -> bool | None:
    said = answer(scale)
    return None if said is None else bool(said)


def _attribution() -> Tensor:
    """Make an attribution (3, 3, 5, 4) whose samples differ in size by a factor of ten."""
    return normal(3, 3, 5, 4) * torch.tensor([1.0, 10.0, 0.1]).view(3, 1, 1, 1)


def _scaled_maps(sums: Tensor, praise: str, mistakes: dict[str, Any], other: str) -> Exercise:
    """Expect maps whose values have these proportions, and which have mean size 1."""
    scales = {
        other: lambda found: not _proportional(found, sums),
        "You divide by the mean of the whole batch, so that a sample's map depends on its "
        "neighbours: take the mean over height and width only, with keepdim=True.": (
            lambda found: _one(_size(found).mean())
        ),
        "Your maps sum to 1, as the paper's do; here each has mean 1.": (
            lambda found: _one(found.abs().sum(dim=(1, 2)))
        ),
        "You divide by the largest value; divide by the mean.": (
            lambda found: _one(found.abs().amax(dim=(1, 2)))
        ),
    }
    return Exercise(
        right=sums,
        praise=praise,
        mistakes=mistakes | scales,
        otherwise=lambda found: (
            "The scale is not right yet: the mean size of each map is "
            f"{', '.join(f'{size:.3g}' for size in _size(found).flatten().tolist())} instead of 1."
        ),
        same=lambda found, sums: _proportional(found, sums) and _one(_size(found)),
    )


def _size(maps: Tensor) -> Tensor:
    return maps.abs().mean(dim=(1, 2), keepdim=True)


def _proportional(found: Tensor, expected: Tensor) -> bool:
    """Whether each found map (N, H, W) is a positive multiple of the expected one."""
    return _close(found / _size(found), expected / _size(expected))


def _close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def _one(values: Tensor) -> bool:
    return _close(values, torch.ones_like(values))


def _network_with_biases() -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # leave the reader's random numbers alone
        model = nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    for parameter in model.parameters():
        parameter.data = normal(*parameter.shape)
    return model.requires_grad_(False)
