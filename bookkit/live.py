"""The networks of the live attack, as scripts that a page loads when the reader asks for them."""

import base64
import json
from typing import Any

import numpy as np
from torch import Tensor, nn

from explman_lite.networks.zoo import card_of

CHANNELS = {"crops_vgg": 3, "digits_vgg": 1}
"""The networks that a reader can attack in a page, and the channels of their pictures."""


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
    packed = base64.b64encode(numbers.astype("<f4").tobytes()).decode()
    network = {"plan": layers, "channels": CHANNELS[name], "weights": packed}
    return f"(globalThis.explmanNetworks ??= {{}})[{json.dumps(name)}] = {json.dumps(network)};\n"
