"""Explanations that are said to be robust, and an attacker who knows them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explman_lite import metrics
from explman_lite.attack import manipulate
from explman_lite.averaging import BetaSmoothing, SmoothGrad
from explman_lite.explainers import Explainer, Gradient
from explman_lite.faithfulness import pixel_flipping
from explman_lite.manipulation import Manipulation
from explman_lite.maps import relevance_map

UNPROTECTED = "Gradient"
BETAS = (0.5, 0.8, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0)
SAMPLES = (2, 5, 10)

DEFENSES: dict[str, Callable[[], Explainer]] = {
    UNPROTECTED: Gradient,
    **{f"BetaSmoothing({beta:g})": partial(BetaSmoothing, Gradient(), beta) for beta in BETAS},
    **{f"SmoothGrad({count})": partial(SmoothGrad, count) for count in SAMPLES},
}
"""The gradient's map as it is, smoothed by softplus with β, and averaged over noisy pictures."""


_PATCH = {32: 4, 96: 8}
"""Side of the squares to erase: a pixel of the digits as they were written, or of a photograph."""


def attack_defense(
    network: nn.Module,
    images: Tensor,
    target_maps: Tensor,
    explainer: Explainer,
    seeds: list[tuple[int, int]],
    *,
    restarts: int = 1,
    **settings: Any,
) -> Manipulation:
    """Attack the very map that is shown, several times over, and keep the best for each sample.

    The first search begins at the picture, the others at random points of the ε-box around it.
    A β-smoothed map is differentiable as it is, so there the network keeps its ReLUs (``beta``
    None) and the output term is exact.

    Parameters
    ----------
    network, images, target_maps, explainer
        As for `explman_lite.manipulate`.
    seeds : list of (int, int)
        One per sample, for its random starts.
    restarts : int
        How many searches.
    **settings
        As for `explman_lite.manipulate`; ``epsilon`` is needed for more than one search.

    Returns
    -------
    Manipulation
        Of the search that came closest to the target without losing the class.
    """
    if isinstance(explainer, BetaSmoothing):
        settings["beta"] = None
    attack = partial(
        manipulate, network, images, target_maps, explainer, progress=False, **settings
    )
    best = attack()
    for restart in range(1, restarts):
        start = _random_start(images, [(*seed, restart) for seed in seeds], settings["epsilon"])
        best = _better(best, attack(start=start))
    return best


def _random_start(images: Tensor, seeds: list[tuple[int, int, int]], epsilon: float) -> Tensor:
    drawn = [np.random.default_rng(seed).uniform(-1, 1, images.shape[1:]) for seed in seeds]
    return (images + epsilon * torch.from_numpy(np.stack(drawn)).to(images)).clamp(0, 1)


def _better(first: Manipulation, second: Manipulation) -> Manipulation:
    """Choose between two results for each sample."""
    chosen = _score(second) < _score(first)

    def choose(name: str) -> Tensor:
        one, other = getattr(first, name), getattr(second, name)
        return torch.where(chosen.view(-1, *[1] * (one.ndim - 1)), other, one)

    return replace(
        first,
        images=choose("images"),
        maps=choose("maps"),
        logits=choose("logits"),
        diverged=choose("diverged"),
    )


def _score(result: Manipulation) -> Tensor:
    """Tell how far a result is from the target; infinitely far where it lost the class."""
    kept = result.logits.argmax(dim=1) == result.original_logits.argmax(dim=1)
    return torch.where(kept, metrics.mse(result.maps, result.target_maps), torch.inf)


def defense_columns(
    network: nn.Module,
    result: Manipulation,
    unprotected: Manipulation,
    targets: tuple[Tensor, Tensor],
) -> dict[str, Any]:
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
        - ``pcc_target_fresh``: what is left for a judge who draws other noise; NaN without noise;
        - ``explanation_seconds``: of one defended explanation.
    """
    explainer, classes, original = result.explainer, result.classes, result.original_images
    plain = relevance_map(Gradient()(network, original, classes))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        explainer(network, original, classes)
        seconds.append((time.perf_counter() - start) / len(original))
    size = original.shape[-1]
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(plain.shape, generator=generator, dtype=torch.float64, device="cpu")
    shuffled = drawn.to(plain)
    curves = {
        name: pixel_flipping(network, original, maps, classes, patch=_PATCH[size]).mean(dim=1)
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
        "pcc_target_fresh": _fresh_judge(network, result, targets),
    }
    measured: dict[str, Any] = {name: column.cpu().numpy() for name, column in columns.items()}
    return measured | {"explanation_seconds": median(seconds)}


def _fresh_judge(
    network: nn.Module, result: Manipulation, targets: tuple[Tensor, Tensor]
) -> Tensor:
    """Compare the maps that other noise gives, before it was known to the attacker."""
    if not isinstance(result.explainer, SmoothGrad):
        return torch.full_like(result.maps[:, 0, 0], torch.nan)
    judge = SmoothGrad(result.explainer.count, result.explainer.noise, seed=1)
    maps = relevance_map(judge(network, result.images, result.classes))
    return metrics.pcc(maps, relevance_map(judge(network, *targets)))
