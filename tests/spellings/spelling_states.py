"""Networks that draw, remember, are half trained, or return something else than logits."""

import collections
import random

import numpy as np
import torch
import torch.nn.functional as F
from spelling_forwards import Written, forward, written
from spelling_table import (
    AS_PYTORCH_RUNS_IT,
    PATTERNS,
    Net,
    net,
    norm_parts,
    plain,
    ready,
    sequence,
    spell,
    vgg_parts,
)
from torch import nn


# Random numbers: a network that draws is refused, not frozen into one of its draws.
def noise(self, x):
    return forward(self, x + 0.1 * torch.randn_like(x))


def noise_of_shape(self, x):
    return forward(self, x + 0.1 * torch.randn(x.shape, dtype=torch.float64))


def noise_of_size(self, x):
    return forward(self, x + 0.1 * torch.rand(1, 3, 8, 8, dtype=torch.float64))


def noise_of_weights(self, x):
    return forward(self, x) + 0.1 * torch.randn(5, dtype=torch.float64)


def noise_in_place(self, x):
    return forward(self, x + torch.empty_like(x).normal_(0, 0.1))


def noise_of_numpy(self, x):
    return forward(self, x + 0.1 * np.random.rand())  # noqa: NPY002


def noise_of_python(self, x):
    return forward(self, x * random.uniform(0.5, 1.5))


def shifted(self, x):
    return forward(self, x.roll(random.randint(1, 5), 3))


def permuted_pixels(self, x):
    return forward(self, x[..., torch.randperm(8)])


def bernoulli(self, x):
    return forward(self, x * torch.bernoulli(torch.full_like(x, 0.5)))


def generator_noise(self, x):
    return forward(
        self, x + 0.1 * torch.randn(x.shape[1:], generator=self.draw, dtype=torch.float64)
    )


def dropout_always(self, x):
    return forward(self, F.dropout(x))


def dropout_on(self, x):
    return forward(self, F.dropout(x, 0.2, True))


def dropout2d_always(self, x):
    return forward(self, F.dropout2d(x))


def rrelu_training(self, x):
    return forward(self, F.rrelu(x - 0.5, training=True))


RANDOM = "random|other numbers|twice|differ|draw"
for name, compute, culprit in (
    ("randn_like", noise, "randn_like"),
    ("randn of the shape", noise_of_shape, "randn"),
    ("rand of a size", noise_of_size, "rand"),
    ("randn behind", noise_of_weights, "randn"),
    ("normal_", noise_in_place, "normal_|empty_like"),
    ("numpy", noise_of_numpy, "numpy"),
    ("python", noise_of_python, "python"),
    ("shift", shifted, "roll"),
    ("randperm", permuted_pixels, "randperm"),
    ("bernoulli", bernoulli, "bernoulli"),
    ("F.dropout", dropout_always, "dropout"),
    ("F.dropout, on", dropout_on, "dropout"),
    ("F.dropout2d", dropout2d_always, "dropout"),
    ("rrelu in training", rrelu_training, "rrelu"),
    ("generator", generator_noise, "randn"),
):
    spell(
        "random",
        name,
        net(compute, vgg_parts, draw=torch.Generator),
        None,
        refusal=f"{culprit}|{RANDOM}",
        random=True,
    )


# Networks that remember something: they are computed and left alone, or refused.
def stores(self, x):
    self.features = F.max_pool2d(F.relu(self.first(x)), 2)
    return self.dense(F.max_pool2d(F.relu(self.second(self.features)), 2).flatten(1))


def stores_in_dictionary(self, x):
    self.kept["features"] = x = F.max_pool2d(F.relu(self.first(x)), 2)
    return self.dense(F.max_pool2d(F.relu(self.second(x)), 2).flatten(1))


def stores_in_list(self, x):
    self.list.append(x)
    return forward(self, x)


def counts(self, x):
    self.calls += 1
    return forward(self, x)


def counts_tensor(self, x):
    self.calls = self.calls + 1
    return forward(self, x)


def counts_in_place(self, x):
    self.seen += 1
    return forward(self, x)


def averages(self, x):
    self.average.mul_(0.9).add_(x.mean((0, 2, 3)).view(3, 1, 1), alpha=0.1)
    return forward(self, x - self.average)


def caches(self, x):
    if self.cached is None:
        self.cached = torch.ones(1, 3, 1, 1, dtype=torch.float64)
    return forward(self, x * self.cached)


def makes_layer(self, x):
    if not hasattr(self, "late"):
        self.late = nn.Identity()
    return forward(self, self.late(x))


def changes_weights(self, x):
    with torch.no_grad():
        self.dense.bias.clamp_(-1, 1)
    return forward(self, x)


