"""Layers whose second derivative costs no more than it must.

An attack needs the gradient of a function of the gradient, so every layer is passed four times:
forward, backward, and both once more. PyTorch's own double backward of a grouped convolution
loops over the groups; here a convolution and its transpose are each other's backward, so that
all four passes are single calls, and the numbers stay the same to the last bit.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Geometry(NamedTuple):
    """How a convolution slides: everything but its weight."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


class _Convolution(torch.autograd.Function):
    """y = W x + b, where W is the linear map of a convolution with weight w.

    ⟨y, W x⟩ is linear in each of x, w and y. Its three derivatives are this function, its transpose
    and `_WeightGradient`; the derivatives of each are the other two, so that all orders exist.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry
    ) -> Tensor:
        # A frozen weight needs no inputs later: keeping them would double the memory of an attack.
        ctx.save_for_backward(inputs if ctx.needs_input_grad[1] else None, weight)
        ctx.geometry, ctx.input_size = geometry, inputs.shape
        return F.conv2d(inputs, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (inputs, weight), (grad,) = ctx.saved_tensors, grad_outputs
        for_inputs, for_weight, for_bias, _ = ctx.needs_input_grad
        return (
            transposed_convolution(grad, weight, ctx.geometry, ctx.input_size)
            if for_inputs
            else None,
            _weight_gradient(inputs, grad, ctx.geometry, weight) if for_weight else None,
            grad.sum(dim=(0, 2, 3)).to(weight.dtype) if for_bias else None,
            None,
        )


class _TransposedConvolution(torch.autograd.Function):
    """x = Wᵀ y, the transpose of the linear map of `_Convolution`.

    All three take the weight in the type of what they are given: under autocast, a shorter one.
    """

    @staticmethod
    def forward(
        ctx: Any, outputs: Tensor, weight: Tensor, geometry: Geometry, input_size: torch.Size
    ) -> Tensor:
        ctx.save_for_backward(outputs if ctx.needs_input_grad[1] else None, weight)
        ctx.geometry = geometry
        # Only the shape of the input matters here: one number stands for all, and takes no memory.
        stand_in = outputs.new_empty(1).expand(input_size)
        wanted = [True, False, False]
        return _convolution_backward(outputs, stand_in, weight, geometry, wanted)[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (outputs, weight), (grad,) = ctx.saved_tensors, grad_outputs
        for_outputs, for_weight, _, _ = ctx.needs_input_grad
        return (
            convolution(grad, weight.to(grad.dtype), None, ctx.geometry) if for_outputs else None,
            _weight_gradient(grad, outputs, ctx.geometry, weight) if for_weight else None,
            None,
            None,
        )


class _WeightGradient(torch.autograd.Function):
    """∂⟨y, W x⟩/∂w, which is linear in x and in y."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, outputs: Tensor, geometry: Geometry, weight: Tensor
    ) -> Tensor:
        ctx.save_for_backward(inputs, outputs)
        ctx.geometry = geometry
        wanted = [False, True, False]
        found = _convolution_backward(outputs, inputs, weight, geometry, wanted)[1]
        return found.to(weight.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (inputs, outputs), (grad,) = ctx.saved_tensors, grad_outputs
        for_inputs, for_outputs, _, _ = ctx.needs_input_grad
        return (
            transposed_convolution(outputs, grad, ctx.geometry, inputs.shape)
            if for_inputs
            else None,
            convolution(inputs, grad.to(inputs.dtype), None, ctx.geometry) if for_outputs else None,
            None,
            None,
        )


def _convolution_backward(
    outputs: Tensor, inputs: Tensor, weight: Tensor, geometry: Geometry, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    stride, padding, dilation, groups = geometry
    return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
        outputs,
        inputs,
        weight.to(outputs.dtype),
        None,
        stride,
        padding,
        dilation,
        False,
        [0, 0],
        groups,
        wanted,
    )


def convolution(inputs: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Apply a convolution, differentiable to any order in its input, its weight and its bias."""
    return _Convolution.apply(inputs, weight, bias, geometry)  # type: ignore[no-any-return]


def transposed_convolution(
    outputs: Tensor, weight: Tensor, geometry: Geometry, input_size: torch.Size
) -> Tensor:
    """Apply the transpose of `convolution`: from its output space back to ``input_size``."""
    return _TransposedConvolution.apply(  # type: ignore[no-any-return]
        outputs, weight, geometry, input_size
    )


def _weight_gradient(inputs: Tensor, outputs: Tensor, geometry: Geometry, weight: Tensor) -> Tensor:
    """Differentiate ⟨outputs, W inputs⟩ with respect to the weight, of which the shape is used."""
    return _WeightGradient.apply(  # type: ignore[no-any-return]
        inputs, outputs, geometry, weight.detach()
    )


class Conv2d(nn.Conv2d):
    """A convolution with a cheap second derivative.

    Made from a layer by `Conv2d.of`; same parameters, same output as `torch.nn.Conv2d`.
    """

    @classmethod
    def of(cls, layer: nn.Conv2d) -> Conv2d:
        """Share the weights of ``layer``."""
        if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            raise ValueError(
                f"only convolutions with numeric zero padding are supported, got {layer}"
            )
        ours = cls.__new__(cls)
        ours.__dict__.update(_with_own_hooks(layer))
        ours._parameters, ours._buffers = dict(layer._parameters), dict(layer._buffers)
        ours._modules = {}
        return ours

    @property
    def geometry(self) -> Geometry:
        """How the convolution slides."""
        assert not isinstance(self.padding, str)
        return Geometry(tuple(self.stride), tuple(self.padding), tuple(self.dilation), self.groups)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, C, H, W); ValueError if C is not the layer's own."""
        _check_channels(input, self.in_channels)
        return convolution(input, self.weight, self.bias, self.geometry)


class FoldedConv2d(Conv2d):
    r"""A convolution and the batch norm behind it as one convolution, trainable in both.

    .. math:: w' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}\, w, \qquad
              b' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}\, (b - \mu) + \beta

    with the running mean μ and variance σ² of the batch norm and its affine parameters γ and β.
    Weight and bias are computed from the parameters of the two layers whenever they are read.
    """

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d

    @classmethod
    def fold(cls, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> FoldedConv2d:
        """Share the parameters and statistics of two layers."""
        folded = cast(FoldedConv2d, cls.of(convolution))
        folded._parameters = {}
        folded._modules = {"convolution": convolution, "norm": norm}
        return folded

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The folded weight, in the shape of the convolution's."""
        return (self.convolution.weight * self._scale().reshape(-1, 1, 1, 1)).to(
            self.convolution.weight.dtype
        )

    @property
    def bias(self) -> Tensor:  # type: ignore[override]
        """The folded bias (C,), there even where the convolution has none."""
        norm, bias = self.norm, self.convolution.bias
        assert norm.running_mean is not None
        bias = torch.zeros_like(norm.running_mean) if bias is None else bias
        shift = torch.zeros_like(norm.running_mean) if norm.bias is None else norm.bias
        return ((bias - norm.running_mean) * self._inverse_deviation() * self._gain() + shift).to(
            self.convolution.weight.dtype
        )

    def frozen(self) -> Conv2d:
        """Return a plain convolution with weight and bias as they are now."""
        plain = Conv2d.of(self.convolution)
        plain._parameters = {"weight": _constant(self.weight), "bias": _constant(self.bias)}
        return plain

    def _scale(self) -> Tensor:
        return self._gain() * self._inverse_deviation()

    def _gain(self) -> Tensor:
        gain, mean = self.norm.weight, self.norm.running_mean
        return cast(Tensor, torch.ones_like(cast(Tensor, mean)) if gain is None else gain)

    def _inverse_deviation(self) -> Tensor:
        assert self.norm.running_var is not None
        return torch.rsqrt(self.norm.running_var + self.norm.eps)


def _check_channels(images: Tensor, channels: int) -> None:
    if images.shape[1] != channels:
        raise ValueError(f"expected images with C = {channels}, got C = {images.shape[1]}")


def _constant(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.detach(), requires_grad=False)


def _with_own_hooks(layer: nn.Module) -> dict[str, Any]:
    """Return a layer's attributes, its dictionaries of hooks as copies: nobody shares them."""
    return {
        name: copy.copy(value) if name.endswith("_hooks") else value
        for name, value in vars(layer).items()
    }


def own(layer: nn.Module) -> nn.Module:
    """Return a copy of a layer, and of what is inside it, that shares its parameters.

    Convolutions become those with a cheap second derivative, and no copy works in place.
    """
    if isinstance(layer, nn.Conv2d) and not isinstance(layer, FoldedConv2d):
        return Conv2d.of(layer)
    if isinstance(layer, (nn.ReLU, nn.ReLU6)):
        return type(layer)()
    ours = copy.copy(layer)
    ours.__dict__.update(_with_own_hooks(layer))
    ours._parameters, ours._buffers = dict(layer._parameters), dict(layer._buffers)
    ours._modules = {
        name: None if part is None else own(part) for name, part in layer._modules.items()
    }
    if hasattr(ours, "inplace"):
        vars(ours)["inplace"] = False
    return ours


def freeze(layer: nn.Module) -> nn.Module:
    """Return a layer made by `own` as one that shares its memory but needs no gradient for it."""
    if isinstance(layer, FoldedConv2d):
        return layer.frozen()
    layer._parameters = {
        name: None if value is None else _constant(value)
        for name, value in layer._parameters.items()
    }
    layer._modules = {
        name: None if part is None else freeze(part) for name, part in layer._modules.items()
    }
    return layer


class Normalize(nn.Module):
    """Shift and scale each channel: from pixels in [0, 1] to what the network was trained on.

    Parameters
    ----------
    mean, std : sequence of float
        One value per channel, in units of the pixel range [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images (N, C, H, W); ValueError if C is not the network's."""
        _check_channels(images, self.mean.shape[1])
        return (images - self.mean) / self.std


class PoolUp(nn.AdaptiveAvgPool2d):
    """Enlarge what is smaller than a kernel to the kernel's size, by averages over windows."""

    def forward(self, input: Tensor) -> Tensor:
        """Pool (N, C, H, W) to at least ``output_size``; what is large enough stays as it is."""
        least_height, least_width = cast(tuple[int, int], self.output_size)
        height, width = input.shape[-2:]
        return F.adaptive_avg_pool2d(input, (max(height, least_height), max(width, least_width)))
