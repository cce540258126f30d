"""The other kink of a network: the maximum over a window, rounded off by log-sum-exp."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

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
    in_spreads: bool

    @classmethod
    def of(
        cls, layer: nn.MaxPool2d, sharpness: float, *, in_spreads: bool = False
    ) -> SmoothMaxPool2d:
        """Round off a layer; ``sharpness`` is τ, positive: the larger, the closer to the maximum.

        Counted ``in_spreads``, it is divided by the standard deviation of what is pooled, that of
        each sample, so that one value suits layers of any scale. Derivatives take that for a
        constant.

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
        smooth.sharpness, smooth.in_spreads = sharpness, in_spreads
        return smooth

    def hard(self) -> nn.MaxPool2d:
        """Return the maximum itself, over the same windows."""
        return nn.MaxPool2d(
            self.kernel_size, self.stride, self.padding, self.dilation, ceil_mode=self.ceil_mode
        )

    def forward(self, input: Tensor) -> Tensor:
        """Pool (N, C, H, W), or (C, H, W)."""
        if input.ndim == 3:
            return self(input.unsqueeze(0)).squeeze(0)  # type: ignore[no-any-return]
        kernel, stride, padding, dilation = (
            _pair(value) for value in (self.kernel_size, self.stride, self.padding, self.dilation)
        )
        # PyTorch knows how many windows there are, ceil mode included; asked without numbers.
        size = super().forward(torch.empty(input.shape, device="meta")).shape[2:]
        windows = Windows(kernel, stride, padding, dilation, (size[0], size[1]))
        sharpness: float | Tensor = self.sharpness
        if self.in_spreads:
            spread = input.detach().std(dim=(1, 2, 3), correction=0, keepdim=True)
            # Where all that is pooled is equal, any sharpness shares alike.
            sharpness = sharpness / torch.where(spread > 0, spread, 1)
        return _LogSumExp.apply(input, windows, sharpness)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """Show the sharpness too in the module's printout."""
        return f"{super().extra_repr()}, sharpness={self.sharpness:g}"


class Windows(NamedTuple):
    """How windows lie on a picture, in pixels down and across, and how many there are."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    grid: tuple[int, int]

    def cut(self, images: Tensor, outside: float) -> Tensor:
        """Return what each place of a window sees (places, N, C, rows, columns)."""
        edges = self._edges(images)
        padded = F.pad(images, edges, value=outside) if any(edges) else images
        return torch.stack([padded[place] for place in self._places()])

    def join(self, parts: Tensor, like: Tensor) -> Tensor:
        """Add what each place of a window gives, to a picture like ``like``: `cut`, transposed."""
        left, right, above, below = self._edges(like)
        height, width = like.shape[2] + above + below, like.shape[3] + left + right
        joined = like.new_zeros(*like.shape[:2], height, width)
        for part, place in zip(parts, self._places(), strict=True):
            joined[place] += part
        return F.pad(joined, (-left, -right, -above, -below))

    def _edges(self, images: Tensor) -> tuple[int, int, int, int]:
        """Return the margins, left, right, above and below: as far as the last window reaches."""
        ends = [
            (n - 1) * s + d * (k - 1) + 1 - p - size
            for k, s, p, d, n, size in zip(*self, images.shape[2:], strict=True)
        ]
        return self.padding[1], ends[1], self.padding[0], ends[0]

    def _places(self) -> Iterator[tuple[Any, ...]]:
        """Index the pixels at each place of the windows."""
        down, across = (
            [slice(i * d, i * d + (n - 1) * s + 1, s) for i in range(k)]
            for k, s, _, d, n in zip(*self, strict=True)
        )
        return ((..., row, column) for row in down for column in across)


class _LogSumExp(torch.autograd.Function):
    """The smooth maximum; the shares p of its derivative are computed with it, and kept."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, windows: Windows, sharpness: float | Tensor) -> Tensor:
        seen = windows.cut(images, -torch.inf)
        maxima = seen.amax(dim=0)
        # Less the maximum, which changes no share: so nothing can overflow.
        shares = seen.sub_(maxima).mul_(sharpness).exp_()
        total = shares.sum(dim=0)
        ctx.save_for_backward(images, shares.div_(total))
        ctx.windows, ctx.sharpness = windows, sharpness
        return maxima.add_(total.log_().div_(sharpness))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        images, shares = ctx.saved_tensors
        (grad,) = grad_outputs
        return _Shared.apply(grad, images, shares, ctx.windows, ctx.sharpness), None, None


class _Shared(torch.autograd.Function):
    """Share out a gradient: g p(x), with ∂p_i/∂x_j = τ (p_i δ_ij − p_i p_j) in each window."""

    @staticmethod
    def forward(
        ctx: Any, grad: Tensor, images: Tensor, shares: Tensor, windows: Windows, sharpness: Tensor
    ) -> Tensor:
        ctx.save_for_backward(grad, images, shares)
        ctx.windows, ctx.sharpness = windows, sharpness
        return windows.join(shares * grad, images)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        grad, images, shares = ctx.saved_tensors
        windows, sharpness = ctx.windows, ctx.sharpness
        if torch.is_grad_enabled():
            # The kept shares hang on nothing: a third derivative needs them to hang on the images.
            shares = (windows.cut(images, -torch.inf) * sharpness).softmax(dim=0)
        through = windows.cut(grad_outputs[0], 0.0)
        mean = (shares * through).sum(dim=0)
        for_images = windows.join(sharpness * grad * shares * (through - mean), images)
        return mean, for_images, None, None, None


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else cast(tuple[int, int], tuple(value))
