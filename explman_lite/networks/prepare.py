"""Any network that can be traced, made ready to be explained and attacked."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from explman_lite.networks.layers import Normalize, freeze, own
from explman_lite.networks.passes import PASSES, called, insert_first
from explman_lite.networks.refusals import refuse_hooks, refuse_unusual
from explman_lite.networks.tracing import trace, unwrapped
from explman_lite.networks.verify import Original


class Network(fx.GraphModule):
    """A prepared network: batch norm folded, every activation a module, no layer in place.

    Made by `prepare`; behaves as any `torch.nn.Module`. Its ``graph`` lists the layers in the
    order in which the data passes them, which is what the propagation rules walk along.

    At its first call it is compared with what it was prepared from. Whoever walks along the graph
    without calling the network calls `verify` before.
    """

    _original: Original | None = None
    _replaced: Mapping[str, nn.Module] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the logits of images (N, C, H, W)."""
        for images in (*args, *kwargs.values())[:1]:
            self.verify(images)
        return super().__call__(*args, **kwargs)

    def verify(self, images: Tensor) -> None:
        """Make sure that the network computes what it was prepared from, unless that is known.

        Parameters
        ----------
        images : Tensor
            (N, C, H, W), of which two at most are used. In a trace, where they have no values,
            nothing happens.

        Raises
        ------
        ValueError
            If the two differ by more than rounding, the original draws random numbers, or its
            output for an image depends on the others in the batch.
        """
        if self._original is not None and self._original.model is not None:
            prepared = self.with_layers(self._replaced) if self._replaced else self
            self._original.compare(prepared, images)

    @property
    def trainable(self) -> bool:
        """Whether any weight takes part in gradients, as after ``prepare(…, frozen=False)``."""
        return any(weight.requires_grad for weight in self.parameters())

    def with_layers(self, layers: Mapping[str, nn.Module]) -> Network:
        """Return a network with other layers in some places, which shares the rest.

        Raises
        ------
        ValueError
            If the network itself, or a layer that is replaced, has a hook: it would be lost.
        """
        modules = dict(self.named_modules())
        for name in ("", *layers):
            refuse_hooks(modules[name], name)
        changed = Network({**modules, **layers, **attributes(self, self.graph)}, self.graph).eval()
        changed._original = self._original
        changed._replaced = {name: modules[name] for name in layers} | dict(self._replaced)
        return changed

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        """Copy the network, weights included; what it was prepared from is not copied."""
        copied = cast(Network, super().__deepcopy__(memo))
        copied._original, copied._replaced = self._original, self._replaced
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        """Store the network without what it was prepared from."""
        restore, (attributes, *rest) = super().__reduce__()
        kept = {n: v for n, v in attributes.items() if n not in {"_original", "_replaced"}}
        return restore, (kept, *rest)


def prepare(
    model: nn.Module,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    frozen: bool = True,
) -> Network:
    """Make a network ready to be explained and attacked.

    The result computes what ``model`` computes in evaluation mode, given images alone: all other
    arguments get their defaults. Batch norm is folded into the convolution before it, functional
    ReLUs become modules, whatever works in place returns new tensors, dropout disappears; last of
    all the weights are frozen. ``model`` itself stays as it was.

    At the first call the two are compared on the images at hand. Until then the network keeps
    ``model``; a network that is stored before is never compared.

    Parameters
    ----------
    model : nn.Module
        An image classifier that `torch.fx` can trace, as those of torchvision.
    mean, std : sequence of float, optional
        Normalisation to put in front, one value per channel in units of [0, 1]. Give both, or
        neither when ``model`` takes pixels in [0, 1] already. The layer gets the device and the
        type of the model's first parameter.
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
    TypeError
        If ``model`` is no module, or ``mean`` or ``std`` no sequence of numbers.
    ValueError
        If only one of ``mean`` and ``std`` is given, or not a value per channel; if the network
        cannot be traced; if a part of it, which is named, is scripted, quantised, has a hook, is in
        training mode alone, normalises by the batch, computes its weights, shares them with what is
        no layer, or changes in place what cannot be followed. At the first call, if the prepared
        network differs from ``model`` by more than rounding, or ``model`` draws random numbers or
        mixes the images of a batch.

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
    network, original = _prepared(model, mean, std, frozen)
    network._original = original or network._original
    return network


def trusted(
    model: nn.Module, *, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> Network:
    """Prepare a network that was compared with its original before, as those of `load_model`."""
    return _prepared(model, mean, std, frozen=True)[0]


def _prepared(
    model: object, mean: Sequence[float] | None, std: Sequence[float] | None, frozen: bool
) -> tuple[Network, Original | None]:
    """Return a prepared network, and what it has to be compared with if it is new."""
    if not isinstance(model, nn.Module):
        hint = ": load_model loads a network by its name" if isinstance(model, str) else ""
        raise TypeError(f"model must be a torch.nn.Module, got {model!r}{hint}")
    normalize = _normalize(mean, std)
    model = unwrapped(model)
    if isinstance(model, Network):
        if not frozen and not model.trainable:
            model = copy.deepcopy(model).requires_grad_()
        if normalize is None and model.trainable != frozen:
            return model, None
    refuse_unusual(model)
    graph, modules, values = trace(model, reserved=Network)
    for change in PASSES:
        change(graph, modules)
    if normalize is not None:
        normalize = _like(model, normalize)
        _check_channels(graph, modules, normalize)
        insert_first(graph, modules, "normalize", normalize)
    layers: dict[str, Any] = {name: own(modules[name]) for name in called(graph)}
    if frozen:
        layers = {name: freeze(layer) for name, layer in layers.items()}
        values = {n: v.detach() if torch.is_tensor(v) else v for n, v in values.items()}
    network = Network(layers | values, graph)
    network.delete_all_unused_submodules()
    return network.eval(), Original(
        model, normalize, lambda: _prepared(model, mean, std, frozen)[0]
    )


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


def _normalize(mean: Sequence[float] | None, std: Sequence[float] | None) -> Normalize | None:
    """Return the layer that normalises, if there is anything to normalise."""
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise ValueError("give both mean and std, or neither")
    try:
        means, deviations = [float(value) for value in mean], [float(value) for value in std]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"mean and std must be sequences of a number per channel, got {mean!r} and {std!r}"
        ) from error
    if len(means) != len(deviations):
        raise ValueError(
            f"mean and std must have a value per channel each, got {len(means)} and "
            f"{len(deviations)} values"
        )
    if not all(map(math.isfinite, means)):
        raise ValueError(f"mean must be finite, got {means}")
    if not all(0 < deviation < math.inf for deviation in deviations):
        raise ValueError(f"std must be positive and finite, got {deviations}")
    return Normalize(means, deviations)


def _check_channels(graph: fx.Graph, modules: dict[str, nn.Module], normalize: Normalize) -> None:
    """Refuse mean and std for another number of channels than the first convolution takes."""
    (images,) = graph.find_nodes(op="placeholder")
    for user in images.users:
        layer = modules[str(user.target)] if user.op == "call_module" else None
        given = normalize.mean.numel()
        if isinstance(layer, nn.Conv2d) and layer.in_channels != given:
            raise ValueError(
                f"mean and std must have a value per channel, {layer.in_channels} for the layer "
                f"{user.target!r}, got {given}"
            )


def _like(model: nn.Module, layer: Normalize) -> Normalize:
    """Put a layer on the device of the model's first parameter, in its type."""
    parameter = next(model.parameters(), None)
    return layer if parameter is None else layer.to(parameter.device, parameter.dtype)
