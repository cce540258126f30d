"""The other kink of a network: the maximum over a window, rounded off by log-sum-exp."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SmoothMaxPool2d(nn.MaxPool2d):
    r"""Max pooling with its kinks rounded off.

    .. math:: y = \tfrac{1}{\tau} \log \sum_{i \in \mathrm{window}} e^{\tau x_i}

    It exceeds the maximum by at most :math:`\log(n) / \tau` for windows of n values; its derivative
    shares out 1 among them, :math:`\partial y / \partial x_i = \mathrm{softmax}(\tau x)_i`, where
    that of the maximum gives all to one. Windows, stride, padding, dilation and ceil mode are those
    of `torch.nn.MaxPool2d`; what lies outside of the picture counts for nothing.

    Made from a layer by `SmoothMaxPool2d.of`.
    """

    sharpness: float

    @classmethod
    def of(cls, layer: nn.MaxPool2d, sharpness: float) -> SmoothMaxPool2d:
        """Round off a layer; ``sharpness`` is τ, positive: the larger, the closer to the maximum.

        Raises
        ------
        ValueError
            If the layer also returns where its maxima are.
        """
        if layer.return_indices:
            raise ValueError(f"a smooth maximum lies in no one place, got {layer}")
        smooth = cls(
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            ceil_mode=layer.ceil_mode,
        )
        smooth.sharpness = sharpness
        return smooth

    def hard(self) -> nn.MaxPool2d:
        """Return the maximum itself, over the same windows."""
        return nn.MaxPool2d(
            self.kernel_size, self.stride, self.padding, self.dilation, ceil_mode=self.ceil_mode
        )

    def forward(self, input: Tensor) -> Tensor:
        """Pool (N, C, H, W)."""
        kernel, stride, padding, dilation = (
            _pair(value) for value in (self.kernel_size, self.stride, self.padding, self.dilation)
        )
        maxima = super().forward(input.detach())
        # On each side as far as the last window reaches, which in ceil mode is beyond the padding.
        reach = [
            (count - 1) * s + d * (k - 1) + 1
            for count, s, d, k in zip(maxima.shape[2:], stride, dilation, kernel, strict=True)
        ]
        before, (height, width) = padding, input.shape[2:]
        below, right = reach[0] - before[0] - height, reach[1] - before[1] - width
        edges = (before[1], right, before[0], below)
        padded = F.pad(input, edges, value=-torch.inf) if any(edges) else input
        windows = F.unfold(padded, kernel, dilation, 0, stride)
        windows = windows.view(*maxima.shape[:2], kernel[0] * kernel[1], *maxima.shape[2:])
        # Less the maximum, which changes no derivative: so nothing can overflow.
        excess = (windows - maxima.unsqueeze(2)) * self.sharpness
        pooled: Tensor = maxima + excess.logsumexp(dim=2) / self.sharpness
        return pooled

    def extra_repr(self) -> str:
        """Show the sharpness too in the module's printout."""
        return f"{super().extra_repr()}, sharpness={self.sharpness:g}"


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else cast(tuple[int, int], tuple(value))
