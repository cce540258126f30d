"""Half precision: the search works in float32, the result is judged as it is, or it is refused."""

import copy
import warnings

import pytest
import torch
from torch import nn

import explman_lite as el
from explman_lite import curvature, metrics

HALF = [torch.float16, torch.bfloat16]


@pytest.fixture(scope="module")
def digits():
    images, labels = el.load_digits()
    return images[:3], labels[:3]


@pytest.mark.parametrize("dtype", HALF)
def test_an_attack_in_half_precision_takes_the_steps_of_one_in_float32(dtype, digits):
    images, target, seen = digits[0].to(dtype), el.text_target("no", 32), []
    model = el.load_model("digits_vgg").to(dtype)
    weights = [weight.clone() for weight in model.parameters()]
    how = {"steps": 12, "progress": False, "callback": lambda record, pixels: seen.append(pixels)}
    found = el.manipulate(model, images, target, el.Gradient(), **how)
    expected = el.manipulate(
        copy.deepcopy(model).float(),
        images.float(),
        target,
        el.Gradient(),
        steps=12,
        progress=False,
    )
    rounding = torch.finfo(dtype).eps
    assert all(pixels.dtype == dtype for pixels in [found.images, *seen])
    apart = (found.images.float() - expected.images).abs()
    assert (apart <= 2 * rounding).float().mean() > 0.99
    assert apart.max() < el.Settings().lr + 2 * rounding
    assert (found.images - images).abs().max() < 12 * el.Settings().lr + 2 * rounding
    assert not found.diverged.any()
    losses = [torch.stack([step.map_loss for step in run.history]) for run in (found, expected)]
    torch.testing.assert_close(*losses, rtol=0.1, atol=0)
    assert all(map(torch.equal, weights, model.parameters()))
    judged = el.relevance_map(el.Gradient()(model, found.images, found.classes))
    assert torch.equal(found.maps, judged)
    assert torch.equal(found.logits, model(found.images))


@pytest.mark.parametrize("dtype", [*HALF, torch.float32, torch.float64])
def test_epsilon_holds_without_any_tolerance(dtype, digits):
    """Random pictures: on plain 0 and 1 the sums round to themselves."""
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
    model, target, epsilon = (
        el.load_model("digits_vgg").to(dtype),
        el.text_target("no", 32),
        8 / 255,
    )
    seen = []
    result = el.manipulate(
        model, images, target, el.Gradient(), epsilon=epsilon, lr=0.5, steps=3, progress=False,
        callback=lambda record, pixels: seen.append(pixels),
    )  # fmt: skip
    for pixels in (*seen, result.images):
        assert (pixels - images).abs().max().item() <= epsilon
        assert (pixels.double() - images.double()).abs().max().item() <= epsilon
        assert 0 <= pixels.min() <= pixels.max() <= 1
    least = epsilon * (1 - 4 * torch.finfo(dtype).eps) - torch.finfo(dtype).eps
    assert result.summary().image_linf.min() >= least


@pytest.mark.parametrize("dtype", HALF)
def test_maps_and_metrics_of_many_pixels_neither_overflow_nor_vanish(dtype):
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 1, 300, 300, generator=generator).to(dtype)
    first[0, 0, 0] = second[0, 0, 0] = 300.0
    for measure in (metrics.pcc, metrics.mse, metrics.ssim):
        found, expected = measure(first, second), measure(first.double(), second.double())
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)
    tiny = (1e-5 * first[0].unsqueeze(0).unsqueeze(0)).clamp(min=0)
    expected = el.relevance_map(tiny.double())
    torch.testing.assert_close(el.relevance_map(tiny).double(), expected, rtol=1e-5, atol=1e-7)


def test_maps_are_the_same_values_in_other_types():
    attribution = torch.rand(1, 3, 5, 5)
    assert el.relevance_map(attribution).dtype == torch.float32
    assert el.relevance_map(attribution.double()).dtype == torch.float64
    assert el.relevance_map(attribution.half()).dtype == torch.float32


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("method", [el.SmoothGrad(20, 0.1), el.IntegratedGradients(40)])
def test_averages_in_half_precision_are_those_in_double(dtype, method, digits):
    images, labels = digits
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 10)
    smooth = el.smoothed(nn.Sequential(*layers).eval(), 2.0).to(dtype)
    found = method(smooth, images.to(dtype), labels)
    expected = method(copy.deepcopy(smooth).double(), images.to(dtype).double(), labels)
    assert found.dtype == dtype
    error = (found.double() - expected).norm() / expected.norm()
    assert error < 8 * torch.finfo(dtype).eps


def test_many_large_attributions_are_averaged_in_half_precision():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)).half().eval()
    model[1].weight.data.fill_(4000.0)  # forty of them are beyond the largest number, 65504
    found = el.SmoothGrad(40)(model, torch.zeros(1, 1, 2, 2).half(), 0)
    assert (found == 4000).all()


@pytest.mark.parametrize("dtype", HALF)
def test_curvature_in_half_precision_is_refused(dtype):
    model = el.smoothed(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).eval(), 3.0)
    model, point = model.to(dtype), torch.tensor([[0.5, 0.25]], dtype=dtype)
    for compute in (
        lambda: curvature.principal_curvatures(model, point, 0),
        lambda: curvature.hessian_vector_product(model, point, point, 0),
        lambda: curvature.level_set_path(model, point, point, 0),
        lambda: curvature.hessian_bound(model, point, 0),
    ):
        with pytest.raises(ValueError, match=rf"must be float32 or float64, got {dtype}.*\.float"):
            compute()


def test_an_attack_in_float32_leaves_no_warning(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        el.manipulate(
            el.load_model("digits_vgg"), digits[0], el.text_target("no", 32), el.Gradient(),
            steps=2, progress=False,
        ).summary()  # fmt: skip
