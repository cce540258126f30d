"""What a forward pass does besides computing: it asks, draws, remembers, and returns."""

import collections
import random

import numpy as np
import torch
import torch.nn.functional as F
from spelling_table import PATTERNS, Net, net, norm_parts, plain, ready, sequence, spell, vgg_parts
from torch import nn


def forward(self, x):
    x = F.max_pool2d(F.relu(self.first(x)), 2)
    return self.dense(F.max_pool2d(F.relu(self.second(x)), 2).flatten(1))


class Written(nn.Module):
    """A network whose forward pass is written in a subclass."""

    def __init__(self):
        super().__init__()
        for name, layer in vgg_parts().items():
            setattr(self, name, layer)


def written(cls):
    """Return what builds a network of a class of the user's own."""
    return lambda: ready(cls())


class NormalisedOption(Written):
    def forward(self, x, normalised=None):
        if normalised is None:
            x = F.avg_pool2d(x, 3, 1, 1)
        return forward(self, x)


class TopOption(Written):
    def forward(self, x, top=None):
        logits = forward(self, x)
        return logits if top is None else logits[:, :top]


class Flag(Written):
    def forward(self, x, smooth: bool = True, levels: int = 1):
        for _ in range(levels):
            x = F.avg_pool2d(x, 3, 1, 1) if smooth else x
        return forward(self, x)


class FalseFlag(Written):
    def forward(self, x, smooth=False):
        return forward(self, F.avg_pool2d(x, 3, 1, 1) if smooth else x)


class KeywordOnly(Written):
    def forward(self, x, *, smooth=False):
        return forward(self, F.avg_pool2d(x, 3, 1, 1) if smooth else x)


class AnyArguments(Written):
    def forward(self, *images, **options):
        return forward(self, images[0])


class Masked(Written):
    def forward(self, x, mask=None):
        if mask is not None:
            x = x * mask
        return forward(self, x)


class AsksForTensor(Written):
    def forward(self, x):
        if isinstance(x, torch.Tensor):
            x = F.avg_pool2d(x, 3, 1, 1)
        return forward(self, x)


class AsksForType(Written):
    def forward(self, x):
        if type(x) is torch.Tensor:
            x = F.avg_pool2d(x, 3, 1, 1)
        return forward(self, x)


class AsksIsTensor(Written):
    def forward(self, x):
        if torch.is_tensor(x):
            x = F.avg_pool2d(x, 3, 1, 1)
        return forward(self, x)


class AsksForTracing(Written):
    def forward(self, x):
        if not torch.fx._symbolic_trace.is_fx_tracing():
            x = F.avg_pool2d(x, 3, 1, 1)
        return forward(self, x)


class AsksForAttribute(Written):
    def forward(self, x):
        if not hasattr(x, "tracer"):
            x = F.avg_pool2d(x, 3, 1, 1)
        return forward(self, x)


class TriesFirst(Written):
    def forward(self, x):
        try:
            if float(x.detach().min()) >= 0:
                x = F.avg_pool2d(x, 3, 1, 1)
        except Exception:
            pass
        return forward(self, x)


def pooled_plain(net):
    return sequence(nn.AvgPool2d(3, 1, 1), *plain(net).children())


ASKED = "prepared|differ|trace"
for name, cls, twin, culprit in (
    ("normalised=None", NormalisedOption, pooled_plain, "normalised"),
    ("top=None", TopOption, plain, "top|getitem"),
    ("flags that are on", Flag, pooled_plain, "smooth|levels"),
    ("flag that is off", FalseFlag, plain, "smooth"),
    ("keyword only", KeywordOnly, plain, "smooth"),
    ("any arguments", AnyArguments, plain, "images|options|arguments"),
    ("mask=None", Masked, plain, "mask"),
    ("isinstance", AsksForTensor, pooled_plain, ASKED),
    ("type", AsksForType, pooled_plain, ASKED),
    ("is_tensor", AsksIsTensor, pooled_plain, ASKED),
    ("is_fx_tracing", AsksForTracing, pooled_plain, ASKED),
    ("hasattr", AsksForAttribute, pooled_plain, ASKED),
    ("try", TriesFirst, pooled_plain, ASKED),
):
    spell("asks", name, written(cls), twin, refusal=culprit)


