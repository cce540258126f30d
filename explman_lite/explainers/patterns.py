"""Pattern Attribution, and the patterns it needs, estimated from data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from explman_lite.explainers.kinds import BATCH_NORMS
from explman_lite.explainers.linear import as_rows, row_geometry, transposed, weight_of
from explman_lite.explainers.neurons import NEURONS, check_weights, firing_value
from explman_lite.explainers.propagation import Passage, Relevance, reached, refuse_disguises
from explman_lite.networks.layers import Conv2d
from explman_lite.networks.prepare import Network, as_network
from explman_lite.progress import progress_bar
from explman_lite.validation import check_images

_PIXELS_AT_ONCE = 4 * 224**2


@dataclass(frozen=True, eq=False, repr=False)
class PatternAttribution(Relevance):
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
        one of another shape, or if it has weights and can have no pattern.

    Notes
    -----
    Pooling, activations and normalisations hand on by their derivative; only batch norm right
    behind a neuron, which is a part of it, hands on what it gets. Layers that have patterns are
    dense ones and convolutions in one and two dimensions, modules or functions.

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

    patterns: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        """Refuse patterns that tell nothing."""
        if not isinstance(self.patterns, Mapping):
            raise TypeError(
                "patterns must be a mapping of layers to tensors, got "
                f"{type(self.patterns).__name__}"
            )
        for name, pattern in self.patterns.items():
            if not isinstance(pattern, Tensor):
                raise TypeError(f"patterns must be tensors, got {pattern!r} for layer {name!r}")
            if not pattern.isfinite().all():
                raise ValueError(f"the pattern of layer {name!r} holds NaN or infinity")
            if not pattern.any():
                raise ValueError(f"the pattern of layer {name!r} is zero everywhere")
        object.__setattr__(self, "patterns", dict(self.patterns))

    def __repr__(self) -> str:
        """Name the class and count the patterns, which are too many to print."""
        return f"PatternAttribution({len(self.patterns)} patterns)"

    def __eq__(self, other: object) -> bool:
        """Whether another has the same patterns."""
        if not isinstance(other, PatternAttribution):
            return NotImplemented
        mine, theirs = self.patterns, other.patterns
        return mine.keys() == theirs.keys() and all(
            torch.equal(pattern, theirs[name]) for name, pattern in mine.items()
        )

    def __hash__(self) -> int:
        """Hash by the names of the layers."""
        return hash(frozenset(self.patterns))

    def check(self, network: Network, images: Tensor) -> None:
        """Refuse weights that have no pattern."""
        check_weights(network)

    def rule(self, passage: Passage) -> Sequence[Tensor | None]:
        """Use weight times pattern in place of the weight."""
        source, layers = passage.sources[0], passage.walk.layers
        if BATCH_NORMS.holds(passage.node, layers) and NEURONS.holds(source, layers):
            # Folded into the neuron, it multiplies the weight and divides the pattern.
            return [passage.relevance]
        if passage.layer is None or not NEURONS.holds(passage.node, layers):
            return super().rule(passage)
        weight = weight_of(passage.layer)
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


class _Moments:
    """Sums over the data of one layer: of its inputs and outputs where its neurons fire.

    Grouped convolutions are kept group by group: weights (G, O, K) for G groups of O neurons
    with K inputs each.
    """

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        self.groups = layer.groups if isinstance(layer, (Conv2d, nn.Conv1d)) else 1
        self.weight = weight_of(layer).detach().double().reshape(self.groups, -1, _fan_in(layer))
        shape = self.weight.shape
        self.count = self.weight.new_zeros(shape[:2])
        self.outputs = self.weight.new_zeros(shape[:2])
        self.inputs = self.weight.new_zeros(shape)
        self.products = self.weight.new_zeros(shape)

    def add(self, inputs: Tensor, outputs: Tensor, firing: Tensor | None) -> None:
        """Add a batch: x, y, and the products x y where ``firing`` is positive, or everywhere.

        The outputs may hold the bias, which changes no covariance.
        """
        x = self._patches(inputs)
        y, value = self._neurons(outputs), self._neurons(outputs if firing is None else firing)
        fires = torch.ones_like(y) if firing is None else (value > 0).double()
        self.count += fires.sum(dim=2)
        self.outputs += (y * fires).sum(dim=2)
        self.inputs += fires @ x.transpose(1, 2)
        self.products += (y * fires) @ x.transpose(1, 2)

    def _neurons(self, outputs: Tensor) -> Tensor:
        """Return what each neuron says: (G, O, positions)."""
        y = self._positions(outputs).reshape(self.groups, self.weight.shape[1], -1)
        return y.double()

    def _patches(self, inputs: Tensor) -> Tensor:
        """Return what each neuron sees: (G, K, positions)."""
        layer = self.layer
        if isinstance(layer, Conv2d):
            stride, padding, dilation, _ = layer.geometry
            inputs = F.unfold(inputs, layer.kernel_size, dilation, padding, stride)
        if isinstance(layer, nn.Conv1d):
            (inputs,), kernel = as_rows(inputs), (1, *layer.kernel_size)
            stride, padding, dilation, _ = row_geometry(layer)
            inputs = F.unfold(inputs, kernel, dilation, padding, stride)
        return self._positions(inputs).reshape(self.groups, self.weight.shape[2], -1).double()

    def _positions(self, values: Tensor) -> Tensor:
        """Put channels first and all samples and places behind: (C, N · places)."""
        if isinstance(self.layer, nn.Linear):
            return values.flatten(0, -2).T
        return values.flatten(2).transpose(0, 1).flatten(1)

    def pattern(self) -> Tensor:
        """Return covariance over variance, scaled so that each neuron's weight · pattern is 1."""
        count = self.count.clamp(min=1).unsqueeze(2)
        covariance = self.products / count - self.inputs / count * (
            self.outputs.unsqueeze(2) / count
        )
        tiny = torch.finfo(covariance.dtype).tiny
        white = self.weight / self.weight.square().sum(dim=2, keepdim=True).clamp(min=tiny)
        variance = (self.weight * covariance).sum(dim=2, keepdim=True)
        scale = variance.amax().clamp(min=tiny)
        known = variance > 1e-9 * scale
        pattern = torch.where(known, covariance / variance.where(known, scale), white)
        weight = weight_of(self.layer)
        return pattern.reshape(weight.shape).to(weight)


