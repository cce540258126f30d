"""Can one notice that an explanation was manipulated, and what if the attacker knows how?

python benchmarks/detectors.py

Five scores, each the higher the more suspicious, are taken of honest maps, of forged ones, and of
those after a random change as large: of pictures (three attackers, of whom two know a score), and
of weights (two lies, four networks). It takes an hour on one core, once the networks of
lying_weights.py are there.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pandas as pd
import torch
from lying_weights import LIES, RESULTS, VGGS, explained, lying, predicted, share
from torch import Tensor
from tqdm import tqdm

import explman_lite as el
from explman_lite.attack.box import into_exact_box
from explman_lite.attack.settings import Settings
from explman_lite.bench import SUITES
from explman_lite.bench.suites import EPSILON, within
from explman_lite.networks.prepare import Network
from explman_lite.networks.smoothing import (
    round_activations,
    round_pooling,
    set_beta,
    set_pooling,
)
from explman_lite.pictures.collections import CROPS, open_pictures

COMMAND = "python benchmarks/detectors.py"
SEED, PAIRS = 0, 100
LEVELS, DRAWS, OTHERS = 4, 5, 20
"""Of the stability: grey levels and draws; of the likeness: how many other pictures."""

GRADIENT = el.Gradient()
METHODS = (el.LRP(), el.IntegratedGradients(10))
"""Whom the gradient is to agree with."""

Score = Callable[[Network, Tensor, Tensor, Tensor], Tensor]
"""From network, images (N, C, H, W), classes (N,) and the gradient's maps (N, H, W) to (N,)."""


def unlike(maps: Tensor, others: list[Tensor]) -> Tensor:
    """Return minus the mean correlation of each map with others of the same picture."""
    return -torch.stack([el.metrics.pcc(maps, other) for other in others]).mean(dim=0)


