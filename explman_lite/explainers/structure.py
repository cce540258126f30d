"""What the structure of a network alone says about one of its values, for the rules of LRP."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from explman_lite.explainers import kinds
from explman_lite.explainers.propagation import Walk


def factors(walk: Walk, node: fx.Node) -> list[fx.Node]:
    """Return what is multiplied and depends on the pixels: twice, if it is squared.

    Of a quotient that is the dividend, and nothing if the divisor depends on the pixels as well.
    """
    known = walk.inputs[node]
    if kinds.NEGATIVES.holds(node, walk.layers):
        return list(known)
    if kinds.PRODUCTS.holds(node, walk.layers):
        return [factor for factor in kinds.operands(node) if factor in known]
    if kinds.QUOTIENTS.holds(node, walk.layers) and "rounding_mode" not in node.kwargs:
        dividend, divisor = kinds.operands(node)
        return [dividend] if divisor not in known else []
    return []


def _read(walk: Walk, node: fx.Node) -> list[fx.Node]:
    """Return the nodes that depend on the pixels and whose numbers, not only shapes, are read."""
    sources = list(walk.inputs[node])
    return sources[:1] if kinds.ALIKE.holds(walk.origins[node], walk.layers) else sources


def is_of_pixels(walk: Walk, node: fx.Node) -> bool:
    """Whether each number is a pixel, or one that was shifted and scaled by constants."""
    if node.op == "placeholder":
        return True
    origin, sources = walk.origins[node], _read(walk, node)
    if kinds.SUMS.holds(origin, walk.layers):
        keeps = [term in sources for term in kinds.operands(origin)].count(True) == 1
    else:
        keeps = kinds.PER_PIXEL.holds(origin, walk.layers) or len(factors(walk, origin)) == 1
    return keeps and bool(sources) and all(is_of_pixels(walk, source) for source in sources)


def pixel_bounds(walk: Walk, node: fx.Node) -> tuple[Tensor, Tensor]:
    """Return the smallest and largest values (1, …) that pixels in [0, 1] can give a node."""
    ends = []
    for fill in (0.0, 1.0):

        def value(source: fx.Node, fill: float = fill) -> Any:
            if source.op == "placeholder":
                return torch.full_like(walk.env[source][:1].detach(), fill)
            if source.op == "get_attr":
                return walk.env[source]
            return walk.again(source, value)

        ends.append(value(node))
    # What multiplies by a negative number has exchanged the two.
    return torch.minimum(*ends), torch.maximum(*ends)


def is_never_negative(walk: Walk, node: fx.Node) -> bool:
    """Whether a value is at least zero whatever the numbers are."""
    if node.op not in {"call_module", "call_function", "call_method"}:
        return False
    origin, layers = walk.origins[node], walk.layers
    if (kinds.RECTIFIERS | kinds.GATES).holds(origin, layers):
        # A centred softplus is below zero where its input is.
        layer = layers[str(origin.target)] if origin.op == "call_module" else None
        return not getattr(layer, "centred", False)
    if kinds.SUMS.holds(origin, layers):
        terms = kinds.coefficients(origin).items()
        keeps = all(c >= 0 and (isinstance(t, fx.Node) or t >= 0) for t, c in terms)
    else:
        keeps = (kinds.AVERAGES | kinds.MAXIMA | kinds.RESHAPES | kinds.PRODUCTS).holds(
            origin, layers
        ) and not kinds.PADDINGS.holds(origin, layers)
    tensors = [source for source in origin.all_input_nodes if torch.is_tensor(walk.env[source])]
    return keeps and all(is_never_negative(walk, source) for source in tensors)


def is_gate(walk: Walk, node: fx.Node) -> bool:
    """Whether a value comes through a sigmoid, hard sigmoid or softmax.

    A ReLU with a ceiling of what was shifted is a hard sigmoid by hand. On its way a gate may be
    reshaped, averaged or enlarged, shifted and scaled by constants, and multiplied by other gates.
    """
    if node.op == "placeholder":
        return False
    origin, sources, layers = walk.origins[node], _read(walk, node), walk.layers
    if kinds.GATES.holds(origin, layers) or _is_hard_sigmoid(walk, origin):
        return True
    keeps = (kinds.RESHAPES | kinds.AVERAGES | kinds.PRODUCTS).holds(origin, layers)
    keeps = keeps or len(factors(walk, origin)) == 1
    keeps = keeps or (kinds.SUMS.holds(origin, layers) and len(sources) == 1)
    return keeps and bool(sources) and all(is_gate(walk, source) for source in sources)


def _is_hard_sigmoid(walk: Walk, node: fx.Node) -> bool:
    """Whether a node is the min(max(x + 3, 0), 6) of a hard sigmoid that is written by hand."""
    layer = walk.layers[str(node.target)] if node.op == "call_module" else None
    bounded = isinstance(layer, nn.ReLU6) or getattr(layer, "ceiling", None) is not None
    (source,) = walk.inputs[node] if bounded else (node,)
    return bounded and kinds.SUMS.holds(source, walk.layers) and len(walk.inputs[source]) == 1
