"""What `prepare` does to a traced network, step by step: each pass changes its graph in place.

A pass takes the graph and the modules that it calls, by name, and changes both. Each leaves the
function that the network computes as it was.
"""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.utils.parametrize import is_parametrized

from explman_lite.networks.functional import as_module, layer_input
from explman_lite.networks.in_place import leave_in_place
from explman_lite.networks.layers import FoldedConv2d

Modules = dict[str, nn.Module]
"""The modules of a network by name, those that a pass adds among them."""

_DROPOUTS = (nn.Dropout, nn.Dropout2d, nn.Identity)


def called(graph: fx.Graph) -> list[str]:
    """Return the name of the module of each call, in order."""
    return [str(node.target) for node in graph.find_nodes(op="call_module")]


def refuse_computed_weights(graph: fx.Graph, modules: Modules) -> None:
    """Refuse layers whose weights cannot be frozen, or only where the layer itself uses them."""
    calls = called(graph)
    for name in calls:
        if any(is_parametrized(part) for part in modules[name].modules()):
            raise ValueError(
                f"the layer {name!r} computes its weights, expected plain parameters: call "
                "torch.nn.utils.parametrize.remove_parametrizations first"
            )
    for node in graph.find_nodes(op="get_attr"):
        owner = next((name for name in calls if str(node.target).startswith(f"{name}.")), None)
        if owner is not None:
            raise ValueError(
                f"{node.target!r} is used by its layer {owner!r} and also directly, expected one "
                "of the two"
            )


def refuse_statistics_of_the_batch(graph: fx.Graph, modules: Modules) -> None:
    """Refuse a functional batch norm that is always in training mode."""
    for node in graph.find_nodes(op="call_function", target=F.batch_norm):
        arguments = inspect.signature(F.batch_norm).bind(*node.args, **node.kwargs).arguments
        if arguments.get("training", False) is not False:
            raise ValueError(
                f"the layer {node.name!r} (F.batch_norm) normalises by the batch at hand, so that "
                "the logits of a picture depend on the others: call it with training=False"
            )


def drop_dropout(graph: fx.Graph, modules: Modules) -> None:
    """Connect what stands before a dropout with what stands behind it."""
    for node in list(graph.nodes):
        is_module = node.op == "call_module" and isinstance(modules[node.target], _DROPOUTS)
        if is_module or (node.op == "call_function" and node.target is F.dropout):
            node.replace_all_uses_with(node.all_input_nodes[0])
            graph.erase_node(node)


def use_modules(graph: fx.Graph, modules: Modules) -> None:
    """Turn functional layers into modules, so that they can be found, folded and replaced."""
    for node in list(graph.nodes):
        module = as_module(node, modules)
        if module is None:
            continue
        if node.op == "call_module":
            modules[node.target] = module
            continue
        name = free_name(node.name, graph, modules)
        modules[name] = module
        with graph.inserting_before(node):
            replacement = graph.call_module(name, (layer_input(node),))
        node.replace_all_uses_with(replacement)
        constants = [read for read in node.all_input_nodes if read.op == "get_attr"]
        graph.erase_node(node)
        for constant in constants:
            if not constant.users:
                graph.erase_node(constant)


def free_name(name: str, graph: fx.Graph, modules: Modules) -> str:
    """Lengthen a name until it is that of no module, parameter or buffer of the network."""
    taken = {*modules, *(str(node.target) for node in graph.find_nodes(op="get_attr"))}
    while name in taken:
        name += "_"
    return name


_PADS: dict[str, Callable[[tuple[int, int, int, int]], nn.Module]] = {
    "zeros": nn.ZeroPad2d,
    "reflect": nn.ReflectionPad2d,
    "replicate": nn.ReplicationPad2d,
    "circular": nn.CircularPad2d,
}


