"""Functions that are layers in another spelling, and the modules that they become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from explman_lite.networks.softplus import SmoothReLU

Modules = Mapping[str, nn.Module]


class BatchNorm(nn.BatchNorm2d):
    """Batch norm of inputs of any rank, as `torch.nn.functional.batch_norm` takes them."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Take whatever comes."""


def as_module(node: fx.Node, modules: Modules) -> nn.Module | None:
    """Return the module that computes the same as a call; None where there is none.

    A call with an argument that is computed, such as a size or a weight, stays a function, and so
    does what is done to the pixels themselves: to clip them is no activation.
    """
    clips_pixels = any(source.op == "placeholder" for source in node.all_input_nodes)
    if node.op == "call_module":
        return None if clips_pixels else _clearer(modules[str(node.target)])
    is_call = node.op in {"call_function", "call_method"}
    if not is_call or (node.target not in _LAYERS and node.target not in _WEIGHTED):
        return None
    options = {key: value for key, value in node.kwargs.items() if key != "input"}
    others = [other for other in node.all_input_nodes if other is not layer_input(node)]
    if node.target in _LAYERS and not others and not (clips_pixels and node.target in _CLAMPS):
        return _LAYERS[node.target](*node.args[1:], **options)
    if node.target in _WEIGHTED and all(_is_stored(other, modules) for other in others):
        make, names = _WEIGHTED[node.target]
        given = dict(zip(names, node.args[1:], strict=False)) | options
        return make(**{name: _constant(value, modules) for name, value in given.items()})
    return None


def layer_input(node: fx.Node) -> fx.Node:
    """Return what a layer is applied to: the first argument of its call."""
    first = node.args[0] if node.args else node.kwargs["input"]
    assert isinstance(first, fx.Node)
    return first


def _is_stored(node: fx.Node, modules: Modules) -> bool:
    """Whether a node reads a parameter or buffer of the network, and nothing made on the way."""
    owner, _, name = str(node.target).rpartition(".")
    return node.op == "get_attr" and hasattr(modules.get(owner), name)


def _constant(value: Any, modules: Modules) -> Any:
    """Look up a parameter or buffer that the graph reads directly."""
    if not isinstance(value, fx.Node):
        return value
    owner, _, name = str(value.target).rpartition(".")
    return getattr(modules[owner], name)


def _clearer(layer: nn.Module) -> nn.Module | None:
    """Return the ReLU, if a layer is one under another name."""
    if type(layer) is nn.Hardtanh:
        return _clamp(layer.min_val, layer.max_val)
    if type(layer) is nn.LeakyReLU and layer.negative_slope == 0:
        return nn.ReLU()
    if type(layer) is nn.Threshold:
        return _threshold(layer.threshold, layer.value)
    return None


def _clamp(min: Any = None, max: Any = None, inplace: bool = False) -> nn.Module | None:
    numbers = all(bound is None or isinstance(bound, (int, float)) for bound in (min, max))
    if not numbers or min != 0 or (max is not None and max <= 0):
        return None
    if max is None:
        return nn.ReLU()
    return nn.ReLU6() if max == 6 else SmoothReLU(None, float(max))


def _hardtanh(
    min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> nn.Module | None:
    return _clamp(min_val, max_val)


def _threshold(threshold: float, value: float, inplace: bool = False) -> nn.Module | None:
    return nn.ReLU() if threshold == 0 and value == 0 else None


def _leaky(negative_slope: float = 0.01, inplace: bool = False) -> nn.Module | None:
    return nn.ReLU() if negative_slope == 0 else None


def _max_pool(
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> nn.Module:
    # Its arguments come in another order than those of `torch.nn.functional`.
    return nn.MaxPool2d(kernel_size, stride or None, padding, dilation, ceil_mode=ceil_mode)


_CLAMPS: dict[Any, Callable[..., nn.Module | None]] = {
    torch.clamp: _clamp,
    torch.clip: _clamp,
    torch.clamp_min: _clamp,
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": _clamp,
    F.hardtanh: _hardtanh,
    F.threshold: _threshold,
}

_LAYERS: dict[Any, Callable[..., nn.Module | None]] = {
    F.relu: lambda inplace=False: nn.ReLU(),
    F.relu6: lambda inplace=False: nn.ReLU6(),
    torch.relu: nn.ReLU,
    "relu": nn.ReLU,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    F.avg_pool2d: nn.AvgPool2d,
    F.max_pool2d: nn.MaxPool2d,
    torch.max_pool2d: _max_pool,
    F.leaky_relu: _leaky,
    **_CLAMPS,
}
"""What makes a module of a function's arguments after the first, by the function."""


def _with(layer: nn.Module, **values: Tensor | None) -> nn.Module:
    """Share tensors with a layer that was made without memory of its own."""
    for name, value in values.items():
        delattr(layer, name)
        if value is None or isinstance(value, nn.Parameter):
            layer.register_parameter(name, value)
        else:
            layer.register_buffer(name, value)
    return layer


def _dense(weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    outputs, inputs = weight.shape
    return _with(nn.Linear(inputs, outputs, device="meta"), weight=weight, bias=bias)


def _convolution(kind: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def make(
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> nn.Module:
        outputs, inputs, *kernel = weight.shape
        geometry = (tuple(kernel), stride, padding, dilation, groups)
        layer = kind(inputs * groups, outputs, *geometry, device="meta")
        return _with(layer, weight=weight, bias=bias)

    return make


def _transposed_convolution(
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> nn.Module:
    inputs, outputs, *kernel = weight.shape
    layer = nn.ConvTranspose2d(
        inputs, outputs * groups, (kernel[0], kernel[1]), stride, padding, output_padding, groups,
        dilation=dilation, device="meta",
    )  # fmt: skip
    return _with(layer, weight=weight, bias=bias)


def _batch_norm(
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> nn.Module | None:
    if training or running_mean is None or running_var is None:
        return None
    layer = BatchNorm(len(running_mean), eps, device="meta")
    del layer.num_batches_tracked
    values = {"running_mean": running_mean, "running_var": running_var}
    return _with(layer, weight=weight, bias=bias, **values)


_CONVOLUTION = ("weight", "bias", "stride", "padding", "dilation", "groups")
_WEIGHTED: dict[Any, tuple[Callable[..., nn.Module | None], tuple[str, ...]]] = {
    F.linear: (_dense, ("weight", "bias")),
    F.conv1d: (_convolution(nn.Conv1d), _CONVOLUTION),
    F.conv2d: (_convolution(nn.Conv2d), _CONVOLUTION),
    F.conv_transpose2d: (
        _transposed_convolution,
        ("weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
    ),
    F.batch_norm: (
        _batch_norm,
        ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    ),
}
"""What makes a module of a function's weights and options, with their names in order."""
