import pytest
import torch
from torch import nn

import explman_lite as el
from explman_lite.networks.layers import (
    Conv2d,
    Normalize,
    freeze,
    transposed_convolution,
)
from explman_lite.networks.softplus import SmoothReLU

GEOMETRIES = {
    "plain": {"kernel_size": 3, "padding": 1},
    "strided": {"kernel_size": 3, "stride": 2, "padding": 1},
    "strided, rest": {"kernel_size": 2, "stride": 3},
    "dilated": {"kernel_size": 3, "dilation": 2},
    "depthwise": {"kernel_size": 3, "padding": 1, "groups": 4},
    "grouped": {"kernel_size": (3, 1), "stride": (1, 2), "groups": 2, "bias": False},
}


@pytest.fixture(params=GEOMETRIES.values(), ids=GEOMETRIES.keys())
def layer(request: pytest.FixtureRequest) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(4, 8, **request.param).double()


def test_frozen_convolution_and_both_derivatives_equal_pytorchs_bit_for_bit(layer):
    results = []
    for convolution in (layer, Conv2d.of(layer)):
        x = torch.linspace(-1, 1, 2 * 4 * 9 * 10, dtype=torch.float64).view(2, 4, 9, 10)
        x.requires_grad_()
        y = convolution(x)
        (first,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), x)
        results.append((y, first, second))
    for theirs, ours in zip(*results, strict=True):
        assert torch.equal(theirs, ours)


def test_frozen_convolution_passes_gradcheck_to_second_order(layer):
    frozen = Conv2d.of(layer)
    x = torch.rand(1, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(frozen, x)
    assert torch.autograd.gradgradcheck(frozen, x)


@pytest.mark.parametrize("short", [torch.bfloat16, torch.float16])
def test_transposed_convolution_and_its_derivative_take_the_type_of_the_outputs(short):
    torch.manual_seed(0)
    layer = Conv2d.of(nn.Conv2d(4, 8, 3, padding=1, groups=2))
    outputs = torch.rand(1, 8, 6, 6, dtype=short, requires_grad=True)
    results = []
    for weight in (layer.weight, layer.weight.to(short)):
        inputs = transposed_convolution(outputs, weight, layer.geometry, torch.Size((1, 4, 6, 6)))
        (gradient,) = torch.autograd.grad(inputs.square().sum(), outputs)
        assert inputs.dtype == gradient.dtype == short
        results.append((inputs, gradient))
    for found, expected in zip(*results, strict=True):
        assert torch.equal(found, expected)


def test_frozen_convolution_shares_weights_and_leaves_the_original_trainable(layer):
    frozen = freeze(Conv2d.of(layer))
    assert frozen.weight.data_ptr() == layer.weight.data_ptr()
    assert not frozen.weight.requires_grad
    assert layer.weight.requires_grad


@pytest.mark.parametrize("options", [{"padding_mode": "circular"}, {"padding": "same"}])
def test_frozen_convolution_names_padding_it_cannot_do(options):
    with pytest.raises(ValueError, match="zero padding"):
        Conv2d.of(nn.Conv2d(1, 1, 3, **options))


@pytest.mark.parametrize("ceiling", [None, 6.0])
def test_smooth_relu_passes_gradcheck_to_second_order(ceiling):
    x = torch.linspace(-2, 8, 21, dtype=torch.float64, requires_grad=True)
    layer = SmoothReLU(1.7, ceiling)
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


def test_smooth_relu_is_softplus():
    x = torch.linspace(-3, 3, 50)
    expected = torch.log1p(torch.exp(2.5 * x)) / 2.5
    torch.testing.assert_close(SmoothReLU(2.5)(x), expected)


@pytest.mark.parametrize(("ceiling", "reference"), [(None, nn.ReLU()), (6.0, nn.ReLU6())])
def test_smooth_relu_tends_to_relu_as_beta_grows(ceiling, reference):
    x = torch.linspace(-3, 9, 101, dtype=torch.float64)
    distances = [
        (SmoothReLU(beta, ceiling)(x) - reference(x)).abs().max().item() for beta in (1, 10, 100)
    ]
    assert distances[0] > 5 * distances[1] > 25 * distances[2] > 0
    assert torch.equal(SmoothReLU(None, ceiling)(x), reference(x))


def test_normalize_scales_each_channel():
    layer = Normalize([0.0, 0.5], [1.0, 0.25])
    images = torch.tensor([0.5, 1.0]).view(1, 2, 1, 1)
    assert layer(images).flatten().tolist() == [0.5, 2.0]


@pytest.mark.parametrize("model", ["digits_vgg", "efficientnet_lite0"])
@pytest.mark.parametrize("explainer", [el.Gradient(), el.GuidedBackprop(), el.LRP()], ids=repr)
def test_a_wrong_number_of_channels_is_refused(model, explainer):
    network = el.load_model(model)
    right = {"digits_vgg": 1, "efficientnet_lite0": 3}[model]
    with pytest.raises(ValueError, match=rf"expected images with C = {right}, got C = 2"):
        explainer(network, torch.rand(1, 2, 32, 32), torch.tensor([1]))
