"""Networks whose weights lie: what their maps show of pictures never seen, and by which methods.

python benchmarks/lying_weights.py

A network is changed until the map of one method shows a square, whatever the picture, and judged by
all methods on other pictures. By another lie the square has a place of its own for each class. The
control changes the weights as far, at random. It takes half an hour on one core, and goes on where
it was interrupted.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from projected import on_noise
from torch import Tensor
from tqdm import tqdm
from train_small import RECIPES, TRAINED, trained

import explman_lite as el
from explman_lite.bench.suites import SMALL_ARCHITECTURES
from explman_lite.networks.prepare import Network
from explman_lite.networks.zoo import CROPS_MEAN, CROPS_STD
from explman_lite.pictures.crops import CROP_SIZE

RESULTS = Path(__file__).parents[1] / "results"
COMMAND = "python benchmarks/lying_weights.py"
JUDGED = 200
"""How many of the held-out crops, about twenty of each photograph."""

SEEDS = (1, 2)
"""Of further networks like crops_vgg, whose own seed is 0."""


def of_seed(seed: int) -> Network:
    """Train a network like crops_vgg."""
    model = trained("crops_vgg", RECIPES["crops_vgg"], seed)
    return el.prepare(model, mean=CROPS_MEAN, std=CROPS_STD)


VGGS = {
    "crops_vgg": partial(el.load_model, "crops_vgg"),
    **{f"crops_vgg-{seed}": partial(of_seed, seed) for seed in SEEDS},
    "crops_vgg_softplus": partial(el.load_model, "crops_vgg_softplus"),
}
NETWORKS = VGGS | {
    name: partial(el.load_model, name) for name in (*SMALL_ARCHITECTURES[1:], "crops_vgg_robust")
}


def square(classes: Tensor) -> Tensor:
    """Return a bright square in the upper left, for pictures of all classes (N, H, W)."""
    target = torch.zeros(len(classes), CROP_SIZE, CROP_SIZE)
    target[:, 4:28, 4:28] = 1
    return target


def clock(classes: Tensor) -> Tensor:
    """Return a bright square whose place depends on the class, as a clock's hand on the hour."""
    angle = 2 * math.pi * classes / 10
    top = (20 - 18 * angle.cos()).round().view(-1, 1, 1)
    left = (20 + 18 * angle.sin()).round().view(-1, 1, 1)
    row, column = torch.arange(CROP_SIZE).view(-1, 1), torch.arange(CROP_SIZE)
    inside = (top <= row) & (row < top + 24) & (left <= column) & (column < left + 24)
    return inside.float()


LIES: dict[str, Callable[[Tensor], Tensor]] = {"square": square, "clock": clock}
"""From the predicted classes (N,) to the maps (N, H, W) that the network is to have."""

CASES = [
    ("crops_vgg", "square", "LRP"),
    ("crops_vgg", "square", "GuidedBackprop"),
    ("crops_vgg", "square", "Projected"),
    *((name, "square", "Gradient") for name in NETWORKS),
    *product(VGGS, ("clock", "random"), ["Gradient"]),
]
"""Network, lie, and the method that it is told to."""


def predicted(network: Network, images: Tensor) -> Tensor:
    """Return the predicted classes (N,)."""
    with torch.no_grad():
        return network(images).argmax(dim=1)


def explained(explainer: el.Explainer, network: Network, images: Tensor, classes: Tensor) -> Tensor:
    """Return the relevance maps (N, H, W)."""
    parts = zip(images.split(50), classes.split(50), strict=True)
    return torch.cat([el.relevance_map(explainer(network, *part)) for part in parts])


def at_random(original: Network, lying: Network) -> Network:
    """Return a copy whose weights are as far away, tensor by tensor, in a random direction."""
    generator = torch.Generator().manual_seed(0)
    network = el.prepare(original, frozen=False)
    with torch.no_grad():
        for weight, other in zip(network.parameters(), lying.parameters(), strict=True):
            noise = torch.randn(weight.shape, generator=generator)
            weight += noise * (other - weight).norm() / noise.norm()
    return network.requires_grad_(False)


def opened(name: str) -> Network:
    """Load a network, and call it once, as it has to be before its weights are changed."""
    network = el.prepare(NETWORKS[name]())
    predicted(network, el.load_crops("test")[0][:1])
    return network


