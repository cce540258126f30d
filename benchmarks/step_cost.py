"""Measure what a step of the attack costs, in explanations of the ReLU network, all in one run.

python benchmarks/step_cost.py [--model NAME ...] [--rounds 3]

The unit is what a user pays elsewhere: one gradient explanation of the same pictures, by the same
network with its ReLUs. Beside ours stand the same by plain PyTorch, which differentiates its own
softplus, pooling and convolutions twice; by the formulas of the paper's code; and, for one
explanation, by Captum and Zennit. All are timed in turn, round by round, so that a busy machine
slows all of them alike; a cell is the median over rounds of the ratio to that round's unit.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import captum.attr
import pandas as pd
import torch
import torch.nn.functional as F
import zennit.composites
import zennit.rules
from torch import Tensor, nn
from torchvision.models import get_model
from tqdm import tqdm

import explman_lite as el
from explman_lite.networks.layers import Conv2d
from explman_lite.networks.smoothing import can_round_pooling
from explman_lite.networks.softplus import SmoothReLU

RESULT = Path(__file__).parents[1] / "results" / "step_cost.csv"
MODELS = ("efficientnet_lite0", "vgg16", "resnet18", "digits_vgg")
BETA, SHARPNESS, POINTS = 30.0, 30.0, 10
PLAIN = ("gradient", "average")
"""The families that PyTorch can differentiate twice by itself."""

Action = Callable[[], object]


class Case:
    """A network with its pictures: a photograph, or eight digits."""

    def __init__(self, name: str) -> None:
        self.name = name
        if name == "digits_vgg":
            self.pictures = "eight digits"
            self.images = el.load_digits("test")[0][:8]
        else:
            self.pictures = "a photograph"
            self.images = el.load_photo("chelsea")
        carried = name in {"efficientnet_lite0", "digits_vgg"}
        # Random weights, which cost the same, where those of ImageNet would be downloaded.
        self.original = None if carried else get_model(name, weights=None).eval()
        self.network = el.prepare(self.original) if self.original else el.load_model(name)
        self.smooth = el.smoothed(self.network, BETA)
        self.rounded = None
        if can_round_pooling(self.network):
            self.rounded = el.smoothed(self.network, BETA, pooling=SHARPNESS)
        with torch.no_grad():
            self.logits = self.network(self.images)
        self.classes = self.logits.argmax(dim=1)
        generator = torch.Generator().manual_seed(0)
        self.target = torch.rand(len(self.images), *self.images.shape[2:], generator=generator)

    def step(self, explain: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Action:
        """Return the work of one step of the attack, without the optimiser."""

        def run() -> None:
            pixels = self.images.clone().requires_grad_()
            attribution, logits = explain(pixels)
            maps = el.relevance_map(attribution)
            loss = el.manipulation_loss(maps, self.target, logits, self.logits)
            torch.autograd.grad(loss.sum(), pixels)

        return run


class PlainSoftplus(nn.Module):
    """Softplus as PyTorch has it; ReLU6 as the difference of two."""

    def __init__(self, ceiling: float | None) -> None:
        super().__init__()
        self.ceiling = ceiling

    def forward(self, inputs: Tensor) -> Tensor:
        smooth = F.softplus(inputs, BETA)
        if self.ceiling is None:
            return smooth
        return smooth - F.softplus(inputs - self.ceiling, BETA)


def plain(network: el.Network) -> el.Network:
    """Put PyTorch's own layers in place of ours."""
    modules = dict(network.named_modules())
    for name, layer in modules.items():
        if isinstance(layer, Conv2d):
            original = nn.Conv2d.__new__(nn.Conv2d)
            original.__dict__.update(layer.__dict__)
            modules[name] = original
        elif isinstance(layer, SmoothReLU):
            modules[name] = PlainSoftplus(layer.ceiling)
    return el.Network(modules, network.graph).eval()


