"""What a forward pass does besides computing: it asks, draws, remembers, and returns."""

import numpy as np
import torch
import torch.nn.functional as F
from spelling_table import net, plain, ready, sequence, spell, vgg_parts
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
    ("no gradient at all", without_gradient, plain, "no_grad|grad|mul"),
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


# What has another gradient than the function that it computes.
def with_relu(change):
    def compute(self, x):
        x = F.max_pool2d(self.relu(self.first(change(x))), 2)
        return self.dense(F.max_pool2d(self.relu(self.second(x)), 2).flatten(1))

    return compute


def half_without_gradient(x):
    with torch.no_grad():
        gain = F.avg_pool2d(x, 3, 1, 1)
    return x * gain


def detached(x):
    return x * F.avg_pool2d(x, 3, 1, 1).detach()


def straight_through(x):
    return x + (torch.round(x * 8) / 8 - x).detach()


class Reversal(torch.autograd.Function):
    """The identity with another derivative."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def hooked_tensor(x):
    y = F.avg_pool2d(x, 3, 1, 1)
    if y.requires_grad:
        y.register_hook(lambda gradient: gradient / 2)
    return y


for name, change, culprit in (
    ("no_grad", half_without_gradient, "no_grad|grad|mul"),
    ("detach", detached, "detach|mul"),
    ("straight through", straight_through, "detach|round"),
    ("autograd.Function", Reversal.apply, "Reversal|autograd|clone|" + DATA),
    ("hook of a tensor", hooked_tensor, "hook|register_hook|" + DATA),
):
    spell(
        "gradient",
        name,
        net(with_relu(change), vgg_parts, relu=nn.ReLU),
        lambda net: net,
        refusal=culprit,
    )
