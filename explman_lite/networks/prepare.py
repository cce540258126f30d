"""Any network that can be traced, made ready to be explained and attacked."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn

from explman_lite.networks.layers import Conv2d, Normalize, freeze, own
from explman_lite.networks.passes import PASSES, called, insert_first
from explman_lite.networks.pooling import SmoothMaxPool2d
from explman_lite.networks.softplus import SmoothReLU


class Network(fx.GraphModule):
    """A prepared network: batch norm folded, every activation a module, no layer in place.

    Made by `prepare`; behaves as any `torch.nn.Module`. Its ``graph`` lists the layers in the
    order in which the data passes them, which is what the propagation rules walk along.
    """

    @property
    def trainable(self) -> bool:
        """Whether any weight takes part in gradients, as after ``prepare(…, frozen=False)``."""
        return any(weight.requires_grad for weight in self.parameters())

    def with_layers(self, layers: Mapping[str, nn.Module]) -> Network:
        """Return a network with other layers in some places, which shares the rest."""
        modules = {**dict(self.named_modules()), **layers}
        return Network({**modules, **attributes(self, self.graph)}, self.graph).eval()


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        ours = isinstance(m, (Conv2d, SmoothReLU, SmoothMaxPool2d, Normalize))
        return ours or super().is_leaf_module(m, module_qualified_name)


def prepare(
    model: nn.Module,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    frozen: bool = True,
) -> Network:
    """Make a network ready to be explained and attacked.

    The result computes what ``model`` computes in evaluation mode. Batch norm is folded into the
    convolution before it, functional ReLUs become modules, in-place layers return new tensors,
    dropout disappears; last of all the weights are frozen. ``model`` itself stays as it was.

    Parameters
    ----------
    model : nn.Module
        An image classifier that `torch.fx` can trace, as those of torchvision.
    mean, std : sequence of float, optional
        Normalisation to put in front, one value per channel in units of [0, 1]. Give both, or
        neither when ``model`` takes pixels in [0, 1] already. It gets the device and the type of
        the model's first parameter.
    frozen : bool
        Whether the weights become constants, which share the memory of the model's where nothing
        was folded. If not, the network shares the very parameters of ``model``, those of batch
        norm included, whose statistics stay fixed: it computes what ``model`` computes at any
        time, every explainer is differentiable in the weights, and who trains one trains the other.
        From a frozen `Network` it makes a copy with weights of its own.

    Returns
    -------
    Network
        Input (N, C, H, W) in [0, 1], output logits (N, K).

    Raises
    ------
    ValueError
        If only one of ``mean`` and ``std`` is given, the network cannot be traced, or the weights
        of a layer, which is named, are parametrised or used without the layer as well.

    Notes
    -----
    While `torch.fx` traces a network, it changes how every module of the process is called.
    Threads should share one prepared network: explainers prepare any other anew at each call.

    Examples
    --------
    >>> import torch, torchvision
    >>> from explman_lite import prepare
    >>> network = prepare(torchvision.models.resnet18(weights=None), mean=[0.5] * 3, std=[0.5] * 3)
    >>> network(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 1000])
    """
    if (mean is None) != (std is None):
        raise ValueError("give both mean and std, or neither")
    if isinstance(model, Network):
        if not frozen and not model.trainable:
            model = copy.deepcopy(model).requires_grad_()
        if mean is None and model.trainable != frozen:
            return model
    graph, modules = _trace(model)
    for change in PASSES:
        change(graph, modules)
    if mean is not None and std is not None:
        insert_first(graph, modules, "normalize", _like(model, Normalize(list(mean), list(std))))
    layers: dict[str, Any] = {name: own(modules[name]) for name in called(graph)}
    values = attributes(model, graph)
    if frozen:
        layers = {name: freeze(layer) for name, layer in layers.items()}
        values = {n: v.detach() if torch.is_tensor(v) else v for n, v in values.items()}
    network = Network(layers | values, graph)
    network.delete_all_unused_submodules()
    return network.eval()


def as_network(model: nn.Module) -> Network:
    """Return a network that is prepared already as it is, trainable or not; prepare any other."""
    return model if isinstance(model, Network) else prepare(model)


def attributes(model: nn.Module, graph: fx.Graph) -> dict[str, Any]:
    """Return the parameters, buffers and constants that the graph reads directly, by name."""
    found = {}
    for node in graph.find_nodes(op="get_attr"):
        value: Any = model
        for part in str(node.target).split("."):
            value = getattr(value, part)
        found[str(node.target)] = value
    return found


def _trace(model: nn.Module) -> tuple[fx.Graph, dict[str, nn.Module]]:
    training = {module: module.training for module in model.modules()}
    try:
        graph = _Tracer().trace(model.eval())
    except Exception as error:
        raise ValueError(
            f"cannot trace {type(model).__name__}: its forward pass depends on the data "
            f"in a way that torch.fx does not follow ({error})"
        ) from error
    finally:
        for module, mode in training.items():
            module.training = mode
    return graph, dict(model.named_modules())


def _like(model: nn.Module, layer: nn.Module) -> nn.Module:
    """Put a layer on the device of the model's first parameter, in its type."""
    parameter = next(model.parameters(), None)
    return layer if parameter is None else layer.to(parameter.device, parameter.dtype)
