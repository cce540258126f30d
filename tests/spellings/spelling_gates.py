"""Products and shifts: gates, gains, and the normalisation of pixels."""

import operator

import torch
import torch.nn.functional as F
from spelling_table import (
    Net,
    net,
    ready,
    scaled,
    sequence,
    spell,
    untold,
)
from torch import nn


# Gates: squeeze and excitation, in which the signal takes all the relevance.
class Gated(nn.Module):
    """The plainest gate."""

    def __init__(self, first, squeeze, excite, dense):
        super().__init__()
        self.first, self.relu, self.pool = first, nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.squeeze, self.sigmoid, self.inner = squeeze, nn.Sigmoid(), nn.ReLU()
        self.excite, self.flatten, self.dense = excite, nn.Flatten(), dense

    def forward(self, images):
        x = self.relu(self.first(images))
        gate = self.sigmoid(self.excite(self.inner(self.squeeze(self.pool(x)))))
        return self.dense(self.flatten(x * gate))


def gate_parts():
    return {
        "first": nn.Conv2d(3, 4, 3, padding=1),
        "squeeze": nn.Conv2d(4, 2, 1),
        "excite": nn.Conv2d(2, 4, 1),
        "dense": nn.Linear(256, 5),
    }


def gated(gate_with, squash=torch.sigmoid):
    def compute(self, x):
        x = F.relu(self.first(x))
        gate = squash(self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.dense(gate_with(x, gate).flatten(1))

    return compute


def multiply_statement(x, gate):
    x.mul_(gate)
    return x


def multiply_operator(x, gate):
    x *= gate
    return x


GATES = {
    "x * gate": lambda x, g: x * g,
    "gate * x": lambda x, g: g * x,
    "torch.mul": torch.mul,
    "mul": lambda x, g: x.mul(g),
    "mul keyword": lambda x, g: torch.mul(input=g, other=x),
    "expanded": lambda x, g: x * g.expand_as(x),
}
for name, gate_with in GATES.items():
    spell(
        "gate",
        name,
        net(gated(gate_with), gate_parts),
        lambda net: Gated(net.first, net.squeeze, net.excite, net.dense),
    )
for name, gate_with, squash, culprit in (
    ("mul_ statement", multiply_statement, torch.sigmoid, "mul"),
    ("*=", multiply_operator, torch.sigmoid, "mul"),
    ("method", operator.mul, lambda g: g.sigmoid(), "sigmoid|mul"),
    ("F.sigmoid", operator.mul, lambda g: F.sigmoid(g), "sigmoid|mul"),
    ("in place", operator.mul, lambda g: g.sigmoid_(), "sigmoid|mul"),
    ("multiply", torch.multiply, torch.sigmoid, "multiply"),
    ("by its inverse", lambda x, g: x / (1 / g), torch.sigmoid, "div"),
    ("softmax of two", operator.mul, lambda g: F.softmax(torch.stack([g, 0 * g]), 0)[0], "mul|s"),
):
    spell(
        "gate",
        name,
        net(gated(gate_with, squash), gate_parts),
        lambda net: Gated(net.first, net.squeeze, net.excite, net.dense),
        refusal=culprit,
    )


# Scalars and parameters that scale or shift a whole layer.
def scalar_parts():
    return {
        "first": nn.Conv2d(3, 4, 3, padding=1),
        "dense": nn.Linear(256, 5),
        "gain": nn.Parameter(torch.rand(4, 1, 1) + 0.5),
        "shift": nn.Parameter(torch.rand(4, 1, 1) - 0.5),
    }


def scalar_twin(net):
    if "gain" in net.uses:
        with torch.no_grad():
            net.first.weight.mul_(net.gain[..., None])
            net.first.bias.mul_(net.gain.flatten())
    if "shift" in net.uses:
        with torch.no_grad():
            net.first.bias.add_(net.shift.flatten())
    return sequence(scaled(net.first, net.factor), nn.ReLU(), nn.Flatten(), net.dense)


for name, change, uses, factor, culprit in (
    ("doubled", lambda net, x: x * 2, "", 2, "mul"),
    ("doubled from the left", lambda net, x: 2 * x, "", 2, "mul"),
    ("halved", lambda net, x: x / 2, "", 0.5, "div"),
    ("true_divide", lambda net, x: torch.true_divide(x, 2), "", 0.5, "div"),
    ("mul_", lambda net, x: x.mul_(2), "", 2, "mul"),
    ("negated", lambda net, x: -x, "", -1, "neg"),
    ("torch.neg", lambda net, x: torch.neg(x), "", -1, "neg"),
    ("gain", lambda net, x: x * net.gain, "gain", 1, "mul"),
    ("gain from the left", lambda net, x: torch.mul(net.gain, x), "gain", 1, "mul"),
    ("shift", lambda net, x: x + net.shift, "shift", 1, "add"),
    ("shift in place", lambda net, x: x.add_(net.shift), "shift", 1, "add"),
    ("gain and shift", lambda net, x: net.gain * x + net.shift, "gain shift", 1, "mul|add"),
    ("addcmul", lambda net, x: torch.addcmul(net.shift, x, net.gain), "gain shift", 1, "addcmul"),
):
    spell(
        "scale",
        name,
        net(
            lambda self, x, c=change: self.dense(F.relu(c(self, self.first(x))).flatten(1)),
            scalar_parts,
            factor=lambda f=factor: f,
            uses=lambda u=uses: u,
        ),
        scalar_twin,
        refusal=culprit,
        skips=untold(factor, 2 if "gain" in uses else 1),
    )


# What happens to the pixels first: normalisation, in place and not.
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]


