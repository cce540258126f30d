"""Rectifiers with their kinks rounded off, for little more than the price of the kinks.

PyTorch's softplus takes the logarithm of 1 + z by a function that it does not vectorise on CPUs,
which costs more than the rest of an attack's step. Here the same number comes from the slope, a
sigmoid that every pass needs anyway.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


class CentredSoftplus(nn.Module):
    r"""Softplus less its value at 0: the activation of a network that was trained with it.

    .. math:: \mathrm{softplus}_\beta(x) - \log(2) / \beta

    It stands for itself: `smoothed` rounds off ReLUs, and leaves this as it is.

    Parameters
    ----------
    beta : float
        Sharpness, positive.

    References
    ----------
    Srinivas et al. (2022), "Efficient training of low-curvature neural networks".
    """

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the function to each element."""
        return _Softplus.apply(  # type: ignore[no-any-return]
            inputs, self.beta, None, math.log(2) / self.beta
        )

    def extra_repr(self) -> str:
        """Show the sharpness in the module's printout."""
        return f"beta={self.beta}"


class _Softplus(torch.autograd.Function):
    """The value; the slope is computed with it, and kept for the passes that follow."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, beta: float, ceiling: float | None, shift: float
    ) -> Tensor:
        value, slope = _evaluate(inputs, beta, ceiling, shift)
        ctx.save_for_backward(inputs, slope)
        ctx.beta, ctx.ceiling = beta, ceiling
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        inputs, slope = ctx.saved_tensors
        (grad,) = grad_outputs
        return _Slope.apply(grad, inputs, slope, ctx.beta, ctx.ceiling), None, None, None


class _Slope(torch.autograd.Function):
    """Multiply by the slope of `_Softplus`: g · s(x), whose derivative by x is g · s'(x)."""

    @staticmethod
    def forward(
        ctx: Any, grad: Tensor, inputs: Tensor, slope: Tensor, beta: float, ceiling: float | None
    ) -> Tensor:
        ctx.save_for_backward(grad, inputs, slope)
        ctx.beta, ctx.ceiling = beta, ceiling
        return grad * slope

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        grad, inputs, slope = ctx.saved_tensors
        (through,) = grad_outputs
        if torch.is_grad_enabled():
            # What is kept hangs on nothing: a third derivative needs it to hang on the inputs.
            slope, bend = slope_and_bend(inputs, ctx.beta, ctx.ceiling)
            return through * slope, through * grad * bend, None, None, None
        bent = _bend(inputs, slope, ctx.beta, ctx.ceiling).mul_(through).mul_(grad)
        return through * slope, bent, None, None, None


def slope_and_bend(inputs: Tensor, beta: float, ceiling: float | None) -> tuple[Tensor, Tensor]:
    """Return the first and the second derivative of a smoothed ReLU, differentiable themselves."""
    lower = torch.sigmoid(inputs * beta)
    if ceiling is None:
        return lower, beta * lower * (1 - lower)
    upper = torch.sigmoid((inputs - ceiling) * beta)
    return lower - upper, beta * (lower - upper) * (1 - lower - upper)


def _evaluate(
    inputs: Tensor, beta: float, ceiling: float | None, shift: float
) -> tuple[Tensor, Tensor]:
    """Return the value and the slope."""
    if inputs.dtype in {torch.float16, torch.bfloat16}:
        value, slope = _evaluate(inputs.float(), beta, ceiling, shift)
        return value.to(inputs.dtype), slope.to(inputs.dtype)
    if ceiling is None or _are_apart(inputs.dtype, beta, ceiling):
        slope, excess = _one_bend(inputs, beta, ceiling)
    else:
        slope, excess = _two_bends(inputs, beta, ceiling)
    value = inputs.clamp(0, ceiling).sub_(excess, alpha=1 / beta)
    return value.sub_(shift) if shift else value, slope


def _are_apart(dtype: torch.dtype, beta: float, ceiling: float) -> bool:
    """Whether half way between two kinks neither is felt: e^(−βc/2) is lost in rounding."""
    return beta * ceiling / 2 > -math.log(torch.finfo(dtype).eps)


def _one_bend(inputs: Tensor, beta: float, ceiling: float | None) -> tuple[Tensor, Tensor]:
    """Return the slope, and what is to be subtracted from the ReLU, times β.

    With a ceiling c, the upper half of the function is the lower one upside down: its slope is that
    at c − x, and what is subtracted changes its sign.
    """
    if ceiling is None:
        slope = torch.mul(inputs, beta).sigmoid_()
    else:
        mirrored = torch.neg(inputs).add_(ceiling)
        slope = torch.minimum(inputs, mirrored, out=mirrored).mul_(beta).sigmoid_()
    rest = torch.neg(slope).add_(1)
    excess = torch.maximum(slope, rest, out=rest).log_()
    return slope, excess if ceiling is None else excess.copysign_(inputs - ceiling / 2)


def _two_bends(inputs: Tensor, beta: float, ceiling: float) -> tuple[Tensor, Tensor]:
    """Do what `_one_bend` does where two kinks are so near that both bends are felt everywhere.

    With σ the lower and τ the upper sigmoid the slope is σ − τ; the logarithms of two softplus are
    one of a quotient, and each σ(β|x|) is the larger of σ and 1 − σ.
    """
    lower = torch.mul(inputs, beta).sigmoid_()
    upper = torch.sub(inputs, ceiling).mul_(beta).sigmoid_()
    quotient = torch.maximum(lower, 1 - lower).div_(torch.maximum(upper, 1 - upper))
    return lower.sub_(upper), quotient.log_()


def _bend(inputs: Tensor, slope: Tensor, beta: float, ceiling: float | None) -> Tensor:
    """Return the bend: β s (1 − s) at a single kink, turned over in the upper half."""
    if ceiling is not None and not _are_apart(inputs.dtype, beta, ceiling):
        return slope_and_bend(inputs, beta, ceiling)[1]
    bend = torch.addcmul(slope, slope, slope, value=-1).mul_(beta)
    return bend if ceiling is None else bend.copysign_(ceiling / 2 - inputs)