def seen():
    return nn.Parameter(torch.zeros(3, 1, 1, dtype=torch.float64), requires_grad=False)


for name, compute, extra, culprit in (
    ("features", stores, {}, "features"),
    ("dictionary", stores_in_dictionary, {"kept": dict}, "kept|features"),
    ("list", stores_in_list, {"list": list}, "list"),
    ("counter", counts, {"calls": int}, "calls"),
    ("tensor counter", counts_tensor, {"calls": lambda: torch.zeros(())}, "calls"),
    ("counter in place", counts_in_place, {"seen": seen}, "seen|add"),
    ("cache", caches, {"cached": lambda: None}, "cached|mul"),
    ("late layer", makes_layer, {}, "late|submodule"),
    ("weights", changes_weights, {}, "clamp|bias"),
):
    spell(
        "remembers", name, net(compute, vgg_parts, **extra), plain, refusal=culprit, stateful=True
    )
spell(
    "remembers",
    "average",
    net(averages, vgg_parts, average=seen),
    None,
    refusal="average|mul_|add_|sub",
    stateful=True,
    skips=AS_PYTORCH_RUNS_IT,
)


# Parts in training mode.
def trained(part):
    def make():
        model = net(
            lambda self, x: self.dense(
                F.max_pool2d(
                    F.relu(
                        self.second(F.max_pool2d(F.relu(self.drop(self.norm(self.first(x)))), 2))
                    ),
                    2,
                ).flatten(1)
            ),
            norm_parts,
            drop=nn.Dropout,
        )()
        model.get_submodule(part).train()
        return model

    return make


for part in ("norm", "drop"):
    spell(
        "training",
        part,
        trained(part),
        plain,
        refusal=part + "|training|evaluation",
        random=part == "drop",
    )
spell("training", "convolution", trained("first"), plain, refusal="first|training|evaluation")


# What comes out.
Outputs = collections.namedtuple("Outputs", ["logits", "features"])


def returned(change):
    return net(lambda self, x: change(forward(self, x)), vgg_parts)


SEVERAL = "tensor|tuple|dict|list|Outputs|logits|argsort|argmax|batch"
for name, change in (
    ("tuple", lambda y: (y, y)),
    ("tuple of one", lambda y: (y,)),
    ("list", lambda y: [y]),
    ("dictionary", lambda y: {"logits": y}),
    ("named tuple", lambda y: Outputs(y, y)),
    ("None", lambda y: None),
    ("a number", lambda y: y.sum()),
    ("of each pixel", lambda y: y[:, :, None, None].expand(-1, -1, 8, 8)),
    ("one of each sample", lambda y: y[:, 0]),
    ("arg max", lambda y: y.argmax(1)),
    ("integers", lambda y: y.argsort(1)),
):
    # What is not explained may be anything: it is returned as it is.
    spell(
        "returns",
        name,
        returned(change),
        None,
        refusal=SEVERAL,
        skips=PATTERNS | {"prepare", "smoothed"},
    )


class TwoImages(Written):
    def forward(self, x, other):
        return forward(self, x + other)


spell("returns", "for two images", written(TwoImages), None, refusal="other|argument|trace")


def with_last(last):
    def twin(net):
        return sequence(*plain(net).children(), last())

    return twin


for name, change, last in (
    ("softmax", lambda y: F.softmax(y, 1), lambda: nn.Softmax(1)),
    ("softmax method", lambda y: y.softmax(dim=-1), lambda: nn.Softmax(1)),
    ("torch.softmax", lambda y: torch.softmax(y, dim=1), lambda: nn.Softmax(1)),
    ("log_softmax", lambda y: F.log_softmax(y, dim=1), lambda: nn.LogSoftmax(1)),
    ("sigmoid", lambda y: torch.sigmoid(y), nn.Sigmoid),
):
    spell(
        "returns",
        name,
        returned(change),
        with_last(last),
        refusal="softmax|sigmoid|Softmax|Sigmoid",
        # The softmax of log_softmax is that of the logits; sigmoids can be logits.
        warning="softmax|probabilit" if last().__class__ is nn.Softmax else None,
    )
spell(
    "returns",
    "Softmax",
    lambda: ready(sequence(*plain(Net(forward, **vgg_parts())).children(), nn.Softmax(1))),
    lambda net: net,
    refusal="Softmax|softmax",
    warning="[Ss]oftmax|probabilit",
)


def one_logit_parts():
    return {**vgg_parts(), "dense": nn.Linear(24, 1)}


spell(
    "returns",
    "one logit",
    net(forward, one_logit_parts),
    plain,
    refusal="one logit|1\\)|sigmoid|two",
    warning="one logit|sigmoid|two columns",
)
