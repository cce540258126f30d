"""Measure what a step of the attack costs, in explanations, all in one run.

python benchmarks/step_cost.py [--model NAME ...] [--repeats 5]

For each model and method three things are timed in turn, repeatedly, so that a busy machine slows
all of them alike: an explanation; a step of our attack; and, for the methods that PyTorch can
differentiate twice by itself, the same step by its plain double backward.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

import explman_lite as el
from explman_lite.networks.layers import Conv2d

RESULT = Path(__file__).parents[1] / "results" / "step_cost.csv"
BETA = 30.0
PLAIN = ("gradient", "average")
"""The families that PyTorch can differentiate twice by itself."""


def load(name: str) -> el.Network:
    """Load a network; the large ones with random weights, which cost the same."""
    if name in {"efficientnet_lite0", "digits_vgg"}:
        return el.load_model(name)
    import torchvision

    return el.prepare(torchvision.models.get_model(name, weights=None))


def plain(network: el.Network) -> el.Network:
    """Put PyTorch's own convolutions back in place of ours."""
    modules = dict(network.named_modules())
    for name, layer in modules.items():
        if isinstance(layer, Conv2d):
            original = nn.Conv2d.__new__(nn.Conv2d)
            original.__dict__.update(layer.__dict__)
            modules[name] = original
    return el.Network(modules, network.graph).eval()


def step(
    explainer: el.Explainer, network: nn.Module, image: Tensor, classes: Tensor
) -> Callable[[], None]:
    """Return the work of one attack step, without the optimiser."""
    target = torch.rand(1, *image.shape[2:], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = network(image)

    def run() -> None:
        pixels = image.clone().requires_grad_()
        explanation = explainer.explain(network, pixels, classes)
        maps = el.relevance_map(explanation.attribution)
        loss = el.manipulation_loss(maps, target, explanation.logits, logits)
        torch.autograd.grad(loss.sum(), pixels)

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


def rows(name: str, repeats: int) -> Iterator[dict[str, object]]:
    network = el.smoothed(load(name), BETA)
    image = el.load_photo("chelsea")
    classes = torch.tensor([285])
    gradient = None
    for card in el.EXPLAINERS.values():
        explainer = card.make(network, torch.cat([image, 1 - image]), points=10)
        actions = {
            "explanation": lambda e=explainer: e(network, image, classes),
            "step": step(explainer, network, image, classes),
        }
        if card.family in PLAIN:
            actions["plain"] = step(explainer, plain(network), image, classes)
        seconds = measure(actions, repeats)
        gradient = gradient or seconds["explanation"]
        yield {
            "model": name,
            "method": explainer.name,
            "explanation / gradient": seconds["explanation"] / gradient,
            "step / explanation": seconds["step"] / seconds["explanation"],
            "step / gradient": seconds["step"] / gradient,
            "plain step / step": seconds.get("plain", float("nan")) / seconds["step"],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs="+", default=["efficientnet_lite0", "vgg16"])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    measured = []
    for name in options.model:
        for row in rows(name, options.repeats):
            print(row, flush=True)
            measured.append(row)
    el.results.save_table(
        RESULT,
        pd.DataFrame(measured).round(2),
        command=f"python benchmarks/step_cost.py --repeats {options.repeats}",
        size=224,
        beta=BETA,
        points_of_averaging_methods=10,
    )


if __name__ == "__main__":
    main()