def papers_lrp(model: nn.Module, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Explain VGG by the formulas of the paper's code: z⁺ and z-box, by PyTorch's own layers."""
    layers = [*model.features, nn.Flatten(), *model.classifier]
    ways: list[tuple[nn.Module, Tensor, Tensor | None]] = []
    values = images
    for layer in layers:
        came, places = values, None
        if isinstance(layer, nn.MaxPool2d):
            values, places = F.max_pool2d(values, 2, return_indices=True)
        elif isinstance(layer, nn.ReLU):
            values = F.softplus(values, BETA)
        elif not isinstance(layer, nn.Dropout):
            values = layer(values)
        ways.append((layer, came, places))
    score = values.gather(1, classes.unsqueeze(1))
    relevance = torch.zeros_like(values).scatter(1, classes.unsqueeze(1), score)
    for layer, came, places in reversed(ways):
        if isinstance(layer, nn.Flatten):
            relevance = relevance.view_as(came)
        elif places is not None:
            relevance = F.max_unpool2d(relevance, places, 2, output_size=came.shape)
        elif isinstance(layer, nn.Linear):
            positive = layer.weight.clamp(min=0)
            relevance = came * ((relevance / (came @ positive.T + 1e-6)) @ positive)
        elif isinstance(layer, nn.Conv2d):
            positive, negative = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
            parts = [(came, positive)]
            if came is images:
                black, white = torch.zeros_like(came), torch.ones_like(came)
                parts = [(came, layer.weight), (black, -positive), (white, -negative)]
            total = sum(F.conv2d(part, by, padding=1) for part, by in parts)
            share = relevance / (total + 1e-6)
            relevance = sum(part * F.conv_transpose2d(share, by, padding=1) for part, by in parts)
    return relevance, values


def by_captum(method: str, case: Case) -> Action | None:
    """Return an explanation by Captum, of the methods that both have."""
    model = case.original or case.network
    images, classes = case.images, case.classes
    # Of digits, all points of a path fit into one pass.
    at_once = None if len(images) > 1 else 2
    saliency = captum.attr.Saliency(model)
    made: dict[str, tuple[object, dict[str, object]]] = {
        "Gradient": (saliency, {"abs": False}),
        "GradientTimesInput": (captum.attr.InputXGradient(model), {}),
        "IntegratedGradients": (
            captum.attr.IntegratedGradients(model, multiply_by_inputs=True),
            {"n_steps": POINTS, "method": "riemann_middle", "internal_batch_size": at_once},
        ),
        "SmoothGrad": (
            captum.attr.NoiseTunnel(saliency),
            {"nt_type": "smoothgrad", "nt_samples": POINTS, "stdevs": 0.05, "abs": False,
             "nt_samples_batch_size": at_once},
        ),
    }  # fmt: skip
    if case.original is not None:
        # Its hooks need PyTorch's own modules.
        made["GuidedBackprop"] = (captum.attr.GuidedBackprop(model), {})
    if method not in made:
        return None
    explainer, options = made[method]
    return lambda: explainer.attribute(images.clone().requires_grad_(), target=classes, **options)


def by_zennit(method: str, case: Case) -> Action | None:
    """Return LRP by Zennit's rules, on the network that it can register them on."""
    if method != "LRP" or case.name != "vgg16":
        return None
    model, images = case.original, case.images
    low, high = torch.zeros_like(images), torch.ones_like(images)
    layers = [
        (zennit.types.Activation, zennit.rules.Pass()),
        ((nn.Conv2d, nn.Linear), zennit.rules.ZPlus()),
    ]
    first = [(nn.Conv2d, zennit.rules.ZBox(low=low, high=high))]
    composite = zennit.composites.SpecialFirstLayerMapComposite(layers, first)

    def run() -> None:
        pixels = images.clone().requires_grad_()
        with composite.context(model) as changed:
            output = changed(pixels)
            seed = torch.zeros_like(output).scatter(1, case.classes.unsqueeze(1), 1.0)
            torch.autograd.grad(output, pixels, seed * output.detach())

    return run


def actions(case: Case) -> Iterator[tuple[tuple[str, str, str], Action]]:
    """List what is timed, each by its method, who computes it, and what is computed."""
    images, classes = case.images, case.classes
    ordinary = plain(case.smooth)
    for card in el.EXPLAINERS.values():
        explainer = card.make(case.network, torch.cat([images, 1 - images]), points=POINTS)

        def explain(network: nn.Module, e: el.Explainer = explainer) -> Action:
            return lambda: e(network, images, classes)

        def step(network: nn.Module, e: el.Explainer = explainer) -> Action:
            return case.step(lambda pixels: e.explain(network, pixels, classes))

        defended = el.BetaSmoothing(explainer, BETA)
        yield (card.name, "ours", "explanation"), explain(case.network)
        yield (card.name, "ours", "smoothed"), explain(case.network, defended)
        yield (card.name, "ours", "step with ReLU"), step(case.network)
        yield (card.name, "ours", "step"), step(case.smooth)
        if case.rounded is not None:
            yield (card.name, "ours", "step, pooling rounded"), step(case.rounded)
        if card.family in PLAIN:
            yield (card.name, "plain PyTorch", "smoothed"), explain(ordinary)
            yield (card.name, "plain PyTorch", "step"), step(ordinary)
        if card.name == "LRP" and case.name == "vgg16":
            papers = partial(papers_lrp, case.original, classes=classes)
            leaf = images.clone().requires_grad_()
            yield (card.name, "the paper's formulas", "smoothed"), partial(papers, leaf)
            yield (card.name, "the paper's formulas", "step"), case.step(papers)
        for who, make in (("Captum", by_captum), ("Zennit", by_zennit)):
            theirs = make(card.name, case)
            if theirs is not None:
                yield (card.name, who, "explanation"), theirs


def seconds(action: Action) -> float:
    """Time an action once."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(case: Case, rounds: int) -> pd.DataFrame:
    """Time all actions in turn, and relate each to the unit of its round."""
    timed = dict(actions(case))
    unit = timed["Gradient", "ours", "explanation"]
    ratios: dict[tuple[str, str, str], list[float]] = {name: [] for name in timed}
    for action in timed.values():
        action()
    for _ in tqdm(range(rounds), desc=case.name):
        for name, action in timed.items():
            before, taken, after = seconds(unit), seconds(action), seconds(unit)
            ratios[name].append(2 * taken / (before + after))
    cells = pd.Series({name: median(values) for name, values in ratios.items()})
    cells.index = pd.MultiIndex.from_tuples(cells.index, names=["method", "by", "what"])
    table = cells.unstack("what").reindex(
        columns=["explanation", "smoothed", "step with ReLU", "step", "step, pooling rounded"]
    )
    order = pd.MultiIndex.from_tuples(dict.fromkeys(name[:2] for name in timed))
    table = table.reindex(order).rename_axis(["method", "by"]).reset_index()
    table.insert(0, "model", case.name)
    table.insert(1, "pictures", case.pictures)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(0)
    table = pd.concat([measure(Case(name), options.rounds) for name in options.model])
    print(table.round(2).to_string())
    if tuple(options.model) == MODELS:
        el.results.save_table(
            RESULT,
            table.round(2),
            command=f"python benchmarks/step_cost.py --rounds {options.rounds}",
            size=224,
            beta=BETA,
            sharpness_of_pooling=SHARPNESS,
            points_of_averaging_methods=POINTS,
        )


if __name__ == "__main__":
    main()
