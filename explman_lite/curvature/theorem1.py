"""The paper's first theorem: how far the normal turns, bounded by the curvature and the weights."""

from __future__ import annotations

from math import prod
from typing import cast

import pandas as pd
import torch
from torch import Tensor, nn

from explman_lite.curvature.hessian import largest_eigenvalues, principal_curvatures, same_class
from explman_lite.curvature.level_sets import LevelSetPath, norms_of
from explman_lite.networks.layers import (
    Conv2d,
    Normalize,
    convolution,
    transposed_convolution,
)
from explman_lite.networks.prepare import as_network
from explman_lite.networks.smoothing import layers_with_kinks
from explman_lite.networks.softplus import CentredSoftplus, SmoothReLU
from explman_lite.progress import progress_bar
from explman_lite.validation import check_classes, check_model, check_points


def theorem1_report(
    model: nn.Module,
    path: LevelSetPath,
    *,
    hessian_limit: float | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    r"""Compare both sides of the paper's first theorem along one path.

    .. math::

       \lVert n(p) - n(p_0) \rVert \le |\lambda_{max}|\, d_g(p, p_0) \le \beta C\, d_g(p, p_0)

    The length of the path stands in for the geodesic distance. As the length of a chain of straight
    pieces it grows with their number; only the straight distance between its ends is certainly no
    larger than the geodesic one. The largest curvature and the smallest gradient are those at the
    points of the path, not in between.

    The theorem speaks of smooth networks. Where one has kinks left, as those of maximum pooling,
    which `smoothed` rounds off only if it is given ``pooling``, the normal jumps, and no curvature
    tells how far. That the inequality ``holds`` is then no more than a fact about the two ends:
    between points near enough to each other, on both sides of a kink, it fails.

    Parameters
    ----------
    model : nn.Module
        The network that the path belongs to, from `smoothed`; one that `torch.fx` can trace.
    path : LevelSetPath
        From `level_set_path`.
    hessian_limit : float, optional
        A bound on the norm of the Hessian by the weights alone, from `hessian_bound`. Divided by
        the norm of the smallest gradient on the path it is the theorem's :math:`\beta C`.
    progress : bool
        Show a progress bar if it takes more than a second.

    Returns
    -------
    pandas.DataFrame
        One row: ``normal_change`` (the left side), ``curvature_bound`` and ``weight_bound`` (the
        right sides; the latter NaN without ``hessian_limit``), and what they are made of:
        ``lambda_max``, ``length``, ``straight_distance``, ``smallest_gradient``; ``drift`` of the
        logit; whether the first inequality ``holds`` between the ends of the path; and ``kinks``,
        the number of layers that still hold a ReLU or a maximum over windows. Kinks of other layers
        are not looked for.

    Raises
    ------
    TypeError, ValueError
        If the network is not in evaluation mode or cannot be traced, or its gradient is zero at a
        point of the path.

    References
    ----------
    Dombrowski et al. (2019), Theorem 1.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> class Sphere(torch.nn.Module):
    ...     def forward(self, points):
    ...         return points.square().sum(dim=1, keepdim=True)
    >>> sphere, ends = Sphere().eval(), torch.eye(3)
    >>> path = el.curvature.level_set_path(sphere, ends[:1], ends[1:2], 0)
    >>> report = el.curvature.theorem1_report(sphere, path)
    >>> report[["normal_change", "lambda_max", "holds", "kinks"]].round(3).to_dict("records")
    [{'normal_change': 1.414, 'lambda_max': 1.0, 'holds': True, 'kinks': 0}]
    """
    network = as_network(model)
    network.verify(path.points[:1])
    curvatures = []
    with progress_bar("theorem 1", len(path.points), progress, unit="point", at_once=False) as bar:
        for point in torch.split(path.points, 1):
            bends = principal_curvatures(model, point, path.cls, progress=False)
            curvatures.append(bends.abs())
            bar.update()
    lambda_max = float(torch.cat(curvatures).max())
    smallest = float(norms_of(path.gradients).min())
    steepest = float("nan") if hessian_limit is None else hessian_limit / smallest
    row = {
        "normal_change": float(path.normal_change[-1]),
        "curvature_bound": lambda_max * path.length,
        "weight_bound": steepest * path.length,
        "lambda_max": lambda_max,
        "length": path.length,
        "straight_distance": path.straight_distance,
        "smallest_gradient": smallest,
        "drift": path.drift,
    }
    holds = row["normal_change"] <= row["curvature_bound"]
    return pd.DataFrame([row | {"holds": holds, "kinks": len(layers_with_kinks(network))}])


def hessian_bound(model: nn.Module, image: Tensor, cls: int, *, progress: bool = True) -> float:
    r"""Bound the norm of the Hessian everywhere, by the weights alone: the theorem's constant.

    For layers :math:`W_1, \dots, W_m` with softplus between them and the last row :math:`v`,

    .. math::

       \lVert H \rVert \le \frac\beta 4 \sum_{l=1}^{m} \lVert v \rVert
       \prod_{k>l} \lVert W_k \rVert \prod_{k \le l} \lVert W_k \rVert^2,

    because a softplus has a second derivative of at most β/4 and a slope of at most 1. In the last
    term, l = m, the largest absolute entry of v takes the place of its norm where nothing lies
    between the last softplus and v.

    Parameters
    ----------
    model : nn.Module
        From `explman_lite.smoothed`, or trained with softplus: a chain of convolutions or dense
        layers, softplus, pooling whose windows do not overlap, and flattening.
    image : Tensor
        (1, ...), of which only the shape matters.
    cls : int
        The index of the logit.
    progress : bool
        Show a progress bar if it takes more than a second.

    Returns
    -------
    float
        At least the largest singular value of the Hessian at any input, in units of the logit over
        squared units of the input.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form, or the network is no such chain; names the layer.

    References
    ----------
    Dombrowski et al. (2019), Theorem 1.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> layers = torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1)
    >>> smooth = el.smoothed(torch.nn.Sequential(*layers).eval(), beta=8.0)
    >>> bound = el.curvature.hessian_bound(smooth, torch.zeros(1, 2), 0)
    >>> inner, outer = (layers[i].weight.detach() for i in (0, 2))
    >>> by_hand = 8 / 4 * outer.abs().max() * torch.linalg.matrix_norm(inner, 2) ** 2
    >>> abs(bound / by_hand.item() - 1) < 1e-6
    True
    """
    check_model(model)
    check_points(image, "image")
    norms: list[float] = []
    bends: dict[int, float] = {}
    values = image.detach()
    chain = _chain(model, values)
    weight = cast(nn.Linear, chain[-1]).weight
    check_classes(same_class(cls, image), len(image), len(weight))
    with progress_bar("bound", len(chain), progress, unit="layer", at_once=False) as bar:
        for layer in chain:
            if isinstance(layer, (SmoothReLU, CentredSoftplus)):
                bends[len(norms)] = _largest_bend(layer)
            if not isinstance(layer, nn.Flatten):
                norms.append(_norm(layer, values))
            values = layer(values)
            bar.update()
    last = weight[cls]
    norms[-1] = float(last.norm())
    total = 0.0
    for place, bend in bends.items():
        is_last = place == len(norms) - 2
        above = float(last.abs().max()) if is_last else prod(norms[place + 1 :])
        total += bend * above * prod(norms[:place]) ** 2
    return total


def _chain(model: nn.Module, image: Tensor) -> list[nn.Module]:
    """List the layers of a network in which each feeds the next, and a dense one is the last."""
    network = as_network(model)
    network.verify(image)
    layers = dict(network.named_modules())
    chain: list[nn.Module] = []
    previous, *rest = network.graph.nodes
    for node in rest[:-1]:
        if node.op != "call_module" or node.args != (previous,):
            raise ValueError(f"the network is no chain of layers: {node.name} breaks it")
        chain.append(layers[str(node.target)])
        previous = node
    if not chain or not isinstance(chain[-1], nn.Linear):
        raise ValueError("the last layer must be a dense one, nn.Linear")
    return chain


def _largest_bend(layer: SmoothReLU | CentredSoftplus) -> float:
    """Return the largest second derivative of a softplus, β/4."""
    if layer.beta is None:
        raise ValueError("a ReLU bends without bound: smooth the network first, see `smoothed`")
    return layer.beta / 4


def _norm(layer: nn.Module, values: Tensor) -> float:
    """Return the factor by which a layer can stretch a distance at most."""
    if isinstance(layer, nn.Linear):
        return float(torch.linalg.matrix_norm(layer.weight, 2))
    if isinstance(layer, Normalize):
        return float(1 / layer.std.min())
    if isinstance(layer, Conv2d):
        return _convolution_norm(layer, values.shape)
    if isinstance(layer, (SmoothReLU, CentredSoftplus)):
        return 1.0
    if isinstance(layer, (nn.MaxPool2d, nn.AvgPool2d)) and layer.kernel_size == layer.stride:
        return _pooling_norm(layer)
    raise ValueError(f"no bound is known for the layer {layer}")


def _pooling_norm(layer: nn.MaxPool2d | nn.AvgPool2d) -> float:
    """Return that of windows which do not overlap: a mean of n values is √n times 1/n of them."""
    if isinstance(layer, nn.MaxPool2d):
        return 1.0
    if layer.divisor_override is not None:
        raise ValueError(f"no bound is known for the layer {layer}")
    if layer.ceil_mode or layer.padding not in (0, (0, 0)):
        return 1.0  # windows at the edge may hold a single value
    size = layer.kernel_size
    return float((size**2 if isinstance(size, int) else prod(size)) ** -0.5)


def _convolution_norm(layer: Conv2d, shape: torch.Size) -> float:
    """Find the largest singular value of a convolution of one picture, by Lanczos's method.

    Its square is the largest eigenvalue of the convolution followed by its transpose.
    """

    def gram(vector: Tensor) -> Tensor:
        outputs = convolution(vector, layer.weight, None, layer.geometry)
        return transposed_convolution(outputs, layer.weight, layer.geometry, vector.shape)

    like = layer.weight.new_empty(shape)
    return float(largest_eigenvalues(gram, like, k=1, tolerance=1e-5).sqrt())
