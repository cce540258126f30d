"""Checks for the exercises of the chapter on training for explanations that hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from explman_lite.checks.exercise import Exercise
from explman_lite.checks.random_numbers import normal
from explman_lite.checks.single_numbers import as_number, close, judge_cases, judge_tensors
from explman_lite.checks.verdict import Verdict, judge, wrong


def common_likeness(answer: Callable[[Tensor], Any]) -> Verdict:
    """Check a reader's measure of how much the maps of different pictures are alike.

    Parameters
    ----------
    answer : callable
        From maps (N, H, W) of different pictures, none of them constant, to the mean Pearson
        correlation over all pairs of different pictures, a number.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.common_likeness(lambda maps: torch.corrcoef(maps.flatten(1)).mean())
    ✗ You compare each map with itself, too: the ones on the diagonal are there for any network.
    """
    drawn = normal(6, 4, 5, dtype=torch.float64).abs()
    shares = torch.tensor([1.0, 0.4, 1.6, 0.7, -0.9], dtype=torch.float64).view(-1, 1, 1)
    maps = drawn[1:] + shares * drawn[0] + 2
    flat, (count, height, width) = maps.flatten(1), maps.shape
    pixels = height * width
    table = torch.corrcoef(flat)
    pairs = _pairs(table)
    right = pairs.mean()
    means = flat.mean(dim=0)
    mistakes = {
        "You compare each map with itself, too: the ones on the diagonal are there for any "
        "network.": table.mean(),
        "Your triangle of the table contains the diagonal, where each map meets itself.": (
            table[tuple(torch.triu_indices(count, count))].mean()
        ),
        "You leave out the diagonal but count it: divide by N(N - 1) instead of N².": (
            right * (count - 1) / count
        ),
        "You add up each pair once and divide as if each came twice.": right / 2,
        "You add up each pair twice and divide as if each came once.": 2 * right,
        "You add the pairs up; take their mean.": pairs.sum(),
        "You add the pairs up, each of them twice; take their mean.": 2 * pairs.sum(),
        "That is the cosine: a correlation first subtracts from each map its mean.": (
            _pairs(_cosines(flat)).mean()
        ),
        "You subtract one mean from all maps; each map has its own.": (
            _pairs(_cosines(flat - flat.mean())).mean()
        ),
        "You subtract at each pixel the mean over the pictures, which is what the maps have in "
        "common; subtract from each map its own mean.": _pairs(_cosines(flat - means)).mean(),
        "You take the median of the pairs; take the mean.": pairs.quantile(0.5),
        "You take the pair that is most alike; take the mean over all.": pairs.max(),
        "You take the pair that is least alike; take the mean over all.": pairs.min(),
        "You drop the signs; maps that are each other's negative are not alike.": (
            pairs.abs().mean()
        ),
        "You square the correlations.": pairs.square().mean(),
        "That is how different they are: 1 minus the likeness.": 1 - right,
        "That is the covariance; divide by both standard deviations.": (
            _pairs(torch.cov(flat)).mean()
        ),
        "Your covariance divides by the number of pixels, and torch.std by one less; use the "
        "same number in both.": right * (pixels - 1) / pixels,
        "Your covariance divides by the number of pixels less one, and your standard deviations "
        "by their number; use the same number in both.": right * pixels / (pixels - 1),
        "You compare the first map with the others; compare every pair.": table[0, 1:].mean(),
        "You compare each map with the next one; compare every pair.": table.diagonal(1).mean(),
        "You compare each map with the mean of all, in which it has a share itself; compare "
        "pairs.": torch.corrcoef(torch.cat([means.unsqueeze(0), flat]))[0, 1:].mean(),
        "You compare each map with the mean of the others; compare pairs.": torch.stack(
            [
                torch.corrcoef(torch.stack([one, (count * means - one) / (count - 1)]))[0, 1]
                for one in flat
            ]
        ).mean(),
        "You compare pixels over the pictures; compare pictures over the pixels. (torch.corrcoef "
        "takes each row for a variable.)": _pairs(torch.corrcoef(flat.T)).mean(),
        "You correlate ranks, which is Spearman's way; correlate the values.": _pairs(
            torch.corrcoef(flat.argsort(dim=1).argsort(dim=1).to(flat))
        ).mean(),
        "You average Fisher's transforms; average the correlations.": pairs.atanh().mean().tanh(),
    }
    exercise = Exercise(
        right=[right.item()],
        praise="Right: near 1 the network says the same of every picture, and holds for nothing.",
        mistakes={sentence: [mistake.item()] for sentence, mistake in mistakes.items()},
        otherwise=lambda found: (
            f"A mean of correlations lies between -1 and 1; yours is {found[0]:.3g}."
            if abs(found[0]) > 1
            else f"That is not the mean over all pairs: it is {right:.3f}, yours is {found[0]:.3f}."
        ),
        same=partial(close, tolerance=1e-4),
    )
    odd = {
        (count, count): "You return the table of all pairs; return the mean over the pairs of "
        "different pictures.",
        (count,): "You return a number for each map; return the mean over all pairs.",
        (len(pairs),): "You return a number for each pair; return their mean.",
    }
    return _unchanged(answer, maps, "the maps", lambda found: _examine_number(found, exercise, odd))


def frobenius(answer: Callable[[Tensor], Any]) -> Verdict:
    """Check a reader's estimate of the Frobenius norm of a Hessian.

    Parameters
    ----------
    answer : callable
        From the products (S, d) of the Hessian at one point with S standard normal directions to
        the estimate, a number: the root of the mean of their squared lengths.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.frobenius(lambda products: products.norm(dim=1).mean())
    ✗ You average the lengths; it is their squares whose mean is the squared Frobenius norm.
    """
    scales = torch.tensor([3.0, 1.0, 0.3], dtype=torch.float64)
    products = 2 * scales * normal(7, 3, dtype=torch.float64)
    samples, size = products.shape
    lengths = products.norm(dim=1)
    square = lengths.square().mean()
    right = square.sqrt()
    operator = torch.linalg.matrix_norm(products, 2)
    mistakes = {
        "You average the lengths; it is their squares whose mean is the squared Frobenius norm.": (
            lengths.mean()
        ),
        "That is the square of the norm; take its root.": square,
        "You divide by √d: the mean runs over the directions, not over the entries of a product.": (
            right / math.sqrt(size)
        ),
        "You divide by d; each entry of a direction has variance 1 already, so nothing is left to "
        "divide by.": right / size,
        "You average the squares of all entries, and do not take the root: add up those of a "
        "product, average over the directions, then take the root.": square / size,
        "You average the lengths and divide by √d; neither is needed.": (
            lengths.mean() / math.sqrt(size)
        ),
        "You average the lengths and divide by d; neither is needed.": lengths.mean() / size,
        "That is the standard deviation of the entries: it subtracts their mean, and divides by "
        "√d.": products.std(),
        "That is the standard deviation of the lengths; take the root of their mean square.": (
            lengths.std()
        ),
        "You subtract the mean of the products before you square them; their expectation is zero "
        "already.": products.var(dim=0, correction=0).sum().sqrt(),
        "You take the variance of the products, which subtracts their mean; their expectation is "
        "zero already.": products.var(dim=0).sum().sqrt(),
        "You divide by S - 1; nothing has been subtracted, so divide by S.": (
            right * math.sqrt(samples / (samples - 1))
        ),
        "You add the squares up over the directions, so that more directions give a larger norm; "
        "take the mean.": right * math.sqrt(samples),
        "You divide by S after the root; divide before it.": right / math.sqrt(samples),
        "You add the lengths up; take the mean of their squares, and the root.": lengths.sum(),
        "You take the largest length. The worst direction is the operator norm's affair; this norm "
        "is an average over all.": lengths.max(),
        "You take the largest squared length; take the mean, and the root.": (
            lengths.max().square()
        ),
        "You take the smallest length; take the mean of the squares, and the root.": lengths.min(),
        "You take the median of the lengths; take the mean of the squares, and the root.": (
            lengths.median()
        ),
        "You average the products before you take the length, and they cancel.": (
            products.mean(dim=0).norm()
        ),
        "You add the products up before you take the length, and they cancel.": (
            products.sum(dim=0).norm()
        ),
        "You add up absolute values, which is another norm; square the entries.": (
            products.abs().sum(dim=1).mean()
        ),
        "That is the operator norm of the products as a matrix; square all entries instead.": (
            operator
        ),
        "That is the operator norm of the products as a matrix, over √S: how far the Hessian "
        "stretches along one axis, not along all.": operator / math.sqrt(samples),
    }
    exercise = Exercise(
        right=[right.item()],
        praise="Right: every direction sees the whole Hessian, and no entry of it is needed.",
        mistakes={sentence: [mistake.item()] for sentence, mistake in mistakes.items()},
        otherwise=lambda found: (
            f"That is not the root of the mean squared length: it is {right:.3f}, yours is "
            f"{found[0]:.3f}."
        ),
        same=partial(close, tolerance=1e-4),
    )
    odd: dict[tuple[int, ...], str] = {
        (samples,): "You return a number for each direction; return one from all of them.",
        (size,): "You average over the directions and keep the entries apart: square, add up the "
        "entries, then average.",
    }
    return _unchanged(
        answer, products, "the products", lambda found: _examine_number(found, exercise, odd)
    )


def certified_radius(answer: Callable[[Any, Any, float], Any]) -> Verdict:
    """Check a reader's distance within which a gradient certainly keeps its direction.

    Parameters
    ----------
    answer : callable
        From a bound that the norm of the Hessian nowhere exceeds, the length of the gradient at a
        picture (two numbers, or two tensors (N,)) and an angle of at most π/2 in radians (a
        number) to the largest distance within which no such gradient turns by more.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.certified_radius(lambda bound, slope, angle: slope * angle / bound)
    ✗ That holds for small angles only; for larger ones it promises too much: take the sine.
    """
    cases = [(2.0, 6.0, 0.3), (0.5, 1.5, 1.2), (3.0, 7.0, math.pi / 2)]
    rules: dict[str, Callable[[float, float, float], float]] = {
        "That holds for small angles only; for larger ones it promises too much: take the sine.": (
            lambda bound, slope, angle: slope * angle / bound
        ),
        "A tangent is what a change perpendicular to the old gradient needs; a shorter one, "
        "perpendicular to the new gradient, turns it as far: take the sine.": (
            lambda bound, slope, angle: slope * math.tan(angle) / bound
        ),
        "That is a chord, between two gradients of the same length; a shorter change, which also "
        "shortens the gradient, turns it as far: take the sine of the whole angle.": (
            lambda bound, slope, angle: 2 * slope * math.sin(angle / 2) / bound
        ),
        "You halve the angle.": lambda bound, slope, angle: slope * math.sin(angle / 2) / bound,
        "You return one over the distance: it grows with the slope and shrinks with the bound.": (
            lambda bound, slope, angle: bound / (slope * math.sin(angle))
        ),
        "You swap bound and slope: the more the network bends, the smaller the distance.": (
            lambda bound, slope, angle: bound * math.sin(angle) / slope
        ),
        "You divide by the sine; a larger angle allows a larger distance.": (
            lambda bound, slope, angle: slope / (bound * math.sin(angle))
        ),
        "The angle comes in radians already; do not convert it.": (
            lambda bound, slope, angle: slope * math.sin(math.radians(angle)) / bound
        ),
        "You convert the angle to degrees; math.sin and torch.sin take radians.": (
            lambda bound, slope, angle: slope * math.sin(math.degrees(angle)) / bound
        ),
        "Half as far as you may go: the gradient changes by at most bound · r, without the ½ of a "
        "second-order term.": lambda bound, slope, angle: slope * math.sin(angle) / (2 * bound),
        "Twice as far as you may go: the gradient changes by as much as bound · r.": (
            lambda bound, slope, angle: 2 * slope * math.sin(angle) / bound
        ),
        "The angle is missing: that far the gradient may turn by a right angle.": (
            lambda bound, slope, angle: slope / bound
        ),
        "The slope is missing: a long gradient takes a longer change to turn.": (
            lambda bound, slope, angle: math.sin(angle) / bound
        ),
        "The bound is missing: the more the network bends, the smaller the distance.": (
            lambda bound, slope, angle: slope * math.sin(angle)
        ),
        "You multiply by the bound; divide by it.": (
            lambda bound, slope, angle: bound * slope * math.sin(angle)
        ),
        "You divide by the slope, too; a long gradient takes a longer change to turn.": (
            lambda bound, slope, angle: math.sin(angle) / (bound * slope)
        ),
        "You take the cosine, which shrinks as the angle grows; take the sine.": (
            lambda bound, slope, angle: slope * math.cos(angle) / bound
        ),
        "You take 1 minus the cosine; take the sine.": (
            lambda bound, slope, angle: slope * (1 - math.cos(angle)) / bound
        ),
        "You square the sine.": lambda bound, slope, angle: slope * math.sin(angle) ** 2 / bound,
        "That is the angle at a given distance; you are given the angle, and want the distance.": (
            lambda bound, slope, angle: math.asin(min(1.0, bound * angle / slope))
        ),
    }
    right = [slope * math.sin(angle) / bound for bound, slope, angle in cases]
    exercise = Exercise(
        right=right,
        praise="Right: within it no step can turn the gradient further, whoever takes it.",
        mistakes={text: [rule(*case) for case in cases] for text, rule in rules.items()},
        otherwise=lambda found: (
            f"With a bound of {cases[0][0]:g}, a slope of {cases[0][1]:g} and an angle of "
            f"{cases[0][2]:g} it is {right[0]:.3f}; yours is {found[0]:.3f}."
            if not close(found[:1], right[:1], tolerance=1e-4)
            else "Right for one angle, wrong for another."
        ),
        same=partial(close, tolerance=1e-4),
    )

    if not (verdict := judge_cases(answer, cases, exercise)):
        return verdict
    bounds, slopes = torch.tensor([case[:2] for case in cases], dtype=torch.float64).T
    angle = cases[0][2]
    return judge_tensors(
        answer,
        (bounds, slopes, angle),
        right=slopes * math.sin(angle) / bounds,
        praise=exercise.praise,
        otherwise="Each picture has its own bound and slope.",
    )


def not_dominated(answer: Callable[[Tensor, Tensor], Any]) -> Verdict:
    """Check a reader's choice of the networks that no other beats.

    Parameters
    ----------
    answer : callable
        From the accuracy (N,) of networks and a measure (N,) of how honest their maps stay, the
        larger the better, to whether each (N,) is one for which no other is at least as good in
        both and better in one.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.not_dominated(lambda accuracy, honest: accuracy == accuracy.max())
    ✗ You keep the most accurate alone; another may be less accurate and more honest.
    """
    points = torch.tensor(
        [
            *[(0.80, 0.50), (0.60, 0.80), (0.90, 0.20), (0.80, 0.60), (0.50, 0.50), (0.40, 0.90)],
            *[(0.55, 0.80), (0.90, 0.30), (0.80, 0.60), (0.50, 0.50), (0.85, 0.42), (0.30, 0.90)],
        ],
        dtype=torch.float64,
    )
    count = len(points)
    ahead, behind = points.unsqueeze(0), points.unsqueeze(1)  # [i, j] asks whether j beats i
    weak, strict = (ahead >= behind).all(dim=2), (ahead > behind).all(dim=2)
    accurate, honest = (ahead > behind).unbind(dim=2)
    beaten = weak & (accurate | honest)
    right = ~beaten.any(dim=1)
    best = points == points.amax(dim=0)
    weights = torch.linspace(0, 1, 101, dtype=points.dtype, device=points.device)
    scores = weights.unsqueeze(1) * points[:, 0] + (1 - weights).unsqueeze(1) * points[:, 1]
    winners = (scores >= scores.amax(dim=1, keepdim=True) - 1e-9).any(dim=0)
    others = ~torch.eye(count, dtype=torch.bool, device=points.device)
    twins = (ahead == behind).all(dim=2) & others
    mistakes = {
        "You ask for strictly better in both. One that is as accurate and more honest dominates, "
        "too.": ~strict.any(dim=1),
        "A network that is as honest as another and less accurate is dominated; you keep it.": (
            ~((ahead[..., 0] >= behind[..., 0]) & honest).any(dim=1)
        ),
        "A network that is as accurate as another and less honest is dominated; you keep it.": (
            ~(accurate & (ahead[..., 1] >= behind[..., 1])).any(dim=1)
        ),
        "Nobody is left: each network is at least as good as itself. One that dominates must be "
        "better in something, and at least as good in the other.": torch.zeros_like(right),
        "Equal twins throw each other out; neither is better in anything, so both stay.": (
            ~(weak & others).any(dim=1)
        ),
        "Of equal twins you keep the first alone; neither is better in anything, so both stay.": (
            right & ~(twins & others.tril()).any(dim=1)
        ),
        "Of equal twins you keep the last alone; neither is better in anything, so both stay.": (
            right & ~(twins & others.triu()).any(dim=1)
        ),
        "You mark those that are dominated; mark the others.": ~right,
        "You mark those that dominate nobody, the worst; mark those that nobody dominates.": (
            ~beaten.any(dim=0)
        ),
        "You mark those that dominate somebody; even they may be dominated.": beaten.any(dim=0),
        "You keep the best of each alone; those in between may be dominated by nobody.": (
            best.any(dim=1)
        ),
        "You keep the best of each that nobody dominates, and leave out those in between.": (
            best.any(dim=1) & right
        ),
        "You keep the most accurate alone; another may be less accurate and more honest.": (
            best[:, 0]
        ),
        "You keep the most honest alone; another may be less honest and more accurate.": best[:, 1],
        "You keep the best sum; it takes accuracy and honesty for the same thing.": (
            points.sum(dim=1) >= points.sum(dim=1).max() - 1e-9
        ),
        "You keep the best weighted sums. One may win by no weights and be dominated by nobody, "
        "where the front is dented.": winners,
        "You keep all; some are beaten.": torch.ones_like(right),
        "You keep those above the mean in both; compare them with each other.": (
            (points > points.mean(dim=0)).all(dim=1)
        ),
    }
    exercise = Exercise(
        right=right,
        praise="Right: whoever leaves the front loses one or the other.",
        mistakes=mistakes,
        otherwise=lambda found: _misjudged(found, right, points),
        same=torch.equal,
    )
    given = points.T.contiguous()

    def examine(value: Any) -> Verdict:
        if isinstance(value, Tensor) and value.shape == beaten.shape:
            return wrong("You return a table of pairs; return one answer for each network.")
        if isinstance(value, Tensor) and value.dtype != torch.bool:
            if value.ndim == 1 and len(value) != count:
                return wrong(f"Return True or False for each of the {count}, not which they are.")
            if value.shape == right.shape:
                return wrong(f"Return True or False, a tensor of bool; yours is {value.dtype}.")
        verdict = exercise.examine(value)
        if verdict and not torch.equal(given, points.T):
            return wrong("The right networks, but you changed the tensors you were given.")
        return verdict

    return judge(lambda: answer(*given.unbind()), examine)


def _misjudged(found: Tensor, right: Tensor, points: Tensor) -> str:
    """Name the first network about which an answer is wrong."""
    accuracy, honest = points[found != right][0].tolist()
    dominated = not right[found != right][0]
    what = "is dominated, and you keep it" if dominated else "is dominated by none, and you drop it"
    return f"The network with accuracy {accuracy:g} and honesty {honest:g} {what}."


def _unchanged(
    answer: Callable[[Tensor], Any], given: Tensor, name: str, examine: Callable[[Any], Verdict]
) -> Verdict:
    """Judge the answer for a tensor, which it must leave as it is."""
    copy = given.clone()

    def examine_both(value: Any) -> Verdict:
        if not (verdict := examine(value)) or torch.equal(copy, given):
            return verdict
        return wrong(f"The right number, but you changed {name} you were given: work on a copy.")

    return judge(lambda: answer(copy), examine_both)


def _examine_number(value: Any, exercise: Exercise, odd: Mapping[tuple[int, ...], str]) -> Verdict:
    number = as_number(value, odd)
    return number if isinstance(number, Verdict) else exercise.compare([number])


def _pairs(table: Tensor) -> Tensor:
    """Return the entries of a symmetric table above its diagonal."""
    rows, columns = torch.triu_indices(len(table), len(table), offset=1)
    return table[rows, columns]


def _cosines(rows: Tensor) -> Tensor:
    unit = F.normalize(rows, dim=1)
    return unit @ unit.T
