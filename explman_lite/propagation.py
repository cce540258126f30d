"""Explanations as a walk back through the network, with a rule for each layer.

The chain rule walks back from a logit to the pixels and multiplies by each layer's derivative.
Guided Backprop, LRP and Pattern Attribution walk the same way and replace some of the factors.
The walk is written in ordinary differentiable operations and overrides none of PyTorch's own
derivatives, so that the second derivative an attack needs is the true one.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from explman_lite.explainers import Explainer, Explanation, class_logits
from explman_lite.layers import (
    FrozenConv2d,
    Normalize,
    SmoothReLU,
    convolution,
    transposed_convolution,
)
from explman_lite.models import Network, prepare
from explman_lite.validation import check_positive

ACTIVATIONS = (nn.ReLU, nn.ReLU6, SmoothReLU)
LINEAR = (FrozenConv2d, nn.Linear)

_ONE_TO_ONE = (*ACTIVATIONS, nn.BatchNorm2d, Normalize)
_POOLINGS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
_ROUTES = (nn.MaxPool2d, nn.Flatten, nn.ZeroPad2d)
_ROUTE_CALLS = (torch.flatten, torch.cat, "flatten", "view", "reshape")
_SUMS = (operator.add, torch.add)
_PIXEL_LAYERS = (Normalize, nn.ZeroPad2d, nn.Flatten)

_SplitWeights = WeakKeyDictionary[nn.Module, tuple[Tensor, int, Tensor, Tensor]]


class Passage:
    """One layer on the way back: what went in and out, and what arrives from above.

    Attributes
    ----------
    node : fx.Node
        The layer's place in the network's graph.
    layer : nn.Module or None
        The module; None for a function such as a sum.
    inputs : list of Tensor
        What it was given.
    output : Tensor
        What it returned.
    relevance : Tensor
        What arrives, in the shape of ``output``.
    """

    def __init__(self, walk: Walk, node: fx.Node, relevance: Tensor) -> None:
        self.walk, self.node, self.relevance = walk, node, relevance
        self.layer = walk.layers[str(node.target)] if node.op == "call_module" else None
        self.inputs = list(walk.inputs[node].values())
        self.output: Tensor = walk.env[node]

    def derivative(self, relevance: Tensor) -> list[Tensor]:
        """Pass ``relevance`` on to each input as the chain rule does."""
        return list(
            torch.autograd.grad(
                self.output,
                self.inputs,
                relevance,
                retain_graph=True,
                create_graph=self.walk.differentiable,
            )
        )


class Walk(fx.Interpreter):
    """A network's way forward, with every intermediate value kept, ready to be walked back.

    Parameters
    ----------
    network : Network
        From `prepare`.
    images : Tensor
        (N, C, H, W), requiring a gradient.
    differentiable : bool
        Whether the result of the walk back will be differentiated.
    """

    def __init__(self, network: Network, images: Tensor, differentiable: bool) -> None:
        super().__init__(network, garbage_collect_values=False)
        self.network, self.differentiable = network, differentiable
        self.layers = dict(network.named_modules())
        self.inputs: dict[fx.Node, dict[fx.Node, Tensor]] = {}
        self.logits: Tensor = self.run(images)

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> tuple[Any, Any]:
        """Hand a node its inputs, and remember those that depend on the pixels.

        Where a node has several, each is a view of its own: so the derivative by one of them
        does not run through another.
        """
        values = {source: self.env[source] for source in n.all_input_nodes}
        if len(values) > 1:
            values = {s: v.view_as(v) if torch.is_tensor(v) else v for s, v in values.items()}
        self.inputs[n] = {s: v for s, v in values.items() if torch.is_tensor(v) and v.requires_grad}
        return map_arg(n.args, values.__getitem__), map_arg(n.kwargs, values.__getitem__)

    def back(self, seed: Tensor, explainer: Propagation) -> Tensor:
        """Distribute ``seed`` (N, K) from the logits down to the pixels (N, C, H, W)."""
        nodes = list(self.network.graph.nodes)
        arriving: dict[fx.Node, Tensor] = {nodes[-1].all_input_nodes[0]: seed}
        for node in reversed(nodes):
            if node.op == "placeholder" or node not in arriving:
                continue
            passage = Passage(self, node, arriving.pop(node))
            for source, share in zip(self.inputs[node], explainer.rule(passage), strict=True):
                arriving[source] = arriving[source] + share if source in arriving else share
        (pixels,) = arriving.values()
        return pixels


class Propagation(Explainer):
    """What the propagation methods share: the walk back, with a rule for each layer.

    A new method is a subclass that overrides `rule` for some layers. As it stands, it computes
    the gradient.
    """

    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Walk forward, pick the logits, and walk back."""
        network = prepare(model)
        differentiable = images.requires_grad and torch.is_grad_enabled()
        with torch.enable_grad():
            inputs = images if differentiable else images.detach().requires_grad_()
            walk = Walk(network, inputs, differentiable)
        with torch.set_grad_enabled(differentiable):
            picked = torch.zeros_like(walk.logits)
            score = self.seed(class_logits(walk.logits, classes))
            picked = picked.scatter(1, classes.to(picked.device).unsqueeze(1), score.unsqueeze(1))
            attribution = walk.back(picked, self)
        return Explanation(attribution, walk.logits if differentiable else walk.logits.detach())

    def seed(self, logits: Tensor) -> Tensor:
        """Say what is distributed, given the explained logits (N,): one each, as a gradient."""
        return torch.ones_like(logits)

    def rule(self, passage: Passage) -> list[Tensor]:
        """Pass relevance on to each input of a layer: by the layer's true derivative."""
        return passage.derivative(passage.relevance)


