"""Explanations as a walk back through the network, with a rule for each layer.

The chain rule walks back from a logit to the pixels and multiplies by each layer's derivative.
Guided Backprop, LRP and Pattern Attribution walk the same way and replace some of the factors.
The walk is written in ordinary differentiable operations and overrides none of PyTorch's own
derivatives, so that the second derivative an attack needs is the true one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from explman_lite.explainers.base import Explainer, Explanation, class_logits, is_differentiated
from explman_lite.explainers.kinds import RECTIFIERS, is_by_hand
from explman_lite.networks.prepare import Network, as_network
from explman_lite.networks.refusals import refuse_hidden_rectifiers


class Passage:
    """One layer on the way back: what went in and out, and what arrives from above.

    Attributes
    ----------
    node : fx.Node
        The layer's place in the network's graph. Where a layer returns several tensors, this is
        the layer, and the passage is that of one of its tensors.
    layer : nn.Module or None
        The module; None for a function such as a sum.
    inputs : list of Tensor
        What it was given that depends on the pixels.
    output : Tensor
        What it returned.
    relevance : Tensor
        What arrives, in the shape of ``output``.
    """

    def __init__(self, walk: Walk, node: fx.Node, relevance: Tensor) -> None:
        self.walk, self.node, self.relevance = walk, walk.origins[node], relevance
        is_module = self.node.op == "call_module"
        self.layer = walk.layers[str(self.node.target)] if is_module else None
        self.sources = list(walk.inputs[node])
        self.inputs = list(walk.inputs[node].values())
        self.output: Tensor = walk.env[node]

    @property
    def kind(self) -> str:
        """What the layer is: the name of its class or function."""
        if self.layer is not None:
            return type(self.layer).__name__
        return str(getattr(self.node.target, "__name__", self.node.target))

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

    Attributes
    ----------
    inputs : dict
        For each node those of its inputs that depend on the pixels. What picks one of the several
        tensors of a layer has the inputs of that layer.
    origins : dict
        For each node itself, or the layer of whose tensors it picks one.
    """

    def __init__(self, network: Network, images: Tensor, differentiable: bool) -> None:
        super().__init__(network, garbage_collect_values=False)
        self.extra_traceback = False
        self.network, self.differentiable = network, differentiable
        self.layers = dict(network.named_modules())
        self.reached = reached(network.graph)
        self.inputs: dict[fx.Node, dict[fx.Node, Tensor]] = {}
        self.origins: dict[fx.Node, fx.Node] = {}
        network.verify(images)
        self.logits: Tensor = self.run(images)

    @classmethod
    def through(cls, network: Network, images: Tensor) -> Walk:
        """Walk forward from images, which need not require a gradient."""
        differentiable = is_differentiated(network, images)
        with torch.enable_grad():
            follows = differentiable and images.requires_grad
            inputs = images if follows else images.detach().requires_grad_()
            return cls(network, inputs, differentiable)

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> tuple[Any, Any]:
        """Hand a node its inputs, and remember those that depend on the pixels.

        Where a node has several, each is a view of its own: so the derivative by one of them
        does not run through another.
        """
        values = {source: self.env[source] for source in n.all_input_nodes}
        if len(values) > 1:
            # A view is the same numbers under another name for autograd.
            values = {s: v.view_as(v) if torch.is_tensor(v) else v for s, v in values.items()}
        picked = n.args[0] if n.target in {operator.getitem, getattr} else None
        if isinstance(picked, fx.Node) and isinstance(values[picked], (tuple, list)):
            self.inputs[n], self.origins[n] = self.inputs[picked], self.origins[picked]
        else:
            self.inputs[n], self.origins[n] = self._from_pixels(values), n
        return map_arg(n.args, values.__getitem__), map_arg(n.kwargs, values.__getitem__)

    def _from_pixels(self, values: dict[fx.Node, Any]) -> dict[fx.Node, Tensor]:
        """Pick the tensors that depend on the pixels: trained weights need gradients as well."""
        return {
            source: value
            for source, value in values.items()
            if source in self.reached and torch.is_tensor(value) and value.requires_grad
        }

    def again(self, node: fx.Node, values: Callable[[fx.Node], Any]) -> Any:
        """Compute a node once more, with other values in place of those that it reads."""
        args, kwargs = map_arg(node.args, values), map_arg(node.kwargs, values)
        return getattr(self, node.op)(node.target, args, kwargs)

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
                    f"tensors, and {node.name!r} takes them all"
                )
            passage = Passage(self, node, arriving.pop(node))
            for source, share in zip(passage.sources, explainer.rule(passage), strict=True):
                if share is not None:
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
        self.check(network, images)
        walk = Walk.through(network, images)
        with torch.set_grad_enabled(walk.differentiable):
            score = self.seed(class_logits(walk.logits, classes)).unsqueeze(1)
            places = classes.to(score.device).long().unsqueeze(1)
            picked = torch.zeros_like(walk.logits).scatter(1, places, score)
            attribution = walk.back(picked, self)
        logits = walk.logits if walk.differentiable else walk.logits.detach()
        return Explanation(attribution, logits)

    def check(self, network: Network, images: Tensor) -> None:
        """Refuse what the method cannot explain: here, nothing."""

    def seed(self, logits: Tensor) -> Tensor:
        """Return what is distributed, given the explained logits (N,): one each, as a gradient."""
        return torch.ones_like(logits)

    def rule(self, passage: Passage) -> Sequence[Tensor | None]:
        """Pass relevance on to each input of a layer: by the layer's true derivative.

        An input that gets None gets nothing, and the walk does not go there.
        """
        return passage.derivative(passage.relevance)