def fit_patterns(model: nn.Module, images: Tensor, *, progress: bool = True) -> dict[str, Tensor]:
    r"""Estimate for each neuron the direction in which its input varies with its output.

    For a neuron y = w·x before its bias, followed by a ReLU, over the data where it fires:

    .. math:: a = \frac{\mathrm{Cov}_+[x, y]}{\mathrm{Var}_+[y]}, \qquad w \cdot a = 1

    For a neuron without a ReLU, over all data. The ReLU may stand behind a max-pooling or a
    change of shape: the network computes the same as if it stood before. A neuron that never fires
    tells nothing about its pattern; it gets that of white noise, :math:`w / \lVert w \rVert^2`,
    and a neuron without weights gets zero. (The paper subtracts
    :math:`E_+[x]\,E[y]` where we subtract :math:`E_+[x]\,E_+[y]`, which keeps the variance
    positive for neurons with a bias.) Images are read in batches, the smaller the larger they are;
    memory does not grow with their number.

    Parameters
    ----------
    model : nn.Module
        From `load_model` or `prepare`.
    images : Tensor
        (N, C, H, W) in [0, 1], N at least 2.
    progress : bool
        Show a progress bar if it takes more than a second.

    Returns
    -------
    dict of str to Tensor
        For each convolution and dense layer, by name, a pattern in the shape of its weight.

    Raises
    ------
    ValueError
        If there are fewer than two images, if no layer has a pattern, or one with weights can have
        none.

    References
    ----------
    Kindermans et al. (2018), "Learning how to explain neural networks: PatternNet and
    PatternAttribution".

    Examples
    --------
    >>> import explman_lite as el, torch
    >>> layer = torch.nn.Linear(4, 2)
    >>> model = el.prepare(torch.nn.Sequential(torch.nn.Flatten(), layer))
    >>> (pattern,) = el.fit_patterns(model, torch.rand(50, 1, 2, 2)).values()
    >>> torch.allclose((pattern * layer.weight).sum(dim=1), torch.ones(2), atol=1e-4)
    True
    """
    check_images(images)
    if len(images) < 2:
        raise ValueError("patterns need at least two images")
    network = as_network(model)
    layers = dict(network.named_modules())
    check_weights(network)
    refuse_disguises("fit_patterns", network)
    walked = reached(network.graph)
    neurons = [node for node in network.graph.nodes if NEURONS.holds(node, layers)]
    if not neurons:
        raise ValueError("the network has no layer with a pattern: no convolution, no dense layer")
    firing = {node: firing_value(node, walked, layers) for node in neurons}
    moments = {str(node.target): _Moments(layers[str(node.target)]) for node in neurons}
    device = next(network.parameters()).device
    network.verify(images[:2].to(device))
    bar = progress_bar("patterns", len(images), progress, unit="image", at_once=False)
    with bar, torch.inference_mode():
        for batch in torch.split(images, max(1, _PIXELS_AT_ONCE // images[0, 0].numel())):
            forward = fx.Interpreter(network, garbage_collect_values=False)
            forward.extra_traceback = False
            forward.run(batch.to(device))
            for node in neurons:
                value = firing[node]
                moments[str(node.target)].add(
                    forward.env[node.all_input_nodes[0]],
                    forward.env[node],
                    None if value is None else forward.env[value],
                )
            bar.update(len(batch))
    return {name: moment.pattern() for name, moment in moments.items()}


def _fan_in(layer: nn.Module) -> int:
    return weight_of(layer)[0].numel()
