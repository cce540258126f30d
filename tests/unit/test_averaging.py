import copy
import math
import pickle

import pytest
import torch
from torch import nn

import explman_lite as el
from explman_lite import explainers
from explman_lite.explainers import averaging
from explman_lite.networks.smoothing import round_activations


def test_integrated_gradients_are_complete(network, images, classes):
    smooth = el.smoothed(network, 5.0)
    gain = smooth(images) - smooth(0 * images)
    expected = gain.gather(1, classes.unsqueeze(1)).squeeze(1)
    total = el.IntegratedGradients(steps=300)(smooth, images, classes).sum(dim=(1, 2, 3))
    torch.testing.assert_close(total, expected, rtol=1e-3, atol=1e-5)


def test_integrated_gradients_of_a_square_by_hand():
    class Square(nn.Module):
        def forward(self, x):
            return (x**2).flatten(1).sum(dim=1, keepdim=True)

    images = torch.tensor([0.5, 0.25]).view(1, 1, 1, 2)
    found = el.IntegratedGradients(steps=3)(Square().eval(), images, torch.tensor([0]))
    torch.testing.assert_close(found, images**2)


@pytest.mark.parametrize(
    "method",
    [
        el.IntegratedGradients(steps=7),
        el.SmoothGrad(7, 0.05),
        el.SmoothGrad(samples=7, explainer=el.LRP()),
    ],
    ids=lambda method: method.name,
)
def test_chunks_change_neither_the_map_nor_its_gradient(
    method, network, images, classes, monkeypatch
):
    smooth = el.smoothed(network, 3.0)
    results = []
    batch = 3 * 16 * 16
    for kept, per_pass in ((100, 100), (100, 2), (6, 2), (1, 1)):
        monkeypatch.setattr(averaging, "PIXELS_KEPT", kept * batch)
        monkeypatch.setattr(averaging, "PIXELS_PER_PASS", per_pass * batch)
        pixels = images.clone().requires_grad_()
        attribution = method(smooth, pixels, classes)
        (gradient,) = torch.autograd.grad(attribution.pow(2).sum(), pixels)
        results.append((attribution, gradient))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0])


@pytest.mark.parametrize(
    ("kept", "with_graph", "in_all"), [(100, 10, 10), (10, 0, 20)], ids=["kept", "bounded"]
)
def test_graphs_are_kept_up_to_a_bound_and_built_anew_beyond(
    kept, with_graph, in_all, network, images, classes, monkeypatch
):
    monkeypatch.setattr(averaging, "PIXELS_KEPT", kept * images[:, 0].numel())
    monkeypatch.setattr(averaging, "PIXELS_PER_PASS", 2 * images[:, 0].numel())
    differentiable = []

    class Watching(el.Gradient):
        def explain(self, model, images, classes):
            differentiable.append(images.requires_grad)
            return super().explain(model, images, classes)

    method = el.SmoothGrad(samples=20, explainer=Watching())
    attribution = method.explain(network, images.requires_grad_(), classes).attribution
    assert sum(differentiable) == with_graph
    attribution.sum().backward()
    assert len(differentiable) == in_all


def test_smoothgrad_of_a_linear_network_is_its_gradient(images, classes):
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 4)).double().eval()
    expected = el.Gradient()(model, images, classes)
    torch.testing.assert_close(el.SmoothGrad()(model, images, classes), expected)


@pytest.mark.parametrize("distribution", ["gaussian", "logistic"])
def test_noise_has_the_spread_that_was_asked_for(distribution):
    method = el.SmoothGrad(samples=400, noise=0.2, distribution=distribution)
    noise = method.points(torch.zeros(1, 1, 20, 20, dtype=torch.float64), 0, 400)
    assert noise.mean().abs() < 0.005
    assert noise.std().item() == pytest.approx(0.2, rel=0.01)
    kurtosis = (noise**4).mean() / (noise**2).mean() ** 2
    assert kurtosis.item() == pytest.approx(3.0 if distribution == "gaussian" else 4.2, rel=0.05)


def test_logistic_noise_makes_smoothgrad_the_softplus_gradient():
    """Theorem 2 for one neuron, with noise along its weight: closed form against Monte Carlo."""
    relu = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False), nn.ReLU()).double().eval()
    relu[1].weight.data.fill_(1.0)
    beta, samples = 4.0, 20_000
    images, classes = torch.full((1, 1, 1, 1), 0.3, dtype=torch.float64), torch.tensor([0])
    expected = el.BetaSmoothing(el.Gradient(), beta)(relu, images, classes).item()
    assert expected == pytest.approx(1 / (1 + math.exp(-beta * 0.3)))
    noise = math.pi / (math.sqrt(3) * beta)
    method = el.SmoothGrad(samples=samples, noise=noise, distribution="logistic")
    four_standard_errors = 4 * 0.5 / math.sqrt(samples)
    assert method(relu, images, classes).item() == pytest.approx(expected, abs=four_standard_errors)


def test_beta_smoothing_explains_the_smooth_network_and_returns_the_output_of_the_other(
    network, images, classes
):
    explanation = el.BetaSmoothing(el.LRP(), 2.0).explain(network, images, classes)
    expected = el.LRP()(el.smoothed(network, 2.0), images, classes)
    torch.testing.assert_close(explanation.attribution, expected)
    torch.testing.assert_close(explanation.logits, network(images))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: el.IntegratedGradients(steps=0), "steps must be an integer of at least 1"),
        (lambda: el.SmoothGrad(samples=1.5), "samples must be an integer"),
        (lambda: el.SmoothGrad(noise=0), "noise must be positive"),
        (lambda: el.SmoothGrad(distribution="cauchy"), "or 'uniform', got 'cauchy'"),
        (lambda: el.BetaSmoothing(el.Gradient(), beta=-1), "beta must be positive"),
    ],
)
def test_bad_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: el.SmoothGrad(explainer=10), r"such as Gradient\(\), got 10"),
        (lambda: el.SmoothGrad(explainer=el.LRP), r"got the class LRP: add \(\)"),
        (lambda: el.BetaSmoothing("lrp", 1.0), r"such as Gradient\(\), got 'lrp'"),
    ],
)
def test_what_is_averaged_or_smoothed_must_be_an_explainer(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_beta_smoothing_sees_that_weights_have_changed(raw, network, images, classes):
    smooth = el.BetaSmoothing(el.Gradient(), 2.0)
    for model in (copy.deepcopy(raw), network):
        before = smooth(model, images, classes)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5)
        expected = el.BetaSmoothing(el.Gradient(), 2.0)(model, images, classes)
        assert not torch.equal(expected, before)
        torch.testing.assert_close(smooth(model, images, classes), expected)
        single = smooth(model.float(), images.float(), classes)
        torch.testing.assert_close(single.double(), expected, rtol=1e-3, atol=1e-5)


def test_beta_smoothing_smooths_a_prepared_network_once(network, images, classes, monkeypatch):
    smooth, calls = el.BetaSmoothing(el.Gradient(), 2.0), []
    monkeypatch.setattr(
        explainers.smoothed,
        "round_activations",
        lambda *given, **kw: calls.append(given) or round_activations(*given, **kw),
    )
    for _ in range(2):
        smooth(network, images, classes)
    assert len(calls) == 1


def test_beta_smoothing_can_be_pickled(network, images, classes):
    smooth = el.BetaSmoothing(el.Gradient(), 2.0)
    expected = smooth(network, images, classes)
    again = pickle.loads(pickle.dumps(smooth))
    torch.testing.assert_close(again(network, images, classes), expected)
