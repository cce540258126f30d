"""Second derivatives of a logit, and how strongly they bend its level set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

from explman_lite.explainers.base import class_logits, ordinary, outside_inference_mode
from explman_lite.progress import progress_bar
from explman_lite.validation import (
    as_classes,
    check_fits,
    check_model,
    check_points,
    check_positive,
    is_integer,
)

EXACT = 256
"""Up to this many input values the Hessian is formed; beyond, Lanczos's method does without."""


class _Slope:
    """The gradient at some points, with its graph kept: each product costs one backward pass."""

    def __init__(self, model: nn.Module, points: Tensor, classes: Tensor) -> None:
        self.inputs = ordinary(points.detach()).requires_grad_()
        with torch.enable_grad():
            score = class_logits(model(self.inputs), classes).sum()
            (gradient,) = torch.autograd.grad(score, self.inputs, create_graph=True)
        self.gradient: Tensor = gradient

    def hessian_times(self, vectors: Tensor) -> Tensor:
        """Multiply vectors (N, ...) by the Hessians at the points."""
        # Of a function that is linear in its inputs the gradient has no graph.
        if not self.gradient.requires_grad:
            return torch.zeros_like(vectors)
        (product,) = torch.autograd.grad(
            self.gradient, self.inputs, vectors, retain_graph=True, materialize_grads=True
        )
        return product


@outside_inference_mode()
def hessian_vector_product(
    model: nn.Module, points: Tensor, vectors: Tensor, classes: Tensor | int
) -> Tensor:
    r"""Multiply a vector by the Hessian of a logit, without ever forming the Hessian.

    .. math::

       H v = \nabla \bigl(v^\top \nabla g_c(x)\bigr), \qquad
       H_{ij} = \frac{\partial^2 g_c}{\partial x_i\, \partial x_j}

    One number per point is differentiated twice, which costs about as much as two gradients.

    Parameters
    ----------
    model : nn.Module
        From (N, ...) to logits (N, K); in evaluation mode.
    points, vectors : Tensor
        (N, ...), of the same shape: the points x, and the vector v at each of them.
    classes : Tensor or int
        (N,) integers from 0 to K - 1: the logit of each point, or one for all.

    Returns
    -------
    Tensor
        (N, ...), in units of the logit over the input's squared, times the vector's; zero for a
        ReLU network.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form.

    References
    ----------
    Pearlmutter (1994), "Fast exact multiplication by the Hessian".

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> line = torch.nn.Linear(2, 1, bias=False)
    >>> smooth = el.smoothed(torch.nn.Sequential(line, torch.nn.ReLU()).eval(), beta=4.0)
    >>> w, zero = line.weight.detach(), torch.zeros(1, 2)
    >>> product = el.curvature.hessian_vector_product(smooth, zero, w, torch.tensor([0]))
    >>> torch.allclose(product, w * w.square().sum())  # β/4 is 1, so that H is the matrix w wᵀ
    True
    """
    check_model(model)
    check_points(points, "points")
    check_points(vectors, "vectors")
    check_fits(model, points, "points")
    if vectors.shape != points.shape:
        raise ValueError(
            f"vectors must have the shape of points, {tuple(points.shape)}, "
            f"got {tuple(vectors.shape)}"
        )
    return _Slope(model, points, as_classes(classes, points)).hessian_times(vectors)


