"""Networks inside others, hooked, parametrised, shared, quantised, and of other precision."""

import copy
import warnings
from collections import OrderedDict

import torch
import torch.nn.functional as F
from spelling_table import Net, net, norm_parts, plain, ready, sequence, spell, vgg_parts
from torch import nn
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
