"""What a node of a network's graph is, whether it is spelled as a module, a function or a method.

``nn.Flatten()(x)``, ``torch.flatten(x, 1)``, ``x.flatten(1)`` and ``x.view(len(x), -1)`` are one
thing. A rule is about the thing, so that one function has one map. What a layer is *called* plays
no part.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import fx, nn
from torchvision.ops import stochastic_depth

from explman_lite.networks import refusals
from explman_lite.networks.in_place import with_part
from explman_lite.networks.layers import Conv2d, Normalize
from explman_lite.networks.softplus import CentredSoftplus


class Kind(NamedTuple):
    """The spellings of one kind of layer.

    Attributes
    ----------
    modules : tuple of type
        Layers that are modules.
    calls : frozenset
        Functions, and the names of a tensor's methods.
    """

    modules: tuple[type[nn.Module], ...] = ()
    calls: frozenset[Any] = frozenset()

    def holds(self, node: fx.Node, layers: Mapping[str, nn.Module]) -> bool:
        """Whether a node, whose module is among ``layers``, is of this kind."""
        if node.op == "call_module":
            return isinstance(layers[str(node.target)], self.modules)
        # A method and a module are both called by a name, and a parameter is read by one.
        return node.op in {"call_function", "call_method"} and node.target in self.calls

    def __or__(self, other: Kind) -> Kind:
        """Return what is of either kind."""
        return Kind(self.modules + other.modules, self.calls | other.calls)


RECTIFIERS = Kind(refusals.RECTIFIERS)
"""ReLU, also smoothed or with a ceiling: `prepare` makes modules of all its spellings."""

WEIGHTED = Kind((Conv2d, nn.Conv1d, nn.ConvTranspose2d, nn.Linear))
"""Neurons: a weight times the input, plus a bias."""

GATES = Kind(
    (nn.Sigmoid, nn.Hardsigmoid, nn.Softmax, nn.Softmax2d),
    frozenset({F.hardsigmoid, F.softmax, torch.sigmoid, torch.softmax, "sigmoid", "softmax"}),
)
"""What opens and closes, between 0 and 1."""

CLAMPS = Kind(
    (nn.Hardtanh,), frozenset({F.hardtanh, torch.clamp, torch.clip, "clamp", "clip", "clamp_min"})
)
"""What cuts off."""

BATCH_NORMS = Kind((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, Normalize))
"""What shifts and scales each channel by constants."""

NORMS = BATCH_NORMS | Kind(
    (nn.LayerNorm, nn.GroupNorm), frozenset({F.layer_norm, F.group_norm, torch.layer_norm})
)
"""Normalisations."""

ELEMENTWISE = Kind(
    (
        nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.SiLU, nn.GELU, nn.Mish,
        nn.Hardswish, nn.Softplus, nn.Softsign, nn.Tanh, nn.Sigmoid, nn.Hardsigmoid,
        CentredSoftplus,
    ),
    frozenset({
        F.leaky_relu, F.prelu, F.elu, F.celu, F.selu, F.silu, F.gelu, F.mish, F.hardswish,
        F.softplus, F.hardsigmoid, torch.tanh, torch.sigmoid, torch.celu, torch.selu, torch.prelu,
        "tanh", "sigmoid",
    }),
)  # fmt: skip

ONE_TO_ONE = RECTIFIERS | ELEMENTWISE | CLAMPS | NORMS
"""Each output belongs to one input: activations and normalisations."""

RESHAPES = Kind(
    (
        nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle,
        nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d,
        nn.Dropout1d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
    ),
    frozenset({
        torch.flatten, torch.unflatten, torch.reshape, torch.permute, torch.transpose, torch.t,
        torch.swapaxes, torch.swapdims, torch.movedim, torch.squeeze, torch.unsqueeze, torch.clone,
        torch.cat, torch.concat, torch.concatenate, torch.stack, torch.chunk, torch.split,
        torch.tensor_split, torch.unbind, torch.narrow, torch.select, torch.index_select,
        torch.flip, torch.roll, torch.tile, torch.broadcast_to, torch.channel_shuffle,
        F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout,
        F.pad, F.pixel_shuffle, F.pixel_unshuffle, operator.getitem, getattr, stochastic_depth,
        "flatten", "unflatten", "view", "view_as", "reshape", "reshape_as", "permute", "transpose",
        "t", "swapaxes", "swapdims", "movedim", "squeeze", "unsqueeze", "expand", "expand_as",
        "repeat", "tile", "broadcast_to", "chunk", "split", "tensor_split", "unbind", "narrow",
        "select", "index_select", "flip", "roll", "contiguous", "clone", "to", "float", "double",
        "type_as",
    }),
)  # fmt: skip
"""Each output is a copy of one input, or a constant."""

ALIKE = Kind(calls=frozenset({"expand_as", "reshape_as", "type_as", "view_as"}))
"""Reshapes after the model of a second tensor, of which no number is read."""

PADDINGS = Kind((nn.ConstantPad2d,), frozenset({F.pad}))
"""Reshapes that may put in a constant; `torch.nn.ZeroPad2d` is one that puts in zeros."""

MAXIMA = Kind(
    (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
    frozenset({
        F.max_pool1d, F.max_pool2d, F.adaptive_max_pool1d, F.adaptive_max_pool2d,
        torch.max_pool2d, torch.amax, torch.max, torch.maximum, "amax", "max", "maximum",
    }),
)  # fmt: skip
"""Each output is the largest of some inputs."""

AVERAGES = Kind(
    (
        nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
        nn.Upsample,
    ),
    frozenset({
        F.avg_pool1d, F.avg_pool2d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.interpolate,
        torch.mean, torch.sum, "mean", "sum",
    }),
)  # fmt: skip
"""Each output is a sum of some inputs with fixed weights, none of them negative."""

_DIFFERENCES = frozenset({operator.sub, torch.sub, torch.subtract, "sub", "subtract"})
_REVERSED = frozenset({torch.rsub, "rsub"})
SUMS = Kind(calls=frozenset({operator.add, torch.add, "add"}) | _DIFFERENCES | _REVERSED)
"""Sums and differences of two terms."""

PRODUCTS = Kind(calls=frozenset({operator.mul, torch.mul, torch.multiply, "mul", "multiply"}))
"""Products of two factors."""

QUOTIENTS = Kind(
    calls=frozenset({operator.truediv, torch.div, torch.divide, torch.true_divide, "div"})
)
"""Quotients."""

NEGATIVES = Kind(calls=frozenset({operator.neg, torch.neg, torch.negative, "neg"}))
"""What is multiplied by −1."""

MONOTONE = RESHAPES | MAXIMA | AVERAGES | BATCH_NORMS | CLAMPS
"""What never falls while its inputs grow, or never grows, beside sums and products."""

_BY_HAND = Kind(
    calls=frozenset({
        torch.where, torch.masked_fill, torch.abs, torch.absolute, abs, "where", "masked_fill",
        "abs", "absolute",
    }),
)  # fmt: skip
"""What can be a ReLU that is written by hand."""

_COMPARISONS = frozenset({
    operator.gt, operator.ge, operator.lt, operator.le, torch.gt, torch.ge, torch.lt, torch.le,
    "gt", "ge", "lt", "le",
})  # fmt: skip


_FILLED = frozenset({torch.zeros_like, torch.zeros, torch.full_like, "new_zeros", "new_full"})


def is_by_hand(node: fx.Node, layers: Mapping[str, nn.Module]) -> bool:
    """Whether a node chooses by sign, so that it can be a ReLU that is written by hand."""
    read = node.all_input_nodes
    layer = layers[str(node.target)] if node.op == "call_module" else None
    learned = isinstance(layer, nn.PReLU) and not layer.weight.all()
    masks = (PRODUCTS.holds(node, layers) or node.target is with_part) and any(
        n.target in _COMPARISONS for n in read
    )
    constant = any(n.op == "get_attr" or n.target in _FILLED for n in read)
    return (
        learned
        or masks
        or (constant and MAXIMA.holds(node, layers))
        or _BY_HAND.holds(node, layers)
    )


def operands(node: fx.Node) -> tuple[Any, Any]:
    """Return the two operands of a sum, product or quotient, given by place or by name."""
    given = dict(zip(("input", "other"), node.args, strict=False)) | node.kwargs
    return given["input"], given["other"]


def coefficients(node: fx.Node) -> dict[Any, float]:
    """Return for each term of a sum, a node or a number, what it is multiplied by."""
    first, second = operands(node)
    alpha: Any = node.kwargs.get("alpha", 1)
    if isinstance(alpha, fx.Node):
        raise ValueError(f"the sum {node.name!r} has an alpha that is computed, expected a number")
    alpha = -alpha if node.target in _DIFFERENCES | _REVERSED else alpha
    signed = [(first, 1), (second, alpha)]
    if node.target in _REVERSED:
        signed = [(first, alpha), (second, 1)]
    totals: dict[Any, float] = {}
    for term, coefficient in signed:
        totals[term] = totals.get(term, 0) + coefficient
    return totals