def pad_explicitly(graph: fx.Graph, modules: Modules) -> None:
    """Put all padding but a number of zeros on both sides into a layer before the convolution."""
    for name in dict.fromkeys(called(graph)):
        layer = modules[name]
        if not isinstance(layer, nn.Conv2d) or _pads_with_zeros(layer):
            continue
        left, right, top, bottom = widths = _padding(layer)
        explicit = layer.padding_mode != "zeros" or left != right or top != bottom
        plain = copy.copy(layer)
        plain.padding = (0, 0) if explicit else (top, left)
        plain.padding_mode = "zeros"
        modules[name] = plain
        if explicit and any(widths):
            pad = free_name(f"{name}_padding", graph, modules)
            modules[pad] = _PADS[layer.padding_mode](widths)
            for node in graph.find_nodes(op="call_module", target=name):
                with graph.inserting_before(node):
                    padded = graph.call_module(pad, (node.all_input_nodes[0],))
                node.replace_input_with(node.all_input_nodes[0], padded)


def _pads_with_zeros(layer: nn.Conv2d) -> bool:
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _padding(layer: nn.Conv2d) -> tuple[int, int, int, int]:
    """Return how much a convolution pads: left, right, top, bottom."""
    if layer.padding == "valid":
        return 0, 0, 0, 0
    if layer.padding != "same":
        height, width = cast(tuple[int, int], layer.padding)
        return width, width, height, height
    # As PyTorch does it: where the sum is odd, the larger part is to the right and at the bottom.
    height, width = (
        step * (side - 1) for side, step in zip(layer.kernel_size, layer.dilation, strict=True)
    )
    return width // 2, (width + 1) // 2, height // 2, (height + 1) // 2


def drop_checks_of_rank(graph: fx.Graph, modules: Modules) -> None:
    """Leave out assertions on how many dimensions a value has: pictures always have four.

    They hold for all pictures or for none, and keep batch norm from being folded, as in timm.
    """
    nodes = list(graph.nodes)
    ranks = {n for n in nodes if (n.target, *n.args[1:]) in [(getattr, "ndim"), ("dim",)]}
    for node in nodes:
        compared = node.all_input_nodes if node.target is torch._assert else []
        if compared and all(_compares(value, ranks) for value in compared):
            graph.erase_node(node)
    for node in reversed(nodes):
        if not node.users and (node in ranks or _compares(node, ranks)):
            graph.erase_node(node)


def _compares(node: fx.Node, values: set[fx.Node]) -> bool:
    """Whether a node asks if one of the values is equal to a number, or to another of them."""
    return node.target is operator.eq and values.issuperset(node.all_input_nodes)


def fold_batch_norm(graph: fx.Graph, modules: Modules) -> None:
    """Fold batch norm into the convolution before it, where nothing else reads either of them."""
    calls = called(graph)
    for node in list(graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        norm = cast(nn.BatchNorm2d, modules[node.target])
        source = node.args[0]
        foldable = (
            norm.running_mean is not None
            and source.op == "call_module"
            and isinstance(modules[source.target], nn.Conv2d)
            and len(source.users) == 1
            and calls.count(source.target) == 1
        )
        if foldable:
            convolution = cast(nn.Conv2d, modules[source.target])
            modules[source.target] = FoldedConv2d.fold(convolution, norm)
            node.replace_all_uses_with(source)
            graph.erase_node(node)


def insert_first(graph: fx.Graph, modules: Modules, name: str, layer: nn.Module) -> None:
    """Put a layer in front, under a name that is free."""
    name = free_name(name, graph, modules)
    modules[name] = layer
    (images,) = graph.find_nodes(op="placeholder")[:1]
    with graph.inserting_after(images):
        inserted = graph.call_module(name, (images,))
    # All but the new layer itself, whose input the images stay.
    images.replace_all_uses_with(inserted, delete_user_cb=lambda user: user is not inserted)


PASSES: tuple[Callable[[fx.Graph, Modules], None], ...] = (
    refuse_computed_weights,
    refuse_statistics_of_the_batch,
    drop_dropout,
    leave_in_place,
    use_modules,
    pad_explicitly,
    drop_checks_of_rank,
    fold_batch_norm,
)
"""The passes in their order."""
