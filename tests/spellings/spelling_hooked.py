"""Hooked layers, computed weights, quantised networks, and other precision."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
import torch.nn.utils.parametrize as parametrize
from spelling_table import (
    Net,
    net,
    norm_parts,
    plain,
    ready,
    sequence,
    spell,
    vgg_parts,
)
from spelling_wrapped import Vgg, quietly, twin_of_vgg, vgg
from torch import nn
from torch.nn.utils import parametrizations, prune


# Hooks: each does what a layer would, and is honoured or named.
def hooked_row(**left_out):
    """Return the small VGG as a row of layers, with dropout, without those left out."""
    parts = norm_parts()
    row = OrderedDict(
        first=parts["first"],
        norm=parts["norm"],
        relu=nn.ReLU(),
        drop=nn.Dropout(),
        pool=nn.MaxPool2d(2),
        second=parts["second"],
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        dense=parts["dense"],
    )
    for name in left_out:
        del row[name]
    return ready(nn.Sequential(row))


def with_hook(place, hook, register="register_forward_hook", *left_out, **options):
    def make():
        model = hooked_row(**dict.fromkeys(left_out))
        layer = model.get_submodule(place) if place else model
        getattr(layer, register)(hook, **options)
        return model

    return make


def relu_after(module, args, output):
    return F.relu(output)


def relu_before(module, args):
    return (F.relu(args[0]),)


def relu_before_bare(module, args):
    return F.relu(args[0])


def pool_before(module, args):
    return (F.max_pool2d(args[0], 2),)


def average_before(module, args):
    return (F.avg_pool2d(args[0], 3, 1, 1),)


def watch(module, args, output):
    assert torch.is_tensor(output)


POST, PRE = "register_forward_hook", "register_forward_pre_hook"
for name, make, twin, culprit in (
    ("ReLU after conv", with_hook("first", relu_after, POST), "first", "first"),
    ("ReLU after norm", with_hook("norm", relu_after, POST, "relu"), None, "norm"),
    ("ReLU after dropout", with_hook("drop", relu_after, POST, "relu"), None, "drop"),
    ("ReLU after pool", with_hook("pool", relu_after, POST, "relu"), None, "pool"),
    ("ReLU before pool", with_hook("pool", relu_before, PRE, "relu"), None, "pool"),
    ("ReLU before dropout", with_hook("drop", relu_before_bare, PRE, "relu"), None, "drop"),
    ("pool before ReLU", with_hook("relu", pool_before, PRE, "pool"), None, "relu"),
    ("ReLU before flatten", with_hook("flatten", relu_before, PRE, "relu2"), None, "flatten"),
    ("ReLU before dense", with_hook("dense", relu_before, PRE, "relu2"), None, "dense"),
    ("ReLU after flatten", with_hook("flatten", relu_after, POST, "relu2"), None, "flatten"),
    ("ReLU after dense", with_hook("dense", relu_after), "dense", "dense"),
    ("ReLU after the network", with_hook("", relu_after), "dense", "Sequential|model"),
    (
        "average before the network",
        with_hook("", average_before, PRE),
        "average",
        "Sequential|model",
    ),
    (
        "ReLU with keywords",
        with_hook("norm", lambda m, a, k, o: F.relu(o), POST, "relu", with_kwargs=True),
        None,
        "norm",
    ),
    ("watched conv", with_hook("first", watch), None, "first"),
    ("watched ReLU", with_hook("relu", watch), None, "relu"),
    ("watched norm", with_hook("norm", watch), None, "norm"),
    ("watched network", with_hook("", watch), None, "Sequential|model"),
    ("watched with always", with_hook("dense", watch, always_call=True), None, "dense"),
):

    def twin_of(_, extra=twin):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            row = list(plain(net_of(hooked_row())).children())
        if extra == "first":
            row.insert(1, nn.ReLU())
        if extra == "average":
            row.insert(0, nn.AvgPool2d(3, 1, 1))
        if extra == "dense":
            row.append(nn.ReLU())
        return sequence(*row)

    spell("hooked", name, make, twin_of, refusal=culprit)


def net_of(row):
    """Return something with the names that `plain` reads."""
    return Net(None, first=row.first, norm=row.norm, second=row.second, dense=row.dense)


for name, hook, register, place in (
    ("gradient halved", lambda m, i, o: (i[0] / 2,), "register_full_backward_hook", "relu"),
    (
        "gradient halved behind",
        lambda m, i, o: (i[0] / 2,),
        "register_full_backward_hook",
        "second",
    ),
    ("gradient halved before", lambda m, o: (o[0] / 2,), "register_full_backward_pre_hook", "norm"),
    (
        "gradient clamped",
        lambda m, i, o: (i[0].clamp(min=0),),
        "register_full_backward_hook",
        "relu",
    ),
    ("gradient of the network", lambda m, i, o: (i[0] * 3,), "register_full_backward_hook", ""),
):
    spell(
        "hooked",
        name,
        with_hook(place, hook, register),
        None,
        refusal=(place or "Sequential|model") + "|hook",
    )


def parameter_hook():
    model = vgg()
    model.first.weight.register_hook(lambda gradient: gradient * 2)
    return model


spell("hooked", "weight", parameter_hook, twin_of_vgg, refusal="first|hook")


# Weights that are computed: from parametrisations, and by hooks of the old style.
def computed(change, layer="first"):
    def make():
        model = vgg()
        quietly(change)(model.get_submodule(layer))
        with torch.no_grad():  # The hooks of the old style compute their weight for the first time.
            model.eval()(torch.rand(1, 3, 8, 8, dtype=torch.float64))
        return model

    return make


def computed_twin(net):
    """Return plain layers with the weights that the layers of ``net`` compute."""
    twin = twin_of_vgg(net)
    names = {0: "first", 4: "second", 8: "dense"}
    for place, name in names.items():
        twin[place].weight = nn.Parameter(getattr(net, name).weight.detach().clone())
    return twin


class Twice(nn.Module):
    """A parametrisation of the user's own."""

    def forward(self, weight):
        return 2 * weight


