"""Rectifiers with their kinks rounded off, for little more than the price of the kinks.

PyTorch's softplus takes the logarithm of 1 + z by a function that it does not vectorise on CPUs,
which costs more than the rest of an attack's step. Here the same number comes from the slope, a
sigmoid that every pass needs anyway, and is cut into pieces that stay in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_PIECE = 32768
"""As many numbers as PyTorch gives to one thread: their pieces stay in its cache."""


class SmoothReLU(nn.Module):
    r"""ReLU or ReLU6 with its kinks rounded off by softplus.

    .. math::

       \mathrm{softplus}_\beta(x) = \tfrac{1}{\beta} \log(1 + e^{\beta x})
       = \max(x, 0) - \tfrac{1}{\beta} \log \sigma(\beta |x|)

    With a ``ceiling`` c (6 for ReLU6) it is
    :math:`\mathrm{softplus}_\beta(x) - \mathrm{softplus}_\beta(x - c)`, which rounds both kinks.
    ``beta=None`` is the piecewise linear function itself.

    Parameters
    ----------
    beta : float or None
        Sharpness; the larger, the closer to ReLU.
    ceiling : float or None
        Where the function saturates; None for a plain ReLU.
    centred : bool
        Subtract the function's value at 0, :math:`\log(2) / \beta` for a plain ReLU, so that 0
        stays 0.

    Notes
    -----
    In float32 the value errs by at most 1e-6/β besides its rounding, the slope by 1e-6 and the bend
    by 1e-6 β. Shorter types are computed in float32.

    References
    ----------
    Dombrowski et al. (2019), "Explanations can be manipulated and geometry is to blame"; Srinivas
    et al. (2022), "Efficient training of low-curvature neural networks", for the centred form.
    """

    def __init__(
        self, beta: float | None, ceiling: float | None = None, *, centred: bool = False
    ) -> None:
        super().__init__()
        self.beta = beta
        self.ceiling = ceiling
        self.centred = centred

    @property
    def at_zero(self) -> float:
        """The softplus of 0 before it is centred."""
        if self.beta is None:
            return 0.0
        above = 0.0 if self.ceiling is None else math.log1p(math.exp(-self.beta * self.ceiling))
        return (math.log(2) - above) / self.beta

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the function to each element."""
        if self.beta is None:
            return F.relu(inputs) if self.ceiling is None else F.hardtanh(inputs, 0, self.ceiling)
        shift = self.at_zero if self.centred else 0.0
        return _Softplus.apply(  # type: ignore[no-any-return]
            inputs, self.beta, self.ceiling, shift
        )

    def extra_repr(self) -> str:
        """Show the parameters in the module's printout."""
        return f"beta={self.beta}, ceiling={self.ceiling}, centred={self.centred}"


class _Softplus(torch.autograd.Function):
    """The value; the slope and the factor of the bend are computed with it, and kept."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, beta: float, ceiling: float | None, shift: float
    ) -> Tensor:
        value, slope, rest = _evaluate(inputs, beta, ceiling, shift)
        ctx.save_for_backward(inputs, slope, rest)
        ctx.beta, ctx.ceiling = beta, ceiling
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        inputs, slope, rest = ctx.saved_tensors
        (grad,) = grad_outputs
        return _Slope.apply(grad, inputs, slope, rest, ctx.beta, ctx.ceiling), None, None, None


class _Slope(torch.autograd.Function):
    """Multiply by the slope of `_Softplus`: g · s(x), whose derivative by x is g · s'(x)."""

    @staticmethod
    def forward(
        ctx: Any,
        grad: Tensor,
        inputs: Tensor,
        slope: Tensor,
        rest: Tensor | None,
        beta: float,
        ceiling: float | None,
    ) -> Tensor:
        ctx.save_for_backward(grad, inputs, slope, rest)
        ctx.beta, ctx.ceiling = beta, ceiling
        return grad * slope

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        grad, inputs, slope, rest = ctx.saved_tensors
        (through,) = grad_outputs
        if torch.is_grad_enabled():
            # What is kept hangs on nothing: a third derivative needs it to hang on the inputs.
            slope, bend = slope_and_bend(inputs, ctx.beta, ctx.ceiling)
            return through * slope, through * grad * bend, None, None, None, None
        return through * slope, _bent(through, grad, slope, rest, ctx.beta), None, None, None, None


