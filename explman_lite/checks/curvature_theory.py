"""Checks for the exercises of the chapter on curvature."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from explman_lite.checks.exercise import Exercise
from explman_lite.checks.random_numbers import normal
from explman_lite.checks.verdict import Verdict, judge, misfit, wrong

Look = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From points (N, d) to the values (N,) and the gradients (N, d) of a function there."""


def to_tangent(answer: Callable[[Tensor, Tensor], Any]) -> Verdict:
    """Check a reader's projection of vectors onto the tangent space of a level set.

    Parameters
    ----------
    answer : callable
        From vectors (N, C, H, W) and the gradients (N, C, H, W) at their points to the part of
        each vector (N, C, H, W) along which the function does not change to first order.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.to_tangent(lambda vectors, gradients: vectors - gradients)
    ✗ Your vectors are not tangential: their scalar product with the gradient should be zero.
    """
    vectors, gradients = normal(2, 3, 2, 4, 4, dtype=torch.float64)
    gradients = gradients * torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64).view(3, 1, 1, 1)
    squares, along = _inner(gradients, gradients), _inner(vectors, gradients)
    normal_part = along * gradients / squares
    rest = vectors - normal_part
    whole = (vectors * gradients).sum() * gradients / gradients.square().sum()
    exercise = Exercise(
        right=rest,
        praise="Right: what is left does not change the function to first order.",
        mistakes={
            "You return the part along the gradient; subtract it from the vector.": normal_part,
            "You add the part along the gradient instead of subtracting it.": vectors + normal_part,
            "You subtract the gradient without dividing by its squared length: make it a unit "
            "vector first.": vectors - along * gradients,
            "You divide by the length of the gradient once; it occurs twice, so divide by its "
            "square.": vectors - along * gradients / squares.sqrt(),
            "You take scalar products over the whole batch; each sample has a normal of its "
            "own.": vectors - whole,
            "Your result is tangential, and it has unit length: leave the lengths as they come "
            "out.": rest / _inner(rest, rest).sqrt(),
            "You return the vectors as they were.": vectors,
            "Your vectors are not tangential: their scalar product with the gradient should be "
            "zero.": lambda found: _inner(found, gradients).abs().max() > 1e-5,
        },
        otherwise="Tangential, but not what is left of the vectors without their normal part.",
        same=partial(torch.allclose, atol=1e-5),
    )
    return exercise(answer, vectors, gradients)


def plane_curvature(answer: Callable[[Tensor, Tensor], Any]) -> Verdict:
    """Check a reader's curvature of level lines in the plane.

    Parameters
    ----------
    answer : callable
        From gradients (N, 2) and Hessians (N, 2, 2) of a function to the curvature (N,) of the
        level line through each point, negative for a circle whose normal points outwards.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.plane_curvature(lambda gradients, hessians: hessians[:, 0, 0])
    ✗ A circle of radius 2 with its normal outwards has -0.5; yours has 2.
    """
    gradients, hessians = normal(5, 2, dtype=torch.float64), normal(5, 2, 2, dtype=torch.float64)
    gradients[0], hessians[0] = torch.tensor([0.0, 4.0]), 2 * torch.eye(2)
    hessians = (hessians + hessians.mT) / 2
    length = gradients.norm(dim=1)
    normals = gradients / length.unsqueeze(1)
    tangents = torch.stack([-normals[:, 1], normals[:, 0]], dim=1)
    bend = _quadratic(hessians, tangents)
    exercise = Exercise(
        right=-bend / length,
        praise="Right: the second derivative along the tangent, over the slope.",
        mistakes={
            "Your sign is the other one: a circle whose normal points outwards has a negative "
            "curvature here, as L = -PHP/‖∇g‖ says.": bend / length,
            "You do not divide by the length of the gradient, so 2g bends more than g, although "
            "its level lines are the same.": -bend,
            "You divide by the square of the gradient's length; once is enough.": -bend / length**2,
            "Your tangent has the length of the gradient instead of 1.": -bend * length,
            "You forget to divide, and your tangent has the length of the gradient instead of "
            "1.": -bend * length**2,
            "You look along the normal; the level line runs along the tangent.": (
                -_quadratic(hessians, normals) / length
            ),
            "You take the trace, which also counts the bend along the normal: that one leaves the "
            "level line.": -hessians.diagonal(dim1=1, dim2=2).sum(dim=1) / length,
            "You return the size of the curvature; keep its sign.": (bend / length).abs(),
            "Right for a circle, wrong for other level lines: which way is the tangent?": (
                lambda found: torch.isclose(found[0], -bend[0] / length[0], atol=1e-5)
            ),
        },
        otherwise=lambda found: (
            f"A circle of radius 2 with its normal outwards has {-bend[0] / length[0]:g}; yours "
            f"has {found[0]:g}."
        ),
        same=partial(torch.allclose, atol=1e-5),
    )
    return exercise(answer, gradients, hessians)


