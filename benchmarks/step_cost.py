"""Measure what a step of the attack costs, in gradient explanations, all in one run.

python benchmarks/step_cost.py [--repeats 7]

Three things are timed in turn, repeatedly, so that a busy machine slows all of them alike: an
explanation; a step of our attack; the same step by PyTorch's plain double backward.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

import explman_lite as el
from explman_lite.layers import FrozenConv2d

RESULT = Path(__file__).parents[1] / "results" / "step_cost.csv"
BETA = 30.0


def plain(network: el.Network) -> el.Network:
    """Put PyTorch's own convolutions back in place of ours."""
    modules = dict(network.named_modules())
    for name, layer in modules.items():
        if isinstance(layer, FrozenConv2d):
            original = nn.Conv2d.__new__(nn.Conv2d)
            original.__dict__.update(layer.__dict__)
            modules[name] = original
    return el.Network(modules, network.graph).eval()


def step(network: nn.Module, image: Tensor, target: Tensor, classes: Tensor) -> Callable[[], None]:
    """Return the work of one attack step, without the optimiser."""
    with torch.no_grad():
        logits = network(image)

    def run() -> None:
        pixels = image.clone().requires_grad_()
        explanation = el.Gradient().explain(network, pixels, classes)
        distance = el.metrics.mse(el.relevance_map(explanation.attribution), target)
        change = el.metrics.mse(explanation.logits, logits)
        torch.autograd.grad((distance + change).sum(), pixels)

    return run


def measure(actions: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Time each action in turn and return the seconds of its least disturbed run."""
    for action in actions.values():
        action()
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    torch.manual_seed(0)
    network = el.smoothed(el.load_model(), BETA)
    image = el.load_photo("chelsea")
    classes = network(image).argmax(dim=1)
    target = torch.rand(1, 224, 224)
    seconds = measure(
        {
            "explanation": lambda: el.Gradient()(network, image, classes),
            "step": step(network, image, target, classes),
            "step, plain double backward": step(plain(network), image, target, classes),
        },
        repeats,
    )
    table = pd.DataFrame(
        {
            "what": list(seconds),
            "explanations": [value / seconds["explanation"] for value in seconds.values()],
        }
    ).round(2)
    el.results.save_table(
        RESULT,
        table,
        command=f"python benchmarks/step_cost.py --repeats {repeats}",
        model="efficientnet_lite0",
        size=224,
        explainer="Gradient",
        beta=BETA,
    )
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
