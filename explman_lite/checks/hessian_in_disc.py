"""The check for the hardest exercise of the chapter on curvature."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from explman_lite.checks.random_numbers import uniform
from explman_lite.checks.verdict import Verdict, judge, passed, wrong

RINGS, DIRECTIONS = 5, 49
"""Where a disc is searched for a large Hessian."""
BETWEEN_SAMPLES = 1.02
"""How many times the largest norm found a bound is on average; below, it looks sampled itself."""


def local_bound(answer: Callable[[Tensor, Tensor, float, Tensor, float], Any]) -> Verdict:
    """Check a reader's bound on the Hessian of a one-layer network within a disc.

    Parameters
    ----------
    answer : callable
        From inner weights (units, 2), outer weights (units,), β, the centre (2,) and the radius
        of a disc to a number that the spectral norm of the Hessian nowhere exceeds in the disc.

    Examples
    --------
    >>> import explman_lite as el
    >>> def everywhere(inner, outer, beta, centre, radius):
    ...     return beta / 4 * outer.abs().max() * torch.linalg.matrix_norm(inner, 2) ** 2
    >>> el.checks.local_bound(everywhere)
    ✗ True, but hardly better than the bound for the whole plane: which units can bend in the disc?
    """
    inner, outer = uniform(50, 2), uniform(50, seed=1)
    cases = [
        (beta, 0.8 * uniform(2, seed=seed), radius)
        for beta in (3.0, 30.0)
        for radius in (0.02, 0.1, 0.4)
        for seed in range(2, 8)
    ]
    largest = [_largest_norm(inner, outer, *case) for case in cases]
    global_bound = float(outer.abs().max() * torch.linalg.matrix_norm(inner, 2) ** 2) / 4

    def every() -> list[float] | None:
        found: list[float] = []
        for beta, centre, radius in cases:
            value = answer(inner.clone(), outer.clone(), beta, centre.clone(), radius)
            if value is None:
                return None
            found.append(float(value))
        return found

    def examine(found: list[float]) -> Verdict:
        if not all(math.isfinite(value) for value in found):
            return wrong("Your bound is not finite in some disc.")
        for value, truth, (beta, centre, radius) in zip(found, largest, cases, strict=True):
            if value < truth * (1 - 1e-6):
                x, y = centre.tolist()
                return wrong(
                    f"No bound: for β = {beta:g} and the disc of radius {radius:g} around "
                    f"({x:.2f}, {y:.2f}) you say {value:.3g}, and there is a Hessian of norm "
                    f"{truth:.3g} in it."
                )
        everywhere = [beta * global_bound for beta, _, _ in cases]
        loose, looser = _mean_ratio(found, largest), _mean_ratio(everywhere, largest)
        if loose < BETWEEN_SAMPLES:
            return wrong("That looks sampled: what holds *between* your points?")
        if loose > looser / 2:
            return wrong(
                "True, but hardly better than the bound for the whole plane: which units can bend "
                "in the disc?"
            )
        ours = [_disc_bound(inner, outer, *case) for case in cases]
        return passed(
            f"Right, as far as one can look: no counterexample at {RINGS * DIRECTIONS} points of "
            f"each of {len(cases)} discs (only a proof makes it a bound), and on average "
            f"{loose:.2f} times the largest norm that was "
            f"found (the bound for the whole plane: {looser:.1f} times, ours: "
            f"{_mean_ratio(ours, largest):.2f})."
        )

    return judge(every, examine)


def _bump(z: Tensor, beta: float) -> Tensor:
    """Second derivative of softplus."""
    slope = torch.sigmoid(beta * z)
    return beta * slope * (1 - slope)


def _largest_norm(
    inner: Tensor, outer: Tensor, beta: float, centre: Tensor, radius: float
) -> float:
    """Find the largest norm of the Hessian on rings and rays of a disc."""
    angles = torch.linspace(0, 2 * math.pi, DIRECTIONS, dtype=torch.float64)
    ring = torch.stack([angles.cos(), angles.sin()], dim=1)
    points = torch.cat([centre + radius * share * ring for share in torch.linspace(0, 1, RINGS)])
    weights = outer * _bump(points @ inner.T, beta)
    hessians = torch.einsum("nu,ui,uj->nij", weights, inner, inner)
    return float(torch.linalg.matrix_norm(hessians, 2).max())


def _disc_bound(inner: Tensor, outer: Tensor, beta: float, centre: Tensor, radius: float) -> float:
    """Let each unit bend as much as it can in the disc, the two signs apart."""
    nearest = (inner @ centre).abs() - radius * inner.norm(dim=1)
    most = outer * _bump(nearest.clamp_min(0), beta)
    parts = [inner.T @ (part.unsqueeze(1) * inner) for part in (most.relu(), (-most).relu())]
    return max(float(torch.linalg.matrix_norm(part, 2)) for part in parts)


def _mean_ratio(bounds: list[float], truths: list[float]) -> float:
    """Return the geometric mean of how much larger the bounds are."""
    pairs = list(zip(bounds, truths, strict=True))
    return math.exp(sum(math.log(bound / truth) for bound, truth in pairs) / len(pairs))
