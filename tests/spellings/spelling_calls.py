"""One layer at a time, in all the ways in which it is called."""

import torch
import torch.nn.functional as F
from spelling_table import (
    Net,
    mean_parts,
    mean_twin,
    net,
    norm_parts,
    plain,
    ready,
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
    ("unpacked shape", lambda x: x.view(list(x.shape)[0], -1), "iter|shape|list"),
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


# What changes nothing: the map must not change either, or the call is named.
IDENTITIES = {
    "clone": (lambda x: x.clone(), None),
    "contiguous": (lambda x: x.contiguous(), None),
    "double": (lambda x: x.double(), "double"),
    "to": (lambda x: x.to(torch.float64), "to\\b"),
    "type_as": (lambda x: x.type_as(x), "type_as"),
    "slice": (lambda x: x[:], "getitem"),
    "permuted": (lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), None),
    "torch.permute": (lambda x: torch.permute(torch.permute(x, (1, 0, 2, 3)), (1, 0, 2, 3)), None),
    "transposed": (lambda x: x.transpose(1, 2).transpose(1, 2), None),
    "chunk": (lambda x: torch.cat(x.chunk(2, dim=1), 1), "chunk|cat"),
    "split": (lambda x: torch.cat(torch.split(x, 2, 1), dim=1), "split|cat"),
    "split unpacked": (lambda x: torch.cat([x[:, :1], x[:, 1:]], 1), "getitem|cat"),
    "concatenated": (lambda x: torch.concat(tensors=(x[:, :1], x[:, 1:]), dim=1), "getitem|concat"),
    "stacked": (lambda x: torch.stack(x.unbind(1), 1), "unbind|stack"),
    "stacked slices": (lambda x: torch.stack([x[:, c] for c in range(4)], 1), "getitem|stack"),
    "list of channels": (lambda x: x[:, [0, 1, 2, 3]], "getitem"),
    "narrow": (lambda x: torch.cat([x.narrow(1, 0, 2), x.narrow(1, 2, 2)], 1), "narrow"),
    "rolled": (lambda x: x.roll(1, 1).roll(-1, 1), "roll"),
    "flipped": (lambda x: x.flip(3).flip(3), "flip"),
    "shuffled": (lambda x: F.pixel_shuffle(F.pixel_unshuffle(x, 2), 2), "pixel"),
    "padded": (lambda x: F.pad(x, (1, 1, 1, 1))[:, :, 1:-1, 1:-1], "pad|getitem"),
    "interpolated": (lambda x: F.interpolate(x, scale_factor=1), "interpolate"),
    "times 1": (lambda x: x * 1, "mul"),
    "by 1": (lambda x: x / 1.0, "div"),
    "plus 0": (lambda x: x + 0, "add"),
    "minus 0": (lambda x: x - 0, "sub"),
    "negated twice": (lambda x: -(-x), "neg"),
    "power": (lambda x: x**1, "pow"),
    "expanded": (lambda x: x.expand_as(x), "expand"),
    "dropout": (lambda x: F.dropout(x, 0.5, False), None),
    "dropout keyword": (lambda x: F.dropout(input=x, training=False), None),
    "dropout2d": (lambda x: F.dropout2d(x, training=False), "dropout"),
    "alpha_dropout": (lambda x: F.alpha_dropout(x, training=False), "dropout"),
}
for name, (mix, culprit) in IDENTITIES.items():
    spell("identity", name, net(vgg(mix=mix), vgg_parts), plain, refusal=culprit)

LAYERS = {
    "Identity": nn.Identity,
    "Dropout": nn.Dropout,
    "Dropout2d": nn.Dropout2d,
    "Dropout in place": lambda: nn.Dropout(inplace=True),
    "AlphaDropout": nn.AlphaDropout,
    "Dropout3d": nn.Dropout3d,
    "empty Sequential": nn.Sequential,
}
for name, layer in LAYERS.items():
    spell(
        "identity",
        name,
        net(lambda self, x: vgg(mix=self.mix)(self, x), vgg_parts, mix=layer),
        plain,
        refusal="Dropout|mix" if name in {"AlphaDropout", "Dropout3d"} else None,
    )


# Whole layers, called with weights that lie elsewhere.
def with_functions(self, x):
    first, second, dense = self.first, self.second, self.dense
    x = F.max_pool2d(F.relu(F.conv2d(x, first.weight, first.bias, padding=1)), 2)
    x = F.max_pool2d(
        F.relu(F.conv2d(input=x, weight=second.weight, bias=second.bias, padding=1)), 2
    )
    return F.linear(x.flatten(1), dense.weight, dense.bias)


def with_dense(compute):
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2).flatten(1)
        return compute(x, self.dense.weight, self.dense.bias)

    return forward


for name, compute, culprit in (
    ("F.conv2d", with_functions, "conv2d|linear"),
    ("F.linear", with_dense(F.linear), None),
    ("F.linear keyword", with_dense(lambda x, w, b: F.linear(x, weight=w, bias=b)), None),
    ("matmul", with_dense(lambda x, w, b: x @ w.T + b), "matmul"),
    ("torch.matmul", with_dense(lambda x, w, b: torch.matmul(x, w.t()) + b), "matmul"),
    ("addmm", with_dense(lambda x, w, b: torch.addmm(b, x, w.t())), "addmm"),
    ("einsum", with_dense(lambda x, w, b: torch.einsum("ni,ki->nk", x, w) + b), "einsum"),
):
    spell("weights", name, net(compute, vgg_parts), plain, refusal=culprit)


def by_keyword(self, x):
    x = F.max_pool2d(F.relu(self.first(input=x)), 2)
    return self.dense(input=torch.flatten(F.max_pool2d(F.relu(self.second(input=x)), 2), 1))


spell("weights", "modules by keyword", net(by_keyword, vgg_parts), plain)


def functional_norm(training):
    def forward(self, x):
        norm = self.norm
        x = F.batch_norm(
            self.first(x),
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            training=training,
            eps=norm.eps,
        )
        x = F.max_pool2d(F.relu(x), 2)
        return self.dense(F.max_pool2d(F.relu(self.second(x)), 2).flatten(1))

    return forward


spell("norm", "F.batch_norm", net(functional_norm(False), norm_parts), plain)
spell(
    "norm",
    "F.batch_norm in training",
    net(functional_norm(True), norm_parts),
    None,
    refusal="batch_norm|norm",
    stateful=True,
)
spell("norm", "module", lambda: ready(plain(net(vgg(), norm_parts)())), lambda net: net)


# Layers whose names say something else.
AWKWARD = (
    "global",
    "class_",
    "flatten",
    "view",
    "reshape",
    "add",
    "relu",
    "cat",
    "mean",
    "getattr",
)
for name in AWKWARD:

    def make(name=name):
        built = net(vgg(), vgg_parts)()
        return Net(
            lambda self, x, name=name: vgg()(_Renamed(self, name), x),
            **{name: built.first, "second": built.second, "dense": built.dense},
        ).eval()

    spell(
        "named",
        name,
        make,
        lambda net, name=name: sequence(
            getattr(net, name), *list(plain(_Renamed(net, name)).children())[1:]
        ),
    )


class _Renamed:
    def __init__(self, net, name):
        self.first, self.second, self.dense = getattr(net, name), net.second, net.dense