def asks_training(self, x):
    return forward(self, F.avg_pool2d(x, 3, 1, 1) if self.training else x)


def asks_gradient(self, x):
    return forward(self, x if torch.is_grad_enabled() else F.avg_pool2d(x, 3, 1, 1))


def asks_shape(self, x):
    assert x.shape[1:] == (3, 8, 8)
    return forward(self, x)


def asks_dim(self, x):
    if x.dim() == 4:
        x = F.avg_pool2d(x, 3, 1, 1)
    return forward(self, x)


def asks_data(self, x):
    return forward(self, F.avg_pool2d(x, 3, 1, 1) if x.mean() > 0 else x)


def asks_item(self, x):
    return forward(self, x * (1.0 if x.sum().item() > 0 else 2.0))


def loops_over_samples(self, x):
    return torch.cat([forward(self, image.unsqueeze(0)) for image in x])


def through_numpy(self, x):
    smooth = torch.from_numpy(np.asarray(x.detach().numpy()) * 1.0)
    return forward(self, smooth)


def without_gradient(self, x):
    with torch.no_grad():
        x = F.max_pool2d(F.relu(self.first(x)), 2)
    return self.dense(F.max_pool2d(F.relu(self.second(x)), 2).flatten(1)) + 0 * x.sum()


def half_without_gradient(self, x):
    with torch.no_grad():
        gain = F.avg_pool2d(x, 3, 1, 1)
    return forward(self, x * gain)


def detached(self, x):
    return forward(self, x * F.avg_pool2d(x, 3, 1, 1).detach())


def straight_through(self, x):
    return forward(self, x + (torch.round(x * 8) / 8 - x).detach())


class Reversal(torch.autograd.Function):
    """The identity with another derivative."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def own_derivative(self, x):
    return forward(self, Reversal.apply(x))


def hooked_tensor(self, x):
    y = F.avg_pool2d(x, 3, 1, 1)
    if y.requires_grad:
        y.register_hook(lambda gradient: gradient / 2)
    return forward(self, y)


def under_autocast(self, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return forward(self, x.float()).to(x.dtype)


DATA = "data|control|trace"
for name, compute, twin, culprit in (
    ("training", asks_training, plain, None),
    ("is_grad_enabled", asks_gradient, plain, "grad|" + ASKED),
    ("shape", asks_shape, plain, "shape|size|trace"),
    ("dim", asks_dim, pooled_plain, "dim|" + DATA),
    ("data", asks_data, None, DATA),
    ("item", asks_item, None, DATA),
    ("each sample", loops_over_samples, plain, DATA + "|iter"),
    ("numpy", through_numpy, None, DATA + "|numpy"),
    ("no gradient at all", without_gradient, None, "no_grad|grad|mul"),
    ("no gradient in a branch", half_without_gradient, None, "no_grad|grad|mul"),
    ("detached branch", detached, None, "detach|mul"),
    ("straight through", straight_through, None, "detach|round"),
    ("own derivative", own_derivative, None, "Reversal|autograd|clone|" + DATA),
    ("hook of a tensor", hooked_tensor, None, "hook|register_hook|" + DATA),
):
    spell("asks", name, net(compute, vgg_parts), twin, refusal=culprit)


spell(
    "asks",
    "autocast",
    lambda: net(under_autocast, vgg_parts)().float(),
    plain,
    refusal="autocast|float|differ",
    dtype=torch.float32,
    tolerance=0.5,
)


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
    return forward(self, x[:, torch.randperm(3)])


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
    ("late layer", makes_layer, {}, "late"),
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


SEVERAL = "tensor|tuple|dict|list|Outputs|logits|argsort|argmax"
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
        skips=PATTERNS | {"prepare", "prepare trainable", "smoothed"},
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
        warning=name.split(" ")[0].replace("torch.", "") + "|probabilit",
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
