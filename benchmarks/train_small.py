"""Train a small network and write its checkpoint into the package.

python benchmarks/train_small.py crops_vgg

Each takes one to four minutes on two cores, ``crops_vgg_robust`` ten. It prints the accuracy on the
held-out pictures and the sha256 of the checkpoint, which belongs on the network's card in
explman_lite/networks/zoo.py.
"""

import argparse
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import explman_lite as el
from explman_lite.networks import small
from explman_lite.networks.layers import Normalize
from explman_lite.networks.zoo import CARDS, CROPS_MEAN, CROPS_STD, card_of
from explman_lite.pictures.crops import draw_crops

TRAINED = Path(torch.hub.get_dir()) / "explman"
PER_PHOTOGRAPH = 500
SHIFT = 3

Labelled = tuple[Tensor, Tensor]


def varied(images: Tensor) -> Tensor:
    """Mirror half of the batches, and change the colours and the brightness of each image."""
    if torch.rand(()) < 0.5:
        images = images.flip(3)
    colours, brightness = torch.rand(len(images), 3, 1, 1), torch.rand(len(images), 1, 1, 1)
    return (images * (0.8 + 0.4 * colours) + 0.15 * (brightness - 0.5)).clamp(0, 1)


def shifted(images: Tensor) -> Tensor:
    """Move each image by up to SHIFT pixels: most of what a small data set lacks."""
    padded = F.pad(images, (SHIFT,) * 4)
    size = images.shape[-1]
    corners = torch.randint(0, 2 * SHIFT + 1, (len(images), 2)).tolist()
    return torch.stack(
        [one[:, y : y + size, x : x + size] for one, (y, x) in zip(padded, corners, strict=True)]
    )


def cropped(seed: int) -> Callable[[int], Labelled]:
    """Return what draws crops anew in every epoch."""
    return lambda epoch: draw_crops("train", PER_PHOTOGRAPH, seed=1000 * (seed + 1) + epoch)


def shuffled(seed: int) -> Callable[[int], Labelled]:
    """Return what gives the digits in another order in every epoch."""
    images, labels = el.load_digits("train")

    def draw(epoch: int) -> Labelled:
        order = torch.randperm(len(images))
        return images[order], labels[order]

    return draw


@dataclass(frozen=True)
class Data:
    """The pictures that a network learns, and how it learns them best if it is a plain one."""

    network: str
    """The package's plain network for them."""
    draw: Callable[[int], Callable[[int], Labelled]]
    held_out: Callable[[], Labelled]
    vary: Callable[[Tensor], Tensor]
    normalised: nn.Module
    plain: Mapping[str, Any]


CROPS = Data(
    "crops_vgg",
    cropped,
    partial(el.load_crops, "test"),
    varied,
    Normalize(list(CROPS_MEAN), list(CROPS_STD)),
    {"epochs": 10, "weight_decay": 1e-1},
)
"""Dropout and a decay that is felt; more epochs gain little."""

DIGITS = Data(
    "digits_vgg",
    shuffled,
    partial(el.load_digits, "test"),
    shifted,
    nn.Identity(),
    {"epochs": 30, "weight_decay": 1e-3},
)


@dataclass(frozen=True)
class Recipe:
    """How a network is built and trained."""

    build: Callable[[], nn.Module]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What `el.training.train` is told besides the plain recipe, or in its place."""
    data: Data = CROPS


ROBUST = {
    "epochs": 30,
    "weight_decay": 1e-2,
    "penalty": el.training.attribution_penalty,
    "penalty_weight": 0.6,
}
"""The penalty regularises; without a kink and with it, a network learns more slowly."""

RECIPES = {name: Recipe(build) for name, build in small.CROPS.items()} | {
    "crops_vgg_robust": Recipe(small.build_crops_vgg_robust, ROBUST),
    "digits_vgg": Recipe(small.build_digits_vgg, data=DIGITS),
}


def train(recipe: Recipe, seed: int) -> nn.Module:
    """Train a network as the recipe says."""
    torch.manual_seed(seed)
    model = recipe.build()
    el.training.train(
        nn.Sequential(recipe.data.normalised, model),
        recipe.data.draw(seed),
        vary=recipe.data.vary,
        **{**recipe.data.plain, **recipe.settings},
    )
    return model


def trained(name: str, recipe: Recipe, seed: int) -> nn.Module:
    """Train a network from a seed, once: it is kept where PyTorch keeps what it downloads.

    What comes with the package was trained from seed 0.
    """
    carried = name in RECIPES and seed == 0
    kept = small.CHECKPOINTS / f"{name}.pt" if carried else TRAINED / f"{name}-{seed}.pt"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        torch.save(train(recipe, seed).state_dict(), kept)
    model = recipe.build().eval()
    model.load_state_dict(torch.load(kept, weights_only=True))
    return model


def add_card(called: str, name: str, recipe: Recipe, seed: int) -> None:
    """Let a network that is trained from a seed be loaded as the package's own are."""
    card, load = card_of(recipe.data.network), partial(trained, name, recipe, seed)
    CARDS[called] = replace(card, name=called, load=load)


def accuracy(model: nn.Module, data: Data) -> float:
    images, labels = data.held_out()
    with torch.inference_mode():
        right = model(data.normalised(images)).argmax(dim=1) == labels
    return right.float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=RECIPES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=small.CHECKPOINTS, help="folder to write to")
    options = parser.parse_args()
    recipe = RECIPES[options.network]
    model = train(recipe, options.seed)
    checkpoint = options.out / f"{options.network}.pt"
    torch.save(model.state_dict(), checkpoint)
    print(f"accuracy on the held-out pictures: {accuracy(model, recipe.data):.2%}")
    print(f"sha256: {hashlib.sha256(checkpoint.read_bytes()).hexdigest()}")
