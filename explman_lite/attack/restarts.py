"""The same attack several times over, from other starts, and the best of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explman_lite import metrics
from explman_lite.attack.result import Manipulation
from explman_lite.attack.run import manipulate
from explman_lite.explainers.base import Explainer, check_explainer
from explman_lite.validation import check_count


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

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form.

    Returns
    -------
    Manipulation
        Of the search that came closest to the target without losing the class; its ``history`` is
        that of the last search. After Ctrl-C, of what was searched by then.
    """
    check_explainer(explainer)
    check_count(restarts=restarts)
    if restarts > 1:
        if settings.get("epsilon") is None:
            raise ValueError("more than one search needs epsilon, in which the others begin")
        if len(seeds) != len(images):
            raise ValueError(f"give one seed for each of {len(images)} images, got {len(seeds)}")
    attack = partial(manipulate, network, images, target_maps, explainer, **settings)
    best = attack()
    for restart in range(1, restarts):
        if best.interrupted:
            break
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
        history=second.history,
        interrupted=second.interrupted,
    )


def _score(result: Manipulation) -> Tensor:
    """Return how far a result is from the target, infinitely far where it lost the class."""
    return torch.where(result.class_kept, metrics.mse(result.maps, result.target_maps), torch.inf)
