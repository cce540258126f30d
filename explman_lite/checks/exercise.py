"""An exercise as data: the right answer, and the mistakes that readers make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch

from explman_lite.checks.verdict import Verdict, judge, misfit, passed, wrong


@dataclass(frozen=True)
class Exercise:
    """What a right answer returns, what known wrong answers return, and what to say to each.

    Attributes
    ----------
    right : Tensor or list
        The value of a right answer.
    praise : str
        What to say to it.
    mistakes : mapping
        Under the sentence that helps, the value of a known wrong answer or a function that tells
        from a value whether it is one. The first that fits is said.
    otherwise : str or callable
        What to say to any other value, or a function of the value that says it.
    same : callable
        Whether two values count as equal.

    Examples
    --------
    >>> from explman_lite.checks.exercise import Exercise
    >>> given = torch.tensor(3.0)
    >>> half = Exercise(
    ...     right=given / 2,
    ...     praise="Right: one of two equal parts.",
    ...     mistakes={"You double it.": 2 * given, "Half of something is less.": given.less},
    ...     otherwise="That is not the half.",
    ... )
    >>> half(lambda x: x + x, given)
    ✗ You double it.
    """

    right: Any
    praise: str
    mistakes: Mapping[str, Any]
    otherwise: str | Callable[[Any], str]
    same: Callable[[Any, Any], bool] = torch.allclose

    def __call__(self, answer: Callable[..., Any], *given: Any) -> Verdict:
        """Give a reader's function copies of the given numbers and examine what it returns."""
        return judge(lambda: answer(*deepcopy(given)), self.examine)

    def examine(self, value: Any) -> Verdict:
        """Judge a value that should be a tensor like the right one."""
        if (form := misfit(value, self.right.shape)) is not None:
            return form
        return self.compare(value.detach().to(self.right))

    def compare(self, found: Any) -> Verdict:
        """Judge a value whose form is right."""
        if self.same(found, self.right):
            return passed(self.praise)
        for sentence, mistake in self.mistakes.items():
            if mistake(found) if callable(mistake) else self.same(found, mistake):
                return wrong(sentence)
        return wrong(self.otherwise if isinstance(self.otherwise, str) else self.otherwise(found))