def slope_and_bend(inputs: Tensor, beta: float, ceiling: float | None) -> tuple[Tensor, Tensor]:
    """Return the first and the second derivative of a smoothed ReLU, differentiable themselves."""
    lower = torch.sigmoid(inputs * beta)
    if ceiling is None:
        return lower, beta * lower * (1 - lower)
    upper = torch.sigmoid((inputs - ceiling) * beta)
    return lower - upper, beta * (lower - upper) * (1 - lower - upper)


def _evaluate(
    inputs: Tensor, beta: float, ceiling: float | None, shift: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the value, the slope s, and r in s' = β s r: 1 − s without a ceiling, then None.

    With σ the lower and τ the upper sigmoid, s = σ − τ and r = 1 − σ − τ. The logarithms of the
    two softplus are one of a quotient, and each σ(β|x|) is the larger of σ and 1 − σ.
    """
    if inputs.dtype in {torch.float16, torch.bfloat16}:
        value, slope, rest = _evaluate(inputs.float(), beta, ceiling, shift)
        rest = None if rest is None else rest.to(inputs.dtype)
        return value.to(inputs.dtype), slope.to(inputs.dtype), rest
    value, slope = torch.empty_like(inputs), torch.empty_like(inputs)
    rest = None if ceiling is None else torch.empty_like(inputs)
    for (x, y, s, r), (a, b) in _pieces([inputs, value, slope, rest], scratch=2):
        torch.mul(x, beta, out=s).sigmoid_()
        torch.maximum(s, torch.neg(s, out=a).add_(1), out=a)
        if ceiling is None:
            torch.clamp(x, min=0, out=y)
        else:
            torch.sub(x, ceiling, out=r).mul_(beta).sigmoid_()
            a.div_(torch.maximum(r, torch.neg(r, out=b).add_(1), out=b))
            torch.add(s, r, out=b)
            s.sub_(r)
            torch.neg(b, out=r).add_(1)
            torch.clamp(x, 0, ceiling, out=y)
        y.sub_(a.log_(), alpha=1 / beta)
        if shift:
            y.sub_(shift)
    return value, slope, rest


def _bent(through: Tensor, grad: Tensor, slope: Tensor, rest: Tensor | None, beta: float) -> Tensor:
    """Multiply the two gradients by the bend β s r."""
    product = torch.empty_like(slope)
    for (t, g, s, r, p), (a,) in _pieces([through, grad, slope, rest, product], scratch=1):
        if r is None:
            torch.addcmul(s, s, s, value=-1, out=a)
        else:
            torch.mul(s, r, out=a)
        torch.mul(t, g, out=p).mul_(a.mul_(beta))
    return product


def _pieces(tensors: list[Tensor | None], scratch: int) -> Iterator[tuple[list[Any], list[Tensor]]]:
    """Cut tensors of one shape into pieces that belong together, with room to compute in.

    None stays None. A GPU gets everything at once.
    """
    like = cast(Tensor, tensors[0])
    count = like.numel()
    at_once = _PIECE * torch.get_num_threads() if like.device.type == "cpu" else count
    if count <= at_once or not all(t is None or t.is_contiguous() for t in tensors):
        yield list(tensors), [torch.empty_like(like) for _ in range(scratch)]
        return
    flat = [None if tensor is None else tensor.view(-1) for tensor in tensors]
    rooms = [like.new_empty(at_once) for _ in range(scratch)]
    for start in range(0, count, at_once):
        stop = min(start + at_once, count)
        yield (
            [None if tensor is None else tensor[start:stop] for tensor in flat],
            [room[: stop - start] for room in rooms],
        )
