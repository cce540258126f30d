"""What a defence costs, and whether attacks transfer between it and the plain gradient."""

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
    """Measure what a defence costs, and whether attacks transfer between it and the gradient.

    Parameters
    ----------
    network : nn.Module
        The ReLU network.
    result : Manipulation
        The attack on the defended map.
    unprotected : Manipulation
        The attack on the gradient's map, of the same pairs.
    targets : (Tensor, Tensor)
        The pictures (N, C, H, W) whose maps are the targets, and their classes (N,).
    patch : int
        Side in pixels of the squares that `pixel_flipping` erases.

    Returns
    -------
    dict
        Columns (N,):

        - ``pcc_gradient``, ``top_k_gradient``: correlation, and overlap of the top tenth, of the
          defended map of the original picture with the gradient's map of it;
        - ``flipping``, ``flipping_random``: area under the curve of `pixel_flipping`, in the order
          of the defended map, and in random order;
        - ``pcc_target_gradient``: correlation of the gradient's map of the manipulated picture with
          the gradient's target map;
        - ``pcc_target_transferred``: correlation of the defended map of the picture that was
          manipulated for the gradient with the defended target map;
        - ``pcc_target_fresh``: correlation of map and target map under noise that the attacker did
          not know; NaN without noise.
    """
    explainer, classes, original = result.explainer, result.classes, result.original_images
    plain = relevance_map(Gradient()(network, original, classes))
    # Drawn on the CPU in float64, the order is the same on every device and in every precision.
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
    """Correlate map and target map under noise that the attacker did not know; NaN without."""
    judge = result.explainer.with_seed(1)
    if judge == result.explainer:
        return torch.full_like(result.maps[:, 0, 0], torch.nan)
    maps = relevance_map(judge(network, result.images, result.classes))
    return metrics.pcc(maps, relevance_map(judge(network, *targets)))