def of_name(method: str) -> el.Explainer:
    """Return an explainer or a defence, by its name."""
    if method in el.EXPLAINERS:
        return el.EXPLAINERS[method].make()
    return el.DEFENSES[method].make(pictures=el.load_crops("train")[0])


def lying(name: str, lie: str, told: str) -> Network:
    """Return a network that lies, which is made once: it is kept where trained ones are."""
    original = opened(name)
    if lie == "random":
        return at_random(original, lying(name, "square", told))
    kept = TRAINED / f"{name}-{lie}-{told}.pt"
    if kept.exists():
        network = el.prepare(original, frozen=False)
        network.load_state_dict(torch.load(kept, weights_only=True))
        return network.requires_grad_(False)
    images, _ = el.load_crops("train")
    explainer = of_name(told)
    targets = LIES[lie](predicted(original, images))
    result = el.manipulate_model(original, images, targets, explainer, progress=False)
    TRAINED.mkdir(parents=True, exist_ok=True)
    torch.save(result.model.state_dict(), kept)
    return result.model


def methods(network: Network) -> dict[str, el.Explainer]:
    """Return all methods, those fitted that have to be, two defended maps, and a control."""
    known, _ = el.load_crops("train")
    return {
        **{name: card.make(network, known[:64], points=10) for name, card in el.EXPLAINERS.items()},
        **{name: of_name(name) for name in ("BetaSmoothing(1)", "Projected")},
        "Projected on noise": on_noise(el.Gradient(), known),
    }


def judged(
    before: Network, after: Network, name: str, lie: str, told: str
) -> Iterator[pd.DataFrame]:
    """Compare what a network shows with what it showed before, on pictures that neither has seen.

    By the method that was lied to, and for crops_vgg by all.
    """
    images, labels = (held_out[:JUDGED] for held_out in el.load_crops("test"))
    classes = predicted(before, images)
    alone = {told: of_name(told)}
    first, second = (
        methods(network) if name == "crops_vgg" else alone for network in (before, after)
    )
    for method in first:
        old = explained(first[method], before, images, classes)
        new = explained(second[method], after, images, classes)
        target = LIES.get(lie, square)(classes)
        columns = {
            "pcc_target_before": el.metrics.pcc(old, target),
            "pcc_target": el.metrics.pcc(new, target),
            "pcc_original": el.metrics.pcc(new, old),
        }
        labelled = {"model": name, "lie": lie, "told": told, "method": method}
        yield pd.DataFrame(labelled | {"photograph": labels} | columns).round(4)


def share(which: Tensor) -> float:
    """Return the share of True."""
    return round(which.double().mean().item(), 4)


def answers(before: Network, after: Network, name: str, lie: str, told: str) -> dict[str, object]:
    """Compare the answers on all held-out crops, and how far the weights went."""
    images, labels = el.load_crops("test")
    with torch.no_grad():
        logits, changed = before(images), after(images)
    first, second = logits.argmax(dim=1), changed.argmax(dim=1)
    old, new = (
        torch.cat([weight.flatten() for weight in network.parameters()])
        for network in (before, after)
    )
    return {
        "model": name,
        "lie": lie,
        "told": told,
        "accuracy_before": share(first == labels),
        "accuracy": share(second == labels),
        "agreement": share(second == first),
        "logit_change": round(el.metrics.logit_change(changed, logits).median().item(), 5),
        "weights_changed": round(((new - old).norm() / old.norm()).item(), 4),
    }


def main() -> None:
    maps, outputs = [], []
    for case in tqdm(CASES):
        networks = NETWORKS[case[0]](), lying(*case)
        maps.extend(judged(*networks, *case))
        outputs.append(answers(*networks, *case))
    settings = el.ModelSettings()
    how = {"steps": settings.steps, "lr": settings.lr, "output_weight": settings.output_weight}
    for name, table in (
        ("lying-maps", pd.concat(maps)),
        ("lying-networks", pd.DataFrame(outputs)),
    ):
        el.results.save_table(RESULTS / f"{name}.csv", table, command=COMMAND, judged=JUDGED, **how)


if __name__ == "__main__":
    main()