COMPUTED = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "own": lambda layer: parametrize.register_parametrization(layer, "weight", Twice()),
    "old weight_norm": torch.nn.utils.weight_norm,
    "old spectral_norm": torch.nn.utils.spectral_norm,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5),
    "pruned twice": lambda layer: prune.random_unstructured(
        prune.ln_structured(layer, "weight", 0.25, 2, 0), "weight", 0.3
    ),
    "pruned bias": lambda layer: prune.l1_unstructured(layer, "bias", amount=0.5),
}
for name, change in COMPUTED.items():
    for layer in ("first", "dense"):
        if (name, layer) == ("pruned bias", "first"):
            continue
        twin = computed_twin
        if name == "pruned bias":

            def twin(net):
                plainer = computed_twin(net)
                plainer[8].bias = nn.Parameter(net.dense.bias.detach().clone())
                return plainer

        spell(
            "computed weights",
            f"{name} of {layer}",
            computed(change, layer),
            twin,
            refusal=layer,
        )


# Quantised networks, and other precision.
spell(
    "quantised",
    "dynamic",
    lambda: quietly(lambda m: torch.ao.quantization.quantize_dynamic(m, {nn.Linear}, torch.qint8))(
        ready(Vgg(), torch.float32)
    ),
    None,
    refusal="[Qq]uanti|dense",
    dtype=torch.float32,
)
for name, dtype, tolerance in (
    ("float32", torch.float32, 1e-3),
    ("float16", torch.float16, 0.1),
    ("bfloat16", torch.bfloat16, 0.5),
):
    spell(
        "precision",
        name,
        lambda d=dtype: ready(Vgg(), d),
        lambda net: plain(net.double()),
        refusal=None if dtype == torch.float32 else name,
        dtype=dtype,
        tolerance=tolerance,
    )


def half_inside(self, x):
    x = F.max_pool2d(F.relu(self.first(x)), 2)
    x = F.max_pool2d(F.relu(self.second(x.to(self.second.weight.dtype))), 2)
    return self.dense(x.flatten(1).to(self.dense.weight.dtype))


def mixed():
    model = net(half_inside, vgg_parts)()
    model.second.float()
    return model


spell(
    "precision",
    "mixed",
    mixed,
    lambda net: plain(net.double()),
    refusal="to\\b|float32|second.weight",
    tolerance=1e-3,
)
