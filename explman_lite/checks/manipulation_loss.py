"""Checks for the exercises of the chapter on the manipulation loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from explman_lite import metrics
from explman_lite.checks.exercise import Exercise
from explman_lite.checks.random_numbers import normal
from explman_lite.checks.verdict import Verdict, judge, misfit, passed, wrong
from explman_lite.maps import relevance_map, scale_to_mean_one


def loss_per_sample(answer: Callable[[Tensor, Tensor, Tensor, Tensor, float], Any]) -> Verdict:
    """Check a reader's loss of the attack for a batch.

    Parameters
    ----------
    answer : callable
        From attributions (N, C, H, W), target maps (N, H, W) of mean 1, logits (N, K), original
        logits (N, K) and γ to the loss of each sample (N,).

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.loss_per_sample(lambda attributions, *others: attributions.mean())
    ✗ You return one number for the whole batch; return one for each sample, shape (3,).
    """
    attributions = normal(3, 3, 5, 4) * torch.tensor([1.0, 10.0, 0.1]).view(3, 1, 1, 1)
    targets = scale_to_mean_one(normal(3, 5, 4).abs())
    logits, original = normal(2, 3, 6)
    weight = 7.0
    maps, size = relevance_map(attributions), attributions.abs().sum(dim=1)
    map_term, squares = metrics.mse(maps, targets), metrics.mse(logits, original)
    variance = original.var(dim=1, correction=0)
    output_term = squares / variance
    pixels, outputs = maps[0].numel(), logits.shape[1]
    exercise = Exercise(
        right=map_term + weight * output_term,
        praise="Right: one loss per sample, and none knows of its neighbours.",
        mistakes={
            "You scale the maps by the mean of the whole batch, so that a sample's loss depends on "
            "its neighbours: el.relevance_map scales each by its own.": (
                metrics.mse(size / size.mean(), targets) + weight * output_term
            ),
            "You compare the attribution summed over channels, not yet scaled; the target has "
            "mean 1, so the map must have it too.": metrics.mse(size, targets)
            + weight * output_term,
            "γ is missing: the output term must be multiplied by it.": map_term + output_term,
            "γ weighs the wrong term: it belongs to the output.": weight * map_term + output_term,
            "The output term is missing, so that nothing keeps the class.": map_term,
            "You add up over the pixels; take the mean, or the loss will depend on the "
            "resolution.": pixels * map_term + weight * output_term,
            "You add up over pixels and logits; take the means, or the loss will depend on their "
            "number.": pixels * map_term + weight * outputs * output_term,
            "You add up over the logits; take the mean.": map_term + weight * outputs * output_term,
            "You take roots; the loss is the sum of the mean squared errors.": (
                map_term.sqrt() + weight * squares.sqrt() / variance
            ),
            "You compare probabilities; compare the logits.": map_term
            + weight * metrics.mse(logits.softmax(dim=1), original.softmax(dim=1)) / variance,
            "Divide the output term by the variance of each sample's original logits, or γ will "
            "mean something else for every network.": map_term + weight * squares,
            "Your variance divides by K - 1; for a mean over the logits take .var(dim=1, "
            "correction=0).": map_term + weight * squares / original.var(dim=1),
            "You divide by the variance of the whole batch; take each sample's own, dim=1.": (
                map_term + weight * squares / original.var(correction=0)
            ),
        },
        otherwise="That is not the mean squared error of the maps plus γ times the mean squared "
        "error of the logits over their variance.",
        same=partial(torch.allclose, rtol=1e-4),
    )

    def examine(value: Any) -> Verdict:
        if isinstance(value, Tensor) and value.ndim == 0:
            return wrong(
                "You return one number for the whole batch; return one for each sample, "
                f"shape {tuple(map_term.shape)}."
            )
        if misfit(value, map_term.shape) is None and not value.requires_grad:
            return wrong(
                "Your loss cannot be differentiated with respect to the pixels: somewhere it "
                "leaves PyTorch's graph, by .detach(), .item(), NumPy or torch.no_grad()."
            )
        return exercise.examine(value)

    attributions.requires_grad_()
    return judge(lambda: answer(attributions, targets, logits, original, weight), examine)


def beta_schedule(answer: Callable[[float, float, int], Any]) -> Verdict:
    """Check a reader's schedule for the sharpness of the softplus.

    Parameters
    ----------
    answer : callable
        From the first β, the last β and the number of steps to all β, in the order of the steps.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.beta_schedule(lambda start, end, steps: torch.linspace(start, end, steps))
    ✗ Your β grows by equal differences; let it grow by equal factors.
    """
    for given in ((10.0, 100.0, 7), (300.0, 30.0, 4)):
        if not (verdict := judge(partial(answer, *given), partial(_examine_schedule, *given))):
            return verdict
    single = 10.0, 100.0, 1
    verdict = judge(partial(answer, *single), partial(_examine_schedule, *single))
    if verdict.status == "wrong":
        return wrong(f"With a single step, where only the first β fits: {verdict.sentence}")
    return verdict


def _examine_schedule(start: float, end: float, steps: int, value: Any) -> Verdict:
    try:
        found = torch.as_tensor(value, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        return wrong(
            f"Return a list or tensor of numbers; yours is of type {type(value).__name__}."
        )
    way, ratio = torch.arange(steps, dtype=torch.float64), end / start
    fraction = way / max(steps - 1, 1)
    exercise = Exercise(
        right=start * ratio**fraction,
        praise="Right: equal factors from the first β to the last, and both ends are hit.",
        mistakes={
            "You stop one step short of the end: t runs from 0 to steps - 1, so divide by "
            "steps - 1.": start * ratio ** (way / steps),
            "You start one step late: the first β must be the first of the schedule.": (
                start * ratio ** ((way + 1) / steps)
            ),
            "Your β grows by equal differences; let it grow by equal factors.": (
                start + (end - start) * fraction
            ),
            "You go from the last β to the first; turn it round.": end / ratio**fraction,
        },
        otherwise=lambda found: (
            f"From {start:g} to {end:g} in {steps} steps, yours begins with {found[0]:.4g} and "
            f"ends with {found[-1]:.4g}, or its factors are not equal."
        ),
        same=partial(torch.allclose, rtol=1e-4),
    )
    return exercise.examine(found)


def project(answer: Callable[[Tensor, Tensor, float], Any]) -> Verdict:
    """Check a reader's way back to valid images near the original ones.

    Parameters
    ----------
    answer : callable
        From pixels (N, C, H, W), originals (N, C, H, W) and ε to the nearest pixels that lie in
        [0, 1] and within ε of the originals.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.project(lambda pixels, originals, epsilon: pixels.clamp(0, 1))
    ✗ Your pixels are valid, but they may be farther than ε from the originals.
    """
    originals, epsilon = (0.5 + 0.4 * normal(3, 3, 4, 4)).clamp(0, 1), 0.2
    pixels = originals + 0.3 * normal(3, 3, 4, 4).flip(0)
    near = pixels.clamp(originals - epsilon, originals + epsilon)
    nearest = near.clamp(0, 1)
    exercise = Exercise(
        right=nearest,
        praise="Right: every sample is valid and within ε of its original.",
        mistakes={
            "Only the first sample of the batch is brought back; the others stay where they "
            "were.": torch.cat([nearest[:1], pixels[1:]]),
            "Your pixels are valid, but they may be farther than ε from the originals.": (
                pixels.clamp(0, 1)
            ),
            "Your pixels stay within ε of the originals, but some leave [0, 1].": near,
            "You keep the pixels within ε of zero; keep their change within ε.": (
                pixels.clamp(-epsilon, epsilon).clamp(0, 1)
            ),
            "You return the change; add the originals to it.": nearest - originals,
            "Your pixels are allowed, but not the nearest allowed ones: leave alone what breaks "
            "no rule, and move the rest no farther than to the border.": lambda found: (
                torch.equal(found, found.clamp(0, 1))
                and (found - originals).abs().max() <= epsilon + 1e-6
            ),
        },
        otherwise=lambda found: (
            f"Your pixels go from {found.min():.2f} to {found.max():.2f}, and "
            f"{(found - originals).abs().max():.2f} away from the originals."
        ),
        same=partial(torch.allclose, atol=1e-6),
    )
    return exercise(answer, pixels, originals, epsilon)


def equal_norm_noise(answer: Callable[[Tensor], Any]) -> Verdict:
    """Check a reader's random perturbation for a negative control.

    Parameters
    ----------
    answer : callable
        From perturbations (N, C, H, W) to noise of the same shape, centred at zero, in which each
        sample has the Euclidean norm of its perturbation.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.equal_norm_noise(lambda perturbations: perturbations)
    ✗ That is the perturbation itself, or nearly; a control must not know it.
    """
    given = normal(3, 3, 16, 16) * torch.tensor([1.0, 5.0, 0.2]).view(3, 1, 1, 1)

    def examine(value: Any) -> Verdict:
        first, second = value
        if second is None:
            return wrong("The first call returns noise, the second nothing.")
        if (form := misfit(first, given.shape)) is not None:
            return form
        if (form := misfit(second, given.shape)) is not None:
            return form
        return _judge_noise(first.detach().to(given), second.detach().to(given), given)

    def twice() -> tuple[Any, Any] | None:
        with torch.random.fork_rng(devices=[]):  # leave the reader's random numbers alone
            torch.manual_seed(0)
            first = answer(given.clone())
            return None if first is None else (first, answer(given.clone()))

    return judge(twice, examine)


def _judge_noise(noise: Tensor, again: Tensor, given: Tensor) -> Verdict:
    norms, wanted = noise.flatten(1).norm(dim=1), given.flatten(1).norm(dim=1)
    if not (norms > 0).all():
        return wrong("There is a sample without any noise.")
    if (metrics.pcc(noise, given).abs() > 0.5).any():
        return wrong("That is the perturbation itself, or nearly; a control must not know it.")
    if torch.allclose(noise, again):
        return wrong(
            "Two calls give the same noise: do not set a seed inside, or all your seeds are one."
        )
    if (noise.flatten(1).mean(dim=1).abs() > 0.3 * noise.flatten(1).std(dim=1)).any():
        return wrong(
            "Your noise is not centred at zero and makes the pictures brighter or darker: "
            "torch.randn is centred, torch.rand is not."
        )
    if metrics.pcc(noise[:-1], noise[1:]).abs().max() > 0.9:
        return wrong("All samples get the same noise up to its size; draw it for each.")
    if torch.allclose(norms, wanted, rtol=1e-3):
        return passed("Right: random, centred, and each sample has the norm of its perturbation.")
    if torch.allclose(noise.norm(), given.norm(), rtol=1e-3):
        return wrong(
            "The norm of the whole batch is right, those of its samples are not: take the norm "
            "over channels, height and width only."
        )
    largest, wanted_largest = (part.abs().flatten(1).amax(dim=1) for part in (noise, given))
    if torch.allclose(largest, wanted_largest, rtol=1e-3):
        return wrong("You match the largest change of a pixel; match the Euclidean norm.")
    ratios = ", ".join(f"{ratio:.3g}" for ratio in (norms / wanted).tolist())
    return wrong(f"The norms are {ratios} times those of the perturbations, instead of 1.")
