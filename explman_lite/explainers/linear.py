"""What a walk back computes at a layer: its linear map with any weight, and quotients."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explman_lite.networks.layers import Conv2d, Geometry, convolution, transposed_convolution


def linear(layer: nn.Module, weight: Tensor, inputs: Tensor) -> Tensor:
    """Apply a layer with another weight and without its bias."""
    if isinstance(layer, Conv2d):
        return convolution(inputs, weight, None, layer.geometry)
    if isinstance(layer, nn.Conv1d):
        row, kernel = as_rows(inputs, weight)
        return convolution(row, kernel, None, row_geometry(layer)).squeeze(2)
    if isinstance(layer, nn.ConvTranspose2d):
        return F.conv_transpose2d(inputs, weight, None, **_options(layer))
    return inputs @ weight.T


def transposed(layer: nn.Module, weight: Tensor, outputs: Tensor, inputs: Tensor) -> Tensor:
    """Apply the transpose of `linear`: from its outputs to the shape of its ``inputs``."""
    if isinstance(layer, Conv2d):
        size = torch.Size((len(outputs), *inputs.shape[1:]))
        return transposed_convolution(outputs, weight, layer.geometry, size)
    if isinstance(layer, nn.Conv1d):
        outputs, weight = as_rows(outputs, weight)
        size = torch.Size((len(outputs), inputs.shape[1], 1, inputs.shape[2]))
        return transposed_convolution(outputs, weight, row_geometry(layer), size).squeeze(2)
    if isinstance(layer, nn.ConvTranspose2d):
        options = _options(layer)
        del options["output_padding"]
        return F.conv2d(outputs, weight, None, **options)
    return outputs @ weight


def as_rows(*values: Tensor) -> tuple[Tensor, ...]:
    """Make rows of one-dimensional signals (N, C, L): pictures (N, C, 1, L)."""
    return tuple(value.unsqueeze(2) for value in values)


def row_geometry(layer: nn.Conv1d) -> Geometry:
    """Return how a one-dimensional convolution slides along a row."""
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ValueError(f"only Conv1d with numeric zero padding is supported, got {layer}")
    return Geometry((1, *layer.stride), (0, *layer.padding), (1, *layer.dilation), layer.groups)


def _options(layer: nn.ConvTranspose2d) -> dict[str, Any]:
    names = ("stride", "padding", "output_padding", "groups", "dilation")
    return {name: getattr(layer, name) for name in names}


def weight_of(layer: nn.Module) -> Tensor:
    """Return the weight of a convolution or dense layer."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


class _Quotient(torch.autograd.Function):
    """a / b. Its derivatives, 1/b and −(a/b)/b, are made of the quotient that is there already."""

    @staticmethod
    def forward(ctx: Any, above: Tensor, below: Tensor) -> Tensor:
        quotient = above / below
        ctx.save_for_backward(below, quotient)
        return quotient

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        below, quotient = ctx.saved_tensors
        share = grad_outputs[0] / below
        return share, (share * quotient).neg_()


def quotient_of(relevance: Tensor, total: Tensor) -> Tensor:
    """Divide relevance by a total of the same shape, for less than PyTorch's division costs."""
    return _Quotient.apply(relevance, total)  # type: ignore[no-any-return]
