"""Derivatives in the weights by central differences, to compare gradients with."""

from collections.abc import Callable

import torch
from torch import Tensor


def along(direction: Tensor, weight: Tensor, function: Callable[[], Tensor], step: float) -> float:
    """Return how fast a function grows as a weight moves in a direction; it ends where it was."""
    ends = []
    for size in (step, -step):
        with torch.no_grad():
            weight.add_(direction, alpha=size)
        ends.append(function().item())
        with torch.no_grad():
            weight.sub_(direction, alpha=size)
    return (ends[0] - ends[1]) / (2 * step)