class GuidedBackprop(Propagation):
    r"""The gradient, but at every ReLU only what is positive goes on.

    .. math:: R_i = \mathrm{ReLU}'(x_i)\, \max(R_i^{above}, 0)

    References
    ----------
    Springenberg et al. (2015), "Striving for simplicity: the all convolutional net".

    Examples
    --------
    >>> import explman_lite as el, torch
    >>> model = el.load_model()
    >>> el.GuidedBackprop()(model, el.load_photo("chelsea", 64), torch.tensor([285])).shape
    torch.Size([1, 3, 64, 64])
    """

    def rule(self, passage: Passage) -> list[Tensor]:
        """Drop what is negative above an activation."""
        if isinstance(passage.layer, ACTIVATIONS):
            return passage.derivative(passage.relevance.clamp(min=0))
        return super().rule(passage)


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
    and batch norm hand on what they get. Biases get nothing.

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

    def __init__(
        self,
        inner: Literal["zplus", "gamma", "epsilon"] = "zplus",
        *,
        gamma: float = 0.25,
        epsilon: float = 1e-6,
    ) -> None:
        if inner not in {"zplus", "gamma", "epsilon"}:
            raise ValueError(f"inner must be 'zplus', 'gamma' or 'epsilon', got {inner!r}")
        check_positive(gamma=gamma, epsilon=epsilon)
        self.inner, self.gamma, self.epsilon = inner, gamma, epsilon
        self._split: _SplitWeights = WeakKeyDictionary()

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
        positive, negative = self._signed_weights(layer)
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
        positive, negative = self._signed_weights(layer)
        above, below = inputs.clamp(min=0), inputs.clamp(max=0)
        weight = frozen_weight(layer)
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
        positive, negative = self._signed_weights(layer)
        weight = frozen_weight(layer)
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
            total = passage.layer(parts[0]) if passage.layer is not None else _sum(parts)
        shares = passage.derivative(self._quotient(passage.relevance, total))
        return [part * share for part, share in zip(parts, shares, strict=True)]

    def _quotient(self, relevance: Tensor, total: Tensor) -> Tensor:
        """Divide by a total that is kept away from zero on its own side."""
        return relevance / (total + torch.where(total < 0, -self.epsilon, self.epsilon))

    def _signed_weights(self, layer: nn.Module) -> tuple[Tensor, Tensor]:
        """Split a weight into its positive and its negative part, and remember them."""
        weight = frozen_weight(layer)
        known = self._split.get(layer)
        if known is None or known[0] is not weight or known[1] != weight._version:
            known = (weight, weight._version, weight.clamp(min=0), weight.clamp(max=0))
            self._split[layer] = known
        return known[2], known[3]


