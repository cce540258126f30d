"""A progress bar with the time that is left, where somebody looks."""

from __future__ import annotations

import sys

from IPython.core.getipython import get_ipython
from tqdm.auto import tqdm

_A_MOMENT = 1.0
"""Number of seconds; what takes less and is often called in a loop needs no bar."""


def progress_bar(
    name: str,
    total: int | None,
    show: bool,
    *,
    unit: str = "step",
    done: int = 0,
    at_once: bool = True,
) -> tqdm:
    """Return a bar, to be used as a context and told of each ``update``.

    It is shown in notebooks, and at a terminal on stderr. It is not shown if stderr is a file or a
    pipe, or if a program runs the notebook, as nbconvert and nbval do.

    Parameters
    ----------
    name : str
        What is being done.
    total : int or None
        How many units there are; None if nobody knows, so that no time left can be told.
    show : bool
        What the caller's ``progress`` says.
    unit : str
        What is counted.
    done : int
        How many units were done before.
    at_once : bool
        Whether the bar appears at once, or after a second.
    """
    hidden, delay = not (show and _is_watched()), 0 if at_once else _A_MOMENT
    return tqdm(desc=name, total=total, disable=hidden, unit=unit, initial=done, delay=delay)


def _is_watched() -> bool:
    """Return whether somebody looks: a program that runs a notebook accepts no question."""
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return sys.stderr is not None and sys.stderr.isatty()
    content = kernel.get_parent().get("content", {})
    return bool(content.get("allow_stdin", True))
