"""Walks on a level set: the output stays the same, and the normal turns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from explman_lite.curvature.hessian import same_class
from explman_lite.explainers.base import input_gradient, ordinary, outside_inference_mode
from explman_lite.progress import progress_bar
from explman_lite.validation import (
    check_count,
    check_fits,
    check_model,
    check_points,
    check_positive,
)

_AT_ONCE = 8
"""Number of points that the network sees as a batch."""
_NEWTON_STEPS = 50


@dataclass(frozen=True)
class LevelSetPath:
    """A walk on a level set, point by point, from `level_set_path`.

    Attributes
    ----------
    points : Tensor
        (T, ...), each on the level set.
    values : Tensor
        (T,), the logits at the points.
    level : float
        What they should all be: the logit at the start.
    gradients : Tensor
        (T, ...), the gradients of the logit at the points.
    cls : int
        The index of the logit.
    """

    points: Tensor
    values: Tensor
    level: float
    gradients: Tensor
    cls: int

    @cached_property
    def normals(self) -> Tensor:
        """Unit normals (T, ...) of the level set: the normalised gradients."""
        return self.gradients / norms_of(self.gradients)

    @property
    def length(self) -> float:
        """Length of the walk, the sum of the distances from each point to the next."""
        return float(norms_of(self.points.diff(dim=0)).sum())

    @property
    def straight_distance(self) -> float:
        """Distance between its ends, which is no more than their geodesic distance."""
        return float((self.points[-1] - self.points[0]).norm())

    @property
    def drift(self) -> float:
        """Largest deviation of a logit from the level."""
        return float((self.values - self.level).abs().max())

    @property
    def normal_change(self) -> Tensor:
        """Distance of each unit normal from the first, ‖n(p) - n(p₀)‖: (T,) between 0 and 2."""
        change: Tensor = (self.normals - self.normals[:1]).flatten(1).norm(dim=1)
        return change


@outside_inference_mode()
def level_set_path(
    model: nn.Module,
    start: Tensor,
    end: Tensor,
    cls: int,
    *,
    points: int = 33,
    tolerance: float = 1e-4,
    progress: bool = True,
) -> LevelSetPath:
    r"""Walk on the level set of ``start`` towards ``end``.

    Points at equal distances on the straight line from one to the other are brought to the level
    set by Newton's method along the gradient,

    .. math::

       x \leftarrow x + \frac{c - g(x)}{\lVert \nabla g(x) \rVert^2}\, \nabla g(x),

    until the logit g differs from its value c at the start by no more than the tolerance. The end
    moves as well, since its logit is rarely the same to the last digit.

    Parameters
    ----------
    model : nn.Module
        From (N, ...) to logits (N, K); in evaluation mode.
    start, end : Tensor
        (1, ...), such as a picture and its manipulated twin.
    cls : int
        The index of the logit that stays the same.
    points : int
        Number of points, both ends included; at least 2.
    tolerance : float
        Largest allowed difference of a logit from the level, above 0.
    progress : bool
        Show a progress bar if it takes more than a second.

    Returns
    -------
    LevelSetPath
        Points, normals, length, and how well the level was kept.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form.
    RuntimeError
        If 50 steps are not enough, as where the line leads far from the set.

    References
    ----------
    Dombrowski et al. (2019), section 3.

    Examples
    --------
    >>> import math, torch, explman_lite as el
    >>> class Sphere(torch.nn.Module):
    ...     def forward(self, points):
    ...         return points.square().sum(dim=1, keepdim=True)
    >>> east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> path = el.curvature.level_set_path(Sphere().eval(), east, north, 0, points=100)
    >>> abs(path.length - math.pi / 2) < 1e-3, abs(path.straight_distance - math.sqrt(2)) < 1e-4
    (True, True)
    """
    check_model(model)
    check_positive(tolerance=tolerance)
    for name, point in (("start", start), ("end", end)):
        check_points(point, name)
        check_fits(model, point, name)
        if len(point) != 1 or point.shape != start.shape:
            raise ValueError(
                "start and end must be single points (1, ...) of the same shape, "
                f"got {tuple(start.shape)} and {tuple(end.shape)}"
            )
    check_count(2, points=points)
    start, end = ordinary(start), ordinary(end)
    fractions = (
        torch.linspace(0, 1, points, dtype=start.dtype, device=start.device)
        .to(start)
        .view(-1, *[1] * (start.ndim - 1))
    )
    on_line = start + fractions * (end - start)
    level = float(_values_and_gradients(model, start, cls)[0])
    pieces = []
    with progress_bar("path", points, progress, unit="point", at_once=False) as bar:
        for piece in torch.split(on_line, _AT_ONCE):
            pieces.append(_project(model, piece, cls, level, tolerance))
            bar.update(len(piece))
    found, values, gradients = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    return LevelSetPath(found, values, level, gradients, cls)


def _project(
    model: nn.Module, points: Tensor, cls: int, level: float, tolerance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Bring points to the level by Newton's steps; return them, their logits and gradients."""
    for _ in range(_NEWTON_STEPS):
        values, gradients = _values_and_gradients(model, points, cls)
        missing = level - values
        if (missing.abs() <= tolerance).all():
            return points, values, gradients
        squares = norms_of(gradients).square()
        points = points + missing.view_as(squares) * gradients / squares
    raise RuntimeError(
        f"the logit is still {float(missing.abs().max()):.2g} off the level after "
        f"{_NEWTON_STEPS} steps: choose ends that are closer, or a larger tolerance"
    )


def _values_and_gradients(model: nn.Module, points: Tensor, cls: int) -> tuple[Tensor, Tensor]:
    gradient, logits = input_gradient(model, points.detach(), same_class(cls, points))
    return logits[:, cls], gradient


def norms_of(vectors: Tensor) -> Tensor:
    """Return the Euclidean norm of each vector (N, ...), in a shape that broadcasts against it."""
    norms: Tensor = vectors.flatten(1).norm(dim=1)
    return norms.view(-1, *[1] * (vectors.ndim - 1))