def randomised(network: Network, images: Tensor, classes: Tensor, maps: Tensor) -> Tensor:
    """Return how alike the map stays when the weights of the last layer are shuffled."""
    others = []
    for seed in range(DRAWS):
        shuffled = el.prepare(network, frozen=False)
        *_, last = (w for w in shuffled.parameters() if w.ndim > 1)
        order = torch.randperm(last.numel(), generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            last.copy_(last.flatten()[order].view_as(last))
        others.append(explained(GRADIENT, shuffled.requires_grad_(False), images, classes))
    return -unlike(maps, others)


def disagreement(network: Network, images: Tensor, classes: Tensor, maps: Tensor) -> Tensor:
    """Return how unlike the maps of other methods it is."""
    return unlike(maps, [explained(method, network, images, classes) for method in METHODS])


def roughness(network: Network, images: Tensor, classes: Tensor, maps: Tensor) -> Tensor:
    """Return how unlike SmoothGrad's map it is."""
    return unlike(maps, [explained(el.SmoothGrad(10), network, images, classes)])


def instability(network: Network, images: Tensor, classes: Tensor, maps: Tensor) -> Tensor:
    """Return how unlike the maps are after each pixel was moved a little, up or down at random."""
    generator, others = torch.Generator().manual_seed(SEED), []
    for _ in range(DRAWS):
        signs = 2 * torch.randint(2, images.shape, generator=generator) - 1
        moved = (images + LEVELS / 255 * signs).clamp(0, 1)
        others.append(explained(GRADIENT, network, moved, classes))
    return unlike(maps, others)


def likeness(network: Network, images: Tensor, classes: Tensor, maps: Tensor) -> Tensor:
    """Return how alike the maps of other pictures are, which have nothing to do with this one."""
    known = el.load_crops("train")[0][:OTHERS]
    others = explained(GRADIENT, network, known, predicted(network, known))
    return -unlike(maps, [other.expand_as(maps) for other in others])


DETECTORS: Mapping[str, Score] = {
    "randomised": randomised,
    "disagreement": disagreement,
    "roughness": roughness,
    "instability": instability,
    "likeness": likeness,
}


def scores(network: Network, images: Tensor, classes: Tensor) -> dict[str, Tensor]:
    """Return what every detector says of the gradient's map of each image (N,)."""
    maps = explained(GRADIENT, network, images, classes)
    return {name: score(network, images, classes, maps) for name, score in DETECTORS.items()}


def forged(
    network: Network,
    images: Tensor,
    classes: Tensor,
    wanted: Mapping[el.Explainer, Tensor],
    settings: Settings,
) -> Tensor:
    """Change images within the box until each explainer's map is the one that is wanted of it.

    The search of `el.manipulate`, for several explainers at once.
    """
    rounded = round_pooling(round_activations(network, 1.0), 1.0, in_spreads=True)
    with torch.no_grad():
        logits = network(images)
    pixels = images.clone().requires_grad_()
    optimiser = torch.optim.Adam([pixels], betas=settings.momentum)
    for step in range(settings.steps):
        fraction = step / max(settings.steps - 1, 1)
        beta, sharpness = settings.sharpness(fraction)
        set_beta(rounded, beta)
        set_pooling(rounded, sharpness)
        optimiser.param_groups[0]["lr"] = settings.lr * settings.schedule(fraction)
        pixels.grad = torch.zeros_like(pixels)
        for explainer, targets in wanted.items():
            attribution, changed = explainer.with_seed(2**40 + step, 3).explain(
                rounded, pixels, classes
            )
            loss = el.manipulation_loss(
                el.relevance_map(attribution), targets, changed, logits, settings.output_weight
            )
            pixels.grad += torch.autograd.grad(loss.sum(), pixels)[0] / len(wanted)
        optimiser.step()
        with torch.no_grad():
            pixels.copy_(into_exact_box(pixels, images, settings.epsilon))
    return pixels.detach()


ATTACKERS: Mapping[str, tuple[int, tuple[el.Explainer, ...]]] = {
    "knows none": (50, (GRADIENT,)),
    "knows disagreement": (150, (GRADIENT, el.LRP(), el.IntegratedGradients(4))),
    "knows roughness": (150, (GRADIENT, el.SmoothGrad(3))),
}
"""Number of steps, and the methods whose maps an attacker turns into those of the target."""


def table_of(
    honest: dict[str, Tensor], noised: dict[str, Tensor], lied: dict[str, Tensor], **labels: object
) -> Iterator[pd.DataFrame]:
    """Set the scores of the same pictures side by side."""
    for name in DETECTORS:
        values = {"honest": honest[name], "random": noised[name], "lying": lied[name]}
        yield pd.DataFrame({**labels, "detector": name} | values).round(4)


def of_pictures() -> tuple[list[pd.DataFrame], list[dict[str, object]]]:
    """Attack the audit's pairs, and score what comes of it."""
    network, pictures = VGGS["crops_vgg"](), open_pictures(CROPS)
    pairs = SUITES["defense"].draw(SEED)
    images, others = (
        torch.stack([pictures.picture(index) for index in some])
        for some in zip(*((pair.source, pair.target) for pair in pairs), strict=True)
    )
    classes, their_classes = predicted(network, images), predicted(network, others)
    photographs = [pair.source % 10 for pair in pairs]
    honest = scores(network, images, classes)
    original = explained(GRADIENT, network, images, classes)
    tables, outcomes = [], []
    for attacker, (steps, explainers) in tqdm(ATTACKERS.items(), "pictures"):
        wanted = {
            explainer: explained(explainer, network, others, their_classes)
            for explainer in explainers
        }
        settings = within(EPSILON, steps)
        changed = torch.cat(
            [
                forged(
                    network, images[some], classes[some],
                    {explainer: maps[some] for explainer, maps in wanted.items()}, settings,
                )
                for some in torch.arange(PAIRS).split(20)
            ]
        )  # fmt: skip
        noised = el.controls.same_spectrum(images, changed, [(SEED, pair.number) for pair in pairs])
        tables.extend(
            table_of(
                honest, scores(network, noised, classes), scores(network, changed, classes),
                model="crops_vgg", lie=attacker, photograph=photographs,
            )
        )  # fmt: skip
        maps = explained(GRADIENT, network, changed, classes)
        outcomes.append(
            {
                "model": "crops_vgg",
                "lie": attacker,
                "steps": steps,
                "before": el.metrics.pcc(original, wanted[GRADIENT]).median().item(),
                "after": el.metrics.pcc(maps, wanted[GRADIENT]).median().item(),
                "class_kept": share(predicted(network, changed) == classes),
            }
        )
    return tables, outcomes


def of_weights() -> Iterator[pd.DataFrame]:
    """Score honest and lying networks on the pictures of the audit."""
    images, labels = (held_out[:PAIRS] for held_out in el.load_crops("test"))
    for name in tqdm(VGGS, "weights"):
        honest, noised = VGGS[name](), lying(name, "random", "Gradient")
        classes = predicted(honest, images)
        beside = [scores(network, images, classes) for network in (honest, noised)]
        for lie in LIES:
            lied = scores(lying(name, lie, "Gradient"), images, classes)
            yield from table_of(*beside, lied, model=name, lie=lie, photograph=labels)


def main() -> None:
    tables, outcomes = of_pictures()
    save = partial(el.results.save_table, command=COMMAND, seed=SEED, pairs=PAIRS)
    save(RESULTS / "detectors-attacks.csv", pd.DataFrame(outcomes).round(4))
    save(RESULTS / "detectors.csv", pd.concat([*tables, *of_weights()]))


if __name__ == "__main__":
    main()
