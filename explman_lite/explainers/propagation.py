"""Explanations as a walk back through the network, with a rule for each layer.

The chain rule walks back from a logit to the pixels and multiplies by each layer's derivative.
Guided Backprop, LRP and Pattern Attribution walk the same way and replace some of the factors.
The walk is written in ordinary differentiable operations and overrides none of PyTorch's own
derivatives, so that the second derivative an attack needs is the true one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from explman_lite.explainers.base import Explainer, Explanation, class_logits, is_differentiated
from explman_lite.networks.layers import (
    Conv2d,
    convolution,
    transposed_convolution,
)
from explman_lite.networks.prepare import Network, as_network
from explman_lite.networks.softplus import SmoothReLU

ACTIVATIONS = (nn.ReLU, nn.ReLU6, SmoothReLU)
LINEAR = (Conv2d, nn.Linear)


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
        """Pass ``relevance`` on to each input as the chain rule does.

        An input of which only the shape is used gets zeros.
        """
        return list(
            torch.autograd.grad(
                self.output,
                self.inputs,
                relevance,
                retain_graph=True,
                create_graph=self.walk.differentiable,
                materialize_grads=True,
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
        self.extra_traceback = False
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
            # A view is the same numbers under another name for autograd.
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
            if not self.inputs[node]:
                split = node.all_input_nodes[0].name
                raise ValueError(
                    f"{explainer.name} has no rule for the layer {split!r}: it returns several "
                    "tensors"
                )
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
        network = as_network(model)
        differentiable = is_differentiated(network, images)
        with torch.enable_grad():
            follows = differentiable and images.requires_grad
            inputs = images if follows else images.detach().requires_grad_()
            walk = Walk(network, inputs, differentiable)
        with torch.set_grad_enabled(differentiable):
            score = self.seed(class_logits(walk.logits, classes)).unsqueeze(1)
            places = classes.to(score.device).long().unsqueeze(1)
            picked = torch.zeros_like(walk.logits).scatter(1, places, score)
            attribution = walk.back(picked, self)
        return Explanation(attribution, walk.logits if differentiable else walk.logits.detach())

    def seed(self, logits: Tensor) -> Tensor:
        """Return what is distributed, given the explained logits (N,): one each, as a gradient."""
        return torch.ones_like(logits)

    def rule(self, passage: Passage) -> list[Tensor]:
        """Pass relevance on to each input of a layer: by the layer's true derivative."""
        return passage.derivative(passage.relevance)


@dataclass(frozen=True)
class GuidedBackprop(Propagation):
    r"""The gradient, but at every ReLU only what is positive goes on.

    .. math:: R_i = \mathrm{ReLU}'(x_i)\, \max(R_i^{above}, 0)

    Raises
    ------
    ValueError
        On a call, if the network has no ReLU: nothing would be guided.

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

    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Walk back through a network that has something to guide at."""
        network = as_network(model)
        if not any(isinstance(layer, ACTIVATIONS) for layer in network.modules()):
            raise ValueError(
                "GuidedBackprop has a rule for ReLU, and this network has none: the result would "
                "be its gradient"
            )
        return super().explain(network, images, classes)

    def rule(self, passage: Passage) -> list[Tensor]:
        """Drop what is negative above an activation."""
        if isinstance(passage.layer, ACTIVATIONS):
            return passage.derivative(passage.relevance.clamp(min=0))
        return super().rule(passage)


def linear(layer: nn.Module, weight: Tensor, inputs: Tensor) -> Tensor:
    """Apply a layer with another weight and without its bias."""
    if isinstance(layer, Conv2d):
        return convolution(inputs, weight, None, layer.geometry)
    return inputs @ weight.T


def transposed(layer: nn.Module, weight: Tensor, outputs: Tensor, inputs: Tensor) -> Tensor:
    """Apply the transpose of `linear`: from its outputs to the shape of its ``inputs``."""
    if isinstance(layer, Conv2d):
        size = torch.Size((len(outputs), *inputs.shape[1:]))
        return transposed_convolution(outputs, weight, layer.geometry, size)
    return outputs @ weight


def weight_of(layer: nn.Module) -> Tensor:
    """Return the weight of a convolution or dense layer."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight
