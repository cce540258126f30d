"""Which layers of a network are neurons with a pattern, and where they fire."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from torch import fx, nn

from explman_lite.explainers.kinds import (
    BATCH_NORMS,
    MAXIMA,
    NEGATIVES,
    NORMS,
    PRODUCTS,
    QUOTIENTS,
    RECTIFIERS,
    RESHAPES,
    SUMS,
    Kind,
)
from explman_lite.explainers.propagation import reached
from explman_lite.networks.layers import Conv2d
from explman_lite.networks.prepare import Network

NEURONS = Kind((Conv2d, nn.Conv1d, nn.Linear))
"""What has a pattern for each of its neurons."""
_ROUTES = RESHAPES | MAXIMA
"""What stands between a neuron and its ReLU, and may as well stand behind it."""
_BY_CONSTANTS = BATCH_NORMS | SUMS | PRODUCTS | QUOTIENTS | NEGATIVES
"""What may shift and scale a neuron's value on its way to the ReLU."""
_MATRIX_PRODUCTS = Kind(
    calls=frozenset({
        F.linear, F.bilinear, F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d,
        F.conv_transpose3d, F.embedding, torch.matmul, torch.mm, torch.bmm, torch.addmm,
        torch.einsum, torch.tensordot, operator.matmul, "matmul", "mm", "bmm", "addmm",
    }),
)  # fmt: skip
"""Functions that multiply by a matrix, which may be one of weights."""


def check_weights(network: Network) -> None:
    """Refuse a network with weights that are not those of neurons, and name their layer.

    Normalisations, and activations that learn a slope, have one weight for each number.
    """
    layers, from_pixels = dict(network.named_modules()), reached(network.graph)
    for node in from_pixels:
        if NEURONS.holds(node, layers) or NORMS.holds(node, layers):
            continue
        layer = layers[str(node.target)] if node.op == "call_module" else None
        hides = layer is not None and any(weight.dim() > 1 for weight in layer.parameters())
        multiplies = any(source not in from_pixels for source in node.all_input_nodes)
        if hides or (multiplies and _MATRIX_PRODUCTS.holds(node, layers)):
            what = type(layer) if layer is not None else node.target
            kind = getattr(what, "__name__", what)
            raise ValueError(
                f"there is no pattern for the weights of the layer {node.name!r} ({kind}), "
                "expected dense layers and convolutions in one or two dimensions"
            )


def firing_value(
    node: fx.Node, walked: Collection[fx.Node], layers: Mapping[str, nn.Module]
) -> fx.Node | None:
    """Return the value that is positive where a neuron fires; None if no ReLU follows.

    That is the neuron's own value, or what constants have made of it. Behind it there may be a
    max-pooling or a change of shape.
    """
    for user in node.users:
        if RECTIFIERS.holds(user, layers) or _is_rectified(user, layers):
            return node
        by_constants = [source in walked for source in user.all_input_nodes].count(True) == 1
        if by_constants and _BY_CONSTANTS.holds(user, layers):
            found = firing_value(user, walked, layers)
            if found is not None:
                return found
    return None


def _is_rectified(node: fx.Node, layers: Mapping[str, nn.Module]) -> bool:
    """Whether a node only moves or chooses numbers, and a ReLU follows."""
    return _ROUTES.holds(node, layers) and any(
        RECTIFIERS.holds(user, layers) or _is_rectified(user, layers) for user in node.users
    )
