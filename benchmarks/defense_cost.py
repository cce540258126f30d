"""Measure what a smoothed explanation costs, in gradient explanations of the same run.

python benchmarks/defense_cost.py
"""

from pathlib import Path
from statistics import median
from time import perf_counter

import pandas as pd
import torch
from torch import Tensor

import explman_lite as el

RESULT = Path(__file__).parents[1] / "results" / "defense_cost.csv"
ROUNDS = 15


def seconds(explainer: el.Explainer, network: el.Network, images: Tensor, classes: Tensor) -> float:
    start = perf_counter()
    explainer(network, images, classes)
    return perf_counter() - start


def costs(name: str, images: Tensor) -> pd.DataFrame:
    """Time all maps in turn, round by round, and relate each to the plain gradient."""
    network = el.load_model(name)
    with torch.no_grad():
        classes = network(images).argmax(dim=1)
    explainers = {name: card.make() for name, card in el.DEFENSES.items()}
    rounds = pd.DataFrame(
        {method: seconds(e, network, images, classes) for method, e in explainers.items()}
        for _ in range(ROUNDS)
    )
    ratios = rounds[1:].div(rounds[1:]["Gradient"], axis=0)
    return pd.DataFrame(
        {"model": name, "method": method, "explanations": round(median(ratios[method]), 2)}
        for method in explainers
    )


def main() -> None:
    digits, _ = el.load_digits("test")
    tables = [
        costs("digits_vgg", digits[:25]),
        costs("efficientnet_lite0", el.load_photo("chelsea", 96)),
    ]
    table = pd.concat(tables, ignore_index=True)
    command = "python benchmarks/defense_cost.py"
    el.results.save_table(RESULT, table, command=command, rounds=ROUNDS)
    print(table.to_string())


if __name__ == "__main__":
    main()
