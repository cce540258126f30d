"""Checks for the exercises of the chapter on softplus as a defence."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from explman_lite.checks.exercise import Exercise
from explman_lite.checks.random_numbers import normal
from explman_lite.checks.verdict import Verdict, judge, misfit, wrong


def noise_of_beta(answer: Callable[[float], Any]) -> Verdict:
    """Check a reader's standard deviation of the noise that softplus averages over.

    Parameters
    ----------
    answer : callable
        From β to the standard deviation of the logistic noise of Theorem 2, for a unit whose
        weights have length 1.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.noise_of_beta(lambda beta: 1 / beta)
    ✗ 1/β is the scale of the logistic distribution; its standard deviation is larger.
    """
    betas = torch.tensor([1.0, 5.0, 30.0], dtype=torch.float64)
    right = math.pi / (math.sqrt(3) * betas)
    paper = math.log(2) * math.sqrt(2 * math.pi) / betas
    mistakes = {
        "That is the paper's number. It belongs to the Gaussian that agrees with softplus at the "
        "kink, not to the logistic noise itself.": paper,
        "You take the root of the paper's number. The paper calls it a variance; it is a standard "
        "deviation already, though that of a Gaussian look-alike.": paper.sqrt(),
        "1/β is the scale of the logistic distribution; its standard deviation is larger.": (
            1 / betas
        ),
        "That is the variance; take its root.": right**2,
        "You divide by 3; divide by its root.": math.pi / (3 * betas),
        "You forget to divide by √3.": math.pi / betas,
        "That is the Gaussian whose peak is as high as that of the noise; the tails of the noise "
        "are heavier.": 4 / (math.sqrt(2 * math.pi) * betas),
    }
    exercise = Exercise(
        right=right.tolist(),
        praise="Right: the sharper the softplus, the less noise it stands for.",
        mistakes={
            **{sentence: mistake.tolist() for sentence, mistake in mistakes.items()},
            "Your noise does not shrink as β grows. A sharp softplus is nearly ReLU and averages "
            "over next to nothing.": lambda found: found[0] <= found[-1],
        },
        otherwise=lambda found: (
            f"At β = 1 it is {right[0]:.3f}, and it falls like 1/β; yours is {found[0]:.3f}."
        ),
        same=lambda found, other: all(map(partial(math.isclose, rel_tol=2e-3), found, other)),
    )

    def every() -> list[Any] | None:
        found = [answer(beta) for beta in betas.tolist()]
        return None if found[0] is None else found

    def examine(values: list[Any]) -> Verdict:
        found = []
        for value in values:
            try:
                found.append(float(value))
            except (TypeError, ValueError, RuntimeError, OverflowError):
                return wrong(f"Return a number; yours is of type {type(value).__name__}.")
        return exercise.compare(found)

    return judge(every, examine)


def mean_gradient(answer: Callable[[Tensor, Tensor, float], Any]) -> Verdict:
    """Check a reader's closed form of a ReLU's gradient, averaged over logistic noise.

    Parameters
    ----------
    answer : callable
        From weights w (d,), points x (N, d) and β to the mean (N, d) of the gradient of
        max(0, wᵀx) at x − ε, with logistic noise of sharpness β along the unit vector w/‖w‖.

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

    exercise = Exercise(
        right=slope.unsqueeze(1) * weights,
        praise="Right: one pass, and every noisy picture has been seen.",
        mistakes={
            **{sentence: mistake.unsqueeze(1) * weights for sentence, mistake in slopes.items()},
            "Close, but not exact. If you draw noise: there is a closed form.": lambda found: (
                (found - slope.unsqueeze(1) * weights).abs().max() < 0.3
            ),
        },
        otherwise="That is not w times a number between 0 and 1, the chance that wᵀ(x − ε) > 0.",
        same=partial(torch.allclose, rtol=1e-4, atol=1e-5),
    )

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
        return exercise.examine(value)

    return judge(lambda: answer(weights.clone(), points.clone(), beta), examine)


def erase(answer: Callable[[Tensor, Tensor, float], Any]) -> Verdict:
    """Check a reader's way to erase the most relevant pixels.

    Parameters
    ----------
    answer : callable
        From an image (C, H, W), a relevance (H, W) and a portion in [0, 1] to the image with
        that portion of its pixels, the most relevant ones, in its mean colour.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.erase(lambda image, relevance, portion: image.clone())
    ✗ With portion 0.25 you erase 0 of 32 pixels instead of 8.
    """
    image = normal(3, 4, 8, dtype=torch.float64).sigmoid()
    relevance = normal(4, 8, dtype=torch.float64).abs()
    given, ranking = image.clone(), relevance.clone()
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
            if not (verdict := _examine_erased(value, image, relevance, portion)):
                return verdict
        return verdict

    return judge(every, examine)


