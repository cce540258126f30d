"""Layers whose second derivative costs no more than it must.

An attack needs the gradient of a function of the gradient, so every layer is passed four times:
forward, backward, and both once more. PyTorch's own double backward of a grouped convolution
loops over the groups; here a convolution and its transpose are each other's backward, so that
all four passes are single calls, and the numbers stay the same to the last bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
    """The linear map W of a convolution; its backward is the transposed map."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.geometry = geometry
        ctx.input_size = inputs.shape
        return F.conv2d(inputs, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (weight,) = ctx.saved_tensors
        return (
            transposed_convolution(grad_outputs[0], weight, ctx.geometry, ctx.input_size),
            None,
            None,
            None,
        )


class _TransposedConvolution(torch.autograd.Function):
    """The transposed map Wᵀ; its backward is the convolution without its bias.

    Both take the weight in the type of what they are given: under autocast, a shorter one.
    """

    @staticmethod
    def forward(
        ctx: Any, outputs: Tensor, weight: Tensor, geometry: Geometry, input_size: torch.Size
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.geometry = geometry
        inputs, _, _ = torch.ops.aten.convolution_backward(
            outputs,
            outputs.new_empty(1).expand(input_size),
            weight.to(outputs.dtype),
            None,
            geometry.stride,
            geometry.padding,
            geometry.dilation,
            False,
            [0, 0],
            geometry.groups,
            [True, False, False],
        )
        return inputs  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (weight,) = ctx.saved_tensors
        (grad,) = grad_outputs
        return convolution(grad, weight.to(grad.dtype), None, ctx.geometry), None, None, None


def convolution(inputs: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Apply a convolution with a frozen weight, differentiable in its input to any order."""
    return _Convolution.apply(inputs, weight, bias, geometry)  # type: ignore[no-any-return]


def transposed_convolution(
    outputs: Tensor, weight: Tensor, geometry: Geometry, input_size: torch.Size
) -> Tensor:
    """Apply the transpose of `convolution`: from its output space back to ``input_size``."""
    return _TransposedConvolution.apply(  # type: ignore[no-any-return]
        outputs, weight, geometry, input_size
    )


class FrozenConv2d(nn.Conv2d):
    """A convolution with frozen weights and a cheap second derivative.

    Made from a trained layer by `FrozenConv2d.of`; same parameters, same output as `nn.Conv2d`.
    """

    @classmethod
    def of(cls, layer: nn.Conv2d) -> FrozenConv2d:
        """Share the weights of ``layer``, frozen."""
        if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            raise ValueError(
                f"only convolutions with numeric zero padding are supported, got {layer}"
            )
        frozen = cls.__new__(cls)
        frozen.__dict__.update(layer.__dict__)
        frozen._parameters = frozen_parameters(layer)
        frozen._buffers = dict(layer._buffers)
        return frozen

    @property
    def geometry(self) -> Geometry:
        """How the convolution slides."""
        assert not isinstance(self.padding, str)
        return Geometry(tuple(self.stride), tuple(self.padding), tuple(self.dilation), self.groups)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, C, H, W) with the frozen weight; ValueError if C is not its own."""
        _check_channels(input, self.in_channels)
        return convolution(input, self.weight, self.bias, self.geometry)


def _check_channels(images: Tensor, channels: int) -> None:
    if images.shape[1] != channels:
        raise ValueError(f"expected images with C = {channels}, got C = {images.shape[1]}")


def frozen_parameters(layer: nn.Module) -> dict[str, nn.Parameter | None]:
    """Return the layer's own parameters as frozen ones that share their memory."""
    return {
        name: None if value is None else nn.Parameter(value.detach(), requires_grad=False)
        for name, value in layer._parameters.items()
    }


class _Slope(torch.autograd.Function):
    """Multiply by the slope of a smoothed ReLU: g · s(x), with s'(x) known in closed form.

    Autograd would compose the same derivative from a dozen passes over memory.
    """

    @staticmethod
    def forward(
        ctx: Any, grad: Tensor, inputs: Tensor, beta: float, ceiling: float | None
    ) -> Tensor:
        slope = smooth_slope(inputs, beta, ceiling)
        ctx.save_for_backward(grad, inputs, slope)
        ctx.beta, ctx.ceiling = beta, ceiling
        return grad * slope

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        grad, inputs, slope = ctx.saved_tensors
        through = grad_outputs[0]
        step = torch.sigmoid(inputs * ctx.beta)
        bend = step * (1 - step)
        if ctx.ceiling is not None:
            upper = torch.sigmoid((inputs - ctx.ceiling) * ctx.beta)
            bend = bend - upper * (1 - upper)
        return through * slope, through * grad * bend * ctx.beta, None, None


class _SmoothReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, beta: float, ceiling: float | None) -> Tensor:
        ctx.save_for_backward(inputs)
        ctx.beta, ctx.ceiling = beta, ceiling
        smooth = F.softplus(inputs, beta)
        return smooth if ceiling is None else smooth - F.softplus(inputs - ceiling, beta)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (inputs,) = ctx.saved_tensors
        gradient = _Slope.apply(grad_outputs[0], inputs, ctx.beta, ctx.ceiling)
        return gradient, None, None


def smooth_slope(inputs: Tensor, beta: float, ceiling: float | None) -> Tensor:
    """Return the derivative of the smoothed ReLU at ``inputs``: a sigmoid, or a difference."""
    slope = torch.sigmoid(inputs * beta)
    return slope if ceiling is None else slope - torch.sigmoid((inputs - ceiling) * beta)


class SmoothReLU(nn.Module):
    r"""ReLU or ReLU6 with its kinks rounded off by softplus.

    .. math:: \mathrm{softplus}_\beta(x) = \tfrac{1}{\beta} \log(1 + e^{\beta x})

    With a ``ceiling`` c (6 for ReLU6) it is
    :math:`\mathrm{softplus}_\beta(x) - \mathrm{softplus}_\beta(x - c)`, which rounds both kinks.
    ``beta=None`` is the piecewise linear function itself.

    Parameters
    ----------
    beta : float or None
        Sharpness; the larger, the closer to ReLU.
    ceiling : float or None
        Where the function saturates; None for a plain ReLU.

    References
    ----------
    Dombrowski et al. (2019), "Explanations can be manipulated and geometry is to blame".
    """

    def __init__(self, beta: float | None, ceiling: float | None = None) -> None:
        super().__init__()
        self.beta = beta
        self.ceiling = ceiling

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the function to each element."""
        if self.beta is None:
            return F.relu(inputs) if self.ceiling is None else F.hardtanh(inputs, 0, self.ceiling)
        return _SmoothReLU.apply(inputs, self.beta, self.ceiling)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """Show the parameters in the module's printout."""
        return f"beta={self.beta}, ceiling={self.ceiling}"


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
