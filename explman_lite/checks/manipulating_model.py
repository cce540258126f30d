"""Checks for the exercises of the chapter on manipulating the model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from explman_lite.checks.exercise import Exercise
from explman_lite.checks.random_numbers import normal
from explman_lite.checks.single_numbers import close, judge_cases, judge_tensors
from explman_lite.checks.verdict import Verdict, judge, wrong

_near = partial(torch.allclose, rtol=1e-4, atol=1e-5)


def free_direction(answer: Callable[[Tensor, Tensor], Any]) -> Verdict:
    """Check a reader's function for the part of a direction that no picture notices.

    Parameters
    ----------
    answer : callable
        From pictures (N, D), which may be linear combinations of each other, and a direction
        (D,) to the part (D,) of the direction that is perpendicular to every picture.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.free_direction(lambda points, direction: 0 * direction)
    ✗ Nobody notices nothing, but a part of the direction is free; return that part.
    """
    drawn = normal(12, 9, dtype=torch.float64)
    rank, size = 4, drawn.shape[1]
    base, mixed = drawn[:rank] + 0.7, drawn[6:8, :rank]
    # Mixtures with weights of sum 1 lie in the plane of the others, which misses black.
    mixed = mixed + (1 - mixed.sum(dim=1, keepdim=True)) / rank
    points = torch.cat([base, mixed @ base])
    direction = drawn[11]
    pixels = torch.eye(size, dtype=torch.float64, device=points.device)

    def beside(rows: Tensor) -> Tensor:
        """Return the part of the direction that is perpendicular to all rows."""
        seen = torch.linalg.pinv(rows, rtol=1e-8) @ rows
        part: Tensor = (pixels - seen) @ direction
        return part

    right = beside(points)
    mean = points.mean(dim=0)
    unit = points / points.norm(dim=1, keepdim=True)
    one_by_one = direction
    for row in unit:
        one_by_one = one_by_one - (row @ one_by_one) * row
    mistakes = {
        "Nobody notices nothing, but a part of the direction is free; return that part.": (
            torch.zeros_like(right)
        ),
        "That is the part within the span of the pictures, which they notice; return the rest.": (
            direction - right
        ),
        "You return the direction as it is, and the pictures notice it.": direction,
        "You subtract the mean picture first, or another one. What is perpendicular to differences "
        "adds the same number to the output of every picture, and that they notice: leave the "
        "pictures where they are.": beside(points - mean),
        "Perpendicular to the mean picture alone: what one picture gains another may lose. It must "
        "be perpendicular to each of them.": beside(mean.unsqueeze(0)),
        "Perpendicular to the first picture alone; take all of them.": beside(points[:1]),
        "Perpendicular to the last picture alone; take all of them.": beside(points[-1:]),
        "You take away from the direction its mean; take away its part in the span of the "
        "pictures.": direction - direction.mean(),
        "You take away what each picture sees, one after the other, and each step brings back "
        "some of what the steps before took away: the pictures are not perpendicular to each "
        "other.": one_by_one,
        "You take away what each picture sees as if the pictures were perpendicular to each other; "
        "they are not.": direction - unit.T @ (unit @ direction),
        "You take away points.T @ (points @ direction), without dividing by the lengths of the "
        "pictures or by how alike they are.": direction - points.T @ (points @ direction),
        "The right part, and its length changed to 1: return it as long as it is.": (
            right / right.norm()
        ),
        "The right part, stretched to the length of the direction: return it as long as it is.": (
            right / right.norm() * direction.norm()
        ),
        "The sign is the other way round.": -right,
    }

    def otherwise(found: Tensor) -> str:
        noticed = (points @ found).abs().max().item()
        if noticed > 1e-3:
            return (
                f"points @ result should be zero; for one picture it is {noticed:.3g}. (Some "
                "pictures are mixtures of others. Does your way mind?)"
            )
        if found.norm() < right.norm() and _near(found @ right, found @ found):
            return (
                "No picture notices it, but you take away too much. Some pictures are mixtures of "
                f"others: the {len(points)} span only {rank} directions, and a QR or singular "
                "value decomposition fills up the rest with directions that no picture has."
            )
        return "No picture notices it, but it is not the part of `direction` that they miss."

    exercise = Exercise(
        right=right,
        praise="Right: add as much of it as you like, and no output changes.",
        mistakes=mistakes,
        otherwise=otherwise,
        same=_near,
    )

    def examine(value: Any) -> Verdict:
        if isinstance(value, Tensor) and value.shape == points.shape[:1]:
            return wrong(
                "You return a number for each picture; return a direction, as long as `direction`."
            )
        if isinstance(value, Tensor) and value.shape == pixels.shape:
            return wrong("You return a projection as a matrix; apply it to the direction.")
        return exercise.examine(value)

    verdict = judge(lambda: answer(points.clone(), direction.clone()), examine)
    if verdict.sentence.startswith("Your code stopped") and "singular" in verdict.sentence:
        return wrong(
            "Your code stopped at a matrix without an inverse: some pictures are mixtures of "
            "others. torch.linalg.pinv leaves out what is zero but for rounding."
        )
    return verdict


def tangent_part(answer: Callable[[Tensor, Tensor, int], Any]) -> Verdict:
    """Check a reader's projection of a map onto the directions in which neighbours vary.

    Parameters
    ----------
    answer : callable
        From an attribution (D,), neighbours (k, D) and a number d of dimensions to the projection
        (D,) of the attribution onto the d directions in which the neighbours vary most about
        their mean.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.tangent_part(lambda attribution, neighbours, dimensions: attribution)
    ✗ You return the attribution as it is; only a part of it lies along the neighbours.
    """
    dimensions, size = 3, 8
    drawn = normal(14, size, dtype=torch.float64)
    scales = torch.tensor([0.2, 3.0, 0.5, 0.8, 2.0, 0.1, 1.3, 0.3], dtype=torch.float64)
    turned = torch.linalg.qr(normal(size, size, dtype=torch.float64)).Q
    neighbours = (drawn[:12] * scales) @ turned + 1.5 * drawn[12].abs() + 1
    attribution = drawn[13]
    mean = neighbours.mean(dim=0)
    centred = neighbours - mean

    def onto(rows: Tensor, along: Tensor = attribution) -> Tensor:
        """Project on the span of some rows."""
        part: Tensor = torch.linalg.pinv(rows) @ (rows @ along)
        return part

    def principal(values: Tensor) -> Tensor:
        """Return the directions in which rows vary, the largest variation first."""
        ways: Tensor = torch.linalg.svd(values, full_matrices=False).Vh
        return ways

    ways = principal(centred)
    sizes = torch.linalg.svdvals(centred)
    coefficients = ways @ attribution
    covariance = centred.T @ centred / (len(centred) - 1)
    columns = torch.linalg.eigh(covariance).eigenvectors
    loudest = centred.var(dim=0).argsort()[-dimensions:]
    kept = torch.zeros_like(attribution).index_fill(0, loudest, 1.0)
    right = onto(ways[:dimensions])
    top = ways[:dimensions].T

    def weighted(weights: Tensor) -> Tensor:
        return top @ (weights[:dimensions] * coefficients[:dimensions])

    mistakes = {
        "You return the attribution as it is; only a part of it lies along the neighbours.": (
            attribution
        ),
        "You leave the mean in, and the first direction only leads from black to the mean of the "
        "neighbours: subtract it, they vary about it.": onto(principal(neighbours)[:dimensions]),
        "You subtract from each neighbour the mean of its own pixels; subtract from all the mean "
        "neighbour.": (
            onto(principal(neighbours - neighbours.mean(dim=1, keepdim=True))[:dimensions])
        ),
        "You subtract one number, the mean of all pixels of all neighbours; subtract the mean "
        "neighbour.": onto(principal(neighbours - neighbours.mean())[:dimensions]),
        "Those are the directions in which the neighbours vary least. (torch.linalg.eigh sorts "
        "from small to large, torch.linalg.svd from large to small.)": onto(ways[-dimensions:]),
        "That is what is left over: return the part along the directions, not the part beside "
        "them.": attribution - right,
        "You only take out the mean neighbour; project on the directions in which they differ.": (
            attribution - onto(mean.unsqueeze(0))
        ),
        "You project on the mean neighbour; project on the directions in which they differ.": (
            onto(mean.unsqueeze(0))
        ),
        "You multiply by the covariance, which stretches each direction by its variance; a "
        "projection leaves as they are those that it keeps.": covariance @ attribution,
        "You multiply by centred.T @ centred, which stretches each direction; a projection leaves "
        "as they are those that it keeps.": centred.T @ (centred @ attribution),
        "The right directions, each stretched by its variance; a projection leaves as they are "
        "those that it keeps.": weighted(sizes**2 / (len(centred) - 1)),
        "The right directions, each stretched by its squared singular value; a projection leaves "
        "as they are those that it keeps.": weighted(sizes**2),
        "The right directions, each stretched by its singular value: take those of length 1.": (
            weighted(sizes)
        ),
        "You subtract the mean neighbour from the attribution, too. A map is a direction and no "
        "place: it has nothing to be centred on.": onto(ways[:dimensions], attribution - mean),
        "You add the mean neighbour at the end. A map is a direction and no place.": right + mean,
        "torch.linalg.svd returns the transpose, V.T: its directions are the rows.": (
            ways[:, :dimensions] @ (ways[:, :dimensions].T @ attribution)
        ),
        "torch.linalg.eigh returns its directions as columns; you take rows.": (
            onto(columns[-dimensions:])
        ),
        "You keep the pixels that vary most; a direction is a mixture of pixels.": (
            kept * attribution
        ),
        "You project on the first neighbours; project on the directions in which all of them "
        "vary most.": onto(centred[:dimensions]),
        "You divide each pixel by its standard deviation first, so that those which hardly vary "
        "count as much as the others.": onto(principal(centred / centred.std(dim=0))[:dimensions]),
        "One direction too few.": onto(ways[: dimensions - 1]),
        "One direction too many.": onto(ways[: dimensions + 1]),
        "You keep the first direction alone.": onto(ways[:1]),
        "The right direction, and its length changed to 1: a map with little to say along the "
        "neighbours should stay small.": right / right.norm(),
        "The signs are gone; keep them.": right.abs(),
    }
    exercise = Exercise(
        right=right,
        praise="Right: what the map says of directions that no neighbour takes is gone.",
        mistakes=mistakes,
        otherwise=lambda found: (
            "Close, but not exact. torch.pca_lowrank estimates; torch.linalg.svd computes."
            if torch.allclose(found, right, rtol=0.1, atol=0.1)
            else "That is not the projection on the directions in which the neighbours vary most: "
            f"its first entry is {right[0]:.4f}, yours is {found[0]:.4f}."
        ),
        same=_near,
    )

    def examine(value: Any) -> Verdict:
        if isinstance(value, Tensor):
            odd = {
                (dimensions,): "You return the coefficients, one for each direction; the second "
                "product, which makes a map of them again, is missing.",
                (len(neighbours),): "You return a number for each neighbour; return a map.",
                (size, size): "You return the projection as a matrix; apply it to the attribution.",
                (dimensions, size): "You return the directions; project the attribution on them.",
                (1, size): "Return the shape of the attribution, (8,); yours is (1, 8).",
            }
            if tuple(value.shape) in odd:
                return wrong(odd[tuple(value.shape)])
        return exercise.examine(value)

    given = attribution.clone(), neighbours.clone(), dimensions
    return judge(lambda: answer(*given), examine)


def roc_area(answer: Callable[[Tensor, Tensor], Any]) -> Verdict:
    """Check a reader's area under the ROC curve.

    Parameters
    ----------
    answer : callable
        From the scores of honest networks (M,) and those of lying ones (N,) to the probability
        that a lying one scores higher than an honest one, as a number; a tie counts half.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.roc_area(lambda honest, lying: (lying > honest.mean()).float().mean())
    ✗ You choose a threshold, the mean of the honest; the area needs none.
    """
    scores = [
        ([0.5, -1.0, 2.0, 0.5, 1.0, 0.2, -0.4], [0.5, 3.0, 2.0, 0.1, 2.5]),
        ([2.0, 1.5, 4.0, 1.0], [1.0, -0.5, 0.3, 1.6, 0.4, 1.0]),
    ]
    cases = [tuple(torch.tensor(each, dtype=torch.float64) for each in case) for case in scores]
    rules: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "You let ties count for the honest; they count half.": lambda h, n: _beats(h, n).mean(),
        "You let ties count for the lying; they count half.": lambda h, n: 1 - _beats(n, h).mean(),
        "You swap the two: that is the probability that an honest one scores higher.": (
            lambda h, n: _area(n, h)
        ),
        "You swap the two, and let ties count for the lying.": lambda h, n: _beats(n, h).mean(),
        "A second detector, with the smaller scores on the alarm side, is one that you chose after "
        "the fact: areas below one half stay there.": lambda h, n: torch.maximum(
            _area(h, n), _area(n, h)
        ),
        "That is the Gini coefficient; the area is half of it, plus one half.": (
            lambda h, n: 2 * _area(h, n) - 1
        ),
        "You count the pairs; divide by how many there are.": (
            lambda h, n: _area(h, n) * (len(h) * len(n))
        ),
        "You divide the number of pairs by the square of how many honest there are; there are "
        "M · N pairs.": lambda h, n: _area(h, n) * len(n) / len(h),
        "You divide the number of pairs by the square of how many lying there are; there are "
        "M · N pairs.": lambda h, n: _area(h, n) * len(h) / len(n),
        "You compare the first with the first, the second with the second: compare each lying one "
        "with each honest one.": lambda h, n: _zipped(h, n, ties=0.0),
        "You compare the first with the first, the second with the second, with ties as half: "
        "compare each lying one with each honest one.": lambda h, n: _zipped(h, n, ties=0.5),
        "You sort both and compare rank by rank: compare each lying one with each honest one.": (
            lambda h, n: _zipped(h.sort().values, n.sort().values, ties=0.0)
        ),
        "You choose a threshold, zero, and return the share of right answers; the area needs "
        "none.": lambda h, n: _right_at(0.0, h, n),
        "You choose a threshold, the mean of all scores, and return the share of right answers; "
        "the area needs none.": lambda h, n: _right_at(torch.cat([h, n]).mean(), h, n),
        "You choose a threshold, halfway between the two means, and return the share of right "
        "answers; the area needs none.": lambda h, n: _right_at((h.mean() + n.mean()) / 2, h, n),
        "You take the best of all thresholds; the area averages over them.": lambda h, n: (
            torch.stack([_right_at(each, h, n) for each in torch.cat([h, n, h - 99])]).max()
        ),
        "You choose a threshold, zero; the area needs none.": lambda h, n: (n > 0).double().mean(),
        "You choose a threshold, the mean of the honest; the area needs none.": (
            lambda h, n: (n > h.mean()).double().mean()
        ),
        "You choose a threshold, the largest honest score; the area needs none.": (
            lambda h, n: (n > h.max()).double().mean()
        ),
        "That is how far the means are apart; the area asks who is higher, not by how much.": (
            lambda h, n: n.mean() - h.mean()
        ),
        "The area is below zero: your thresholds run the other way than your curve.": (
            lambda h, n: -_area(h, n)
        ),
        "You leave ties out and divide by the other pairs; they count half, and as pairs.": (
            lambda h, n: _beats(h, n).mean() / (_beats(h, n).mean() + _beats(n, h).mean())
        ),
    }
    right = [_area(*case).item() for case in cases]
    exercise = Exercise(
        right=right,
        praise="Right: every pair of a lying and an honest one is asked once, at no threshold.",
        mistakes={
            sentence: [rule(*case).item() for case in cases] for sentence, rule in rules.items()
        },
        otherwise=lambda found: (
            f"An area lies between 0 and 1; yours is {found[0]:.3g}."
            if not 0 <= found[0] <= 1
            else "Right where the lying score higher, wrong where they score lower: the area is "
            f"{right[1]:.3f} there, yours is {found[1]:.3f}."
            if close(found[:1], right[:1], tolerance=1e-4)
            else f"With {scores[0][0]} against {scores[0][1]} the area is {right[0]:.3f}; yours is "
            f"{found[0]:.3f}."
        ),
        same=partial(close, tolerance=1e-4),
    )
    odd: list[dict[tuple[int, ...], str]] = []
    for honest, lying in cases:
        table = "You return a table of pairs; return its mean."
        odd.append(
            {
                (len(honest), len(lying)): table,
                (len(lying), len(honest)): table,
                (len(lying),): "You return a number for each lying one; return their mean.",
                (len(honest),): "You return a number for each honest one; return their mean.",
            }
        )
    verdict = judge_cases(answer, [tuple(t.clone() for t in case) for case in cases], exercise, odd)
    if "must match the size" in verdict.sentence:
        return wrong(
            "There are not as many honest ones as lying ones, and they do not come in pairs: "
            "lying.unsqueeze(1) > honest compares each with each."
        )
    return verdict


def share_of_true_alarms(answer: Callable[[Any, Any, Any], Any]) -> Verdict:
    """Check a reader's share of alarms that are true.

    Parameters
    ----------
    answer : callable
        From the share of networks that lie, the share of the lying that a detector catches, and
        the share of the honest that it accuses (numbers or tensors (N,)) to the share of its
        alarms that are true.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.share_of_true_alarms(lambda prevalence, caught, false_alarms: caught)
    ✗ That is the share of the lying that ring; you are asked for the share of alarms that are true.
    """
    cases = [(0.2, 0.9, 0.1), (0.03, 0.7, 0.04), (0.6, 0.35, 0.25)]
    rules: dict[str, Callable[[float, float, float], float]] = {
        "That is the share of the lying that ring; you are asked for the share of alarms that are "
        "true.": lambda p, c, f: c,
        "You leave out how many lie: that is right only where every second one does.": (
            lambda p, c, f: c / (c + f)
        ),
        "You count the false alarms as if all networks were honest; only 1 − prevalence are.": (
            lambda p, c, f: p * c / (p * c + f)
        ),
        "Above the line you count the lying as if all networks lied; multiply by the prevalence "
        "there as well.": lambda p, c, f: c / (p * c + (1 - p) * f),
        "That is the share of all networks which are true alarms; divide by the share of all "
        "alarms.": lambda p, c, f: p * c,
        "That is how often the detector rings at all, and belongs below the line; above it are "
        "the true alarms.": lambda p, c, f: p * c + (1 - p) * f,
        "That is the share of alarms that are false; return the true ones.": (
            lambda p, c, f: 1 - p * c / (p * c + (1 - p) * f)
        ),
        "Those are the odds, true alarms to false ones; divide by all alarms.": (
            lambda p, c, f: p * c / ((1 - p) * f)
        ),
        "You take false_alarms for the share of the honest that stay quiet; it is that of those "
        "that ring.": lambda p, c, f: p * c / (p * c + (1 - p) * (1 - f)),
        "You swap caught and false_alarms.": lambda p, c, f: p * f / (p * f + (1 - p) * c),
        "You swap prevalence and 1 − prevalence.": (
            lambda p, c, f: (1 - p) * c / ((1 - p) * c + p * f)
        ),
        "That is how many of the quiet ones are honest.": (
            lambda p, c, f: (1 - p) * (1 - f) / ((1 - p) * (1 - f) + p * (1 - c))
        ),
        "You subtract the false alarms from the caught; those are shares of different groups.": (
            lambda p, c, f: c - f
        ),
        "You add the rates up; those are shares of different groups, and each has to be "
        "multiplied by the size of its group first.": lambda p, c, f: c + f,
        "You add where you should multiply: the share of all networks which lie and are caught is "
        "prevalence · caught.": lambda p, c, f: (p + c) / (p + c + (1 - p) + f),
        "That is how often the detector is right, the quiet ones included.": (
            lambda p, c, f: p * c + (1 - p) * (1 - f)
        ),
        "That is how many lie, alarm or none.": lambda p, c, f: p,
        "Those are per cent; return a share.": (
            lambda p, c, f: 100 * p * c / (p * c + (1 - p) * f)
        ),
    }
    right = [p * c / (p * c + (1 - p) * f) for p, c, f in cases]
    exercise = Exercise(
        right=right,
        praise="Right: an alarm is worth what the detector and the prevalence make of it together.",
        mistakes={text: [rule(*case) for case in cases] for text, rule in rules.items()},
        otherwise=lambda found: (
            "With a prevalence of {:g}, {:g} caught and {:g} false alarms it is ".format(*cases[0])
            + f"{right[0]:.3f}; yours is {found[0]:.3f}."
            if not close(found[:1], right[:1], tolerance=1e-4)
            else "Right for some numbers, wrong for others."
        ),
        same=partial(close, tolerance=1e-4),
    )
    if not (verdict := judge_cases(answer, cases, exercise)):
        return verdict
    columns = torch.tensor(cases, dtype=torch.float64).T
    return judge_tensors(
        answer,
        columns.unbind(),
        right=torch.tensor(right, dtype=torch.float64),
        praise=exercise.praise,
        otherwise="Each prevalence has its own share.",
    )


def _beats(honest: Tensor, lying: Tensor) -> Tensor:
    """Return 1 for each pair in which the lying one scores higher, and 0 for the others."""
    return (lying.unsqueeze(1) > honest).double()


def _area(honest: Tensor, lying: Tensor) -> Tensor:
    """Return the area under the ROC curve."""
    return (1 + _beats(honest, lying).mean() - _beats(lying, honest).mean()) / 2


def _zipped(honest: Tensor, lying: Tensor, ties: float) -> Tensor:
    """Compare the first with the first, the second with the second, as far as pairs go."""
    pairs = list(zip(honest.tolist(), lying.tolist(), strict=False))
    return torch.tensor([float(n > h) + ties * (n == h) for h, n in pairs]).double().mean()


def _right_at(threshold: Tensor | float, honest: Tensor, lying: Tensor) -> Tensor:
    """Return the share of networks that an alarm above a threshold sorts correctly."""
    return torch.cat([honest <= threshold, lying > threshold]).double().mean()
