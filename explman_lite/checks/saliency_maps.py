"""Checks for the exercises of the chapter on saliency maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import eq
from typing import Any

import torch
from torch import Tensor

from explman_lite.checks.exercise import Exercise
from explman_lite.checks.random_numbers import normal
from explman_lite.checks.verdict import Verdict, judge
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
    own = scale_to_mean_one
    innocent: dict[str, Callable[[Tensor], Tensor]] = {
        "Your test accuses a function that scales each map by its own mean.": own,
        "Your test accuses a function that divides each map by its own largest value. That the "
        "means are not 1 proves nothing: compare what a map gets in the batch with what it gets "
        "alone.": lambda maps: maps / maps.amax(dim=(1, 2), keepdim=True),
    }
    guilty: dict[str, Callable[[Tensor], Tensor]] = {
        "Your test lets through a function that divides by the mean of the whole batch. One map, "
        "equal maps or maps of about equal mean cannot reveal it: take maps of clearly different "
        "mean.": lambda maps: maps / maps.mean(),
        "Your test lets through a function that divides every map by the mean of the first. The "
        "first map gets its due, so compare the others too.": lambda maps: maps / maps[0].mean(),
        "Your test lets through a function that scales each map to mean 1 and then blends it with "
        "the others. The means stay 1, so compare the values themselves, of maps that differ in "
        "more than their size.": lambda maps: (own(maps) + own(maps).mean(dim=0)) / 2,
    }
    praise = "Right: your test accuses the three guilty functions and spares the two innocent ones."
    for sentence, scale in (innocent | guilty).items():
        exercise = Exercise(sentence in guilty, praise, {}, otherwise=sentence, same=eq)
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
