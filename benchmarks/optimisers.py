"""Compare optimisers, schedules, losses and methods, at equal numbers of steps and equal pictures.

python benchmarks/optimisers.py
python benchmarks/optimisers.py --study pooling   # only this one anew

Every row is one attack on all pairs, judged by the ReLU network at its end. Where two ways differ,
compare what they reach at the same likeness of the picture: each is tried with two step sizes. The
loop is written out here, apart from the package's own, so that the two check each other and any
optimiser fits in. Half an hour on two cores, or an hour on one.
"""

import argparse
import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

import explman_lite as el
from explman_lite.attack import constant, one_cycle
from explman_lite.networks.smoothing import (
    can_round_pooling,
    round_activations,
    round_pooling,
    set_beta,
    set_pooling,
)
from explman_lite.pictures.collections import IMAGENET, IMAGENET_SIZE, open_pictures

RESULT = Path(__file__).parents[1] / "results" / "optimisers.csv"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
OURS = el.Settings()
AT_ONCE = 4
"""Pictures in a batch: what a pass keeps of more does not stay in the processor's cache."""
STEP_SIZES = {"pictures": (5e-3, 7e-3), "digits": (2e-3, 4e-3)}
METHODS = {
    f"{card.name}(4)" if card.points else card.name: card
    for card in el.EXPLAINERS.values()
    if card.in_paper
}


def half_cosines(fraction: float) -> float:
    """Return the share of the step size of a cycle of two half cosines, up for 10 %, then down."""
    if fraction < 0.1:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * fraction / 0.1)) / 2
    return (1 + math.cos(math.pi * (fraction - 0.1) / 0.9)) / 2


SCHEDULES = {"one cycle": one_cycle, "half cosines": half_cosines, "constant": constant}


@dataclass(frozen=True)
class Trial:
    """What is varied; the rest is as `manipulate` has it.

    ``gradient`` is what Adam gets: the loss's gradient, the same with its length made that of every
    other step (``normalised``), or without its part along the explained logit's gradient, so that
    the step is tangent to the level set (``tangent``). ``sharpness`` grows with the steps, or with
    what has been reached (``by loss``). A run may stop after a share of its steps.
    """

    study: str
    case: str = "pictures"
    method: str = "Gradient"
    steps: int = OURS.steps
    output_weight: float = OURS.output_weight
    momentum: tuple[float, float] = OURS.momentum
    schedule: str = "one cycle"
    beta: tuple[float, float] | None = OURS.beta
    pooling: tuple[float, float] | None = OURS.pooling
    growth: float = OURS.growth
    sharpness: str = "by step"
    loss: str = "squared error"
    optimiser: str = "Adam"
    gradient: str = "as it is"
    stopped: float = 1.0


FIRST = Trial(
    "from the first edition on",
    output_weight=13.0,
    momentum=(0.8, 0.99),
    schedule="half cosines",
    growth=1.0,
)
"""The settings of this book's first edition, which one pair had decided."""


def trials() -> Iterator[Trial]:
    """List what is compared, study by study."""
    yield (trial := FIRST)
    for change in (
        {"output_weight": OURS.output_weight},
        {"momentum": OURS.momentum},
        {"schedule": "one cycle"},
        {"growth": OURS.growth},
    ):
        yield (trial := replace(trial, **change))
    ours = Trial("one thing changed")
    for momentum in ((0.6, 0.95), (0.9, 0.999)):
        yield replace(ours, momentum=momentum)
    yield replace(ours, schedule="constant")
    for beta in ((3.0, 100.0), (5.0, 200.0), (10.0, 100.0), (30.0, 30.0), None):
        yield replace(ours, beta=beta)
    yield replace(ours, sharpness="by loss")
    for weight in (0.0, 1.0):
        yield replace(ours, output_weight=weight)
    for loss in ("correlation", "logarithm"):
        yield replace(ours, loss=loss)
    yield replace(ours, gradient="normalised")
    yield replace(ours, gradient="tangent", output_weight=0.0)
    yield replace(ours, optimiser="sign")
    yield replace(ours, steps=100, stopped=0.4)
    for steps in (20, 100):
        yield replace(ours, study="steps", steps=steps)
    yield replace(FIRST, study="steps, first edition", steps=100)
    for method in METHODS:
        if method != "Gradient":
            yield replace(ours, study="methods", method=method)
        for pooling in (OURS.pooling, None):
            yield Trial("pooling", "digits", method, steps=100, pooling=pooling)


