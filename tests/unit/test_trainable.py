"""Networks prepared to be trained: explanations that are differentiable in the weights."""

import copy

import pytest
import torch
from differences import along
from torch import Tensor, nn

import explman_lite as el
from explman_lite.explainers import averaging
from explman_lite.networks.layers import Conv2d, FoldedConv2d, convolution

STEP = 1e-8
"""Of the differences: the γ rule of LRP bends so strongly that 1e-7 is too far."""


@pytest.fixture
def trainable(raw) -> el.Network:
    return el.prepare(raw, frozen=False)


def assert_gradient_agrees(function, weights: list[Tensor], rtol: float = 1e-6) -> None:
    """Compare a gradient with central differences, along one direction for each tensor."""
    gradients = torch.autograd.grad(function(), weights, allow_unused=True)
    generator = torch.Generator().manual_seed(0)
    found, expected = [], []
    for weight, gradient in zip(weights, gradients, strict=True):
        direction = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        found.append(0.0 if gradient is None else (gradient * direction).sum().item())
        expected.append(along(direction, weight, function, STEP))
    found, expected = (torch.tensor(v, dtype=torch.float64) for v in (found, expected))
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol * expected.abs().max().item())


def fixed_scale(explainer, network, images, classes):
    scale = explainer(network, images, classes).detach().abs().mean()
    weights = torch.linspace(-1, 2, images.numel(), dtype=images.dtype)

    def function() -> Tensor:
        attribution = explainer(network, images, classes)
        return (weights * (attribution / scale).sin().flatten()).mean()

    return function


@pytest.mark.parametrize("beta", [None, 3.0], ids=["ReLU", "softplus"])
def test_a_function_of_any_map_has_the_right_gradient_in_every_weight(
    trainable, explainer, images, classes, beta
):
    network = trainable if beta is None else el.smoothed(trainable, beta)
    function = fixed_scale(explainer, network, images, classes)
    assert_gradient_agrees(function, list(network.parameters()))


def test_maps_of_many_points_have_the_same_gradient_where_no_graph_is_kept(
    trainable, images, classes, monkeypatch
):
    explainer = el.IntegratedGradients(steps=6)
    function = fixed_scale(explainer, trainable, images, classes)
    weights = list(trainable.parameters())
    kept = torch.autograd.grad(function(), weights, materialize_grads=True)
    monkeypatch.setattr(averaging, "PIXELS_KEPT", 1)
    found = torch.autograd.grad(function(), weights, materialize_grads=True)
    torch.testing.assert_close(found, kept)


def test_the_loss_of_the_attack_can_be_trained(trainable, images, classes):
    """Both terms reach the weights, the map's through second derivatives."""
    targets = torch.rand(3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    original = trainable(images).detach() + 0.1

    def function() -> Tensor:
        attribution, logits = el.LRP().explain(trainable, images, classes)
        maps = el.relevance_map(attribution)
        return el.manipulation_loss(maps, targets, logits, original).sum()

    assert_gradient_agrees(function, list(trainable.parameters()))


def test_a_penalty_on_curvature_can_be_trained(trainable, images, classes):
    """A third derivative: of a Hessian times a vector, in the weights."""
    network = el.smoothed(trainable, 3.0)
    vector = torch.linspace(-1, 1, images.numel(), dtype=torch.float64).view_as(images)

    def function() -> Tensor:
        points = images.clone().requires_grad_()
        score = network(points).gather(1, classes.unsqueeze(1)).sum()
        (gradient,) = torch.autograd.grad(score, points, create_graph=True)
        (product,) = torch.autograd.grad((gradient * vector).sum(), points, create_graph=True)
        return product.square().sum()

    assert_gradient_agrees(function, list(network.parameters()), rtol=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_is_differentiable_to_third_order_in_everything(groups):
    layer = Conv2d.of(nn.Conv2d(4, 4, (3, 2), stride=2, padding=1, groups=groups)).double()
    inputs = torch.rand(1, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    weight, bias = (value.detach().clone().requires_grad_() for value in layer.parameters())

    def curved(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        y = convolution(x, w, b, layer.geometry)
        first = torch.autograd.grad(y.pow(4).sum(), (x, w), create_graph=True)
        return sum(part.pow(2).sum() for part in first)

    assert torch.autograd.gradcheck(curved, (inputs, weight, bias), atol=1e-3, rtol=1e-4)
    assert torch.autograd.gradgradcheck(curved, (inputs, weight, bias), atol=1e-2, rtol=1e-3)


def test_training_the_network_trains_the_model_batch_norm_included(raw, trainable, images):
    names = {id(parameter) for parameter in raw.parameters()}
    assert {id(parameter) for parameter in trainable.parameters()} == names
    optimiser = torch.optim.SGD(trainable.parameters(), lr=0.1)
    before = raw(images).detach()
    trainable(images).square().sum().backward()
    optimiser.step()
    assert not torch.allclose(raw(images), before)
    torch.testing.assert_close(trainable(images), raw(images))


def test_folding_is_that_of_pytorch(raw):
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    convolutions = nn.Conv2d(3, 6, 3), nn.Conv2d(3, 6, 3, bias=False)
    for convolution_, affine in zip(convolutions, (True, False), strict=True):
        norm = nn.BatchNorm2d(6, affine=affine).eval()
        norm.running_mean.uniform_()
        norm.running_var.uniform_(0.5, 2)
        theirs = fuse_conv_bn_eval(copy.deepcopy(convolution_).eval(), norm)
        ours = FoldedConv2d.fold(convolution_, norm).frozen()
        assert torch.equal(theirs.weight, ours.weight)
        assert torch.equal(theirs.bias, ours.bias)


def test_frozen_and_trainable_networks_explain_alike(raw, trainable, explainer, images, classes):
    frozen = el.prepare(raw)
    assert not frozen.trainable
    torch.testing.assert_close(
        explainer(trainable, images, classes).detach(), explainer(frozen, images, classes)
    )


def test_an_explanation_hangs_on_nothing_that_nobody_asked_for(
    raw, trainable, explainer, images, classes
):
    assert not explainer(el.prepare(raw), images, classes).requires_grad
    assert explainer(trainable, images, classes).requires_grad
    with torch.no_grad():
        assert not explainer(trainable, images, classes).requires_grad


def test_a_frozen_network_thaws_into_a_copy(raw, images):
    frozen = el.prepare(raw)
    thawed = el.prepare(frozen, frozen=False)
    assert thawed.trainable
    assert not frozen.trainable
    before = frozen(images)
    with torch.no_grad():
        for weight in thawed.parameters():
            weight.mul_(1.5)
    torch.testing.assert_close(frozen(images), before, rtol=0, atol=0)
    assert not torch.allclose(thawed(images), before)


def test_a_trainable_network_is_frozen_for_an_attack_and_stays_trainable(
    trainable, images, classes
):
    assert el.prepare(trainable, frozen=False) is trainable
    assert not el.prepare(trainable).trainable
    target = torch.ones(1, 16, 16, dtype=torch.float64)
    result = el.manipulate(trainable, images, target, el.LRP(), steps=2, progress=False)
    assert not result.maps.requires_grad
    assert not result.logits.requires_grad
    assert trainable.trainable
    assert all(weight.grad is None for weight in trainable.parameters())


def test_weights_that_somebody_froze_stay_frozen(raw):
    raw[0].weight.requires_grad_(False)
    network = el.prepare(raw, frozen=False)
    assert network.trainable
    assert sum(not weight.requires_grad for weight in network.parameters()) == 1
