"""What cannot be prepared, found before anything is computed, and named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules import module as global_hooks
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from explman_lite.networks.layers import FoldedConv2d
from explman_lite.networks.softplus import SmoothReLU

RECTIFIERS = (nn.ReLU, nn.ReLU6, SmoothReLU)
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_COMPUTE_WEIGHTS: tuple[tuple[type, str], ...] = (
    (WeightNorm, "torch.nn.utils.remove_weight_norm"),
    (SpectralNorm, "torch.nn.utils.remove_spectral_norm"),
    (BasePruningMethod, "torch.nn.utils.prune.remove"),
)
"""Hooks that write a layer's weight before each call, and what takes them away."""


def refuse_unusual(model: nn.Module) -> None:
    """Refuse a network that `torch.fx` would misread, and say what it is.

    Raises
    ------
    ValueError
        For a scripted or quantised part, a layer without weights yet, a hook, or one of the states
        that `refuse_state` knows; each is named.
    """
    for name, part in model.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise ValueError(
                f"{_called(name)} was scripted by torch.jit, which hides its layers: pass the "
                "Python module that it was made from"
            )
        if any(is_lazy(parameter) for parameter in part.parameters(recurse=False)):
            raise ValueError(
                f"{_called(name)} has no weights yet: call the model on images once, then prepare "
                "it"
            )
        refuse_hooks(part, name)
    refuse_state(model)
    for which in ("forward_pre", "forward", "backward_pre", "backward"):
        if getattr(global_hooks, f"_global_{which}_hooks"):
            raise ValueError(
                f"a global {which.replace('_', '-')} hook for all modules is set, which would see "
                "other layers than those of the model: remove it first"
            )


def refuse_state(model: nn.Module) -> None:
    """Refuse a network whose output is not a fixed, differentiable function of each picture.

    Raises
    ------
    ValueError
        If a part of a network in evaluation mode is in training mode and does something else
        there, normalises by the batch, or is quantised; each is named.
    """
    for name, part in model.named_modules():
        if part.training and not model.training and _reads_training(part):
            raise ValueError(
                f"{_called(name)} is in training mode, while the model is in evaluation mode: call "
                "model.eval() first"
            )
        if isinstance(part, _BatchNorm) and part.running_mean is None:
            raise ValueError(
                f"{_called(name)} normalises by the batch at hand (track_running_stats=False), so "
                "that the logits of a picture depend on the others: expected running statistics"
            )
        if type(part).__module__.startswith("torch.ao.nn") and "quantized" in type(part).__module__:
            raise ValueError(
                f"{_called(name)} is quantised, and has no gradient to follow: use the model as "
                "it was before"
            )


def refuse_hooks(part: nn.Module, name: str) -> None:
    """Refuse a module with a hook, which would see other layers than it was made for."""
    for kind in _HOOKS:
        for hook in vars(part).get(kind, {}).values():
            for computes, removal in _COMPUTE_WEIGHTS:
                if isinstance(hook, computes):
                    raise ValueError(
                        f"{_called(name)} computes its weights in a hook ({type(hook).__name__}), "
                        f"expected plain parameters: call {removal} first"
                    )
            label = kind.strip("_").removesuffix("_hooks").replace("_", "-")
            raise ValueError(
                f"{_called(name)} has a {label} hook "
                f"({getattr(hook, '__qualname__', type(hook).__name__)}), which would be lost: "
                "remove it first"
            )


def hidden_rectifiers(network: fx.GraphModule) -> list[str]:
    """Return the names of layers inside which a ReLU is at work that no rule sees."""
    return [name for name, layer in _layers(network) if any(map(_rectifies, _inside(layer)))]


def refuse_hidden_rectifiers(network: fx.GraphModule, purpose: str) -> None:
    """Refuse a network with a ReLU that ``purpose``, such as "be smoothed", would pass over."""
    for name in hidden_rectifiers(network):
        raise ValueError(
            f"the layer {name!r} ({type(network.get_submodule(name)).__name__}) has a ReLU inside, "
            f"which cannot {purpose}: write the layer as plain modules"
        )


def _layers(network: fx.GraphModule) -> Iterator[tuple[str, nn.Module]]:
    for name in dict.fromkeys(
        str(node.target) for node in network.graph.find_nodes(op="call_module")
    ):
        yield name, network.get_submodule(name)


def _inside(layer: nn.Module) -> Iterator[nn.Module]:
    """Yield the parts of a layer, and the layer itself unless it is a ReLU that rules see."""
    if not isinstance(layer, FoldedConv2d):
        yield from (
            part for part in layer.modules() if part is not layer or not _is_rectifier(part)
        )


def _is_rectifier(layer: nn.Module) -> bool:
    return isinstance(layer, RECTIFIERS)


def _rectifies(part: nn.Module) -> bool:
    activation = getattr(part, "activation", None)
    return (
        _is_rectifier(part)
        or any(activation is function for function in (F.relu, F.relu6, torch.relu))
        or getattr(part, "mode", None) == "RNN_RELU"
        or getattr(part, "nonlinearity", None) == "relu"
    )


def _reads_training(part: nn.Module) -> bool:
    """Whether the code of a module asks for its mode, as batch norm and dropout do."""
    own = type(part).__mro__[: type(part).__mro__.index(nn.Module)]
    functions = [value for kind in own for value in vars(kind).values()]
    return any("training" in _names(function) for function in functions)


def _names(function: Callable[..., Any] | Any) -> tuple[str, ...]:
    code = getattr(function, "__code__", None)
    return code.co_names if code is not None else ()


def _called(name: str) -> str:
    return f"the layer {name!r}" if name else "the model"
