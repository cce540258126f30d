"""Does a smooth map withstand the attack, or does max pooling hide the way? With seeds and pairs.

python benchmarks/masked.py

Every map is attacked twice with the same means: once with the maximum of the pooling as it is, as
most attacks leave it, and once with the maximum rounded off while searching. The networks for crops
are trained from three seeds, and so are twins with average pooling, which hides nothing. It takes
an hour on one core, and goes on where it was interrupted.
"""

from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from train_small import Recipe, add_card

import explman_lite as el
from explman_lite.bench import SUITES, Attack, Case, Suite, run
from explman_lite.bench.pairs import crossed_pairs, random_pairs
from explman_lite.bench.suites import EPSILON, within
from explman_lite.networks import small
from explman_lite.pictures.collections import DIGITS

RESULTS = Path(__file__).parents[1] / "results"
COMMAND = "python benchmarks/masked.py"
SEEDS, PAIRS, STEPS = 3, 40, 60


BUILD = {
    "crops_vgg": small.build_crops_vgg,
    "crops_vgg_softplus": small.build_crops_vgg_softplus,
    "crops_vgg_average": partial(small.build_crops_vgg, pooling=nn.AvgPool2d),
    "crops_vgg_softplus_average": partial(small.build_crops_vgg, small.softplus, nn.AvgPool2d),
}


def add_networks() -> pd.DataFrame:
    """Add a card for each network, such as "crops_vgg-1" of seed 1; return how well all read."""
    for name, seed in product(BUILD, range(SEEDS)):
        add_card(f"{name}-{seed}", name, Recipe(BUILD[name]), seed)
    sets = {"crops": el.load_crops("test"), "digits": el.load_digits("test")}
    lines = []
    for suite in (CROPS_SUITE, DIGITS_SUITE):
        images, labels = sets[suite.pictures]
        for model in dict.fromkeys(case.model for case in suite.cases):
            with torch.inference_mode():
                right = el.load_model(model)(images).argmax(dim=1) == labels
            lines.append({"model": model, "accuracy": round(right.float().mean().item(), 4)})
    return pd.DataFrame(lines)


def both(model: str, *methods: str) -> tuple[Case, ...]:
    """Return cases with the maximum as it is, and with it rounded off."""
    return tuple(Case(model, *rest) for rest in product(methods, ("maximum", "rounded")))


def attacks(epsilon: float) -> dict[str, Attack]:
    settings = within(epsilon, STEPS)
    return {
        "maximum": Attack(replace(settings, pooling=None)),
        "rounded": Attack(settings),
        "longer": Attack(replace(settings, steps=4 * STEPS)),
        "no box": Attack(replace(settings, steps=4 * STEPS, lr=0.02, epsilon=None)),
    }


CROPS_SUITE = replace(
    SUITES["budgets"],
    name="masked-crops",
    description="smooth maps of crops, attacked with the pooling as it is and rounded off",
    cases=(
        *both("crops_alexnet", "Gradient", "BetaSmoothing(1)"),
        *(
            case
            for seed in range(SEEDS)
            for case in (
                *both(f"crops_vgg-{seed}", "Gradient", "BetaSmoothing(1)"),
                *both(f"crops_vgg_softplus-{seed}", "Gradient"),
                Case(f"crops_vgg_average-{seed}", "Gradient", "maximum"),
                Case(f"crops_vgg_average-{seed}", "BetaSmoothing(1)", "maximum"),
                *(
                    Case(f"crops_vgg_softplus_average-{seed}", "Gradient", attack)
                    for attack in ("maximum", "longer", "no box")
                ),
            )
        ),
    ),
    draw=partial(crossed_pairs, groups=10, count=PAIRS),
    attacks=attacks(EPSILON),
)
DIGITS_SUITE = Suite(
    "masked-digits",
    "smooth maps of digits, attacked with the pooling as it is and rounded off",
    DIGITS,
    both("digits_vgg", "Gradient", "BetaSmoothing(2)", "BetaSmoothing(0.5)"),
    partial(random_pairs, available=360, count=PAIRS),
    attacks=attacks(0.1),
    batch=20,
    precision="float32",
)


if __name__ == "__main__":
    networks = add_networks()
    el.results.save_table(RESULTS / "masked-networks.csv", networks, command=COMMAND, seeds=SEEDS)
    for suite in (CROPS_SUITE, DIGITS_SUITE):
        run(suite, RESULTS, command=COMMAND)
