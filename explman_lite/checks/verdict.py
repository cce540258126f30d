"""What a check of an exercise says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_SIGNS = {"passed": "✓", "wrong": "✗", "not done": "…"}


@dataclass(frozen=True)
class Verdict:
    """A check's answer, in a sentence that helps.

    Attributes
    ----------
    status : str
        ``"passed"``, ``"wrong"`` or ``"not done"``.
    sentence : str
        What is right, what is wrong and where to look, or that nothing is there yet.
    """

    status: str
    sentence: str

    def __bool__(self) -> bool:
        """Whether the exercise is solved."""
        return self.status == "passed"

    def __repr__(self) -> str:
        """Show a sign and the sentence, as notebooks display it."""
        return f"{_SIGNS[self.status]} {self.sentence}"


def passed(sentence: str) -> Verdict:
    """Return the verdict on a right answer."""
    return Verdict("passed", sentence)


def wrong(sentence: str) -> Verdict:
    """Return the verdict on a wrong answer: what is wrong, and where to look."""
    return Verdict("wrong", sentence)


def judge(answer: Callable[[], Any], examine: Callable[[Any], Verdict]) -> Verdict:
    """Call a reader's code and examine what it returns.

    A stub, which returns None, is "not done"; an error in the reader's code is "wrong" and
    quoted, so that no check ever ends in a traceback.
    """
    try:
        value = answer()
    except Exception as error:
        return wrong(f"Your code stopped with {type(error).__name__}: {error}")
    if value is None:
        return Verdict("not done", "Not done yet: replace the stub and run the cell again.")
    return examine(value)


def helped(verdict: Verdict, symptoms: Mapping[str, str]) -> Verdict:
    """Add to an error that a reader's code stopped with what helps, by a part of its message."""
    if verdict.sentence.startswith("Your code stopped"):
        for symptom, help_with_it in symptoms.items():
            if symptom in verdict.sentence:
                first_line, *_ = verdict.sentence.split("\n")
                return wrong(f"{first_line.rstrip('.')}. {help_with_it}")
    return verdict


def misfit(value: Any, shape: torch.Size) -> Verdict | None:
    """Return what is wrong with the form of an answer that should be a tensor, if anything."""
    if not isinstance(value, Tensor):
        return wrong(
            f"Return a tensor of shape {tuple(shape)}; yours is of type {type(value).__name__}."
        )
    if value.shape != shape:
        return wrong(f"The shape should be {tuple(shape)}; yours is {tuple(value.shape)}.")
    if value.layout != torch.strided or value.is_meta or value.is_quantized:
        return wrong("Return an ordinary tensor; yours is sparse, quantized or without values.")
    if not torch.isfinite(value.detach()).all():
        return wrong("There are NaN or infinite values.")
    return None
