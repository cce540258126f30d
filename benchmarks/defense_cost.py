"""Measure what a smoothed explanation costs: time, in gradient explanations, and accuracy.

python benchmarks/defense_cost.py

The accuracy is that of the network that is explained, on the held-out crops: with softplus in place
of its ReLUs where the map is smoothed by that.
"""

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from time import perf_counter

import pandas as pd
import torch
from torch import Tensor

import explman_lite as el

RESULT = Path(__file__).parents[1] / "results" / "defense_cost.csv"
ROUNDS, BATCH = 15, 20


def seconds(explainer: el.Explainer, network: el.Network, images: Tensor, classes: Tensor) -> float:
    start = perf_counter()
    explainer(network, images, classes)
    return perf_counter() - start


def explained(network: el.Network, explainer: el.Explainer) -> el.Network:
    """Return the network that a defended map explains."""
    while isinstance(explainer, el.SmoothGrad):
        explainer = explainer.explainer
    if isinstance(explainer, el.BetaSmoothing):
        return el.smoothed(network, explainer.beta, centred=explainer.centred)
    return network


def costs(name: str, methods: Iterable[str]) -> pd.DataFrame:
    """Time all maps in turn, round by round, and relate each to the plain gradient."""
    network, (crops, labels) = el.load_model(name), el.load_crops("test")
    known, _ = el.load_crops("train")
    explainers = {method: el.DEFENSES[method].make(pictures=known) for method in methods}
    rounds = pd.DataFrame(
        {m: seconds(e, network, crops[:BATCH], labels[:BATCH]) for m, e in explainers.items()}
        for _ in range(ROUNDS)
    )
    ratios = rounds[1:].div(rounds[1:]["Gradient"], axis=0)
    lines = []
    for method, explainer in explainers.items():
        with torch.inference_mode():
            answers = explained(network, explainer)(crops).argmax(dim=1)
        lines.append(
            {
                "model": name,
                "method": method,
                "explanations": round(median(ratios[method]), 2),
                "accuracy": round((answers == labels).float().mean().item(), 4),
            }
        )
    return pd.DataFrame(lines)


def main() -> None:
    trained = ("crops_vgg_softplus", "crops_vgg_robust")
    tables = [costs("crops_vgg", el.DEFENSES), *(costs(name, ["Gradient"]) for name in trained)]
    table = pd.concat(tables, ignore_index=True)
    command = "python benchmarks/defense_cost.py"
    el.results.save_table(RESULT, table, command=command, rounds=ROUNDS, pictures=BATCH)
    print(table.to_string())


if __name__ == "__main__":
    main()