class Constants(Net):
    """A network with the numbers of its normalisation as buffers."""

    def __init__(self, compute, **parts):
        super().__init__(compute, **parts)
        self.register_buffer("mean", torch.tensor(MEAN, dtype=torch.float64).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD, dtype=torch.float64).view(3, 1, 1))


def normalised_twin(net):
    from explman_lite.networks.layers import Normalize

    first = Normalize(MEAN, STD)
    first.mean = torch.tensor(MEAN, dtype=torch.float64).view(1, 3, 1, 1)
    first.std = torch.tensor(STD, dtype=torch.float64).view(1, 3, 1, 1)
    return sequence(first, net.first, nn.ReLU(), nn.Flatten(), net.dense)


def per_channel(self, x):
    return torch.cat([(x[:, c : c + 1] - MEAN[c]) / STD[c] for c in range(3)], 1)


def as_inception(self, x):
    channels = [torch.unsqueeze(x[:, c], 1) * (1 / STD[c]) - MEAN[c] / STD[c] for c in range(3)]
    return torch.cat(channels, 1)


def normalised_statement(self, x):
    x.sub_(self.mean).div_(self.std)
    return x


def normalised_alias(self, x):
    y = x.view_as(x)
    y -= self.mean
    y /= self.std
    return x


def normalised_written(self, x):
    for c in range(3):
        x[:, c] = (x[:, c] - MEAN[c]) / STD[c]
    return x


for name, normalise, culprit in (
    ("buffers", lambda self, x: (x - self.mean) / self.std, "sub|div"),
    ("torch", lambda self, x: torch.div(torch.sub(x, self.mean), self.std), "sub|div"),
    (
        "constants",
        lambda self, x: (x - torch.tensor(MEAN, dtype=self.std.dtype).view(3, 1, 1)) / self.std,
        "sub|div|tensor",
    ),
    ("per channel", per_channel, "getitem|sub|div"),
    ("as inception", as_inception, "getitem|mul|sub|unsqueeze"),
    ("in place", normalised_statement, "sub|div|images|in.place"),
    (
        "operators in place",
        lambda self, x: normalised_alias(self, x),
        "sub|div|images|in.place|view",
    ),
    ("written", normalised_written, "setitem|getitem|images|item assignment"),
    ("of a copy", lambda self, x: x.clone().sub_(self.mean).div_(self.std), "sub|div|clone"),
):

    def make(normalise=normalise):
        torch.manual_seed(1)
        parts = {"first": nn.Conv2d(3, 4, 3, padding=1), "dense": nn.Linear(256, 5)}
        return ready(
            Constants(
                lambda self, x: self.dense(F.relu(self.first(normalise(self, x))).flatten(1)),
                **parts,
            )
        )

    spell("normalisation", name, make, normalised_twin, refusal=culprit)
