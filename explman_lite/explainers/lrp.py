"""Layer-wise relevance propagation: shares of the logit, handed down from layer to layer."""

from __future__ import annotations

import operator
from dataclasses import KW_ONLY, dataclass
from functools import reduce
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from explman_lite.explainers.propagation import (
    ACTIVATIONS,
    LINEAR,
    Passage,
    Propagation,
    Walk,
    linear,
    transposed,
    weight_of,
)
from explman_lite.networks.layers import Normalize
from explman_lite.validation import check_positive

_ONE_TO_ONE = (*ACTIVATIONS, nn.BatchNorm2d, Normalize)
_POOLINGS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
_ROUTES = (nn.MaxPool2d, nn.Flatten, nn.ZeroPad2d)
_ROUTE_CALLS = (torch.flatten, torch.cat, "flatten", "view", "reshape")
_SUMS = (operator.add, torch.add)
_PIXEL_LAYERS = (Normalize, nn.ZeroPad2d, nn.Flatten)


class _SplitWeight(NamedTuple):
    """A weight, its positive and its negative part, and the state in which it was split.

    The weight is kept so that no other can take its place in memory.
    """

    weight: Tensor
    state: tuple[Any, ...]
    positive: Tensor
    negative: Tensor


_SPLIT: WeakKeyDictionary[nn.Module, _SplitWeight] = WeakKeyDictionary()
"""The parts of each layer's weight, gone with the layer."""


@dataclass(frozen=True)
class LRP(Propagation):
    r"""Layer-wise relevance propagation: the logit is handed down in shares that add up.

    Inside the network, by the z⁺ rule, relevance flows along positive contributions:

    .. math:: R_i = \sum_j \frac{x_i w_{ij}^+}{\sum_k x_k w_{kj}^+} R_j

    (and along :math:`x^- w^-` where an input can be negative). At the pixels the z-box rule knows
    that they lie between l and h, per channel:

    .. math::
       R_i = \sum_j \frac{x_i w_{ij} - l_i w_{ij}^+ - h_i w_{ij}^-}
                         {\sum_k x_k w_{kj} - l_k w_{kj}^+ - h_k w_{kj}^-} R_j

    Sums and average pooling share by magnitude, max pooling gives all to the winner, activations
    and batch norm hand on what they get. Biases get nothing: what reaches a unit that only its bias
    made fire is lost, which in depthwise convolutions can be most of the logit.

    The γ rule is for networks like VGG, where layers see no negative inputs. In efficientnet_lite0
    they do, behind its linear bottlenecks; there a denominator of the γ rule can come close to
    zero, and its relevance explodes. The z⁺ rule has no such places.

    Parameters
    ----------
    inner : {"zplus", "gamma", "epsilon"}
        The rule inside the network.
    gamma : float
        γ of the γ rule, which favours positive contributions: :math:`w + \gamma w^+`.
    epsilon : float
        Added to denominators with their sign; ε of the ε rule.

    Raises
    ------
    ValueError
        On construction for an unknown rule or a parameter that is not positive; on a call for a
        layer without a rule, which is named.

    Notes
    -----
    The signed parts of constant weights are kept from call to call. A weight that is changed is
    split anew, but a change through ``weight.data`` cannot be seen: write to it under
    `torch.no_grad`.

    References
    ----------
    Bach et al. (2015), "On pixel-wise explanations"; Montavon et al. (2017), "Explaining
    nonlinear classification decisions with deep Taylor decomposition".

    Examples
    --------
    >>> import explman_lite as el, torch
    >>> model = el.load_model()
    >>> el.LRP()(model, el.load_photo("chelsea", 64), torch.tensor([285])).shape
    torch.Size([1, 3, 64, 64])
    """

    inner: Literal["zplus", "gamma", "epsilon"] = "zplus"
    _: KW_ONLY
    gamma: float = 0.25
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        """Refuse parameters that are not of the form above."""
        if self.inner not in {"zplus", "gamma", "epsilon"}:
            raise ValueError(f"inner must be 'zplus', 'gamma' or 'epsilon', got {self.inner!r}")
        check_positive(gamma=self.gamma, epsilon=self.epsilon)

    @property
    def step_size(self) -> float:
        """Half of the gradient's: propagated relevance follows more slowly, and spares the picture.

        It stands on ``results/optimisers.csv``.
        """
        return 2e-3

    def seed(self, logits: Tensor) -> Tensor:
        """Distribute the logit itself."""
        return logits

    def rule(self, passage: Passage) -> list[Tensor]:
        """Share relevance among the inputs of a layer."""
        layer, call = passage.layer, passage.node.target
        if isinstance(layer, LINEAR):
            return [self._linear(passage, layer)]
        if isinstance(layer, _ONE_TO_ONE):
            return [passage.relevance]
        if isinstance(layer, _POOLINGS) or call in _SUMS:
            return self._share(passage)
        if isinstance(layer, _ROUTES) or call in _ROUTE_CALLS:
            return passage.derivative(passage.relevance)
        kind = type(layer).__name__ if layer is not None else call
        raise ValueError(f"LRP has no rule for the layer {passage.node.name!r} ({kind})")

    def _linear(self, passage: Passage, layer: nn.Module) -> Tensor:
        bounds = _pixel_bounds(passage)
        if bounds is not None:
            return self._zbox(passage, layer, *bounds)
        if self.inner == "epsilon":
            (share,) = passage.derivative(self._quotient(passage.relevance, passage.output))
            return passage.inputs[0] * share
        return (self._zplus if self.inner == "zplus" else self._gamma)(passage, layer)

    def _zplus(self, passage: Passage, layer: nn.Module) -> Tensor:
        (inputs,) = passage.inputs
        positive, negative = _signed_weights(layer)
        if _never_negative(passage.walk, passage.node.all_input_nodes[0]):
            total = linear(layer, positive, inputs)
            quotient = self._quotient(passage.relevance, total)
            return inputs * transposed(layer, positive, quotient, inputs)
        above, below = inputs.clamp(min=0), inputs.clamp(max=0)
        total = linear(layer, positive, above) + linear(layer, negative, below)
        quotient = self._quotient(passage.relevance, total)
        return above * transposed(layer, positive, quotient, inputs) + below * transposed(
            layer, negative, quotient, inputs
        )

    def _gamma(self, passage: Passage, layer: nn.Module) -> Tensor:
        """Favour contributions of the output's own sign."""
        (inputs,) = passage.inputs
        positive, negative = _signed_weights(layer)
        above, below = inputs.clamp(min=0), inputs.clamp(max=0)
        weight = weight_of(layer)
        shares = torch.zeros_like(inputs)
        for sign, with_above, with_below in ((1, positive, negative), (-1, negative, positive)):
            favoured_above = weight + self.gamma * with_above
            favoured_below = weight + self.gamma * with_below
            total = linear(layer, favoured_above, above) + linear(layer, favoured_below, below)
            own = (passage.output * sign > 0) * passage.relevance
            quotient = self._quotient(own, total)
            shares = shares + above * transposed(layer, favoured_above, quotient, inputs)
            shares = shares + below * transposed(layer, favoured_below, quotient, inputs)
        return shares

    def _zbox(self, passage: Passage, layer: nn.Module, low: Tensor, high: Tensor) -> Tensor:
        (inputs,) = passage.inputs
        positive, negative = _signed_weights(layer)
        weight = weight_of(layer)
        bounds = linear(layer, positive, low) + linear(layer, negative, high)
        quotient = self._quotient(passage.relevance, linear(layer, weight, inputs) - bounds)
        return (
            inputs * transposed(layer, weight, quotient, inputs)
            - low * transposed(layer, positive, quotient, inputs)
            - high * transposed(layer, negative, quotient, inputs)
        )

    def _share(self, passage: Passage) -> list[Tensor]:
        """Share by magnitude among summands; by signed value under the ε rule."""
        if self.inner == "epsilon":
            parts, total = passage.inputs, passage.output
        else:
            parts = [value.abs() for value in passage.inputs]
            total = passage.layer(parts[0]) if passage.layer is not None else _sum(passage, parts)
        shares = passage.derivative(self._quotient(passage.relevance, total))
        return [part * share for part, share in zip(parts, shares, strict=True)]

    def _quotient(self, relevance: Tensor, total: Tensor) -> Tensor:
        """Divide by a total that is kept away from zero on its own side."""
        return relevance / (total + torch.where(total < 0, -self.epsilon, self.epsilon))


