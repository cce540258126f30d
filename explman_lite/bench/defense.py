"""What a defence costs, and whether attacks pass between it and the plain gradient."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from explman_lite import metrics
from explman_lite.attack import Manipulation
from explman_lite.explainers.gradients import Gradient
from explman_lite.faithfulness import pixel_flipping
from explman_lite.maps import relevance_map


def defense_columns(
    network: nn.Module,
    result: Manipulation,
    unprotected: Manipulation,
    targets: tuple[Tensor, Tensor],
    patch: int,
) -> dict[str, NDArray[np.floating]]:
    """Measure what a defence costs, and whether attacks pass between it and the plain gradient.

    Parameters
    ----------
    network : nn.Module
        The ReLU network.
    result : Manipulation
        The attack on the defended map.
    unprotected : Manipulation
        The attack of the same pairs on the gradient's map.
    targets : (Tensor, Tensor)
        The pictures (N, C, H, W) that lend their maps, and their classes (N,).
    patch : int
        Side of the squares that `pixel_flipping` erases.

    Returns
    -------
    dict
        Columns (N,):

        - ``pcc_gradient``, ``top_k_gradient``: the defended map of the untouched picture beside
          the gradient's, as correlation and as overlap of the top tenth;
        - ``flipping``, ``flipping_random``: area under the curve of `pixel_flipping` by the
          defended map, and in random order, square by square;
        - ``pcc_target_gradient``: the gradient's map of the manipulated picture, against the
          gradient's target;
        - ``pcc_target_transferred``: the defended map of the picture that was manipulated for the
          gradient, against the defended target;
        - ``pcc_target_fresh``: what is left for a judge who draws other noise; NaN without noise.
    """
    explainer, classes, original = result.explainer, result.classes, result.original_images
    plain = relevance_map(Gradient()(network, original, classes))
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(plain.shape, generator=generator, dtype=torch.float64, device="cpu")
    shuffled = drawn.to(plain)
    curves = {
        name: pixel_flipping(network, original, maps, classes, patch=patch).mean(dim=1)
        for name, maps in (("flipping", result.original_maps), ("flipping_random", shuffled))
    }
    plain_target = relevance_map(Gradient()(network, *targets))
    plain_after = relevance_map(Gradient()(network, result.images, classes))
    transferred = relevance_map(explainer(network, unprotected.images, classes))
    columns = curves | {
        "pcc_gradient": metrics.pcc(result.original_maps, plain),
        "top_k_gradient": metrics.top_k_overlap(result.original_maps, plain),
        "pcc_target_gradient": metrics.pcc(plain_after, plain_target),
        "pcc_target_transferred": metrics.pcc(transferred, result.target_maps),
        "pcc_target_fresh": _under_fresh_noise(network, result, targets),
    }
    return {name: column.cpu().numpy() for name, column in columns.items()}


def _under_fresh_noise(
    network: nn.Module, result: Manipulation, targets: tuple[Tensor, Tensor]
) -> Tensor:
    """Compare the maps that other noise gives, before it was known to the attacker."""
    judge = result.explainer.with_seed(1)
    if judge == result.explainer:
        return torch.full_like(result.maps[:, 0, 0], torch.nan)
    maps = relevance_map(judge(network, result.images, result.classes))
    return metrics.pcc(maps, relevance_map(judge(network, *targets)))
