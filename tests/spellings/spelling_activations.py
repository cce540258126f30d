"""Activations, resizing and pooling, as functions and as modules."""

import torch
import torch.nn.functional as F
from spelling_layers import behind
from spelling_table import ANY_RELU, mean_parts, mean_twin, net, plain, sequence, spell, vgg_parts
from torch import nn


# Other activations: with a module as the plainest form.
def activated_twin(activation):
    def twin(net):
        layers = list(plain(net).children())
        layers[1] = activation()
        return sequence(*layers)

    return twin


ACTIVATIONS = (
    ("leaky_relu", lambda x: F.leaky_relu(x, 0.1), lambda: nn.LeakyReLU(0.1), None),
    ("leaky_relu_", lambda x: F.leaky_relu_(x, 0.1), lambda: nn.LeakyReLU(0.1), "leaky"),
    ("elu", F.elu, nn.ELU, "elu"),
    ("gelu", F.gelu, nn.GELU, "gelu"),
    ("silu", F.silu, nn.SiLU, "silu"),
    ("silu written", lambda x: x * torch.sigmoid(x), nn.SiLU, "mul|sigmoid"),
    ("silu in place", lambda x: x.mul_(x.sigmoid()), nn.SiLU, "mul|sigmoid"),
    ("tanh", torch.tanh, nn.Tanh, "tanh"),
    ("tanh_", lambda x: x.tanh_(), nn.Tanh, "tanh"),
    ("sigmoid", torch.sigmoid, nn.Sigmoid, "sigmoid"),
    ("softplus", F.softplus, nn.Softplus, "softplus"),
    ("hardswish", F.hardswish, nn.Hardswish, "hardswish"),
    ("selu", torch.selu, nn.SELU, "selu"),
    ("mish", F.mish, nn.Mish, "mish"),
    ("rrelu", F.rrelu, nn.RReLU, "rrelu"),
    ("relu6", F.relu6, nn.ReLU6, None),
    ("relu6 keyword", lambda x: F.relu6(input=x, inplace=True), nn.ReLU6, None),
    ("relu6 clamp", lambda x: x.clamp(0, 6), nn.ReLU6, "clamp"),
    ("relu6 hardtanh", lambda x: F.hardtanh(x, 0, 6), nn.ReLU6, "hardtanh"),
)
for name, activate, module, culprit in ACTIVATIONS:

    def compute(self, x, activate=activate):
        x = F.max_pool2d(activate(self.first(x)), 2)
        return self.dense(F.max_pool2d(F.relu(self.second(x)), 2).flatten(1))

    spell("activation", name, net(compute, vgg_parts), activated_twin(module), refusal=culprit)

for name, layer in (
    ("no ReLU, module", nn.SiLU),
    ("no activation", nn.Identity),
):
    spell(
        "activation",
        name,
        net(
            lambda self, x: self.dense(self.act(self.first(x)).flatten(1)),
            lambda a=layer: {"act": a(), **behind(nn.Conv2d(3, 4, 3, padding=1))},
        ),
        lambda net: sequence(net.first, net.act, nn.Flatten(), net.dense),
        no_rule=ANY_RELU + "|act|silu",
    )


# Larger and smaller pictures between layers.
def global_mean(self, x):
    return self.dense(F.adaptive_avg_pool2d(x, 1).flatten(1))


def resized(resize):
    return lambda self, x: global_mean(self, F.relu(self.first(resize(self, x))))


def resized_twin(layer):
    return lambda net: sequence(layer, *mean_twin(net).children())


HALF = nn.Upsample(scale_factor=0.5)
UP, BILINEAR = nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear")
for name, resize, layer in (
    ("factor", lambda x: F.interpolate(x, scale_factor=2), UP),
    ("size", lambda x: F.interpolate(x, size=(16, 16)), UP),
    ("computed size", lambda x: F.interpolate(x, size=(x.shape[2] * 2, x.shape[3] * 2)), UP),
    ("bilinear", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), BILINEAR),
    ("module", None, UP),
):
    spell(
        "interpolation",
        name,
        net(
            resized(lambda self, x, f=resize: self.up(x) if f is None else f(x)),
            mean_parts,
            up=lambda: nn.Upsample(size=16),
        ),
        resized_twin(layer),
    )
for name, resize, layer, culprit in (
    ("upsample", lambda x: F.upsample(x, scale_factor=2), UP, "upsample|interpolate"),
    ("repeated", lambda x: x.repeat_interleave(2, 2).repeat_interleave(2, 3), UP, "repeat"),
    ("every other", lambda x: x[:, :, ::2, ::2], HALF, "getitem"),
    ("strided pool", lambda x: F.max_pool2d(x, 1, stride=2), nn.MaxPool2d(1, 2), "max_pool"),
    ("nearest", lambda x: F.interpolate(x, size=4), HALF, "interpolate"),
):
    spell(
        "interpolation",
        name,
        net(resized(lambda self, x, f=resize: f(x)), mean_parts),
        resized_twin(layer),
        refusal=culprit,
    )


# Pooling with all its options.
for name, function, module in (
    (
        "max, ceil",
        lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
    ),
    ("max, dilated", lambda x: F.max_pool2d(x, 2, 1, dilation=2), nn.MaxPool2d(2, 1, dilation=2)),
    ("max, padded", lambda x: F.max_pool2d(x, 3, 2, 1), nn.MaxPool2d(3, 2, 1)),
    (
        "average, padded",
        lambda x: F.avg_pool2d(x, 3, 2, 1, False, False),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    ),
    (
        "average, divided",
        lambda x: F.avg_pool2d(x, 2, divisor_override=3),
        nn.AvgPool2d(2, divisor_override=3),
    ),
    ("average, ceil", lambda x: F.avg_pool2d(x, 3, 2, 0, True), nn.AvgPool2d(3, 2, ceil_mode=True)),
    ("adaptive", lambda x: F.adaptive_avg_pool2d(x, (3, None)), nn.AdaptiveAvgPool2d((3, None))),
):
    spell(
        "pool",
        name,
        net(lambda self, x, f=function: global_mean(self, f(F.relu(self.first(x)))), mean_parts),
        lambda net, m=module: sequence(
            net.first, nn.ReLU(), m, nn.AdaptiveAvgPool2d(1), nn.Flatten(), net.dense
        ),
    )
for name, function in (
    ("lp", lambda x: F.lp_pool2d(x, 2, 2)),
    ("max and average", lambda x: F.max_pool2d(x, 2) + F.avg_pool2d(x, 2)),
):
    spell(
        "pool",
        name,
        net(
            lambda self, x, f=function: global_mean(self, f(self.relu(self.first(x)))),
            mean_parts,
            relu=nn.ReLU,
        ),
        lambda net: net,
        refusal="lp_pool2d|pool|pow|sign|mean",
    )
