"""One layer at a time, in all the ways in which it is called."""

import torch
import torch.nn.functional as F
from spelling_table import (
    mean_parts,
    mean_twin,
    net,
    plain,
    sequence,
    spell,
    vgg_parts,
)
from torch import nn


def vgg(rectify=F.relu, pool=None, flatten=None, mix=None):
    """Return the forward pass of the small VGG with other calls in some places."""
    pool = pool or (lambda x: F.max_pool2d(x, 2))
    flatten = flatten or (lambda x: x.flatten(1))
    mix = mix or (lambda x: x)

    def compute(self, x):
        x = pool(mix(rectify(mix(self.first(x)))))
        x = pool(rectify(self.second(x)))
        return self.dense(flatten(x))

    return compute


def statement(change):
    """Return what changes a tensor and hands on the tensor, not what the call returned."""

    def changed(x):
        change(x)
        return x

    return changed


def through_alias(x):
    alias = x
    alias.relu_()
    return x


def through_view(x):
    x.view(x.shape[0], -1).relu_()
    return x


def through_detached(x):
    x.detach().relu_()
    return x


def by_channels(x):
    for part in x.chunk(2, dim=1):
        part.relu_()
    return x


RECTIFIERS = {
    "F.relu": F.relu,
    "F.relu keyword": lambda x: F.relu(input=x),
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu True": lambda x: F.relu(x, True),
    "F.relu statement": statement(lambda x: F.relu(x, inplace=True)),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "F.relu_": F.relu_,
    "method": lambda x: x.relu(),
    "in-place method": lambda x: x.relu_(),
    "in-place statement": statement(lambda x: x.relu_()),
    "torch.relu_ statement": statement(torch.relu_),
    "of an alias": through_alias,
}
for name, rectify in RECTIFIERS.items():
    spell("relu", name, net(vgg(rectify), vgg_parts), plain)


def assigned(x):
    x[x < 0] = 0
    return x


# A ReLU in disguise: a rule for ReLU holds for it as well, or it is named.
DISGUISES = {
    "clamp": (lambda x: x.clamp(min=0), "clamp"),
    "clamp_": (lambda x: x.clamp_(0), "clamp"),
    "clamp_min": (lambda x: torch.clamp_min(x, 0), "clamp"),
    "clip": (lambda x: x.clip(0), "clip"),
    "maximum": (lambda x: torch.maximum(x, torch.zeros_like(x)), "maximum"),
    "max": (lambda x: torch.max(x, x.new_zeros(())), "max"),
    "where": (lambda x: torch.where(x > 0, x, torch.zeros_like(x)), "where|gt"),
    "mask": (lambda x: x * (x > 0), "mul|gt"),
    "masked_fill": (lambda x: x.masked_fill(x < 0, 0), "masked_fill|lt"),
    "masked_fill_": (lambda x: x.masked_fill_(x < 0, 0), "masked_fill|lt"),
    "assigned": (assigned, "setitem|lt|item assignment"),
    "threshold": (lambda x: F.threshold(x, 0, 0), "threshold"),
    "hardtanh": (lambda x: F.hardtanh(x, 0, 1e9), "hardtanh"),
    "leaky": (lambda x: F.leaky_relu(x, 0), "leaky_relu"),
    "absolute": (lambda x: (x + x.abs()) / 2, "abs|truediv"),
    "of a view": (through_view, "view|relu"),
    "of a detached alias": (through_detached, "detach"),
    "by channels": (by_channels, "chunk|relu|getitem|iterat"),
}
for name, (rectify, culprit) in DISGUISES.items():
    spell(
        "disguised relu", name, net(vgg(rectify), vgg_parts), plain, refusal=culprit, no_rule="ReLU"
    )

for name, layer, culprit in (
    ("Threshold", lambda: nn.Threshold(0, 0), "Threshold|rectify"),
    ("Hardtanh", lambda: nn.Hardtanh(0, 1e9), "Hardtanh|rectify"),
    ("LeakyReLU", lambda: nn.LeakyReLU(0.0), "LeakyReLU|rectify"),
    ("PReLU", lambda: nn.PReLU(init=0.0), "PReLU|rectify"),
):
    spell(
        "disguised relu",
        name,
        net(lambda self, x: vgg(self.rectify)(self, x), vgg_parts, rectify=layer),
        plain,
        refusal=culprit,
        no_rule="ReLU",
    )


def unpacked(x):
    n, c, h, w = x.shape
    return x.view(n, c * h * w)


FLATTENINGS = {
    "torch.flatten": lambda x: torch.flatten(x, 1),
    "torch.flatten keyword": lambda x: torch.flatten(input=x, start_dim=1),
    "flatten": lambda x: x.flatten(1),
    "flatten keyword": lambda x: x.flatten(start_dim=1),
    "flatten -3": lambda x: x.flatten(-3, -1),
    "twice": lambda x: x.flatten(2).flatten(1),
    "view": lambda x: x.view(x.shape[0], -1),
    "view size()": lambda x: x.view(x.size()[0], -1),
    "view size(0)": lambda x: x.view(x.size(0), 24),
    "view -1": lambda x: x.view(-1, 24),
    "view tuple": lambda x: x.view((-1, 24)),
    "view unpacked": unpacked,
    "reshape": lambda x: x.reshape(x.shape[0], -1),
    "torch.reshape": lambda x: torch.reshape(x, (x.shape[0], -1)),
    "torch.reshape keyword": lambda x: torch.reshape(input=x, shape=(-1, 24)),
}
for name, flatten in FLATTENINGS.items():
    spell("flatten", name, net(vgg(flatten=flatten), vgg_parts), plain)