def _examine_erased(value: Any, image: Tensor, relevance: Tensor, portion: float) -> Verdict:
    if (form := misfit(value, image.shape)) is not None:
        return form
    found = value.detach().to(image)
    rank, pixels = relevance.flatten().argsort().argsort().view_as(relevance), relevance.numel()
    count = round(portion * pixels)
    top, least = rank >= pixels - count, rank < count
    touched = (found - image).abs() > 1e-6
    erased = touched.any(dim=0)
    if not torch.equal(erased, touched.all(dim=0)):
        return wrong(
            "You erase some pixels in one channel and keep them in another; a pixel goes in all "
            "channels or in none."
        )
    if erased.sum() != count:
        hint = " (A slice [-0:] holds everything.)" if portion == 0 and erased.all() else ""
        return wrong(
            f"With portion {portion:g} you erase {erased.sum()} of {pixels} pixels instead of "
            f"{count}.{hint}"
        )
    if torch.equal(erased, least) and not torch.equal(least, top):
        return wrong("You erase the least relevant pixels; erase the most relevant.")
    if not torch.equal(erased, top):
        return wrong("You erase as many pixels as you should, but not the most relevant ones.")
    mean = image.mean(dim=(1, 2), keepdim=True)
    gone, left = (image[:, part].mean(dim=1).view(-1, 1, 1) for part in (top, ~top))
    right = ", ".join(f"{value:.3f}" for value in mean.flatten().tolist())
    colours: dict[str, Any] = {
        "Black looks like a dark object to the network; take the mean colour of the picture.": 0,
        "You take one mean over all channels, which is a grey; each channel has its own.": (
            mean.mean()
        ),
        "You turn each pixel into its own grey; take the mean over the picture.": image.mean(dim=0),
        "You take the mean of what you erase; take that of the whole picture.": gone,
        "You take the mean of what is left; take that of the whole picture.": left,
    }
    exercise = Exercise(
        right=torch.where(top, mean, image),
        praise="Right: the most relevant go, in all channels, and the mean colour stays.",
        mistakes={text: torch.where(top, colour, image) for text, colour in colours.items()},
        otherwise=f"The right pixels, but not in the mean colour of the picture, ({right}).",
        same=partial(torch.allclose, atol=1e-5),
    )
    return exercise.compare(found)


def best_of(answer: Callable[[Tensor, Tensor], Any]) -> Verdict:
    """Check a reader's choice among several searches, for each sample of a batch.

    Parameters
    ----------
    answer : callable
        From distances (S, N) of the maps from their targets and kept (S, N), whether the class
        was kept, to the index (N,) of the search to keep for each sample.

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
    closest = torch.where(kept, distances, torch.inf).argmin(dim=0)
    exercise = Exercise(
        right=closest,
        praise="Right: for each sample the closest of those that kept the class.",
        mistakes={
            "You ignore `kept`: the closest map is worth nothing if the class is lost.": (
                distances.argmin(dim=0)
            ),
            "You choose the largest distance; the smaller, the closer to the target.": (
                torch.where(kept, distances, -torch.inf).argmax(dim=0)
            ),
            "You choose the largest distance, whether or not the class was kept.": (
                distances.argmax(dim=0)
            ),
            "You choose among the searches that lost the class.": (
                torch.where(kept, torch.inf, distances).argmin(dim=0)
            ),
            "A product with `kept` makes the distance of a lost class 0, the best of all; make it "
            "infinite.": (distances * kept).argmin(dim=0),
            "You take the first search that kept the class. (If you multiply by infinity: inf · 0 "
            "is NaN, and torch.where knows no such trouble.)": kept.int().argmax(dim=0),
            "You choose the same search for all samples; each has its own best.": (
                lambda found: (found == found[0]).all()
            ),
        },
        otherwise="For some samples yours is not the closest of those that kept the class.",
        same=lambda found, other: torch.equal(found[some], other[some]),
    )
    given, flags = distances.clone(), kept.clone()

    def examine(value: Any) -> Verdict:
        if (form := _no_index(value, distances)) is not None:
            return form
        verdict = exercise.examine(value)
        if verdict and not torch.equal(value.to(closest), closest):
            return wrong(
                "Right where some search kept the class. Where none did, return 0, the first; "
                f"you return {value[~some][0]}."
            )
        if verdict and not (torch.equal(given, distances) and torch.equal(flags, kept)):
            return wrong("The right choice, but you changed the tensors you were given.")
        return verdict

    return judge(lambda: answer(given, flags), examine)


def _no_index(value: Any, distances: Tensor) -> Verdict | None:
    """Return what is wrong with the form of an answer that should hold an index for each sample."""
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