def pictures() -> tuple[el.Network, Tensor, Tensor, Tensor]:
    """Return the network, eight pictures, eight others, and some to fit patterns to."""
    photos = torch.cat([el.load_photo(name) for name in el.photo_names()])
    collection = open_pictures(IMAGENET)
    drawn = np.random.default_rng(0).permutation(IMAGENET_SIZE)[:8].tolist()
    imagenet = torch.stack([collection.picture(number) for number in drawn])
    images = torch.cat([imagenet[:4], photos[:4]])
    return el.load_model(), images, torch.cat([imagenet[4:], photos[2:]]), photos


def digits() -> tuple[el.Network, Tensor, Tensor, Tensor]:
    """Return the network, 32 digits, 32 others, and the training split."""
    images, _ = el.load_digits("test")
    return el.load_model("digits_vgg"), images[:32], images[32:64], el.load_digits("train")[0]


CASES = {"pictures": pictures, "digits": digits}


class Case:
    """A network, a method, pictures and the maps they shall get, once for each step size."""

    def __init__(self, name: str, method: str) -> None:
        model, *loaded = CASES[name]()
        self.model = model.to(DEVICE)
        images, others, fitting = (each.to(DEVICE) for each in loaded)
        self.step_sizes = STEP_SIZES[name]
        self.lr = torch.tensor(self.step_sizes, device=DEVICE).repeat_interleave(len(images))
        copies = (len(self.step_sizes), 1, 1, 1)
        self.images, others = images.repeat(copies), others.repeat(copies)
        self.explainer = METHODS[method].make(self.model, fitting, points=4)
        with torch.no_grad():
            self.logits, other_logits = self.model(self.images), self.model(others)
        self.classes = self.logits.argmax(dim=1)
        attribution = self.explainer(self.model, others, other_logits.argmax(dim=1))
        self.targets = el.relevance_map(attribution)

    def smoothed(self, trial: Trial) -> el.Network:
        """Return the network to search on."""
        network = self.model
        if trial.beta is not None:
            network = round_activations(network, trial.beta[0])
        if trial.pooling is not None and can_round_pooling(network):
            network = round_pooling(network, trial.pooling[0], in_spreads=True)
        return network

    def gradient(
        self, network: el.Network, pixels: Tensor, these: slice, trial: Trial
    ) -> tuple[Tensor, Tensor]:
        """Return what the optimiser gets (N, C, H, W), and the maps' squared errors (N,)."""
        pixels = pixels.detach().requires_grad_()
        classes, targets = self.classes[these], self.targets[these]
        explanation = self.explainer.explain(network, pixels, classes)
        maps, logits = el.relevance_map(explanation.attribution), explanation.logits
        change = trial.output_weight * el.metrics.logit_change(logits, self.logits[these])
        errors = el.metrics.mse(maps, targets)
        match trial.loss:
            case "correlation":
                loss = 1 - el.metrics.pcc(maps, targets) + change
            case "logarithm":
                loss = (errors + change).log()
            case _:
                loss = errors + change
        tangent = trial.gradient == "tangent"
        (found,) = torch.autograd.grad(loss.sum(), pixels, retain_graph=tangent)
        if tangent:
            explained = logits.gather(1, classes.unsqueeze(1)).sum()
            (normal,) = torch.autograd.grad(explained, pixels)
            along = (found * normal).sum((1, 2, 3), keepdim=True)
            found = found - normal * along / normal.square().sum((1, 2, 3), keepdim=True)
        if trial.gradient == "normalised":
            found = found / found.square().mean((1, 2, 3), keepdim=True).sqrt()
        return found, errors.detach()

    def judge(self, pixels: Tensor) -> Iterator[dict[str, Any]]:
        """Measure what each step size reached, under the ReLU network: quartiles over the pairs."""
        explanation = self.explainer.explain(self.model, pixels, self.classes)
        maps, logits = el.relevance_map(explanation.attribution), explanation.logits
        measured = {
            "pcc": el.metrics.pcc(maps, self.targets),
            "image_ssim": el.metrics.ssim(pixels, self.images, data_range=1.0),
            "output_change": el.metrics.output_change(logits, self.logits),
        }
        kept = (logits.argmax(dim=1) == self.classes).double()
        pairs = len(pixels) // len(self.step_sizes)
        for number, lr in enumerate(self.step_sizes):
            these = slice(number * pairs, (number + 1) * pairs)
            row: dict[str, Any] = {
                "lr": lr,
                "pairs": pairs,
                "class_kept": kept[these].mean().item(),
            }
            for name, values in measured.items():
                numbers = values[these].detach().cpu().double().numpy()
                quartiles = np.quantile(numbers, (0.25, 0.5, 0.75))
                row |= dict(zip((f"{name}_low", name, f"{name}_high"), quartiles, strict=True))
            yield row


