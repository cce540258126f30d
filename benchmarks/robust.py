"""What training takes away from the attack, step by step, and what it costs.

python benchmarks/robust.py

Neighbours differ by one thing, and in the middle by the schedule too. All are attacked with the
same means, and two of them with more steps and more searches too. It takes two hours on one core,
and goes on where it was interrupted.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from train_crops import RECIPES, ROBUST, Recipe, trained

import explman_lite as el
from explman_lite.bench import SUITES, Attack, Case, run
from explman_lite.bench.pairs import crossed_pairs
from explman_lite.bench.suites import EPSILON, within
from explman_lite.networks import small
from explman_lite.networks.prepare import Network
from explman_lite.networks.smoothing import (
    can_round_pooling,
    has_activations_to_round,
    round_pooling,
)
from explman_lite.networks.zoo import CARDS, card_of

RESULTS = Path(__file__).parents[1] / "results"
COMMAND = "python benchmarks/robust.py"
SEED, PAIRS, CURVED = 0, 100, 10
BETA, SHARPNESS = 10.0, 20.0
"""By which kinks are rounded where the curvature is measured: those of ReLU, and of maxima."""


def robust(**changes: object) -> Recipe:
    return Recipe(small.build_crops_vgg_robust, {**ROBUST, **changes})


LADDER: dict[str, Recipe] = {
    "crops_vgg": RECIPES["crops_vgg"],
    "crops_vgg_decay": Recipe(small.build_crops_vgg, {"weight_decay": 1.0}),
    "crops_vgg_softplus": RECIPES["crops_vgg_softplus"],
    "crops_vgg_means": Recipe(
        partial(small.build_crops_vgg, pooling=nn.AvgPool2d, dropout=0.0),
        {**ROBUST, "penalty": None},
    ),
    "crops_vgg_smooth": robust(penalty=None),
    "crops_vgg_hessian": robust(penalty=el.training.hessian_penalty, penalty_weight=0.03),
    "crops_vgg_robust": RECIPES["crops_vgg_robust"],
}


def add_networks() -> pd.DataFrame:
    """Add a card for each network; return how well it reads, and how its level sets bend."""
    images, labels = el.load_crops("test")
    lines = []
    for name, recipe in LADDER.items():
        load = partial(trained, name, recipe, SEED)
        CARDS[name] = replace(card_of("crops_vgg"), name=name, load=load)
        network = el.load_model(name)
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
ATTACKS = {
    "100 steps": Attack(within(EPSILON, 100, SHARE)),
    "400 steps": Attack(within(EPSILON, 400, SHARE)),
    "four searches": Attack(within(EPSILON, 100, SHARE), searches=4),
}
UNDER_ALL = ("crops_vgg_smooth", "crops_vgg_robust")

SUITE = replace(
    SUITES["budgets"],
    name="robust",
    description="networks trained step by step towards maps that turn slowly, 100 pairs of crops",
    cases=(
        *(Case(name, "Gradient", "100 steps") for name in LADDER),
        *(
            Case(name, "Gradient", attack)
            for name in UNDER_ALL
            for attack in ("400 steps", "four searches")
        ),
    ),
    draw=partial(crossed_pairs, groups=10, count=PAIRS),
    attacks=ATTACKS,
    measures=("defense",),
)


if __name__ == "__main__":
    networks = add_networks()
    el.results.save_table(
        RESULTS / "robust-networks.csv", networks, command=COMMAND, seed=SEED, beta=BETA,
        sharpness=SHARPNESS, images=CURVED,
    )  # fmt: skip
    run(SUITE, RESULTS, command=COMMAND)
