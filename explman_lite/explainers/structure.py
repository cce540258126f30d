"""What the structure of a network alone says about one of its values, for the rules of LRP."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from explman_lite.explainers import kinds
from explman_lite.explainers.propagation import Walk

_SCALED = kinds.PRODUCTS | kinds.QUOTIENTS
_MOVED = kinds.RESHAPES | kinds.AVERAGES
_BOUNDED_BELOW = kinds.RECTIFIERS | kinds.GATES
_KEEPS_SIGN = kinds.AVERAGES | kinds.MAXIMA | kinds.RESHAPES | kinds.PRODUCTS
_KEEPS_GATES = kinds.RESHAPES | kinds.AVERAGES | kinds.PRODUCTS


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
    """Whether the bounds of the pixels are known as bounds of a value.

    They are where pixels were moved, averaged, or chosen among, and shifted and scaled by
    constants: whatever grows with all pixels, or falls with all.
    """
    if node.op == "placeholder":
        return True
    origin, sources = walk.origins[node], _read(walk, node)
    if kinds.SUMS.holds(origin, walk.layers):
        keeps = [term in sources for term in kinds.operands(origin)].count(True) == 1
    else:
        keeps = kinds.MONOTONE.holds(origin, walk.layers) or len(factors(walk, origin)) == 1
    return keeps and bool(sources) and all(is_of_pixels(walk, source) for source in sources)


def pixel_bounds(walk: Walk, node: fx.Node) -> tuple[Any, Any]:
    """Return the smallest and largest values (1, …) that pixels in [0, 1] can give a node."""
    if node.op == "placeholder":
        pixels = walk.env[node][:1].detach()
        return torch.zeros_like(pixels), torch.ones_like(pixels)
    if node.op == "get_attr":
        return walk.env[node], walk.env[node]
    sources = {source: pixel_bounds(walk, source) for source in node.all_input_nodes}
    low = walk.again(node, lambda source: sources[source][0])
    high = walk.again(node, lambda source: sources[source][1])
    if not torch.is_tensor(low):
        return low, high
    # What multiplies by a negative number exchanges the two.
    return torch.minimum(low, high), torch.maximum(low, high)


def is_turned(walk: Walk, node: fx.Node) -> bool:
    """Whether all that is made of a value has the opposite sign, as of what is subtracted.

    A layer whose output is turned is the layer with the negative weight.
    """
    users = [user for user in node.users if user in walk.reached]
    return bool(users) and all(_turns(walk, node, user) for user in users)


def _turns(walk: Walk, node: fx.Node, user: fx.Node) -> bool:
    """Whether a value changes its sign on its way by a user, as far as nothing bends it."""
    layers = walk.layers
    if kinds.SUMS.holds(user, layers):
        own = kinds.coefficients(user)[node] < 0
    elif kinds.NEGATIVES.holds(user, layers):
        own = True
    elif _SCALED.holds(user, layers) and factors(walk, user) == [node]:
        numbers = [value for value in kinds.operands(user) if isinstance(value, (int, float))]
        own = any(number < 0 for number in numbers)
    elif _MOVED.holds(user, layers):
        own = False
    else:
        return False
    return own != is_turned(walk, user)


def is_never_negative(walk: Walk, node: fx.Node) -> bool:
    """Whether a value is at least zero whatever the numbers are."""
    if node.op not in {"call_module", "call_function", "call_method"}:
        return False
    origin, layers = walk.origins[node], walk.layers
    if _BOUNDED_BELOW.holds(origin, layers):
        # A centred softplus is below zero where its input is.
        layer = layers[str(origin.target)] if origin.op == "call_module" else None
        return not getattr(layer, "centred", False)
    if kinds.SUMS.holds(origin, layers):
        terms = kinds.coefficients(origin).items()
        keeps = all(c >= 0 and (isinstance(t, fx.Node) or t >= 0) for t, c in terms)
    else:
        keeps = _KEEPS_SIGN.holds(origin, layers) and not kinds.PADDINGS.holds(origin, layers)
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
    keeps = _KEEPS_GATES.holds(origin, layers)
    keeps = keeps or len(factors(walk, origin)) == 1
    keeps = keeps or (kinds.SUMS.holds(origin, layers) and len(sources) == 1)
    return keeps and bool(sources) and all(is_gate(walk, source) for source in sources)


def _is_hard_sigmoid(walk: Walk, node: fx.Node) -> bool:
    """Whether a node is the min(max(x + 3, 0), 6) of a hard sigmoid that is written by hand."""
    layer = walk.layers[str(node.target)] if node.op == "call_module" else None
    bounded = isinstance(layer, nn.ReLU6) or getattr(layer, "ceiling", None) is not None
    (source,) = walk.inputs[node] if bounded else (node,)
    return bounded and kinds.SUMS.holds(source, walk.layers) and len(walk.inputs[source]) == 1