def product_by_differences(
    answer: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, float], Any],
) -> Verdict:
    """Check a reader's Hessian-vector product from two gradients.

    Parameters
    ----------
    answer : callable
        From a function that returns the gradient (d,) at a point (d,), a point, a vector (d,) and
        a step size to the Hessian at the point times the vector (d,), by central differences.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.product_by_differences(lambda gradient_at, point, *others: gradient_at(point))
    ✗ That is the gradient at the point, not how it changes along the vector.
    """
    matrix = normal(6, 6, dtype=torch.float64)
    point, vector, cubic = normal(3, 6, dtype=torch.float64)
    matrix, step = matrix + matrix.T, 0.02
    calls: list[Tensor] = []

    def gradient_at(where: Tensor) -> Tensor:
        calls.append(where)
        slope: Tensor = matrix @ where + cubic * where.square()
        return slope

    def one_sided(found: Tensor) -> bool:
        share = (found - product) / (cubic * vector.square())
        return torch.allclose(share, share[0], rtol=1e-3)

    product = matrix @ vector + 2 * cubic * point * vector
    exercise = Exercise(
        right=product,
        praise="Right: two gradients, one product, and no graph to keep.",
        mistakes={
            "You divide by the step; the two points are two steps apart.": 2 * product,
            "You divide the difference by nothing; the two points are two steps apart.": (
                2 * step * product
            ),
            "You multiply by the step instead of dividing by it.": 2 * step**2 * product,
            "The vector has a length, and the product must grow with it: do not normalise it, or "
            "multiply by its length in the end.": product / vector.norm(),
            "Your sign is the other one: the gradient ahead minus the gradient behind.": -product,
            "That is the gradient at the point, not how it changes along the vector.": (
                matrix @ point + cubic * point.square()
            ),
            "Use the function that you are given: it tells the gradient at a point.": (
                lambda found: not calls
            ),
            "Your difference is one-sided: its error shrinks as the step, a central one's as its "
            "square.": one_sided,
        },
        otherwise="That is not the gradient ahead minus the gradient behind, over two steps.",
        same=partial(torch.allclose, rtol=1e-5, atol=1e-7),
    )
    return exercise(answer, gradient_at, point, vector, step)


def back_to_level(answer: Callable[[Look, Tensor, Tensor, int], Any]) -> Verdict:
    """Check a reader's way back to the level set, by Newton's steps along the gradient.

    Parameters
    ----------
    answer : callable
        From a function that returns values (N,) and gradients (N, d) at points (N, d), points,
        the levels (N,) that they should have, and a number of steps to the points after them.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.back_to_level(lambda look, points, levels, steps: points)
    ✗ No point has moved.
    """
    points = 1 + normal(4, 3, dtype=torch.float64).abs()
    axes = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    levels = torch.tensor([4.0, 9.0, 2.0, 6.0], dtype=torch.float64)

    def look(where: Tensor) -> tuple[Tensor, Tensor]:
        return (axes * where.square()).sum(dim=1), 2 * axes * where

    values, slopes = look(points)
    move = (levels - values).unsqueeze(1) * slopes
    squares = slopes.square().sum(dim=1, keepdim=True)
    first = points + move / squares
    one_step = Exercise(
        right=first,
        praise="Right: each sample on its own level, with its own gradient, anew each step.",
        mistakes={
            "No point has moved.": points,
            "You move away from the level: mind the sign of what is missing.": 2 * points - first,
            "You divide by the length of the gradient; a step of length t along the unit normal "
            "gains t‖∇g‖, so divide by its square.": points + move / squares.sqrt(),
            "You follow the gradient without dividing by its squared length: the step is far too "
            "long.": points + move,
            "You divide by the squared length of all gradients together; each sample has its "
            "own.": points + move / squares.sum(),
            "You were asked for one step, and took more.": lambda found: torch.allclose(
                look(found)[0], levels, rtol=1e-6
            ),
        },
        otherwise="Your first step is not what is missing, over ‖∇g‖², times the gradient.",
        same=partial(torch.allclose, rtol=1e-6),
    )

    def examine(found: tuple[Any, Any]) -> Verdict:
        one, six = found
        if not (verdict := one_step.examine(one)):
            return verdict
        if (form := misfit(six, points.shape)) is not None:
            return form
        last = six.detach().to(first)
        if torch.allclose(last, first, rtol=1e-6):
            return wrong("The first step is right; asked for six steps, you still take one.")
        stale = points
        for _ in range(6):
            stale = stale + (levels - look(stale)[0]).unsqueeze(1) * slopes / squares
        if torch.allclose(last, stale, rtol=1e-9):
            return wrong(
                "You keep the gradient of the start; Newton's step takes it anew at each point."
            )
        if not torch.allclose(look(last)[0], levels, rtol=1e-9):
            return wrong("The first step is right, but six of them do not arrive at the levels.")
        return verdict

    def twice() -> tuple[Any, Any] | None:
        one = answer(look, points.clone(), levels.clone(), 1)
        return None if one is None else (one, answer(look, points.clone(), levels.clone(), 6))

    return judge(twice, examine)


def _quadratic(matrices: Tensor, vectors: Tensor) -> Tensor:
    return torch.einsum("ni,nij,nj->n", vectors, matrices, vectors)


def _inner(first: Tensor, second: Tensor) -> Tensor:
    """Scalar product of each sample, in a shape to multiply with."""
    return (first * second).sum(dim=(1, 2, 3), keepdim=True)
