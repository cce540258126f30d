"""Checks for the exercises of the chapter on softplus as a defence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from explman_lite.checks.random_numbers import normal
from explman_lite.checks.verdict import Verdict, judge, misfit, passed, wrong


def noise_of_beta(answer: Callable[[float], Any]) -> Verdict:
    """Check a reader's standard deviation of the noise that softplus averages over.

    Parameters
    ----------
    answer : callable
        From β to the standard deviation of the logistic noise of Theorem 2, for a unit whose
        weights have length 1.

    Returns
    -------
    Verdict
        What is right or wrong about it.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.noise_of_beta(lambda beta: 1 / beta)
    ✗ 1/β is the scale of the logistic distribution; its standard deviation is larger.
    """
    betas = 1.0, 5.0, 30.0
    paper = math.log(2) * math.sqrt(2 * math.pi)
    mistakes: dict[str, Callable[[float], float]] = {
        "That is the paper's number. It belongs to the Gaussian that agrees with softplus at the "
        "kink, not to the logistic noise itself.": lambda beta: paper / beta,
        "You take the root of the paper's number. The paper calls it a variance; it is a standard "
        "deviation already, though that of a Gaussian look-alike.": (
            lambda beta: math.sqrt(paper / beta)
        ),
        "1/β is the scale of the logistic distribution; its standard deviation is larger.": (
            lambda beta: 1 / beta
        ),
        "That is the variance; take its root.": lambda beta: math.pi**2 / (3 * beta**2),
        "You divide by 3; divide by its root.": lambda beta: math.pi / (3 * beta),
        "You forget to divide by √3.": lambda beta: math.pi / beta,
        "That is the Gaussian whose peak is as high as that of the noise; the tails of the noise "
        "are heavier.": lambda beta: 4 / (math.sqrt(2 * math.pi) * beta),
    }

    def every() -> list[Any] | None:
        found = [answer(beta) for beta in betas]
        return None if found[0] is None else found

    def examine(values: list[Any]) -> Verdict:
        found = []
        for value in values:
            try:
                found.append(float(value))
            except (TypeError, ValueError, RuntimeError, OverflowError):
                return wrong(f"Return a number; yours is of type {type(value).__name__}.")

        def fits(truth: Callable[[float], float]) -> bool:
            pairs = zip(found, betas, strict=True)
            return all(math.isclose(value, truth(beta), rel_tol=2e-3) for value, beta in pairs)

        if fits(lambda beta: math.pi / (math.sqrt(3) * beta)):
            return passed("Right: the sharper the softplus, the less noise it stands for.")
        for sentence, mistake in mistakes.items():
            if fits(mistake):
                return wrong(sentence)
        if found[0] <= found[-1]:
            return wrong(
                "Your noise does not shrink as β grows. A sharp softplus is nearly ReLU and "
                "averages over next to nothing."
            )
        truth = math.pi / math.sqrt(3)
        return wrong(f"At β = 1 it is {truth:.3f}, and it falls like 1/β; yours is {found[0]:.3f}.")

    return judge(every, examine)


def mean_gradient(answer: Callable[[Tensor, Tensor, float], Any]) -> Verdict:
    """Check a reader's closed form of a ReLU's gradient, averaged over logistic noise.

    Parameters
    ----------
    answer : callable
        From weights w (d,), points x (N, d) and β to the mean (N, d) of the gradient of
        max(0, wᵀx) at x − ε, with logistic noise of sharpness β along the unit vector w/‖w‖.

    Returns
    -------
    Verdict
        What is right or wrong about it.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.mean_gradient(lambda w, x, beta: (x @ w > 0).unsqueeze(1) * w)
    ✗ That is the gradient of ReLU itself, a hard step; the noise makes it a soft one.
    """
    weights, beta = normal(4, dtype=torch.float64), 2.0
    weights *= 3 / weights.norm()
    unit = weights / 3
    points = torch.cat([normal(6, 4, dtype=torch.float64), 1000 * unit.unsqueeze(0)])
    along = points @ unit
    inner, slope = 3 * along, torch.sigmoid(beta * along)
    softplus = F.softplus(beta * along)
    slopes = {
        "You do not divide by ‖w‖. The noise has its size along the unit vector; wᵀx is ‖w‖ times "
        "as long.": torch.sigmoid(beta * inner),
        "You multiply by ‖w‖ instead of dividing by it.": torch.sigmoid(beta * 3 * inner),
        "You divide by ‖w‖ twice; once is enough.": torch.sigmoid(beta * along / 3),
        "β is missing: the sharper, the closer to a step.": torch.sigmoid(along),
        "That is the gradient of ReLU itself, a hard step; the noise makes it a soft one.": (
            (along > 0).to(slope)
        ),
        "That is the softplus itself, times w; take its slope.": softplus * 3 / beta,
        "That is a softplus, times w; take its slope.": softplus,
        "You return the unit vector, weighted; ReLU's gradient is w, with its length.": slope / 3,
        "β does not stand in front: softplus is divided by β, and its slope is a sigmoid.": (
            beta * slope
        ),
        "Your step goes down: far on the positive side the gradient is w, far on the negative "
        "side zero.": 1 - slope,
        "That is the density of the noise, times w; you want what it adds up to.": (
            beta * slope * (1 - slope)
        ),
    }

    def examine(value: Any) -> Verdict:
        if isinstance(value, Tensor) and value.shape == weights.shape:
            return wrong(f"You return one gradient; each of the {len(points)} points has its own.")
        if isinstance(value, Tensor) and value.shape in {slope.shape, (len(slope), 1)}:
            return wrong("You return one number for each point; a gradient also has a direction.")
        if isinstance(value, Tensor) and not torch.isfinite(value.detach()).all():
            return wrong(
                "There are NaN or infinite values: far from the kink exp overflows; torch.sigmoid "
                "does not."
            )
        if (form := misfit(value, points.shape)) is not None:
            return form
        found = value.detach().to(points)
        expected = slope.unsqueeze(1) * weights
        if torch.allclose(found, expected, rtol=1e-4, atol=1e-5):
            return passed("Right: one pass, and every noisy picture has been seen.")
        for sentence, mistake in slopes.items():
            if torch.allclose(found, mistake.unsqueeze(1) * weights, rtol=1e-4, atol=1e-5):
                return wrong(sentence)
        if (found - expected).abs().max() < 0.3:
            return wrong("Close, but not exact. If you draw noise: there is a closed form.")
        return wrong("That is not w times a number between 0 and 1, the chance that wᵀ(x − ε) > 0.")

    return judge(lambda: answer(weights.clone(), points.clone(), beta), examine)


def erase(answer: Callable[[Tensor, Tensor, float], Any]) -> Verdict:
    """Check a reader's way to erase the most relevant pixels.

    Parameters
    ----------
    answer : callable
        From an image (C, H, W), a relevance (H, W) and a portion in [0, 1] to the image with
        that portion of its pixels, the most relevant ones, in its mean colour.

    Returns
    -------
    Verdict
        What is right or wrong about it.

    Examples
    --------
    >>> import explman_lite as el
    >>> def paint_black(image, relevance, portion):
    ...     return image * (relevance <= relevance.quantile(1 - portion))
    >>> el.checks.erase(paint_black)
    ✗ Black looks like a dark object to the network; take the mean colour of the picture.
    """
    image = normal(3, 4, 8, dtype=torch.float64).sigmoid()
    relevance = normal(4, 8, dtype=torch.float64).abs()
    given, ranking = image.clone(), relevance.clone()
    order = relevance.flatten().argsort(descending=True)
    portions = (0.25, 0.0, 1.0)

    def every() -> list[Any] | None:
        found = [answer(given, ranking, portions[0])]
        if found[0] is None:
            return None
        if torch.equal(given, image) and torch.equal(ranking, relevance):
            found += [answer(given, ranking, portion) for portion in portions[1:]]
        return found

    def examine(values: list[Any]) -> Verdict:
        if not (torch.equal(given, image) and torch.equal(ranking, relevance)):
            return wrong("You changed the picture or the relevance you were given: work on a copy.")
        for value, portion in zip(values, portions, strict=True):
            if (form := misfit(value, image.shape)) is not None:
                return form
            count = round(portion * len(order))
            top = _mask(order[:count], relevance)
            least = _mask(order[len(order) - count :], relevance)
            verdict = _judge_erased(value.detach().to(image), image, top, least, portion)
            if not verdict:
                return verdict
        return passed("Right: the most relevant go, in all channels, and the mean colour stays.")

    return judge(every, examine)


def _mask(indices: Tensor, like: Tensor) -> Tensor:
    """Mark pixels of a map, given by their places in the flattened map."""
    mask = torch.zeros(like.numel(), dtype=torch.bool)
    mask[indices] = True
    return mask.view_as(like)


def _judge_erased(
    found: Tensor, image: Tensor, top: Tensor, least: Tensor, portion: float
) -> Verdict:
    touched = (found - image).abs() > 1e-6
    erased = touched.any(dim=0)
    if not torch.equal(erased, touched.all(dim=0)):
        return wrong(
            "You erase some pixels in one channel and keep them in another; a pixel goes in all "
            "channels or in none."
        )
    if erased.sum() != top.sum():
        hint = " (A slice [-0:] holds everything.)" if portion == 0 and erased.all() else ""
        return wrong(
            f"With portion {portion:g} you erase {erased.sum()} of {top.numel()} pixels instead "
            f"of {top.sum()}.{hint}"
        )
    if not torch.equal(erased, top):
        if torch.equal(erased, least):
            return wrong("You erase the least relevant pixels; erase the most relevant.")
        return wrong("You erase as many pixels as you should, but not the most relevant ones.")
    mean = image.mean(dim=(1, 2))
    mistakes = {
        "Black looks like a dark object to the network; take the mean colour of the picture.": (
            torch.zeros(1, 1)
        ),
        "You take one mean over all channels, which is a grey; each channel has its own.": (
            mean.mean().view(1, 1)
        ),
        "You turn each pixel into its own grey; take the mean over the picture.": (
            image.mean(dim=0)[top]
        ),
        "You take the mean of what you erase; take that of the whole picture.": (
            image[:, top].mean(dim=1, keepdim=True)
        ),
        "You take the mean of what is left; take that of the whole picture.": (
            image[:, ~top].mean(dim=1, keepdim=True)
        ),
    }
    if torch.allclose(found[:, top], mean.unsqueeze(1), atol=1e-5):
        return passed("")
    for sentence, mistake in mistakes.items():
        if torch.allclose(found[:, top], mistake.to(found), atol=1e-5):
            return wrong(sentence)
    colour = ", ".join(f"{value:.3f}" for value in mean.tolist())
    return wrong(f"The right pixels, but not in the mean colour of the picture, ({colour}).")


def best_of(answer: Callable[[Tensor, Tensor], Any]) -> Verdict:
    """Check a reader's choice among several searches, for each sample of a batch.

    Parameters
    ----------
    answer : callable
        From distances (S, N) of the maps from their targets and kept (S, N), whether the class
        was kept, to the index (N,) of the search to keep for each sample.

    Returns
    -------
    Verdict
        What is right or wrong about it.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.best_of(lambda distances, kept: distances.argmin(dim=0))
    ✗ You ignore `kept`: the closest map is worth nothing if the class is lost.
    """
    distances = 0.2 + 3 * normal(4, 9, dtype=torch.float64).abs()
    kept = normal(9, 4, dtype=torch.float64).T > -0.3
    kept[:, 0], kept[:, 4], kept[:, 8] = True, False, False
    some = kept.any(dim=0)
    infinite = torch.full_like(distances, torch.inf)
    expected = torch.where(kept, distances, infinite).argmin(dim=0)
    mistakes = {
        "You ignore `kept`: the closest map is worth nothing if the class is lost.": (
            distances.argmin(dim=0)
        ),
        "You choose the largest distance; the smaller, the closer to the target.": (
            torch.where(kept, distances, -infinite).argmax(dim=0)
        ),
        "You choose the largest distance, whether or not the class was kept.": (
            distances.argmax(dim=0)
        ),
        "You choose among the searches that lost the class.": (
            torch.where(kept, infinite, distances).argmin(dim=0)
        ),
        "A product with `kept` makes the distance of a lost class 0, the best of all; make it "
        "infinite.": (distances * kept).argmin(dim=0),
        "You take the first search that kept the class. (If you multiply by infinity: inf · 0 is "
        "NaN, and torch.where knows no such trouble.)": kept.int().argmax(dim=0),
    }
    given, flags = distances.clone(), kept.clone()

    def examine(value: Any) -> Verdict:
        if (form := _no_index(value, distances)) is not None:
            return form
        found = value.detach().to(expected)
        for sentence, mistake in mistakes.items():
            if torch.equal(found[some], mistake[some]):
                return wrong(sentence)
        if (found == found[0]).all():
            return wrong("You choose the same search for all samples; each has its own best.")
        if not torch.equal(found[some], expected[some]):
            return wrong("For some samples yours is not the closest of those that kept the class.")
        if not torch.equal(found, expected):
            return wrong(
                "Right where some search kept the class. Where none did, return 0, the first; "
                f"you return {found[~some][0]}."
            )
        if not (torch.equal(given, distances) and torch.equal(flags, kept)):
            return wrong("The right choice, but you changed the tensors you were given.")
        return passed("Right: for each sample the closest of those that kept the class.")

    return judge(lambda: answer(given, flags), examine)


def _no_index(value: Any, distances: Tensor) -> Verdict | None:
    """Say what is wrong with the form of an answer that should hold an index for each sample."""
    if isinstance(value, tuple) and hasattr(value, "indices"):
        return wrong("torch.min along a dimension returns values and indices; return the indices.")
    if isinstance(value, Tensor) and value.ndim == 0:
        return wrong("You choose one search for the whole batch; each sample has its own best.")
    if isinstance(value, Tensor) and value.shape == distances.shape[:1]:
        return wrong("You choose a sample for each search; choose a search for each sample.")
    if (form := misfit(value, distances.shape[1:])) is not None:
        return form
    if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        return wrong(f"Return the index of a search, a whole number; yours is {value.dtype}.")
    return None