# The first layer is dense: the z-box rule of LRP has to see that only pixels come in.
def dense_parts():
    return {"first": nn.Linear(192, 16), "second": nn.Linear(16, 5)}


def dense_twin(net):
    return sequence(nn.Flatten(), net.first, nn.ReLU(), net.second)


for name, flatten in {
    "view": lambda x: x.view(x.size(0), -1),
    "torch.flatten": lambda x: torch.flatten(x, 1),
    "reshape": lambda x: x.reshape(-1, 192),
    "torch.reshape": lambda x: torch.reshape(x, (-1, 192)),
}.items():
    spell(
        "flattened pixels",
        name,
        net(lambda self, x, f=flatten: self.second(F.relu(self.first(f(x)))), dense_parts),
        dense_twin,
    )

for name, flatten, culprit in (
    ("unsqueezed", lambda x: x.unsqueeze(1).flatten(1), "unsqueeze"),
    ("len", lambda x: x.view(len(x), -1), "len"),
    ("unpacked shape", lambda x: x.view(next(iter(x.shape)), -1), "iter|shape"),
    ("permuted and back", lambda x: x.permute(1, 2, 3, 0).reshape(24, -1).t(), "permute|t\\b"),
):
    spell("flatten", name, net(vgg(flatten=flatten), vgg_parts), plain, refusal=culprit)


POOLS = {
    "F": lambda x: F.max_pool2d(x, 2),
    "keyword": lambda x: F.max_pool2d(input=x, kernel_size=2, stride=2),
    "tuple": lambda x: F.max_pool2d(x, (2, 2), (2, 2), (0, 0)),
}
for name, pool in POOLS.items():
    spell("max pool", name, net(vgg(pool=pool), vgg_parts), plain)
for name, pool, culprit in (
    ("torch", lambda x: torch.max_pool2d(x, 2), "max_pool2d"),
    ("with indices", lambda x: F.max_pool2d(x, 2, return_indices=True)[0], "pool|getitem"),
    ("module at call", lambda x: nn.MaxPool2d(2)(x), "MaxPool2d|submodule"),
    ("adaptive", lambda x: F.adaptive_max_pool2d(x, x.shape[-1] // 2), "adaptive"),
    ("amax", lambda x: x.unflatten(-1, (-1, 2)).amax(-1).unflatten(-2, (-1, 2)).amax(-2), "amax|u"),
):
    spell("max pool", name, net(vgg(pool=pool), vgg_parts), plain, refusal=culprit)


def late(self, x):
    x = F.relu(F.max_pool2d(self.first(x), 2))
    return self.dense(F.relu(F.max_pool2d(self.second(x), 2)).flatten(1))


spell("max pool", "before ReLU", net(late, vgg_parts), plain)


# The mean over all places, which is global average pooling.
MEANS = {
    "mean": lambda x: x.mean((2, 3)),
    "mean list": lambda x: x.mean([-2, -1]),
    "mean keyword": lambda x: x.mean(dim=(2, 3)),
    "torch.mean": lambda x: torch.mean(x, dim=(2, 3)),
    "torch.mean axis": lambda x: torch.mean(input=x, axis=(2, 3)),
    "twice": lambda x: x.mean(-1).mean(-1),
    "mean of rows": lambda x: x.flatten(2).mean(2),
    "kept": lambda x: x.mean((2, 3), keepdim=True).flatten(1),
    "squeeze": lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1),
    "torch.squeeze": lambda x: torch.squeeze(torch.squeeze(F.adaptive_avg_pool2d(x, 1), 3), 2),
    "squeeze both": lambda x: F.adaptive_avg_pool2d(x, (1, 1)).squeeze((2, 3)),
    "avg_pool": lambda x: F.avg_pool2d(x, 8).flatten(1),
    "avg_pool keyword": lambda x: F.avg_pool2d(input=x, kernel_size=(8, 8)).flatten(1),
}
for name, mean in MEANS.items():
    spell(
        "mean",
        name,
        net(lambda self, x, m=mean: self.dense(m(F.relu(self.first(x)))), mean_parts),
        mean_twin,
    )
for name, mean, culprit in (
    ("indexed", lambda x: F.adaptive_avg_pool2d(x, output_size=1)[:, :, 0, 0], "getitem"),
    ("avg_pool of a size", lambda x: F.avg_pool2d(x, x.shape[2:]).flatten(1), "avg_pool2d"),
    ("sum", lambda x: x.sum((2, 3)) / 64, "sum|truediv"),
    ("einsum", lambda x: torch.einsum("nchw->nc", x) / 64, "einsum|truediv"),
    ("unsqueezed", lambda x: x.mean((2, 3)).unsqueeze(0).squeeze(0), "squeeze"),
    ("adaptive 1d", lambda x: F.adaptive_avg_pool1d(x.flatten(2), 1).flatten(1), "adaptive"),
    ("interpolated", lambda x: F.interpolate(x, size=1, mode="area").flatten(1), "interpolate"),
):
    spell(
        "mean",
        name,
        net(lambda self, x, m=mean: self.dense(m(F.relu(self.first(x)))), mean_parts),
        mean_twin,
        refusal=culprit,
    )
