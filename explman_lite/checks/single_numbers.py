"""What checks with numbers as answers have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, SupportsFloat

import numpy as np
import torch
from torch import Tensor

from explman_lite.checks.exercise import Exercise
from explman_lite.checks.verdict import Verdict, judge, wrong


def as_number(value: Any, odd: Mapping[tuple[int, ...], str]) -> float | Verdict:
    """Return a value as a float, or what is wrong with its form, judged by shape if that helps."""
    if isinstance(value, Tensor | np.ndarray) and math.prod(value.shape) != 1:
        shape = tuple(value.shape)
        return wrong(odd.get(shape, f"Return a number; yours has the shape {shape}."))
    if isinstance(value, SupportsFloat):
        try:
            return float(value.detach() if isinstance(value, Tensor) else value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            pass
    return wrong(f"Return a number; yours is of type {type(value).__name__}.")


def close(found: list[float], other: list[float], *, tolerance: float) -> bool:
    """Return whether numbers agree, each to the same relative tolerance."""
    return all(map(partial(math.isclose, rel_tol=tolerance), found, other))


def judge_cases(
    answer: Callable[..., Any],
    cases: Sequence[tuple[Any, ...]],
    exercise: Exercise,
    odd: Sequence[Mapping[tuple[int, ...], str]] = (),
) -> Verdict:
    """Judge the numbers that an answer returns in several cases.

    ``odd`` holds, for each case, what to say about tensors of known wrong shapes.
    """

    def every() -> list[Any] | None:
        found = [answer(*case) for case in cases]
        return None if found[0] is None else found

    def examine(values: list[Any]) -> Verdict:
        found = []
        for place, value in enumerate(values):
            number = as_number(value, odd[place] if odd else {})
            if isinstance(number, Verdict):
                return number
            found.append(number)
        return exercise.compare(found)

    return judge(every, examine)


def judge_tensors(
    answer: Callable[..., Any], given: Sequence[Any], right: Tensor, praise: str, otherwise: str
) -> Verdict:
    """Judge an answer that is right for numbers by its results for tensors."""
    exercise = Exercise(
        right=right,
        praise=praise,
        mistakes={},
        otherwise=otherwise,
        same=partial(torch.allclose, rtol=1e-4),
    )
    if not (verdict := exercise(answer, *given)):
        return wrong(f"Right for numbers, but not for tensors (N,). {verdict.sentence}")
    return verdict
