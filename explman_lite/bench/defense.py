"""What a defence costs, and whether attacks transfer between it and the plain gradient."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from explman_lite import metrics
from explman_lite.attack import Manipulation
from explman_lite.explainers.gradients import Gradient
from explman_lite.faithfulness import pixel_flipping
from explman_lite.maps import relevance_map

ERASED: tuple[Literal["mean", "grey", "blur"], ...] = ("mean", "grey", "blur")
"""What `pixel_flipping` erases squares to."""


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
        - ``flipping_mean``, ``flipping_grey``, ``flipping_blur``: area under the curve of
          `pixel_flipping` in the order of the defended map, with what squares are erased to;
          ``flipping_random_mean`` and so on, in random order;
        - ``pcc_target_gradient``: correlation of the gradient's map of the manipulated picture with
          the gradient's target map;
        - ``pcc_target_transferred``: correlation of the defended map of the picture that was
          manipulated for the gradient with the defended target map.
    """
    explainer, classes, original = result.explainer, result.classes, result.original_images
    plain = relevance_map(Gradient()(network, original, classes))
    # Drawn on the CPU in float64, the order is the same on every device and in every precision.
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(plain.shape, generator=generator, dtype=torch.float64, device="cpu")
    shuffled = drawn.to(plain)
    curves = {
        f"{name}_{kind}": pixel_flipping(
            network, original, maps, classes, patch=patch, erased_to=kind
        ).mean(dim=1)
        for name, maps in (("flipping", result.original_maps), ("flipping_random", shuffled))
        for kind in ERASED
    }
    plain_target = relevance_map(Gradient()(network, *targets))
    plain_after = relevance_map(Gradient()(network, result.images, classes))
    transferred = relevance_map(explainer(network, unprotected.images, classes))
    columns = curves | {
        "pcc_gradient": metrics.pcc(result.original_maps, plain),
        "top_k_gradient": metrics.top_k_overlap(result.original_maps, plain),
        "pcc_target_gradient": metrics.pcc(plain_after, plain_target),
        "pcc_target_transferred": metrics.pcc(transferred, result.target_maps),
    }
    return {name: column.cpu().numpy() for name, column in columns.items()}
