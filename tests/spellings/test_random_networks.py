"""Whatever small network is drawn: what it computes, and what explains it, is right."""

import torch
from hypothesis import HealthCheck, assume, given, settings
from random_networks import CLASSES, Plan, images, plans

import explman_lite as el
from explman_lite.explainers.propagation import Propagation

drawn = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
EXPLAINERS = (
    el.Gradient(),
    el.IntegratedGradients(steps=3),
    el.GuidedBackprop(),
    el.LRP(),
    el.LRP("gamma"),
    el.LRP("epsilon"),
    el.BetaSmoothing(el.Gradient(), 2.0),
)


def classes(count: int) -> torch.Tensor:
    return torch.arange(count) % CLASSES


def equal(found, expected, tolerance=1e-9):
    largest = expected.abs().max().clamp(min=1e-9)
    assert (found - expected).abs().max() <= tolerance * largest


def score(model, pixels):
    return model(pixels).gather(1, classes(len(pixels)).unsqueeze(1)).sum()


@drawn
@given(plans())
def test_prepare_computes_what_was_given(plan: Plan):
    model, pixels = plan.build(), images()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        expected = model(pixels)
        equal(el.prepare(model)(pixels), expected)
        equal(el.prepare(model, frozen=False)(pixels), expected)
        equal(el.smoothed(model, beta=None)(pixels), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@drawn
@given(plans())
def test_the_gradient_is_that_of_pytorch(plan: Plan):
    pixels = images().requires_grad_()
    (expected,) = torch.autograd.grad(score(plan.build(), pixels), pixels)
    network = el.prepare(plan.build())
    equal(el.Gradient()(network, images(), classes(2)), expected)
    # With nothing replaced, the walk back of the propagation methods is the chain rule.
    equal(Propagation()(network, images(), classes(2)), expected)


@drawn
@given(plans())
def test_a_function_of_the_gradient_is_differentiable_in_the_weights(plan: Plan):
    def weight_gradients(model, network):
        pixels = images().requires_grad_()
        (gradient,) = torch.autograd.grad(score(network, pixels), pixels, create_graph=True)
        loss = (3 * gradient).sin().sum() + network(images()).square().sum()
        weights = dict(model.named_parameters())
        found = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
        return torch.cat([part.flatten() for part in found])

    model = plan.build()
    expected = weight_gradients(model, model)
    trained = plan.build()
    network = el.prepare(trained, frozen=False)
    equal(weight_gradients(trained, network), expected, 1e-8)


@drawn
@given(plans())
def test_relevance_is_conserved_where_nothing_is_added(plan: Plan):
    model, pixels = plan.build(biases=False), images()
    logits, winners = model(pixels).detach().max(dim=1)
    # Where nothing speaks for a class, the z⁺ rule finds nobody to share with.
    assume((logits > 1e-3).all())
    for explainer in (el.LRP(epsilon=1e-12), el.LRP("gamma", epsilon=1e-12)):
        equal(explainer(model, pixels, winners).sum(dim=(1, 2, 3)), logits, 1e-6)


@drawn
@given(plans())
def test_a_very_sharp_softplus_is_the_relu(plan: Plan):
    model, pixels = plan.build(), images()
    with torch.no_grad():
        distances = [
            (el.smoothed(model, beta)(pixels) - model(pixels)).abs().max()
            for beta in (1.0, 1e2, 1e4)
        ]
    assert distances[2] < 1e-2 * max(distances[0], 1e-3)
    assert distances[2] <= distances[1]


@drawn
@given(plans())
def test_a_batch_is_its_samples(plan: Plan):
    network, pixels = el.prepare(plan.build()), images(3)
    for explainer in EXPLAINERS:
        together = explainer(network, pixels, classes(3))
        alone = [explainer(network, pixels[k : k + 1], classes(3)[k : k + 1]) for k in range(3)]
        equal(together, torch.cat(alone), 1e-8)
