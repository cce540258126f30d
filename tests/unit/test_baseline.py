"""What a picture is compared with: against captum, finite differences, and completeness."""

import copy

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, Saliency

import explman_lite as el

COLOUR = (0.485, 0.456, 0.406)
PICTURE = torch.rand(3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
BASELINES = {
    "black": (0.0, torch.zeros(1, 3, 1, 1)),
    "an integer": (1, torch.ones(1, 3, 1, 1)),
    "a NumPy number": (np.float32(0.25), torch.full((1, 3, 1, 1), 0.25)),
    "a colour": (COLOUR, torch.tensor(COLOUR, dtype=torch.float64).view(1, 3, 1, 1)),
    "an array": (np.array(COLOUR), torch.tensor(COLOUR, dtype=torch.float64).view(1, 3, 1, 1)),
    "a picture": (PICTURE, PICTURE.unsqueeze(0)),
    "a batch of one": (PICTURE.unsqueeze(0), PICTURE.unsqueeze(0)),
}


@pytest.mark.parametrize(("baseline", "meant"), BASELINES.values(), ids=BASELINES)
def test_every_form_of_a_baseline_agrees_with_captum(baseline, meant, raw, images, classes):
    meant = meant.to(images).expand(1, 3, 16, 16)
    network = el.prepare(raw)
    found = el.IntegratedGradients(6, baseline)(network, images, classes)
    expected = IntegratedGradients(raw).attribute(
        images, meant.expand_as(images), classes, n_steps=6, method="riemann_middle"
    )
    torch.testing.assert_close(found, expected)
    found = el.GradientTimesInput(baseline)(network, images, classes)
    gradient = Saliency(raw).attribute(images.clone().requires_grad_(), classes, abs=False)
    torch.testing.assert_close(found, (images - meant) * gradient)


def test_black_changes_no_bit(network, images, classes):
    gradient = el.Gradient()(network, images, classes)
    assert torch.equal(el.GradientTimesInput()(network, images, classes), images * gradient)
    middles = [(k + 0.5) / 5 * images for k in range(5)]
    mean = sum(el.Gradient()(network, middle, classes) for middle in middles) / 5
    found = el.IntegratedGradients(5)(network, images, classes)
    torch.testing.assert_close(found, images * mean, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("baseline", [0.3, COLOUR, PICTURE])
def test_attributions_add_up_to_the_gain_over_the_baseline(baseline, network, images, classes):
    smooth = el.smoothed(network, 5.0)
    start = torch.as_tensor(baseline, dtype=torch.float64)
    start = (start.view(3, 1, 1) if start.ndim == 1 else start).expand_as(images)
    gain = (smooth(images) - smooth(start)).gather(1, classes.unsqueeze(1)).squeeze(1)
    total = el.IntegratedGradients(300, baseline)(smooth, images, classes).sum(dim=(1, 2, 3))
    torch.testing.assert_close(total, gain, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "method", [el.GradientTimesInput(COLOUR), el.IntegratedGradients(4, PICTURE)]
)
def test_the_gradient_of_the_map_equals_finite_differences(method, network, images, classes):
    smooth = el.smoothed(network, 3.0)
    pixels = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(method(smooth, pixels, classes).square().sum(), pixels)
    direction = torch.randn(
        images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    )
    step = 1e-5

    def value(k):
        shifted = images + k * step * direction
        return method.explain(smooth, shifted, classes).attribution.square().sum().item()

    expected = (value(-2) - 8 * value(-1) + 8 * value(1) - value(2)) / (12 * step)
    assert (gradient * direction).sum().item() == pytest.approx(expected, rel=1e-6)


def test_explainers_with_equal_baselines_are_equal_values():
    for make in (el.GradientTimesInput, lambda baseline: el.IntegratedGradients(3, baseline)):
        same = make(PICTURE), make(PICTURE.clone().unsqueeze(0))
        assert same[0] == same[1]
        assert hash(same[0]) == hash(same[1])
        assert copy.deepcopy(same[0]) == same[0]
        assert make(1 - PICTURE) != same[0] != make(0.0)
        assert make(list(COLOUR)) == make(np.array(COLOUR)) == make(COLOUR)
        assert make(np.float64(0.5)) == make(0.5)
    assert repr(el.GradientTimesInput(np.float64(0.5))) == "GradientTimesInput(baseline=0.5)"
    assert repr(el.GradientTimesInput(list(COLOUR))) == f"GradientTimesInput(baseline={COLOUR})"
    assert repr(el.GradientTimesInput(PICTURE)).endswith("(baseline=<picture of 3 × 16 × 16>)")


def test_a_baseline_is_what_it_was_when_it_was_given(network, images, classes):
    given = PICTURE.clone()
    method = el.GradientTimesInput(given)
    expected = method(network, images, classes)
    given.zero_()
    assert torch.equal(method(network, images, classes), expected)


@pytest.mark.parametrize("make", [el.GradientTimesInput, lambda b: el.IntegratedGradients(3, b)])
@pytest.mark.parametrize(
    ("baseline", "error", "message"),
    [
        (1.5, ValueError, r"baseline must lie in \[0, 1\], got 1\.5"),
        (float("nan"), ValueError, "baseline must lie in"),
        ((0.5, -0.1, 0.5), ValueError, r"baseline must lie in \[0, 1\], got -0\.1"),
        ((), ValueError, "a value for each channel, got none"),
        ("black", TypeError, "baseline must be a number, got 'black'"),
        (True, TypeError, "baseline must be a number, got True"),
        (None, TypeError, "baseline must be a number, got None"),
        (PICTURE + 1, ValueError, r"baseline must lie in \[0, 1\]"),
        (torch.rand(2, 3, 4, 4), ValueError, r"a single picture .* got \(2, 3, 4, 4\)"),
        (torch.rand(3), ValueError, r"baseline must have the shape .* got \(3,\)"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), TypeError, "baseline must be floating point"),
    ],
)
def test_what_is_no_baseline_is_refused_before_any_computing(make, baseline, error, message):
    with pytest.raises(error, match=message):
        make(baseline)


@pytest.mark.parametrize("make", [el.GradientTimesInput, lambda b: el.IntegratedGradients(3, b)])
@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ((0.5, 0.5), r"a value for each of the 3 channels, got \(0\.5, 0\.5\)"),
        ((0.5,), "a value for each of the 3 channels"),
        (torch.zeros(3, 8, 8), r"the images' size \(3, 16, 16\), got \(3, 8, 8\)"),
        (torch.zeros(1, 16, 16), r"the images' size \(3, 16, 16\), got \(1, 16, 16\)"),
    ],
)
def test_a_baseline_that_does_not_fit_the_images_is_refused(
    make, baseline, message, network, images, classes
):
    with pytest.raises(ValueError, match=message):
        make(baseline)(network, images, classes)