@cache
def case(name: str, method: str) -> Case:
    """Prepare a case once."""
    return Case(name, method)


class Adam:
    """Adam by hand, so that what it gets and how it steps can be varied."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.taken = trial, 0
        self.mean = self.square = torch.zeros(())

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the next step, for a step size of 1."""
        if self.trial.optimiser == "sign":
            return gradient.sign()
        first, second = self.trial.momentum
        self.taken += 1
        self.mean = first * self.mean + (1 - first) * gradient
        self.square = second * self.square + (1 - second) * gradient.square()
        mean, square = self.mean / (1 - first**self.taken), self.square / (1 - second**self.taken)
        return mean / (square.sqrt() + 1e-8)


def attack(trial: Trial) -> list[dict[str, Any]]:
    """Run one attack on all pairs, with each step size."""
    at = case(trial.case, trial.method)
    starts = range(0, len(at.images), AT_ONCE)
    found = [search(at, trial, slice(start, start + AT_ONCE)) for start in starts]
    return [asdict(trial) | row for row in at.judge(torch.cat(found))]


def search(at: Case, trial: Trial, these: slice) -> Tensor:
    """Return what some of the pictures become."""
    network, pixels, adam = at.smoothed(trial), at.images[these].clone(), Adam(trial)
    reached, first_errors = 0.0, None
    for step in range(round(trial.steps * trial.stopped)):
        fraction = step / (trial.steps - 1)
        grown = reached if trial.sharpness == "by loss" else fraction**trial.growth
        if trial.beta is not None:
            set_beta(network, trial.beta[0] * (trial.beta[1] / trial.beta[0]) ** grown)
        if trial.pooling is not None:
            set_pooling(network, trial.pooling[0] * (trial.pooling[1] / trial.pooling[0]) ** grown)
        gradient, errors = at.gradient(network, pixels, these, trial)
        first_errors = errors if first_errors is None else first_errors
        left = float((errors / first_errors).median())
        reached = max(reached, min(1 - left, 1.0), fraction**3)  # it ends at 1, whatever happens
        lr = at.lr[these].view(-1, 1, 1, 1) * SCHEDULES[trial.schedule](fraction)
        pixels = (pixels - lr * adam.direction(gradient)).clamp(0, 1)
    return pixels


def main(study: str | None) -> None:
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False
    chosen = [trial for trial in trials() if study in (None, trial.study)]
    rows = (attack(trial) for trial in tqdm(chosen, mininterval=5))
    table = pd.DataFrame(list(itertools.chain.from_iterable(rows)))
    if study is not None:
        before = el.results.load_table(RESULT)
        table = pd.concat([before[before.study != study], table], ignore_index=True)
    el.results.save_table(
        RESULT,
        table.round(5),
        command="python benchmarks/optimisers.py",
        model="efficientnet_lite0",
        size=224,
        pairs="four pictures of ImageNet and four photographs; 32 digits",
    )
    print(table.to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    studies = sorted({trial.study for trial in trials()})
    parser.add_argument("--study", choices=studies, help="compute only this one anew")
    main(parser.parse_args().study)