class Relevance(Propagation):
    """What LRP and Pattern Attribution share: the logit itself is handed down."""

    def seed(self, logits: Tensor) -> Tensor:
        """Distribute the logit itself."""
        return logits


@dataclass(frozen=True)
class GuidedBackprop(Propagation):
    r"""The gradient, but at every ReLU only what is positive goes on.

    .. math:: R_i = \mathrm{ReLU}'(x_i)\, \max(R_i^{above}, 0)

    Raises
    ------
    ValueError
        On a call, if the network has no ReLU, so that nothing would be guided, or one inside of a
        layer that cannot be looked into.

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

    def check(self, network: Network, images: Tensor) -> None:
        """Refuse a network without a ReLU, or with one that is out of reach."""
        refuse_hidden_rectifiers(network, "be guided")
        refuse_disguises(self.name, network)
        layers = dict(network.named_modules())
        if not any(RECTIFIERS.holds(node, layers) for node in reached(network.graph)):
            raise ValueError(
                "GuidedBackprop has a rule for ReLU, and this network has none: the result would "
                "be its gradient"
            )

    def rule(self, passage: Passage) -> Sequence[Tensor | None]:
        """Drop what is negative above an activation."""
        if isinstance(passage.layer, RECTIFIERS.modules):
            return passage.derivative(passage.relevance.clamp(min=0))
        return super().rule(passage)


def reached(graph: fx.Graph) -> dict[fx.Node, None]:
    """Return the nodes that depend on the pixels, in order; all others read constants only."""
    found: dict[fx.Node, None] = {}
    for node in graph.nodes:
        if node.op == "placeholder" or not found.keys().isdisjoint(node.all_input_nodes):
            found[node] = None
    return found


def refuse_disguises(method: str, network: Network) -> None:
    """Refuse what may be a ReLU written by hand: a method about ReLUs would pass it over."""
    layers = dict(network.named_modules())
    for node in reached(network.graph):
        if is_by_hand(node, layers):
            raise ValueError(
                f"{method} cannot know whether {node.name!r} is a ReLU: write it as one, or as "
                "another activation, so that it has a name"
            )
