"""Rectifiers with their kinks rounded off."""

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
    In float32 the value errs by at most 4e-6/β besides its rounding, the slope by 1e-6 and the bend
    by 1e-6 β.

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


class _Slope(torch.autograd.Function):
    """Multiply by the slope of a smoothed ReLU: g · s(x), with s'(x) known in closed form.

    Autograd would compose the same derivative from a dozen passes over memory.
    """

    @staticmethod
    def forward(
        ctx: Any, grad: Tensor, inputs: Tensor, beta: float, ceiling: float | None
    ) -> Tensor:
        slope = _slope(inputs, beta, ceiling)
        ctx.save_for_backward(grad, inputs, slope)
        ctx.beta, ctx.ceiling = beta, ceiling
        return grad * slope

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        grad, inputs, slope = ctx.saved_tensors
        through = grad_outputs[0]
        # The kept slope hangs on nothing: a third derivative needs one that hangs on the inputs.
        if torch.is_grad_enabled():
            slope = _slope(inputs, ctx.beta, ctx.ceiling)
        step = torch.sigmoid(inputs * ctx.beta)
        bend = step * (1 - step)
        if ctx.ceiling is not None:
            upper = torch.sigmoid((inputs - ctx.ceiling) * ctx.beta)
            bend = bend - upper * (1 - upper)
        return through * slope, through * grad * bend * ctx.beta, None, None


class _Softplus(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, beta: float, ceiling: float | None, shift: float
    ) -> Tensor:
        ctx.save_for_backward(inputs)
        ctx.beta, ctx.ceiling = beta, ceiling
        smooth = F.softplus(inputs, beta)
        if ceiling is not None:
            smooth = smooth - F.softplus(inputs - ceiling, beta)
        return smooth - shift if shift else smooth

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (inputs,) = ctx.saved_tensors
        gradient = _Slope.apply(grad_outputs[0], inputs, ctx.beta, ctx.ceiling)
        return gradient, None, None, None


def _slope(inputs: Tensor, beta: float, ceiling: float | None) -> Tensor:
    """Return the derivative of the smoothed ReLU at ``inputs``: a sigmoid, or a difference."""
    slope = torch.sigmoid(inputs * beta)
    return slope if ceiling is None else slope - torch.sigmoid((inputs - ceiling) * beta)
