"""Small networks, trained by scripts in ``benchmarks/``; their weights are part of the package."""

from __future__ import annotations

from pathlib import Path

from torch import nn

CHECKPOINTS = Path(__file__).parents[1] / "data"


def build_digits_vgg() -> nn.Sequential:
    """Build the untrained ``digits_vgg``: three pairs of convolutions and two dense layers.

    Input (N, 1, 32, 32) in [0, 1], output logits (N, 10).
    """
    layers: list[nn.Module] = []
    channels = 1
    for width in (16, 32, 64):
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10)
    )
