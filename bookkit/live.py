"""The pictures and networks of the live attack, as scripts for a page.

The pictures come with the page; a network is loaded when the reader asks for it.
"""

import base64
import json
from typing import Any

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import explman_lite as el
from explman_lite.figures import MAP_COLOURS
from explman_lite.networks.zoo import card_of

CHANNELS = {"crops_vgg": 3, "digits_vgg": 1}
"""The networks that a reader can attack in a page, and the channels of their pictures."""

CROPS = {
    62: "astronaut: Eileen Collins",
    63: "chelsea: the eye of a cat",
    14: "china: the roof of a temple",
    56: "coffee: the rim of a cup",
    27: "flower: petals",
    35: "galaxies",
    36: "motorcycle: its wheel",
    28: "retina: blood vessels",
    66: "rocket: the tower beside it",
    42: "tissue: cells",
}
"""Which of the test crops come with the page, one of each class, and what they show."""


def packed(numbers: NDArray[Any]) -> str:
    """Write numbers, the lowest byte first, as letters."""
    return base64.b64encode(numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()).decode()


def plan(name: str) -> tuple[list[dict[str, Any]], list[Tensor]]:
    """Describe a network, layer by layer, as ``book/live/engine.js`` wants it; list its weights."""
    card = card_of(name)
    side, channels = card.size, CHANNELS[name]
    layers: list[dict[str, Any]] = []
    weights: list[Tensor] = []
    if card.mean is not None:
        layers.append({"kind": "normalise", "mean": card.mean, "std": card.std, "side": side})
    for layer in card.load().modules():
        match layer:
            case nn.Conv2d():
                inputs, channels = layer.in_channels, layer.out_channels
                layers.append({"kind": "conv", "inputs": inputs, "outputs": channels, "side": side})
            case nn.Linear():
                inputs, outputs = layer.in_features, layer.out_features
                layers.append({"kind": "dense", "inputs": inputs, "outputs": outputs})
            case nn.ReLU():
                layers.append({"kind": "activation"})
            case nn.MaxPool2d():
                layers.append({"kind": "pool", "channels": channels, "side": side})
                side //= 2
            case nn.Sequential() | nn.Flatten() | nn.Dropout():
                continue
            case _:
                raise TypeError(f"the live attack knows no layer like {layer}")
        weights += layer.parameters()
    return layers, weights


def script(name: str) -> str:
    """Write a network as a script that adds it to ``explmanNetworks``."""
    layers, weights = plan(name)
    numbers = np.concatenate([weight.detach().numpy().ravel() for weight in weights])
    network = {"plan": layers, "channels": CHANNELS[name], "weights": packed(numbers)}
    return f"(globalThis.explmanNetworks ??= {{}})[{json.dumps(name)}] = {json.dumps(network)};\n"


def blocks_of(digits: Tensor) -> Tensor:
    """Undo the enlarging of digits: (N, 1, 32, 32) to (N, 1, 8, 8), sixteenths."""
    enlarging = F.interpolate(torch.eye(8).unsqueeze(0), size=digits.shape[-1], mode="linear")[0]
    back: Tensor = torch.linalg.pinv(enlarging)
    blocks: Tensor = back.T @ digits @ back
    return blocks


def _kind(network: str, images: Tensor, names: list[str], scale: int) -> dict[str, Any]:
    """Describe pictures as whole numbers, of which ``scale`` are white."""
    return {
        "network": network,
        "classes": el.class_names(network),
        "side": card_of(network).size,
        "channels": images.shape[1],
        "names": names,
        "scale": scale,
        "pixels": packed((images * scale).round().numpy().astype("u1")),
    }


def pictures() -> str:
    """Write the pictures, and the colours of maps, as a script that sets ``explmanPictures``."""
    crops, _ = el.load_crops("test")
    digits, labels = el.load_digits("test")
    right = el.load_model("digits_vgg")(digits).argmax(dim=1) == labels
    first = [int(torch.nonzero(right & (labels == digit))[0]) for digit in range(10)]
    blocks, names = blocks_of(digits[first]), [f"a {digit}" for digit in range(10)]
    colours = matplotlib.colormaps[MAP_COLOURS](np.arange(256), bytes=True)[:, :3]
    found = {
        "crops": _kind("crops_vgg", crops[list(CROPS)], list(CROPS.values()), 255),
        "digits": _kind("digits_vgg", blocks, names, 16),
        "colours": packed(colours),
    }
    return f"globalThis.explmanPictures = {json.dumps(found)};\n"


def scripts() -> dict[str, str]:
    """List the generated scripts by their names."""
    return {"pictures.js": pictures()} | {f"{name}.js": script(name) for name in CHANNELS}
