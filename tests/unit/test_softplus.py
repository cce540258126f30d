"""The rounded rectifiers against float64, in value, slope and bend."""

import math

import pytest
import torch
from torch import Tensor

from explman_lite.networks.softplus import CentredSoftplus, SmoothReLU

BETAS = [0.1, 1.0, 5.0, 30.0, 100.0, 1000.0]
CEILINGS = pytest.mark.parametrize("ceiling", [None, 6.0], ids=["ReLU", "ReLU6"])


def points(dtype: torch.dtype = torch.float32) -> Tensor:
    """Return numbers of all sizes and both signs, the awkward ones among them."""
    sizes = torch.logspace(-45, 4, 20_001, dtype=torch.float64)
    near = torch.linspace(-8, 14, 20_001, dtype=torch.float64)
    odd = torch.tensor([0.0, -0.0, 1e-45, -1e-45, 6.0, 1e4, -1e4], dtype=torch.float64)
    return torch.cat([sizes, -sizes, near, odd]).to(dtype)


def exact(x: Tensor, beta: float, ceiling: float | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return value, slope and bend over β by PyTorch's own functions, in float64."""
    x = x.double()
    parts = []
    for shift in (0.0,) if ceiling is None else (0.0, ceiling):
        z = (x - shift) * beta
        value = torch.logaddexp(z, torch.zeros_like(z)) / beta
        parts.append((value, z.sigmoid(), z.sigmoid() * (-z).sigmoid()))
    if ceiling is None:
        return parts[0]
    return tuple(a - b for a, b in zip(*parts, strict=True))


def derivatives(layer: SmoothReLU, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x = x.clone().requires_grad_()
    value = layer(x)
    (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    return value.detach(), slope.detach(), bend


@CEILINGS
@pytest.mark.parametrize("beta", BETAS)
def test_value_slope_and_bend_are_exact_in_single_precision(beta, ceiling):
    x = points()
    value, slope, bend = derivatives(SmoothReLU(beta, ceiling), x)
    expected = exact(x, beta, ceiling)
    rounding = torch.finfo(torch.float32).eps / 2 * expected[0].abs()
    assert ((value.double() - expected[0]).abs() - rounding).max() <= 1e-6 / beta
    assert (slope.double() - expected[1]).abs().max() <= 1e-6
    assert (bend.double() / beta - expected[2]).abs().max() <= 1e-6


@CEILINGS
@pytest.mark.parametrize("beta", BETAS)
def test_and_in_double_precision(beta, ceiling):
    x = points(torch.float64)
    value, slope, bend = derivatives(SmoothReLU(beta, ceiling), x)
    expected = exact(x, beta, ceiling)
    cancelled = 4 * torch.finfo(torch.float64).eps * x.abs()  # in the reference, beyond a ceiling
    assert ((value - expected[0]).abs() - cancelled).max() <= 1e-14 / beta
    torch.testing.assert_close(slope, expected[1], rtol=0, atol=1e-14)
    torch.testing.assert_close(bend / beta, expected[2], rtol=0, atol=1e-14)


@CEILINGS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_types_are_right_to_their_own_rounding(dtype, ceiling):
    x = points().clamp(-100, 100).to(dtype)
    found = derivatives(SmoothReLU(5.0, ceiling), x)
    for mine, theirs in zip(found, exact(x, 5.0, ceiling), strict=True):
        assert mine.dtype == dtype
        per_beta = mine.double() / (5.0 if mine is found[2] else 1.0)
        error = (per_beta - theirs).abs()
        assert (error <= torch.finfo(dtype).eps * theirs.abs().clamp(min=1.0)).all()


@CEILINGS
def test_infinities_are_limits_and_nan_stays(ceiling):
    x = torch.tensor([math.inf, -math.inf, math.nan])
    value, slope, _ = derivatives(SmoothReLU(5.0, ceiling), x)
    assert value[:2].tolist() == [math.inf if ceiling is None else ceiling, 0.0]
    assert slope[:2].tolist() == [1.0 if ceiling is None else 0.0, 0.0]
    assert value[2].isnan()


@CEILINGS
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("beta", [0.5, 7.0])
def test_passes_gradcheck_to_third_order(beta, ceiling, centred):
    layer = SmoothReLU(beta, ceiling, centred=centred)
    x = torch.linspace(-3, 9, 40, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)

    def slope_of(x: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
        return slope

    assert torch.autograd.gradgradcheck(slope_of, x)


@CEILINGS
@pytest.mark.parametrize("beta", BETAS)
def test_a_centred_softplus_leaves_zero_where_it_is_and_bends_as_the_plain_one(beta, ceiling):
    plain, centred = (SmoothReLU(beta, ceiling, centred=c) for c in (False, True))
    assert centred(torch.zeros(1)).abs().item() <= 1e-7 / beta
    x = points()
    for mine, theirs in zip(derivatives(centred, x)[1:], derivatives(plain, x)[1:], strict=True):
        assert torch.equal(mine, theirs)
    expected = exact(torch.zeros(1), beta, ceiling)[0].item()
    assert centred.at_zero == pytest.approx(expected, rel=1e-12)
    assert plain(torch.zeros(1)).item() == pytest.approx(expected, rel=1e-6)


def test_views_and_expanded_gradients_are_no_trouble():
    layer = SmoothReLU(5.0)
    base = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    view = base.transpose(0, 2)[1:, ::2].requires_grad_()
    (slope,) = torch.autograd.grad(layer(view).mean(), view, create_graph=True)
    (bend,) = torch.autograd.grad(slope.mean(), view)
    expected = exact(view.detach(), 5.0, None)[2] * 5 / view.numel() ** 2
    torch.testing.assert_close(bend, expected)


def test_nothing_is_kept_but_the_inputs_and_the_slope():
    """What an attack remembers of each activation, in buffers of its size."""
    for ceiling in (None, 6.0):
        x = torch.randn(1000, requires_grad=True)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, kept=kept: kept.append(t.numel()) or t, lambda t: t
        ):
            SmoothReLU(5.0, ceiling)(x)
        assert sum(kept) == 2 * 1000


@pytest.mark.parametrize("beta", BETAS)
def test_an_activation_that_was_trained_is_the_centred_rectifier_and_no_stand_in(beta):
    x = points(torch.float64)
    own, rounded = CentredSoftplus(beta), SmoothReLU(beta, centred=True)
    for found, expected in zip(derivatives(own, x), derivatives(rounded, x), strict=True):
        assert torch.equal(found, expected)
    assert not isinstance(own, SmoothReLU), "what rounds off ReLUs must leave it alone"
    assert own(torch.zeros(1, dtype=torch.float64)).abs() < 1e-15