def _signed_weights(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Split a layer's weight into its positive and its negative part.

    The parts of a constant weight are remembered; those of a trainable one hang on it.
    """
    weight = weight_of(layer)
    if weight.requires_grad:
        return weight.clamp(min=0), weight.clamp(max=0)
    state = _state(weight)
    known = _SPLIT.get(layer)
    if known is None or known.state != state:
        known = _SplitWeight(weight, state, weight.clamp(min=0), weight.clamp(max=0))
        _SPLIT[layer] = known
    return known.positive, known.negative


def _state(weight: Tensor) -> tuple[Any, ...]:
    """Return where a weight lies, how it is laid out, and how often it was changed."""
    layout = (weight.device, weight.dtype, weight.shape, weight.stride())
    return (weight.data_ptr(), *layout, weight._version)


def _sum(passage: Passage, parts: list[Tensor]) -> Tensor:
    """Add the parts, each as often as it is a summand."""
    known = dict(zip(passage.walk.inputs[passage.node], parts, strict=True))
    return reduce(operator.add, [known[term] for term in _terms(passage.node) if term in known])


def _terms(node: fx.Node) -> list[Any]:
    return [*node.args, *node.kwargs.values()]


def _pixel_bounds(passage: Passage) -> tuple[Tensor, Tensor] | None:
    """Return the smallest and largest input (1, C, H, W), if only pixels come in."""
    path = []
    (source,) = passage.node.all_input_nodes
    while source.op == "call_module" and isinstance(
        layer := passage.walk.layers[str(source.target)], _PIXEL_LAYERS
    ):
        path.append(layer)
        (source,) = source.all_input_nodes
    if source.op != "placeholder":
        return None
    pixels = passage.walk.env[source][:1].detach()
    low, high = torch.zeros_like(pixels), torch.ones_like(pixels)
    for layer in reversed(path):
        low, high = layer(low), layer(high)
    return low, high


def _never_negative(walk: Walk, node: fx.Node) -> bool:
    """Whether the structure of the network alone says that a value is at least zero."""
    if node.op == "call_module":
        layer = walk.layers[str(node.target)]
        if isinstance(layer, ACTIVATIONS):
            return True
        keeps_sign = isinstance(layer, (*_POOLINGS, *_ROUTES))
    elif node.target in _SUMS:
        keeps_sign = all(term >= 0 for term in _terms(node) if isinstance(term, (int, float)))
    else:
        keeps_sign = node.target in _ROUTE_CALLS
    sources = [source for source in node.all_input_nodes if torch.is_tensor(walk.env[source])]
    return keeps_sign and all(_never_negative(walk, source) for source in sources)
