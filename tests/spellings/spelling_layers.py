"""Kinds of layers: convolutions, paddings, activations, and layers that hold others."""

import torch
import torch.nn.functional as F
from spelling_table import (
    PATTERNS,
    Net,
    net,
    ready,
    sequence,
    spell,
)
from torch import nn


# A first layer of another kind, and behind it always the same.
def behind(first, pixels=64, channels=4):
    return {"first": first, "dense": nn.Linear(channels * pixels, 5)}


def one_layer(self, x):
    return self.dense(F.relu(self.first(x)).flatten(1))


def one_layer_twin(first_of=lambda net: net.first):
    return lambda net: sequence(first_of(net), nn.ReLU(), nn.Flatten(), net.dense)


def like(layer, **options):
    """Return a convolution with the weights of ``layer`` and other options."""
    settings = {
        "kernel_size": layer.kernel_size,
        "stride": layer.stride,
        "padding": 0,
        "dilation": layer.dilation,
        "groups": layer.groups,
        **options,
    }
    twin = nn.Conv2d(layer.in_channels, layer.out_channels, **settings)
    twin.weight, twin.bias = layer.weight, layer.bias
    return twin


CONVOLUTIONS = (
    ("padding same", {"padding": "same"}, {"padding": 1}, 64, None),
    ("padding same, dilated", {"padding": "same", "dilation": 2}, {"padding": 2}, 64, None),
    ("padding valid", {"padding": "valid"}, {}, 36, None),
    ("strided", {"stride": 2, "padding": 1}, {"padding": 1}, 16, None),
    ("oblong", {"kernel_size": (3, 1), "padding": (1, 0)}, {"padding": (1, 0)}, 64, None),
)
for name, options, twin_options, pixels, culprit in CONVOLUTIONS:
    options = {"kernel_size": 3, **options}
    spell(
        "convolution",
        name,
        net(one_layer, lambda o=options, p=pixels: behind(nn.Conv2d(3, 4, **o), p)),
        one_layer_twin(lambda net, o=twin_options: like(net.first, **o)),
        refusal=culprit,
    )


def padded_twin(pad):
    return lambda net: sequence(pad, like(net.first), nn.ReLU(), nn.Flatten(), net.dense)


for mode, pad in (
    ("reflect", nn.ReflectionPad2d(1)),
    ("replicate", nn.ReplicationPad2d(1)),
    ("circular", nn.CircularPad2d(1)),
):
    spell(
        "padding",
        mode,
        net(one_layer, lambda m=mode: behind(nn.Conv2d(3, 4, 3, padding=1, padding_mode=m))),
        padded_twin(pad),
        refusal="padding|first",
    )
    spell(
        "padding",
        f"F.pad {mode}",
        net(
            lambda self, x, m=mode: one_layer(self, F.pad(x, (1, 1, 1, 1), m)),
            lambda: behind(nn.Conv2d(3, 4, 3)),
        ),
        padded_twin(pad),
        refusal="pad",
    )
for name, compute, culprit in (
    ("F.pad", lambda self, x: one_layer(self, F.pad(x, (1, 1, 1, 1))), "pad"),
    ("F.pad value", lambda self, x: one_layer(self, F.pad(x, [1] * 4, "constant", 0)), "pad"),
    ("torch pad", lambda self, x: one_layer(self, torch.nn.functional.pad(x, pad=(1,) * 4)), "pad"),
):
    spell(
        "padding",
        name,
        net(compute, lambda: behind(nn.Conv2d(3, 4, 3))),
        padded_twin(nn.ZeroPad2d(1)),
        refusal=culprit,
    )
spell(
    "padding",
    "ConstantPad2d",
    net(
        lambda self, x: one_layer(self, self.pad(x)),
        lambda: behind(nn.Conv2d(3, 4, 3)),
        pad=lambda: nn.ConstantPad2d(1, 0.0),
    ),
    padded_twin(nn.ZeroPad2d(1)),
    refusal="ConstantPad2d|pad",
)
spell(
    "convolution",
    "padding same, even kernel",
    net(one_layer, lambda: behind(nn.Conv2d(3, 4, 2, padding="same"))),
    padded_twin(nn.ZeroPad2d((0, 1, 0, 1))),
    refusal="same|first",
)


