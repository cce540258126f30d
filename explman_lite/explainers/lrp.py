"""Layer-wise relevance propagation: shares of the logit, handed down from layer to layer."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import reduce
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from explman_lite.explainers import kinds
from explman_lite.explainers.linear import linear, quotient_of, transposed, weight_of
from explman_lite.explainers.propagation import Passage, Relevance
from explman_lite.explainers.structure import (
    factors,
    is_gate,
    is_never_negative,
    is_of_pixels,
    is_turned,
    pixel_bounds,
)
from explman_lite.networks.prepare import Network
from explman_lite.validation import check_choice, check_positive

_HANDED_ON = kinds.ONE_TO_ONE | kinds.SUMS
"""What hands on what it gets, where it has one input."""


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

_JOINED: WeakKeyDictionary[nn.Module, tuple[Tensor, Tensor]] = WeakKeyDictionary()
"""The positive part of a layer's weight, and both parts side by side."""


@dataclass(frozen=True)
class LRP(Relevance):
    r"""Layer-wise relevance propagation: the logit is handed down in shares that add up.

    Inside the network, by the z⁺ rule, relevance flows along positive contributions:

    .. math:: R_i = \sum_j \frac{x_i w_{ij}^+}{\sum_k x_k w_{kj}^+} R_j

    (and along :math:`x^- w^-` where an input can be negative). At the pixels the z-box rule knows
    that they lie between l and h, per channel:

    .. math::
       R_i = \sum_j \frac{x_i w_{ij} - l_i w_{ij}^+ - h_i w_{ij}^-}
                         {\sum_k x_k w_{kj} - l_k w_{kj}^+ - h_k w_{kj}^-} R_j

    What is summed with fixed coefficients c, none of them negative in an average, shares by
    magnitude, and by signed value under the ε rule:

    .. math:: R_i = \sum_j \frac{\lvert c_{ij} x_i \rvert}{\sum_k \lvert c_{kj} x_k \rvert} R_j

    Each layer, however it is spelled, has one rule:

    =====================================================  =======================================
    layers                                                 rule
    =====================================================  =======================================
    dense, convolutions in one and two dimensions,         z-box if only pixels come in, else
    transposed convolutions in two                         ``inner``
    sums, differences, ``torch.add(…, alpha=c)``           shares :math:`c x`
    average pooling, ``mean``, ``sum``, interpolation      shares :math:`c x`
    (but bicubic)
    maxima: pooling, ``amax``, ``maximum``                 all to the winner
    reshaping, permuting, slicing, splitting,              each number to where it came from
    concatenating, padding, repeating
    activations, one number to one: ReLU, LeakyReLU,       hands on what it gets
    SiLU, GELU, Hardswish, ELU, tanh, sigmoid, …
    batch, layer and group norm; constant factors          hands on what it gets
    signal times gate                                      all to the signal
    pixels shifted by constants                            hands on, as a normalisation
    =====================================================  =======================================

    What comes in as pixels may have been reshaped, pooled, enlarged, shifted and scaled; the box
    is what that makes of [0, 1]. A layer whose output is subtracted is one with negative weights.

    A gate is a factor that comes from a sigmoid, hard sigmoid or softmax, as in squeeze and
    excitation, perhaps reshaped, averaged, shifted or scaled on its way. A product of two signals
    or of two gates is refused: nothing in the network says how to share it. So are attention,
    recurrent layers and whatever else is not in the table.

    Biases get nothing, and nor do constant summands inside the network: what reaches a unit that
    only its bias made fire is lost, which in depthwise convolutions can be most of the logit. That
    activations hand on what they get is a convention, and exact only for those with f(0) = 0.

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
        layer without a rule, which is named, and for images in half precision.

    Notes
    -----
    The signed parts of constant weights are kept from call to call. A weight that is changed is
    split anew, but a change through ``weight.data`` cannot be seen: write to it under
    `torch.no_grad`.

    References
    ----------
    Bach et al. (2015), "On pixel-wise explanations": the ε rule, activations, max pooling.
    Montavon et al. (2017), "Explaining nonlinear classification decisions with deep Taylor
    decomposition": z⁺ and z-box. Arras et al. (2017), "Explaining recurrent neural network
    predictions in sentiment analysis": signal and gate. Achtibat et al. (2024), "AttnLRP:
    attention-aware layer-wise relevance propagation for transformers": smooth activations and
    layer norm.

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
        check_choice("inner", self.inner, {"zplus", "gamma", "epsilon"})
        check_positive(gamma=self.gamma, epsilon=self.epsilon)

    def check(self, network: Network, images: Tensor) -> None:
        """Refuse numbers that are too coarse for ε and for quotients of small numbers."""
        if images.dtype not in {torch.float32, torch.float64}:
            raise ValueError(
                f"LRP needs float32 or float64, got {images.dtype}: call .float() on network and "
                "images"
            )

    def rule(self, passage: Passage) -> Sequence[Tensor | None]:
        """Share relevance among the inputs of a layer."""
        node, layers, layer = passage.node, passage.walk.layers, passage.layer
        if kinds.RESHAPES.holds(node, layers) or kinds.MAXIMA.holds(node, layers):
            return passage.derivative(passage.relevance)
        if kinds.SUMS.holds(node, layers) and not is_of_pixels(passage.walk, node):
            return self._sum(passage)
        if kinds.PRODUCTS.holds(node, layers) and len(factors(passage.walk, node)) == 2:
            return _signal_takes_all(passage)
        if len(passage.inputs) == 1:
            if layer is not None and kinds.WEIGHTED.holds(node, layers) and not _is_resized(node):
                return [self._linear(passage, layer)]
            if kinds.AVERAGES.holds(node, layers) and not _overshoots(passage):
                return [self._average(passage)]
            if _HANDED_ON.holds(node, layers) or factors(passage.walk, node):
                return [passage.relevance.sum_to_size(passage.inputs[0].shape)]
        raise ValueError(f"LRP has no rule for the layer {node.name!r} ({passage.kind})")

    def _linear(self, passage: Passage, layer: nn.Module) -> Tensor:
        if is_of_pixels(passage.walk, passage.sources[0]):
            return self._zbox(passage, layer, *pixel_bounds(passage.walk, passage.sources[0]))
        if self.inner == "epsilon":
            (share,) = passage.derivative(self._quotient(passage.relevance, passage.output))
            return passage.inputs[0] * share
        return (self._zplus if self.inner == "zplus" else self._gamma)(passage, layer)

    def _zplus(self, passage: Passage, layer: nn.Module) -> Tensor:
        (inputs,) = passage.inputs
        _, positive, negative = _oriented_weights(passage, layer)
        if is_never_negative(passage.walk, passage.sources[0]):
            parts = [(inputs, positive)]
        else:
            above = inputs.relu()
            parts = [(above, positive), (inputs - above, negative)]
        both = len(parts) == 2 and isinstance(layer, nn.Conv2d) and layer.groups == 1
        if both:
            # One convolution of twice the channels takes less time than two of them.
            parts = [(torch.cat([above, inputs - above], 1), _joined(layer, positive, negative))]
        # Neither of the products is negative, so that ε needs no sign.
        total = _sum_of(linear(layer, weight, part) for part, weight in parts).add_(self.epsilon)
        quotient = quotient_of(passage.relevance, total)
        shares = _sum_of(part * transposed(layer, weight, quotient, part) for part, weight in parts)
        return _sum_of(shares.chunk(2, dim=1)) if both else shares

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
        weight, positive, negative = _oriented_weights(passage, layer)
        bounds = linear(layer, positive, low) + linear(layer, negative, high)
        quotient = self._quotient(passage.relevance, linear(layer, weight, inputs) - bounds)
        return (
            inputs * transposed(layer, weight, quotient, inputs)
            - low * transposed(layer, positive, quotient, inputs)
            - high * transposed(layer, negative, quotient, inputs)
        )

    def _average(self, passage: Passage) -> Tensor:
        """Share by magnitude among what is averaged; by signed value under the ε rule."""
        (part,), total, walk = passage.inputs, passage.output, passage.walk
        if self.inner != "epsilon":
            part = part.abs()
            known = {passage.sources[0]: part}
            total = walk.again(passage.node, lambda n: known[n] if n in known else walk.env[n])
        (share,) = passage.derivative(self._quotient(passage.relevance, total))
        return part * share

    def _sum(self, passage: Passage) -> list[Tensor]:
        """Share by magnitude among summands; by signed value under the ε rule."""
        known = kinds.coefficients(passage.node)
        coefficients = [known[source] for source in passage.sources]
        values, total = passage.inputs, passage.output
        if self.inner != "epsilon":
            coefficients = [abs(coefficient) for coefficient in coefficients]
            values = [value.abs() for value in values]
            total = _sum_of(map(_times, coefficients, values))
        quotient = self._quotient(passage.relevance, total)
        return [
            value * _times(coefficient, quotient).sum_to_size(value.shape)
            for coefficient, value in zip(coefficients, values, strict=True)
        ]

    def _quotient(self, relevance: Tensor, total: Tensor) -> Tensor:
        """Divide by a total that is kept away from zero on its own side."""
        return quotient_of(relevance, total + torch.where(total < 0, -self.epsilon, self.epsilon))


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


def _joined(layer: nn.Module, positive: Tensor, negative: Tensor) -> Tensor:
    """Join the positive and the negative part of a weight; those of a constant are kept joined."""
    known = _JOINED.get(layer)
    if known is None or known[0] is not positive:
        known = (positive, torch.cat([positive, negative], 1))
        if not positive.requires_grad:
            _JOINED[layer] = known
    return known[1]


def _oriented_weights(passage: Passage, layer: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Return a weight and its parts; negative if all that reads the output subtracts it.

    What is subtracted is no other function than what is added with a negative weight.
    """
    weight, (positive, negative) = weight_of(layer), _signed_weights(layer)
    if is_turned(passage.walk, passage.node):
        return -weight, -negative, -positive
    return weight, positive, negative