@outside_inference_mode()
def principal_curvatures(
    model: nn.Module,
    image: Tensor,
    cls: int,
    k: int = 1,
    *,
    tolerance: float = 1e-4,
    seed: int = 0,
    progress: bool = True,
) -> Tensor:
    r"""Compute the k largest principal curvatures of the level set through a point.

    They are the eigenvalues, in the tangent space, of the second fundamental form

    .. math::

       L_{ij} = -\frac{1}{\lVert \nabla g_c \rVert}
       \sum_{k,l} P_{ik}\, \frac{\partial^2 g_c}{\partial x_k\, \partial x_l}\, P_{lj},

    where :math:`P = 1 - n n^\top` projects onto the tangent space and
    :math:`n = \nabla g_c / \lVert \nabla g_c \rVert` is the normal.

    Up to 256 input values the Hessian is formed and the result is exact. Beyond, Lanczos's method
    needs some twenty to a hundred Hessian-vector products and no more memory than twenty images.

    Parameters
    ----------
    model : nn.Module
        From (1, ...) to logits (1, K); in evaluation mode.
    image : Tensor
        (1, ...), the point, of d input values.
    cls : int
        The index of the logit.
    k : int
        Number of curvatures, from 1 to d − 1.
    tolerance : float
        Relative accuracy of Lanczos's method.
    seed : int
        Seed of its starting vector.
    progress : bool
        Show a progress bar if it takes more than a second. It counts products: how many are needed
        is known at the end.

    Returns
    -------
    Tensor
        (k,), the curvatures of largest absolute value, the largest first, in units of one over the
        distance between inputs; negative where the level set bends away from its normal, as a
        sphere does. All zero for a ReLU network.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form, or the gradient is zero, so that there is no normal.

    References
    ----------
    Dombrowski et al. (2019), section 3; Lanczos (1950), "An iteration method for the solution of
    the eigenvalue problem of linear differential and integral operators".

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> class Sphere(torch.nn.Module):
    ...     def forward(self, points):
    ...         return points.square().sum(dim=1, keepdim=True)
    >>> el.curvature.principal_curvatures(Sphere().eval(), torch.tensor([[0.0, 3.0, 4.0]]), 0, k=2)
    tensor([-0.2000, -0.2000])
    """
    check_model(model)
    check_points(image, "image")
    check_fits(model, image, "image")
    check_positive(tolerance=tolerance)
    if len(image) != 1:
        raise ValueError(f"image must be a single one, (1, ...), got {tuple(image.shape)}")
    dimensions = image.numel()
    if not is_integer(k) or not 1 <= k < dimensions:
        raise ValueError(
            f"k must be an integer from 1 to {dimensions - 1}, the dimension of the level set, "
            f"got {k}"
        )
    slope = _Slope(model, image, same_class(cls, image))
    length: Tensor = slope.gradient.detach().norm()
    if length == 0:
        raise ValueError("the gradient is zero here, so that the level set has no normal")
    normal = slope.gradient.detach() / length
    if dimensions <= EXACT:
        hessian = _hessian(model, image, cls).flatten(1)
        # The first column of Q is the normal, the others span the tangent space.
        basis = torch.linalg.qr(normal.view(-1, 1), mode="complete").Q[:, 1:]
        found = torch.linalg.eigvalsh(-basis.T @ hessian @ basis / length)
    else:

        def tangent(vector: Tensor) -> Tensor:
            along: Tensor = (normal * vector).sum() * normal
            return vector - along

        def second_fundamental_form(vector: Tensor) -> Tensor:
            bent = tangent(slope.hessian_times(tangent(vector)))
            bar.update()
            return -bent / length

        with progress_bar("curvature", None, progress, unit="product", at_once=False) as bar:
            found = largest_eigenvalues(second_fundamental_form, normal, k, tolerance, seed)
    by_size: Tensor = found[found.abs().argsort(descending=True)][:k]
    return by_size


def _hessian(model: nn.Module, image: Tensor, cls: int) -> Tensor:
    """Form the Hessian at one point, (d, ...): its products with all unit vectors, as a batch."""
    units = torch.eye(image.numel(), dtype=image.dtype, device=image.device)
    copies = image.expand(len(units), *image.shape[1:])
    return hessian_vector_product(model, copies, units.view_as(copies), same_class(cls, copies))


def largest_eigenvalues(
    product: Callable[[Tensor], Tensor], like: Tensor, k: int, tolerance: float, seed: int = 0
) -> Tensor:
    """Find the k eigenvalues of largest absolute value of a symmetric map, by Lanczos's method.

    The map takes and returns tensors like ``like``; the eigenvalues (k,) come in no fixed order.
    """

    def matvec(values: NDArray[np.floating]) -> NDArray[np.floating]:
        vector = torch.from_numpy(values).to(like).view_as(like)
        flat: NDArray[np.floating] = product(vector).flatten().cpu().numpy()
        return flat

    dtype = torch.empty(0, dtype=like.dtype, device="cpu").numpy().dtype
    start = np.random.default_rng(seed).standard_normal(like.numel()).astype(dtype)
    # ARPACK fails on the zero map, which sends any random vector to zero.
    if not matvec(start).any():
        return like.new_zeros(k)
    operator = LinearOperator((start.size,) * 2, matvec=matvec, dtype=dtype)
    found = eigsh(operator, k=k, v0=start, tol=tolerance, return_eigenvectors=False)
    return torch.from_numpy(found).to(like)


def same_class(cls: int, points: Tensor) -> Tensor:
    """Return the class of each point (N,): the same for all."""
    if not is_integer(cls):
        raise TypeError(f"cls must be an integer, got {cls!r}")
    return as_classes(cls, points)