# Convolutions that are no Conv2d, and do what one does.
def pointwise(net):
    return as_conv2d(net, net.first.weight[..., None])


def as_conv2d(net, weight, padding=0):
    twin = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], padding=padding).double()
    twin.weight, twin.bias = nn.Parameter(weight.detach().clone()), net.first.bias
    return sequence(twin, nn.ReLU(), nn.Flatten(), net.dense)


def turned(net):
    weight = net.first.weight.transpose(0, 1).flip(2, 3)
    return as_conv2d(net, weight, 1)


def dense_as_conv(net):
    return as_conv2d(net, net.first.weight[..., None, None])


def over_channels(self, x):
    return self.dense(F.relu(self.first(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)).flatten(1))


for name, compute, first, twin, culprit in (
    (
        "Conv1d",
        lambda self, x: one_layer(self, x.flatten(2)),
        lambda: nn.Conv1d(3, 4, 1),
        pointwise,
        "Conv1d|first",
    ),
    ("ConvTranspose2d", one_layer, lambda: nn.ConvTranspose2d(3, 4, 3, padding=1), turned, "first"),
    (
        "Linear over channels",
        over_channels,
        lambda: nn.Linear(3, 4),
        dense_as_conv,
        "permute|first",
    ),
    (
        "Conv3d",
        lambda self, x: one_layer(self, x.unsqueeze(2)),
        lambda: nn.Conv3d(3, 4, 1),
        lambda net: as_conv2d(net, net.first.weight[:, :, 0]),
        "Conv3d|first",
    ),
    (
        "unfolded",
        lambda self, x: one_layer(self, F.unfold(x, 1)),
        lambda: nn.Conv1d(3, 4, 1),
        pointwise,
        "unfold|Conv1d|first",
    ),
):
    spell(
        "convolution",
        name,
        net(compute, lambda f=first: behind(f())),
        twin,
        refusal=culprit,
    )


class Standardised(nn.Conv2d):
    """A convolution of the user's own, which computes its weight."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, padding=self.padding)


class Doubled(nn.ReLU):
    """A ReLU of the user's own, which is none."""

    def forward(self, x):
        return super().forward(x) * 2


def standardised_twin(net):
    with torch.no_grad():
        net.first.weight.sub_(net.first.weight.mean((1, 2, 3), keepdim=True))
    return one_layer_twin(lambda net: like(net.first, padding=1))(net)


def doubled_twin(net):
    with torch.no_grad():
        net.dense.weight.mul_(2)
    return one_layer_twin()(net)


def patched():
    """Return a network whose convolution got another forward by assignment."""
    model = ready(Net(one_layer, **behind(nn.Conv2d(3, 4, 3, padding=1))))
    first, own = model.first, model.first.forward
    first.forward = lambda x: own(x) * 2
    return model


def patched_twin(net):
    del net.first.forward
    with torch.no_grad():
        for parameter in net.first.parameters():
            parameter.mul_(2)
    return one_layer_twin()(net)


spell(
    "own layer",
    "Conv2d",
    net(one_layer, lambda: behind(Standardised(3, 4, 3, padding=1))),
    standardised_twin,
    skips=PATTERNS,
    refusal="conv2d|first|mean|Standardised",
)
spell(
    "own layer",
    "ReLU",
    net(
        lambda self, x: self.dense(self.relu(self.first(x)).flatten(1)),
        lambda: {"relu": Doubled(), **behind(nn.Conv2d(3, 4, 3, padding=1))},
    ),
    doubled_twin,
    skips=PATTERNS,
    refusal="mul|Doubled|relu",
)
spell(
    "own layer",
    "patched forward",
    patched,
    patched_twin,
    refusal="first|forward|mul",
    skips=PATTERNS,
)