class PatternAttribution(Propagation):
    r"""The gradient, with every weight multiplied by the pattern its neuron looks for.

    .. math:: R_i = \sum_j w_{ij}\, a_{ij}\, R_j

    The pattern a says in which direction the input varies when the neuron's output does; a
    weight, in contrast, is also busy cancelling distractors.

    Parameters
    ----------
    patterns : mapping of str to Tensor
        From `fit_patterns`: for each convolution and dense layer, by its name, a tensor in the
        shape of the weight.

    Raises
    ------
    ValueError
        If a pattern is not finite or zero everywhere; on a call, if a layer has no pattern or
        one of another shape.

    References
    ----------
    Kindermans et al. (2018), "Learning how to explain neural networks: PatternNet and
    PatternAttribution".

    Examples
    --------
    >>> import explman_lite as el, torch
    >>> model = el.prepare(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)))
    >>> images = torch.rand(20, 1, 4, 4)
    >>> explainer = el.PatternAttribution(el.fit_patterns(model, images))
    >>> explainer(model, images[:1], torch.tensor([2])).shape
    torch.Size([1, 1, 4, 4])
    """

    def __init__(self, patterns: Mapping[str, Tensor]) -> None:
        for name, pattern in patterns.items():
            if not pattern.isfinite().all():
                raise ValueError(f"the pattern of layer {name!r} holds NaN or infinity")
            if not pattern.any():
                raise ValueError(f"the pattern of layer {name!r} is zero everywhere")
        self.patterns = dict(patterns)

    def seed(self, logits: Tensor) -> Tensor:
        """Distribute the logit itself."""
        return logits

    def rule(self, passage: Passage) -> list[Tensor]:
        """Use weight times pattern in place of the weight."""
        if not isinstance(passage.layer, LINEAR):
            return super().rule(passage)
        weight = frozen_weight(passage.layer)
        pattern = self._pattern(str(passage.node.target), weight)
        return [transposed(passage.layer, weight * pattern, passage.relevance, passage.inputs[0])]

    def _pattern(self, name: str, weight: Tensor) -> Tensor:
        if name not in self.patterns:
            raise ValueError(f"there is no pattern for layer {name!r}; fit them on this network")
        pattern = self.patterns[name]
        if pattern.shape != weight.shape:
            raise ValueError(
                f"the pattern of layer {name!r} has the shape {tuple(pattern.shape)}, "
                f"expected {tuple(weight.shape)}"
            )
        return pattern.to(weight)


def linear(layer: nn.Module, weight: Tensor, inputs: Tensor) -> Tensor:
    """Apply a layer with another weight and without its bias."""
    if isinstance(layer, FrozenConv2d):
        return convolution(inputs, weight, None, layer.geometry)
    return inputs @ weight.T


def transposed(layer: nn.Module, weight: Tensor, outputs: Tensor, inputs: Tensor) -> Tensor:
    """Apply the transpose of `linear`: from its outputs to the shape of its ``inputs``."""
    if isinstance(layer, FrozenConv2d):
        size = torch.Size((len(outputs), *inputs.shape[1:]))
        return transposed_convolution(outputs, weight, layer.geometry, size)
    return outputs @ weight


def frozen_weight(layer: nn.Module) -> Tensor:
    """Return the weight of a convolution or dense layer."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.detach()


def _sum(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


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
    else:
        keeps_sign = node.target in (*_SUMS, *_ROUTE_CALLS)
    return keeps_sign and all(_never_negative(walk, source) for source in walk.inputs[node])