def _state(weight: Tensor) -> tuple[Any, ...]:
    """Return where a weight lies, how it is laid out, and how often it was changed."""
    layout = (weight.device, weight.dtype, weight.shape, weight.stride())
    return (weight.data_ptr(), *layout, weight._version)


def _sum_of(values: Iterable[Tensor]) -> Tensor:
    return reduce(operator.add, values)


def _times(coefficient: float, value: Tensor) -> Tensor:
    return value if coefficient == 1 else coefficient * value


def _is_resized(node: fx.Node) -> bool:
    """Whether a transposed convolution is told the size of its output at each call."""
    return len(node.args) + len(node.kwargs) > 1


def _signal_takes_all(passage: Passage) -> list[Tensor | None]:
    """Hand a product's relevance to the factor that is no gate."""
    walk = passage.walk
    signals = [source for source in factors(walk, passage.node) if not is_gate(walk, source)]
    if len(signals) != 1:
        found = "no factor is a gate" if signals else "both factors are gates"
        raise ValueError(
            f"LRP has no rule for the product {passage.node.name!r}: {found}, expected one of two, "
            "from a sigmoid, hard sigmoid or softmax"
        )
    return [
        passage.relevance.sum_to_size(value.shape) if source is signals[0] else None
        for source, value in zip(passage.sources, passage.inputs, strict=True)
    ]


def _overshoots(passage: Passage) -> bool:
    """Whether an interpolation has negative weights, as a bicubic one."""
    given = (
        getattr(passage.layer, "mode", None),
        *passage.node.args,
        *passage.node.kwargs.values(),
    )
    return "bicubic" in [value for value in given if isinstance(value, str)]
