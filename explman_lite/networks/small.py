"""Small networks, trained by scripts in ``benchmarks/``; their weights are part of the package.

The networks for crops are of the families that Dombrowski et al. (2019) compare, made small enough
to train in minutes: input (N, 3, 64, 64), normalised, output logits (N, 10).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from explman_lite.networks.softplus import CentredSoftplus

CHECKPOINTS = Path(__file__).parents[1] / "data"

SOFTPLUS_BETA = 1.0
"""The sharpness that ``crops_vgg_softplus`` and ``crops_vgg_robust`` were trained with."""


def softplus() -> nn.Module:
    """Build the activation of those that are trained with softplus."""
    return CentredSoftplus(SOFTPLUS_BETA)


def build_digits_vgg(
    activation: Callable[[], nn.Module] = nn.ReLU,
    pooling: Callable[[int], nn.Module] = nn.MaxPool2d,
) -> nn.Sequential:
    """Build the untrained ``digits_vgg``: three pairs of convolutions and two dense layers.

    Input (N, 1, 32, 32) in [0, 1], output logits (N, 10).
    """
    return nn.Sequential(
        *_pairs_of_convolutions(1, activation, pooling),
        nn.Flatten(), nn.Linear(64 * 4 * 4, 64), activation(), nn.Linear(64, 10),
    )  # fmt: skip


def build_crops_vgg(
    activation: Callable[[], nn.Module] = nn.ReLU,
    pooling: Callable[[int], nn.Module] = nn.MaxPool2d,
    dropout: float = 0.5,
) -> nn.Sequential:
    """Build the untrained ``crops_vgg``: as ``digits_vgg``, with dropout while it is trained."""
    model = nn.Sequential(
        *_pairs_of_convolutions(3, activation, pooling),
        nn.Flatten(), nn.Linear(64 * 8 * 8, 64), activation(), nn.Dropout(dropout),
        nn.Linear(64, 10),
    )  # fmt: skip
    return _initialised(model)


def build_crops_vgg_softplus() -> nn.Sequential:
    """Build ``crops_vgg`` with centred softplus in place of ReLU, to be trained with it."""
    return build_crops_vgg(softplus)


def build_crops_vgg_robust() -> nn.Sequential:
    """Build ``crops_vgg`` without a kink: centred softplus, means for maxima, and no dropout.

    It is to be trained with a penalty on the turning of its gradient, which regularises enough.
    """
    return build_crops_vgg(softplus, nn.AvgPool2d, dropout=0.0)


def build_crops_alexnet() -> nn.Sequential:
    """Build the untrained ``crops_alexnet``: wide windows, overlapping pools, dense layers."""
    model = nn.Sequential(
        nn.Conv2d(3, 24, 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(24, 48, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(48, 64, 3, padding=1), nn.ReLU(),
        nn.Conv2d(64, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(48 * 3 * 3, 64), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(64, 10),
    )  # fmt: skip
    return _initialised(model)


def build_crops_resnet() -> nn.Sequential:
    """Build the untrained ``crops_resnet``: six residual blocks, with batch norm."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        _Residual(16, 16), _Residual(16, 16),
        _Residual(16, 32, stride=2), _Residual(32, 32),
        _Residual(32, 64, stride=2), _Residual(64, 64),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def build_crops_densenet() -> nn.Sequential:
    """Build the untrained ``crops_densenet``: three dense blocks with batch norm."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False)]
    channels, growth = 16, 8
    for block in range(3):
        for _ in range(4):
            layers.append(_Dense(channels, growth))
            channels += growth
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        if block < 2:
            layers += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


class _Residual(nn.Module):
    """Two convolutions, added to what went in."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.first_norm, self.relu = nn.BatchNorm2d(width), nn.ReLU()
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm, self.last_relu = nn.BatchNorm2d(width), nn.ReLU()
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.relu(self.first_norm(self.first(inputs)))
        added: Tensor = self.last_relu(
            self.second_norm(self.second(hidden)) + self.shortcut(inputs)
        )
        return added


class _Dense(nn.Module):
    """A few channels more, beside all that went in."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth), nn.ReLU(),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([inputs, self.layers(inputs)], dim=1)


def _pairs_of_convolutions(
    channels: int, activation: Callable[[], nn.Module], pooling: Callable[[int], nn.Module]
) -> list[nn.Module]:
    """Return three pairs of convolutions, each pair twice as wide as the last and pooled."""
    layers: list[nn.Module] = []
    for width in (16, 32, 64):
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1), activation()]
            channels = width
        layers.append(pooling(2))
    return layers


def _initialised(model: nn.Sequential) -> nn.Sequential:
    """Draw the weights of convolutions for ReLU, where no batch norm sets their scale."""
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return model


CROPS: dict[str, Callable[[], nn.Module]] = {
    "crops_vgg": build_crops_vgg,
    "crops_vgg_softplus": build_crops_vgg_softplus,
    "crops_vgg_robust": build_crops_vgg_robust,
    "crops_alexnet": build_crops_alexnet,
    "crops_resnet": build_crops_resnet,
    "crops_densenet": build_crops_densenet,
}
"""What builds each network for crops, by its name."""
