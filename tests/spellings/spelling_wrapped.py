"""Networks inside others, hooked, parametrised, shared, quantised, and of other precision."""

import copy
import warnings
from collections import OrderedDict

import torch
import torch.nn.functional as F
import torch.nn.utils.parametrize as parametrize
from spelling_table import Net, net, norm_parts, plain, ready, sequence, spell, vgg_parts
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint


class Vgg(nn.Module):
    """The small VGG as a class of the user's own, without anything that a compiler dislikes."""

    def __init__(self):
        super().__init__()
        for name, layer in norm_parts().items():
            setattr(self, name, layer)

    def forward(self, images):
        x = F.max_pool2d(F.relu(self.norm(self.first(images))), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        return self.dense(torch.flatten(x, 1))


def vgg():
    return ready(Vgg())


def quietly(change):
    """Return a function that is called without its deprecation warnings."""

    def changed(model):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return change(model)

    return changed


def twin_of_vgg(_):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return plain(vgg())


def traced(model):
    return torch.jit.trace(model, torch.rand(2, 3, 8, 8, dtype=torch.float64))


def forward_assigned(model):
    own = model.forward
    model.forward = lambda images: own(images)
    return model


class Checkpointed(nn.Module):
    """A network that computes its middle twice."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return checkpoint(self.model, images, use_reentrant=False)


def with_parallel_part(model):
    model.second = nn.DataParallel(model.second)
    return model


def with_compiled_part(model):
    model.second = torch.compile(model.second, backend="eager")
    return model


def with_scripted_part(model):
    model.second = torch.jit.script(model.second)
    return model


WRAPPERS = {
    "Sequential": (nn.Sequential, None),
    "Sequential of Sequential": (lambda m: nn.Sequential(OrderedDict(a=nn.Sequential(m))), None),
    "attribute": (lambda m: Net(lambda self, x: self.module(x), module=m).eval(), None),
    "ModuleList": (
        lambda m: Net(lambda self, x: self.all[0](x), all=nn.ModuleList([m])).eval(),
        None,
    ),
    "ModuleDict": (
        lambda m: Net(lambda self, x: self.all["a b"](x), all=nn.ModuleDict({"a b": m})).eval(),
        None,
    ),
    "kept in a list": (
        lambda m: Net(lambda self, x: self.all[0](x), all=[m]).eval(),
        "list|all|trace",
    ),
    "DataParallel": (nn.DataParallel, "DataParallel"),
    "DataParallel inside": (with_parallel_part, "DataParallel"),
    "compiled": (lambda m: torch.compile(m, backend="eager"), "compile"),
    "compiled inside": (with_compiled_part, "compile"),
    "scripted": (torch.jit.script, "script|ScriptModule"),
    "scripted inside": (with_scripted_part, "script|ScriptModule"),
    "jit traced": (traced, "script|trace"),
    "fx traced": (torch.fx.symbolic_trace, None),
    "checkpointed": (lambda m: Checkpointed(m).eval(), "checkpoint"),
    "forward assigned": (forward_assigned, "forward"),
    "copied": (copy.deepcopy, None),
    "averaged": (lambda m: torch.optim.swa_utils.AveragedModel(m).eval(), "AveragedModel|args"),
    "prepared": (lambda m: __import__("explman_lite").prepare(m), None),
}
for name, (wrap, culprit) in WRAPPERS.items():
    spell(
        "wrapped",
        name,
        lambda w=wrap: quietly(w)(vgg()).eval(),
        twin_of_vgg,
        refusal=culprit,
    )


# Shared and reused layers.
def twice_parts():
    return {"first": nn.Conv2d(3, 4, 3, padding=1), "again": nn.Conv2d(4, 4, 3, padding=1),
            "dense": nn.Linear(256, 5)}  # fmt: skip


def twice(self, x):
    x = F.relu(self.again(F.relu(self.again(F.relu(self.first(x))))))
    return self.dense(x.flatten(1))


def twice_twin(net):
    relus = [nn.ReLU() for _ in range(3)]
    return sequence(
        net.first, relus[0], net.again, relus[1], net.again, relus[2], nn.Flatten(), net.dense
    )


def one_relu(self, x):
    x = self.pool(self.relu(self.first(x)))
    return self.dense(self.pool(self.relu(self.second(x))).flatten(1))


def tied():
    model = Net(twice, **twice_parts())
    model.third = nn.Conv2d(4, 4, 3, padding=1)
    model.third.weight, model.third.bias = model.again.weight, model.again.bias
    model.compute = lambda self, x: self.dense(
        F.relu(self.third(F.relu(self.again(F.relu(self.first(x)))))).flatten(1)
    )
    return ready(model)


def tied_twin(net):
    relus = [nn.ReLU() for _ in range(3)]
    return sequence(
        net.first, relus[0], net.again, relus[1], net.third, relus[2], nn.Flatten(), net.dense
    )


def two_names():
    model = vgg()
    model.alias = model.first
    return model


def shared_norm(self, x):
    x = F.relu(self.norm(self.first(x)))
    return self.dense(F.relu(self.norm(self.again(x))).flatten(1))


def norm_after_reused(self, x):
    x = F.relu(self.norm(self.again(F.relu(self.first(x)))))
    return self.dense(F.relu(self.other(self.again(x))).flatten(1))


spell("shared", "layer called twice", net(twice, twice_parts), twice_twin)
spell("shared", "weights of two layers", tied, tied_twin)
spell(
    "shared",
    "one ReLU and one pool",
    net(one_relu, vgg_parts, relu=lambda: nn.ReLU(inplace=True), pool=lambda: nn.MaxPool2d(2)),
    plain,
)
spell("shared", "layer under two names", two_names, plain)
spell(
    "shared",
    "norm behind two layers",
    net(shared_norm, twice_parts, norm=lambda: nn.BatchNorm2d(4)),
    lambda net: sequence(
        net.first, net.norm, nn.ReLU(), net.again, net.norm, nn.ReLU(), nn.Flatten(), net.dense
    ),
)
spell(
    "shared",
    "layer before two norms",
    net(
        norm_after_reused,
        twice_parts,
        norm=lambda: nn.BatchNorm2d(4),
        other=lambda: nn.BatchNorm2d(4),
    ),
    lambda net: sequence(
        net.first,
        nn.ReLU(),
        net.again,
        net.norm,
        nn.ReLU(),
        net.again,
        net.other,
        nn.ReLU(),
        nn.Flatten(),
        net.dense,
    ),
)


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


PRE = "register_forward_pre_hook"
for name, make, twin, culprit in (
    ("ReLU after conv", with_hook("first", relu_after, "register_forward_hook"), "first", "first"),
    ("ReLU after norm", with_hook("norm", relu_after, "register_forward_hook", "relu"), None, "norm"),
    ("ReLU after dropout", with_hook("drop", relu_after, "register_forward_hook", "relu"), None, "drop"),
    ("ReLU after pool", with_hook("pool", relu_after, "register_forward_hook", "relu"), None, "pool"),
    ("ReLU before pool", with_hook("pool", relu_before, PRE, "relu"), None, "pool"),
    ("ReLU before dropout", with_hook("drop", relu_before_bare, PRE, "relu"), None, "drop"),
    ("pool before ReLU", with_hook("relu", pool_before, PRE, "pool"), None, "relu"),
    ("ReLU before flatten", with_hook("flatten", relu_before, PRE, "relu2"), None, "flatten"),
    ("ReLU before dense", with_hook("dense", relu_before, PRE, "relu2"), None, "dense"),
    ("ReLU after flatten", with_hook("flatten", relu_after, "register_forward_hook", "relu2"), None, "flatten"),
    ("ReLU after dense", with_hook("dense", relu_after), "dense", "dense"),
    ("ReLU after the network", with_hook("", relu_after), "dense", "Sequential|network"),
    ("average before the network", with_hook("", average_before, PRE), "average", "Sequential|network"),
    (
        "ReLU with keywords",
        with_hook("norm", lambda m, a, k, o: F.relu(o), "register_forward_hook", "relu", with_kwargs=True),
        None,
        "norm",
    ),
    ("watched conv", with_hook("first", watch), None, "first"),
    ("watched ReLU", with_hook("relu", watch), None, "relu"),
    ("watched norm", with_hook("norm", watch), None, "norm"),
    ("watched network", with_hook("", watch), None, "Sequential|network"),
    ("watched with always", with_hook("dense", watch, always_call=True), None, "dense"),
):  # fmt: skip

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
        refusal=(place or "Sequential|network") + "|hook",
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
    ("float16", torch.float16, 0.05),
    ("bfloat16", torch.bfloat16, 0.3),
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


spell("precision", "mixed", mixed, lambda net: plain(net.double()), refusal="to\\b|float32|second.weight",
      tolerance=1e-3)  # fmt: skip
