"""What training takes away from the attack, step by step, and what it costs.

python benchmarks/robust.py

Neighbours differ by one thing, and in the middle of those for crops by the schedule too. All are
attacked with the same means, and two of them with more steps and more searches too. The last for
crops is trained with other weights of its penalty as well. It takes three hours on one core, and
goes on where it was interrupted.
"""

from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from train_small import DIGITS, RECIPES, ROBUST, Recipe, add_card

import explman_lite as el
from explman_lite.bench import SUITES, Attack, Case, run
from explman_lite.bench.pairs import crossed_pairs, random_pairs
from explman_lite.bench.suites import EPSILON, within
from explman_lite.networks import small
from explman_lite.networks.prepare import Network
from explman_lite.networks.smoothing import (
    can_round_pooling,
    has_activations_to_round,
    round_pooling,
)
from explman_lite.pictures import collections

RESULTS = Path(__file__).parents[1] / "results"
COMMAND = "python benchmarks/robust.py"
SEED, PAIRS, CURVED = 0, 100, 10
BETA, SHARPNESS = 10.0, 20.0
"""By which kinks are rounded where the curvature is measured: those of ReLU, and of maxima."""


HESSIAN = {"penalty": el.training.hessian_penalty, "penalty_weight": 0.03}


def robust(**changes: object) -> Recipe:
    return Recipe(small.build_crops_vgg_robust, {**ROBUST, **changes})


LADDER = {
    "crops_vgg": RECIPES["crops_vgg"],
    "crops_vgg_decay": Recipe(small.build_crops_vgg, {"weight_decay": 1.0}),
    "crops_vgg_softplus": RECIPES["crops_vgg_softplus"],
    "crops_vgg_means": Recipe(
        partial(small.build_crops_vgg, pooling=nn.AvgPool2d, dropout=0.0),
        {**ROBUST, "penalty": None},
    ),
    "crops_vgg_smooth": robust(penalty=None),
    "crops_vgg_hessian": robust(**HESSIAN),
    "crops_vgg_robust": RECIPES["crops_vgg_robust"],
    "crops_vgg_maxima": Recipe(partial(small.build_crops_vgg, small.softplus, dropout=0.0), ROBUST),
}
WEIGHTS = {f"crops_vgg_robust_{weight}": robust(penalty_weight=weight) for weight in (0.2, 2.0)}

DIGITS_EPSILON = 0.1
"""Half the width of the box for digits, of which most pixels are black."""


def digits(*build: object, **changes: object) -> Recipe:
    """Return how a network for digits is trained, with the weights chosen on crops."""
    return Recipe(partial(small.build_digits_vgg, *build), changes, DIGITS)


SMOOTH = (small.softplus, nn.AvgPool2d)
DIGITS_LADDER = {
    "digits_vgg": RECIPES["digits_vgg"],
    "digits_vgg_decay": digits(weight_decay=1.0),
    "digits_vgg_softplus": digits(small.softplus),
    "digits_vgg_means": digits(nn.ReLU, nn.AvgPool2d),
    "digits_vgg_smooth": digits(*SMOOTH),
    "digits_vgg_hessian": digits(*SMOOTH, **HESSIAN),
    "digits_vgg_robust": digits(
        *SMOOTH,
        penalty=partial(el.training.attribution_penalty, epsilon=DIGITS_EPSILON),
        penalty_weight=ROBUST["penalty_weight"],
    ),
}


def add_networks() -> pd.DataFrame:
    """Add a card for each network; return how well it reads, and how its level sets bend."""
    lines = []
    for name, recipe in (LADDER | WEIGHTS | DIGITS_LADDER).items():
        add_card(name, name, recipe, SEED)
        network = el.load_model(name)
        images, labels = recipe.data.held_out()
        with torch.inference_mode():
            classes = network(images).argmax(dim=1)
        curvatures = bends(network, images[:CURVED], classes[:CURVED])
        lines.append(
            {
                "model": name,
                "accuracy": round((classes == labels).double().mean().item(), 4),
                "lambda_max": round(curvatures.median().item(), 4),
            }
        )
    return pd.DataFrame(lines)


def bends(network: Network, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Return the largest principal curvature at each image, with what kinks there are rounded."""
    if has_activations_to_round(network):
        network = el.smoothed(network, BETA)
    if can_round_pooling(network):
        network = round_pooling(network, SHARPNESS, in_spreads=True)
    largest = [
        el.curvature.principal_curvatures(network, image[None], int(cls)).abs().max()
        for image, cls in zip(images, classes, strict=True)
    ]
    return torch.stack(largest)


SHARE = 1 / 4
"""Of the box, the largest step: half as large as the audit's, since there are more of them."""


def attacks(epsilon: float) -> dict[str, Attack]:
    return {
        "100 steps": Attack(within(epsilon, 100, SHARE)),
        "400 steps": Attack(within(epsilon, 400, SHARE)),
        "four searches": Attack(within(epsilon, 100, SHARE), searches=4),
    }


def cases(first: str, *more: str) -> tuple[Case, ...]:
    """Return cases for a ladder and what else is attacked once, and for two of it under all."""
    once = [Case(name, "Gradient", "100 steps") for name in more]
    harder = product((f"{first}_smooth", f"{first}_robust"), ("400 steps", "four searches"))
    return (*once, *(Case(name, "Gradient", attack) for name, attack in harder))


SUITE = replace(
    SUITES["budgets"],
    name="robust",
    description="networks trained step by step towards maps that turn slowly, 100 pairs of crops",
    cases=cases("crops_vgg", *LADDER, *WEIGHTS),
    draw=partial(crossed_pairs, groups=10, count=PAIRS),
    attacks=attacks(EPSILON),
    measures=("defense",),
)
DIGITS_SUITE = replace(
    SUITE,
    name="robust-digits",
    description="networks trained step by step towards maps that turn slowly, 100 pairs of digits",
    pictures=collections.DIGITS,
    cases=cases("digits_vgg", *DIGITS_LADDER),
    draw=partial(random_pairs, available=360, count=PAIRS),
    attacks=attacks(DIGITS_EPSILON),
)


if __name__ == "__main__":
    networks = add_networks()
    el.results.save_table(
        RESULTS / "robust-networks.csv", networks, command=COMMAND, seed=SEED, beta=BETA,
        sharpness=SHARPNESS, images=CURVED,
    )  # fmt: skip
    for suite in (SUITE, DIGITS_SUITE):
        run(suite, RESULTS, command=COMMAND)
